"""What the container and its processes use: read from the kernel when asked and once a minute."""
