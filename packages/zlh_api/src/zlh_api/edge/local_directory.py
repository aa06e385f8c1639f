"""Route files in a directory of this machine: temporary name, fsync, rename."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from zlh_api.edge.directory_rules import Entry, Kind, Unread, temporary_name
from zlh_api.edge.foreign_files import MOST_BYTES
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.place import MOST_DEPTH, PlaceRefused
from zlh_api.edge.port import Check
from zlh_common.durable_files import rename_durably, sync_folder, write_durably

T = TypeVar("T")
_NUDGE = ".zlh-nudge.yml.new"


class LocalRouteDirectory(KeptDirectory):
    """A directory of this machine, which Traefik watches itself."""

    def __init__(
        self, folder: Path, quarantine: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(LocalPlace(folder, quarantine or folder.with_name("quarantine")), clock=clock)


class LocalPlace:
    """Everything is done in threads; the directory is made with the first file."""

    def __init__(self, folder: Path, quarantine: Path) -> None:
        self._folder = folder
        self._quarantine = quarantine

    async def fetch_entries(self) -> list[Entry]:
        """Return every name below the directory."""
        return await _in_thread(lambda: list(_walk(self._folder, "", 0)))

    async def fetch_contents(self, names: Sequence[str]) -> list[bytes | Unread | None]:
        """Return what each holds."""
        return await _in_thread(lambda: [_read(self._folder / name) for name in names])

    async def replace(self, name: str, content: bytes, check: Check) -> None:
        """Make it hold `content`."""

        def write() -> None:
            check()
            # Traefik may run as another user. It reads every .yml, dot files too, but not what is still being written.
            temporary = self._folder / temporary_name(name, secrets.token_hex(8))
            write_durably(temporary, content, mode=0o644)
            try:
                check()
                rename_durably(temporary, self._folder / name)
            finally:
                temporary.unlink(missing_ok=True)

        await _in_thread(write)

    async def remove(self, name: str, check: Check) -> None:
        """Take it away."""

        def remove() -> None:
            check()
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)

        await _in_thread(remove)

    async def fetch_quarantine(self) -> list[str]:
        """Return the names in the quarantine."""
        return await _in_thread(lambda: _names(self._quarantine))

    async def move_away(self, name: str, quarantined: str) -> bool:
        """Move it into the quarantine."""
        return await _in_thread(lambda: self._move(self._folder / name, self._quarantine / quarantined))

    async def nudge(self) -> None:
        """Let Traefik look again."""

        def nudge() -> None:
            write_durably(self._folder / _NUDGE, b"")
            (self._folder / _NUDGE).unlink(missing_ok=True)

        await _in_thread(nudge)

    def _move(self, source: Path, folder: Path) -> bool:
        """Move it into a folder of its own, which nobody else can have made: a rename replaces what is there."""
        self._quarantine.mkdir(mode=0o755, exist_ok=True)
        try:
            folder.mkdir(mode=0o755)
        except FileExistsError:
            return False
        try:
            source.rename(folder / source.name)
        except OSError as exc:
            folder.rmdir()
            if isinstance(exc, FileNotFoundError):
                return False
            raise
        sync_folder(folder)
        sync_folder(source.parent)
        return True


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except FileNotFoundError:
        return
    for each in entries:
        try:
            status = each.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        entry = Entry(prefix + each.name, _kind(status.st_mode), version, int(status.st_mtime))
        yield entry
        if entry.kind == "folder" and depth < MOST_DEPTH:
            yield from _walk(Path(each.path), f"{entry.name}/", depth + 1)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _read(path: Path) -> bytes | Unread | None:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # A pipe does not keep us waiting, and is none of the files that are read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except PermissionError:
        return Unread("we may not read it", is_certain=False)
    except OSError as exc:
        return Unread(f"it cannot be opened ({exc.strerror})", is_certain=True)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return Unread("it is no file that can be read", is_certain=True)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MOST_BYTES + 1)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except FileNotFoundError:
        return []


async def _in_thread(act: Callable[[], T]) -> T:
    def run() -> T:
        with _refusals():
            return act()

    return await asyncio.to_thread(run)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise PlaceRefused(_reason(exc)) from exc


def _reason(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC:
            return f"its disk is full{where}; make room there"
        case errno.EDQUOT:
            return f"the quota of our user is used up there{where}"
        case errno.EACCES | errno.EPERM:
            return f"our user may not do that there{where}; give it the folder"
        case errno.EROFS:
            return f"it is mounted read-only{where}"
        case errno.EXDEV:
            return "the quarantine lies on another file system than the directory; put it beside that"
        case _:
            return str(error)
