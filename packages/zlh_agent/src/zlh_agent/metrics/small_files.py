"""Reads the files of `/proc` and `/sys`, which end, vanish and refuse while one looks."""

from __future__ import annotations

import os

MAX_BYTES = 64 * 1024


class Denied(Exception):
    """The file is there and may not be read."""


def read_small(path: str) -> bytes:
    """Return a file, empty where it is not there or may not be read."""
    try:
        return read_or_denied(path)
    except Denied:
        return b""


def read_or_denied(path: str) -> bytes:
    """Return a file, empty where it (or its process) is gone; raise Denied. What is beyond 64 KiB is left out."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as exc:
        raise Denied from exc
    except OSError:
        return b""
    try:
        return os.read(fd, MAX_BYTES)
    except PermissionError as exc:
        raise Denied from exc
    except OSError:
        return b""
    finally:
        os.close(fd)
