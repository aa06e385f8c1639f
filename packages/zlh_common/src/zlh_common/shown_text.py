"""Texts of strangers as they can be shown: without what moves a cursor or turns the direction of what follows."""

from __future__ import annotations


def clean_line(text: str, most: int) -> str:
    """Return one line of a text, cut to `most` characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:most])


def clean_lines(text: str, most: int) -> str:
    """Return the end of a text, `most` characters of it; lines stay lines."""
    return "\n".join(clean_line(line.rstrip("\r"), most) for line in text[-most:].split("\n"))
