"""Edits configuration files of the server before a start: read, set, written beside and renamed. Runs in the child."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from zlh_agent.files.opening import Held
from zlh_agent.games.edit_formats import Unreadable, edit_bytes
from zlh_agent.games.errors import ConfigUnreadable
from zlh_agent.games.model import DoneLine, Edit
from zlh_agent.games.server_folder import ServerFolder
from zlh_common.schema.template import FileEdit

# A file of more is none that people write.
MAX_FILE_BYTES = 8 * 1024 * 1024


def edit_files(order: Edit) -> DoneLine:
    """Set the keys in every file, each whole or not at all; raise ConfigUnreadable, and then no file is changed.

    All of them are read and edited first, so one that cannot be read leaves the others as they were.
    """
    with ServerFolder(order.folder) as folder:
        changes: dict[str, tuple[bytes, int]] = {}
        for edit in order.edits:
            before, mode = changes.get(edit.path) or _read(folder, edit.path)
            after = _edit(before, edit)
            if after != before or edit.path in changes or mode < 0:
                changes[edit.path] = (after, mode)
        for path, (content, mode) in changes.items():
            _write(folder, path, content, 0o644 if mode < 0 else mode)
    return DoneLine()


def _read(folder: ServerFolder, path: str) -> tuple[bytes, int]:
    """Return content and mode of a file; nothing and -1 where there is none."""
    kind = folder.find_kind(path)
    if kind is None:
        return b"", -1
    with folder.reading(path) as fd:
        if fd is None:
            raise ConfigUnreadable(path=path, line=None, reason=f"a {kind} stands there, and no file that can be read")
        status = os.fstat(fd)
        # A program that goes on writing into it makes it no longer than it may be.
        content = b""
        while len(content) <= MAX_FILE_BYTES and (block := os.read(fd, MAX_FILE_BYTES + 1 - len(content))):
            content += block
        if len(content) > MAX_FILE_BYTES:
            raise ConfigUnreadable(path=path, line=None, reason=f"it has more than {MAX_FILE_BYTES} bytes")
        return content, stat.S_IMODE(status.st_mode) & 0o777


def _edit(before: bytes, edit: FileEdit) -> bytes:
    try:
        return edit_bytes(before, edit)
    except Unreadable as exc:
        raise ConfigUnreadable(path=edit.path, line=exc.line, reason=exc.reason.rstrip(".")) from exc


def _write(folder: ServerFolder, path: str, content: bytes, mode: int) -> None:
    name = path.rpartition("/")[2]
    beside = f".{name[:200]}.zlh-new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with Held(folder.open_parent(path, make=True)) as parent:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=parent)
        with Held(os.open(beside, flags | os.O_EXCL, 0o600, dir_fd=parent)) as fd:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
        with Held(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)) as synced:
            os.fsync(synced)
