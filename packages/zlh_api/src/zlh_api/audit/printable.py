"""What strangers call their things, fit for people and programs to read."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with a sign in the place of all that moves a cursor, or is no text at all."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
