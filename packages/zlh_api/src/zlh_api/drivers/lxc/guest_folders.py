"""The folders of all guests: their marks, their locks, and what a crash may have left. All of it blocks.

<vmid>/                    a guest; its mark was inside before it had this name
.new-<owner>-<random>/     one in the making, marked too
.gone-<owner>-<random>/    one that is being deleted
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from zlh_api.drivers.lxc.model import GuestFolder, GuestMark
from zlh_api.drivers.nameless_folders import find_nameless, make_beginning, make_grave, open_folder, try_lock
from zlh_common.durable_files import sync_folder, write_durably
from zlh_common.names import OwnerMark, Vmid

LOCK_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class GuestFolders:
    """All that stands below the driver's root."""

    root: Path
    # Root of the guests is this user here, and this group.
    first_id: int

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
        """Return what crashes have left, of one guest or of all."""
        return find_nameless(self.root, owner)

    def begin(self, mark: GuestMark) -> GuestFolder:
        """Make the folder of a new guest, marked, and without its name."""
        folder = GuestFolder(make_beginning(self.root, mark.owner))
        write_mark(folder, mark)
        # Root of the guest must pass here, and may not list.
        for path in (folder.data, folder.merged):
            path.mkdir()
            path.chmod(0o711)
        # Other users of this host may not: there are files inside for whoever comes, and programs that make of him the
        # very user that has the files of all guests.
        os.chown(folder.path, 0, self.first_id)
        folder.path.chmod(0o710)
        return folder

    def finish(self, folder: GuestFolder, vmid: Vmid) -> None:
        """Give a new guest its name; raises OSError where somebody else has it."""
        folder.path.rename(self.at(vmid).path)
        sync_folder(self.root)

    def bury(self, vmid: Vmid, owner: OwnerMark) -> None:
        """Take a guest's name away: from here on nothing but a leftover is there."""
        self.at(vmid).path.rename(make_grave(self.root, owner))
        sync_folder(self.root)


def read_mark(folder: GuestFolder) -> GuestMark | None:
    """Return whose a folder is, or None where it does not say so in our words."""
    try:
        return msgspec.json.decode(folder.mark.read_bytes(), type=GuestMark)
    except (OSError, msgspec.MsgspecError):
        return None


def write_mark(folder: GuestFolder, mark: GuestMark) -> None:
    """Write it, whole or not at all."""
    write_durably(folder.mark, msgspec.json.encode(mark), is_folder_there=True)


def write_config(folder: GuestFolder, text: bytes) -> None:
    """Write what LXC reads; raises OSError where the folder goes or has gone: what lacks a mark is a stranger's."""
    folder.mark.stat()
    write_durably(folder.config, text, is_folder_there=True)


@asynccontextmanager
async def hold(path: Path) -> AsyncIterator[None]:
    """Hold a folder against all other tasks and processes of ours that hold it, for the length of the block.

    Who dies lets go, and no child has it. Raises OSError where the folder has gone.
    """
    descriptor = open_folder(path)
    try:
        # Asked again and again: a thread that waits for it could not be called back.
        while not try_lock(descriptor):
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)
