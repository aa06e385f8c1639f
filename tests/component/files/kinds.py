"""One of every kind of thing that can stand at the end of a path or in its middle, by its name."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from fakes.hostile_files import Ground

LINKS = {
    "to-file": "file",
    "to-folder": "folder",
    "to-pipe": "pipe",
    "to-shut": "shut",
    "to-root": ".",
    "out": "../outside",
    "out-file": "../outside/file",
    "out-new": "../outside/new",
    "absolute": "/etc/passwd",
    "dangling": "none",
    "loop": "loop",
    "magic": "/proc/self/root",
    "magic-file": "/proc/self/fd/0",
}
FILES = ("file", "folder/file", "shut-file", "held")
# What only the machine's administrator can make.
DEVICE = "device"
TOO_LONG = "n" * 256
# In tables: the root itself, and the name that is too long.
SPELT = {"root": "", "long": TOO_LONG}


@contextmanager
def every_kind(ground: Ground) -> Iterator[None]:
    """Have one of each in the root, and nothing else; all of it belongs to whoever works on it."""
    inside = ground.inside
    _clear(ground)
    (inside / "folder").mkdir()
    (inside / "empty").mkdir()
    for name in FILES:
        (inside / name).write_text("inside")
    (inside / "shut-file").chmod(0)
    os.mkfifo(inside / "pipe")
    if os.geteuid() == 0:
        os.mknod(inside / DEVICE, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    for name, target in LINKS.items():
        (inside / name).symlink_to(target)
    (inside / "shut").mkdir()
    (inside / "shut/file").write_text("inside")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(inside / "socket"))
        ground.own()
        (inside / "shut").chmod(0)
        try:
            yield
        finally:
            _clear(ground)


def _clear(ground: Ground) -> None:
    for path in ground.inside.iterdir():
        if path.is_dir() and not path.is_symlink():
            for folder in (path, *path.rglob("*/")):
                folder.chmod(0o700)
            shutil.rmtree(path)
        else:
            path.unlink()
