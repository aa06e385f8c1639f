"""What has happened in this container, in order and with numbers, for whoever comes to ask."""
