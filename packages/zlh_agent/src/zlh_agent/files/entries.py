"""What a name is, out of what the kernel says of it."""

from __future__ import annotations

import os
import stat

from zlh_agent.files.model import FILE, FOLDER, LINK, OTHER, Entry

# Times are set by customers; beyond this they do not fit what carries them.
_TIME_LIMIT_NS = 2**63 - 1


def look(folder: int, name: bytes) -> Entry:
    """Return what a name in an open folder is; an empty name is what the descriptor itself holds."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
    entry = entry_of(name, status)
    if entry.kind == LINK:
        try:  # noqa: SIM105 - contextlib would cost the child 3 ms
            entry.target = os.fsdecode(os.readlink(name, dir_fd=folder))
        except OSError:
            pass  # it is something else by now
    return entry


def entry_of(name: bytes, status: os.stat_result) -> Entry:
    """Return the entry, without the target of a link."""
    kind = _kind(status.st_mode)
    return Entry(
        name=os.fsdecode(name),
        kind=kind,
        size=status.st_size if kind == FILE else 0,
        mode=stat.S_IMODE(status.st_mode),
        modified_ns=max(-_TIME_LIMIT_NS, min(status.st_mtime_ns, _TIME_LIMIT_NS)),
        changed_ns=max(-_TIME_LIMIT_NS, min(status.st_ctime_ns, _TIME_LIMIT_NS)),
        inode=status.st_ino,
    )


def version_of(status: os.stat_result) -> str:
    """Return the version of a file, as its entry has it."""
    return entry_of(b"", status).version


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISDIR(mode):
        return FOLDER
    return LINK if stat.S_ISLNK(mode) else OTHER
