"""The machines that containers are on: how they are, and what they hold."""
