"""Consoles: output on disk with absolute offsets, and the sockets that show it."""
