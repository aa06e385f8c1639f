"""Consoles of containers, each read once from its agent and shown to all who look."""
