"""What a name is, out of what the kernel says of it."""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.model import FILE, FOLDER, LINK, OTHER, Entry
from zlh_agent.files.refusals import PATH_BUSY, Refused

# Times are set by customers; beyond this they do not fit what carries them.
_TIME_LIMIT_NS = 2**63 - 1


def look(folder: int, name: bytes) -> Entry:
    """Return what a name in an open folder is; an empty name is what the descriptor itself holds."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
    entry = entry_of(name, status)
    if entry.kind == LINK:
        entry.target = target_of(folder, name)
    return entry


def target_of(folder: int, name: bytes) -> str | None:
    """Return where a link leads, as it is written in it; None where it is something else by now."""
    try:
        return os.fsdecode(os.readlink(name, dir_fd=folder))
    except OSError:
        return None


def read_link(folder: int, name: bytes) -> bytes:
    """Return where a link leads, as it is written in it; raise Refused where it is something else by now, OSError."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as exc:
        raise Refused(PATH_BUSY) if exc.errno == errno.EINVAL else exc from exc


def entry_of(name: bytes, status: os.stat_result) -> Entry:
    """Return the entry, without the target of a link."""
    kind = _kind(status.st_mode)
    return Entry(
        name=os.fsdecode(name),
        kind=kind,
        size=status.st_size if kind == FILE else 0,
        mode=stat.S_IMODE(status.st_mode),
        modified_ns=clamp_time(status.st_mtime_ns),
        changed_ns=clamp_time(status.st_ctime_ns),
        inode=status.st_ino,
    )


def clamp_time(time_ns: int) -> int:
    """Return a time that fits what carries it."""
    return max(-_TIME_LIMIT_NS, min(time_ns, _TIME_LIMIT_NS))


def version_of(status: os.stat_result) -> str:
    """Return the version of a file, as its entry has it."""
    return entry_of(b"", status).version


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISDIR(mode):
        return FOLDER
    return LINK if stat.S_ISLNK(mode) else OTHER
