"""Who holds a socket that listens: processes of `/proc`, as far as we may look into them. It blocks: for threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from zlh_agent.ports.listening import Holder

_SOCKET = "socket:["
MAX_PROCESSES = 10_000
_MAX_BYTES = 4096
_MAX_CHILDREN_BYTES = 64 * 1024


def find_holders(inodes: Collection[int], roots: Collection[int] | None) -> dict[int, Holder]:
    """Return the process of each socket that we may see into, among all or among what descends from `roots`.

    Of several processes that hold one, as a server and its workers do, the oldest is told.
    """
    wanted = {f"{_SOCKET}{inode}]": inode for inode in inodes}
    found: dict[int, Holder] = {}
    for pid in sorted(_all_pids() if roots is None else _descendants(roots)):
        if len(found) == len(inodes):
            break
        new = {wanted[link] for link in _links(pid) if link in wanted} - found.keys()
        if new:
            holder = _describe(pid)
            found |= dict.fromkeys(new, holder)
    return found


def _descendants(roots: Iterable[int]) -> set[int]:
    """Return what the kernel lists as children, and theirs; of a tree, so the rest of the machine is not looked at."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        new = set(_children(waiting.pop())) - found
        found |= new
        waiting += new
    return found


def _children(pid: int) -> Iterator[int]:
    # Each thread has its own.
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/task") as threads:
        for thread in threads:
            yield from map(int, _read(Path(thread.path) / "children", _MAX_CHILDREN_BYTES).split())


def _all_pids() -> list[int]:
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()][:MAX_PROCESSES]


def _links(pid: int) -> Iterator[str]:
    # What ends meanwhile, or is another user's, holds nothing that we could tell.
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield str(Path(entry.path).readlink())


def _describe(pid: int) -> Holder:
    folder = Path(f"/proc/{pid}")
    words = [word for word in _read(folder / "cmdline", _MAX_BYTES).split(b"\0") if word]
    program = _read_link(folder / "exe")
    return Holder(
        pid=pid,
        # Many a program calls its threads by other names, and itself by that of the first.
        name=program.rpartition("/")[2] if program else _text(_read(folder / "comm", _MAX_BYTES).rstrip(b"\n")),
        command=" ".join(map(_text, words)),
        directory=_read_link(folder / "cwd"),
    )


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError:
        return b""


def _read_link(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return _text(os.fsencode(path.readlink()))
    return None


def _text(raw: bytes) -> str:
    """Return what a customer's program calls itself, without what a terminal or a database would stumble over."""
    return "".join(char if char.isprintable() else "\ufffd" for char in raw.decode(errors="replace"))
