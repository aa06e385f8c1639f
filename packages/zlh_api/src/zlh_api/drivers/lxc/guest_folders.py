"""The folders of all guests: their marks, their locks, and what a crash may have left. All of it blocks.

<vmid>/                    a guest; its mark was inside before it had this name
.new-<owner>-<random>/     one in the making, marked too
.gone-<owner>-<random>/    one that is being deleted
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zlh_api.drivers.lxc.model import GuestFolder, GuestMark
from zlh_common.durable_files import sync_folder, write_durably
from zlh_common.names import MARK, OwnerMark, Vmid

LOCK_POLL_S = 0.02
_LEFTOVER = re.compile(rf"\.(?:new|gone)-({MARK})-\w+")


@dataclass(frozen=True, slots=True)
class GuestFolders:
    """All that stands below the driver's root."""

    root: Path

    def at(self, vmid: Vmid) -> GuestFolder:
        """Return the place of a guest."""
        return GuestFolder(self.root / str(vmid))

    def numbers(self) -> list[Vmid]:
        """Return every number at which something stands."""
        if not self.root.is_dir():
            return []
        return sorted(Vmid(int(entry.name)) for entry in self.root.iterdir() if entry.name.isdecimal())

    def marks(self) -> list[GuestMark]:
        """Return the marks of all whole guests."""
        found = [(vmid, read_mark(self.at(vmid))) for vmid in self.numbers()]
        return [mark for vmid, mark in found if mark is not None and mark.vmid == vmid]

    def leftovers(self, owner: OwnerMark | None = None) -> list[tuple[OwnerMark, Path]]:
        """Return what crashes have left, of one guest or of all: ours by its name, which nobody else may give here."""
        if not self.root.is_dir():
            return []
        found = []
        for entry in sorted(self.root.iterdir()):
            match = _LEFTOVER.fullmatch(entry.name)
            if match is not None and owner in {None, match[1]}:
                found.append((OwnerMark(match[1]), entry))
        return found

    def begin(self, mark: GuestMark) -> GuestFolder:
        """Make the folder of a new guest, marked, and without its name."""
        folder = GuestFolder(Path(tempfile.mkdtemp(prefix=f".new-{mark.owner}-", dir=self.root)))
        write_mark(folder, mark)
        # Root of the guest must pass here, and may not list.
        for path in (folder.path, folder.data, folder.merged):
            path.mkdir(exist_ok=True)
            path.chmod(0o711)
        return folder

    def finish(self, folder: GuestFolder, vmid: Vmid) -> None:
        """Give a new guest its name; raises OSError where somebody else has it."""
        folder.path.rename(self.at(vmid).path)
        sync_folder(self.root)

    def bury(self, vmid: Vmid, owner: OwnerMark) -> None:
        """Take a guest's name away: from here on nothing but a leftover is there."""
        grave = Path(tempfile.mkdtemp(prefix=f".gone-{owner}-", dir=self.root))
        self.at(vmid).path.rename(grave)
        sync_folder(self.root)


def read_mark(folder: GuestFolder) -> GuestMark | None:
    """Return whose a folder is, or None where it does not say so in our words."""
    try:
        return msgspec.json.decode(folder.mark.read_bytes(), type=GuestMark)
    except (OSError, msgspec.MsgspecError):
        return None


def write_mark(folder: GuestFolder, mark: GuestMark) -> None:
    """Write it, whole or not at all."""
    write_durably(folder.mark, msgspec.json.encode(mark))


@asynccontextmanager
async def hold(path: Path) -> AsyncIterator[None]:
    """Hold a folder against all other tasks and processes of ours that hold it, for the length of the block.

    Who dies lets go, and no child has it. Raises OSError where the folder has gone.
    """
    descriptor = _open_folder(path)
    try:
        # Asked again and again: a thread that waits for it could not be called back.
        while not _try_lock(descriptor):
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Do the same without waiting; yields whether it is held by us now."""
    try:
        descriptor = _open_folder(path)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _open_folder(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
