"""Mods of game servers: what Modrinth offers, what a wish comes to, and what agents are told to do about it."""
