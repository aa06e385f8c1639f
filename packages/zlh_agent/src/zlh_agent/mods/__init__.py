"""Mods of a game server: a ledger beside them, and changes of them that are made whole or not at all."""
