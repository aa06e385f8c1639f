"""Ports that programs of the container listen on: who is connected to one, and how that is ended."""
