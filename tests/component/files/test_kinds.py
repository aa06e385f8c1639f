"""Every call on every kind of thing, at the end of a path and in its middle."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from component.files.harness import CALLS, code_of, names_in
from fakes.hostile_files import Ground
from zlh_agent.files.beneath import Root
from zlh_agent.files.refusals import FILES_FAILED, FILES_LIMIT

LINKS = {
    "to-file": "file",
    "to-folder": "folder",
    "outside": "../outside",
    "outside-file": "../outside/file",
    "dangling": "none",
    "loop": "loop",
    "absolute": "/etc/passwd",
    "root": "/proc/self/root",
    "descriptor": "/proc/self/fd/0",
    "descriptors": "/proc/self/fd",
}
OTHERS = ("file", "folder", "pipe", "socket", "shut", "none", "\udcff\udcfe\n", "a" * 255)
TOO_LONG = b"a" * 256


@contextmanager
def all_kinds(ground: Ground) -> Iterator[None]:
    """Make one of each."""
    inside = ground.inside
    (inside / "folder/folder").mkdir(parents=True)
    (inside / "shut").mkdir(0)
    for name in ("file", "folder/file", "\udcff\udcfe\n", "a" * 255):
        (inside / name).write_text("inside")
    os.mkfifo(inside / "pipe")
    if os.geteuid() == 0:
        os.mknod(inside / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    for name, target in LINKS.items():
        (inside / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(inside / "socket"))
        yield


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [*LINKS, *OTHERS, "device"])
def test_every_call_on_every_kind(ground: Ground, root: Root, call: str, kind: str) -> None:
    """Done or refused with a code of its own; what lies outside is as it was, and no descriptor stays open."""
    with all_kinds(ground):
        before = len(names_in(Path("/proc/self/fd")))
        name = os.fsencode(kind)
        for path in (name, name + b"/below", b"folder/../" + name, name + b"/" + TOO_LONG):
            code = code_of(CALLS[call], root, path)
            assert code not in {FILES_FAILED, FILES_LIMIT}
            assert ground.is_untouched()
        assert len(names_in(Path("/proc/self/fd"))) == before
        if (ground.inside / "shut").is_dir():
            (ground.inside / "shut").chmod(0o700)
