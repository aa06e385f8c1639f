"""A tree that a customer may have made."""

from __future__ import annotations

import os
from pathlib import Path


def make_deep_tree(folder: Path, *, depth: int = 3000, bottom_mode: int = 0o755) -> None:
    """Put folders into each other, deeper than Python recurses, than a path may be long and than one may hold open."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.mkdir("sealed", dir_fd=fd)
    os.chmod("sealed", bottom_mode, dir_fd=fd)
    os.close(fd)
