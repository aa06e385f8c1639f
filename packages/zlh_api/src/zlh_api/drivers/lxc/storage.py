"""What a guest's root file system is made of: an image of a limited size, and in it an overlay or a copy of a template.

    <vmid>/disk.img ── loop ──► data/   upper/ + work/  ── overlay over the template ──► rootfs/      (overlay)
                                        rootfs/                                                      (copy)

Mounted by root before a start and taken down after a stop, so that every look from here sees what the guest sees.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
from pathlib import Path

from msgspec import structs

from zlh_api.drivers.lxc.guest_folders import write_mark
from zlh_api.drivers.lxc.host import Host
from zlh_api.drivers.lxc.limits import MIB
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark, LxcSettings
from zlh_api.drivers.port import DiskLarger, Right
from zlh_common.trees import delete_tree

MOUNT_INFO = Path("/proc/self/mountinfo")
COPY_TIMEOUT_S = 600.0
GROW_TIMEOUT_S = 240.0
# XFS_IOC_FSGEOMETRY_V1.
_XFS_GEOMETRY, _XFS_GEOMETRY_BYTES = 0x8070_5864, 112
# What is left over at the end where it is too small to be used.
_TAIL_BYTES = 16 * MIB


class Storage:
    """Root file systems of guests."""

    def __init__(self, settings: LxcSettings, host: Host) -> None:
        self._settings = settings
        self._host = host

    @property
    def has_limit(self) -> bool:
        """Whether a guest's disk is its own."""
        return self._settings.disk == "image"

    async def make(self, right: Right, folder: GuestFolder, mark: GuestMark, disk_mib: int) -> GuestMark:
        """Fill a new guest's folder; returns the mark with what was reached."""
        if self.has_limit:
            await self._make_image(right, folder, disk_mib)
            mark = replace_disk(mark, disk_mib)
            await self._host.act(right, "Marking the guest", write_mark, folder, mark)
        if self._settings.storage == "copy":
            await self._mount_data(right, folder)
            source, target = f"{mark.template}/.", str(folder.copy)
            await self._host.run(
                right, "Copying the template", "cp", "-a", "--reflink=auto", "--", source, target,
                timeout_s=COPY_TIMEOUT_S,
            )  # fmt: skip
            await self.unmount(right, folder.path)
        return mark

    async def mount(self, right: Right, folder: GuestFolder, mark: GuestMark) -> Path:
        """Bring a guest's root file system in place and return where it is."""
        await self._mount_data(right, folder)
        if self._settings.storage == "copy":
            return folder.copy
        if folder.merged not in await self._host_mounts(folder.path):
            await self._host.act(right, "Making the guest's layer", make_layer, folder, self._settings.first_id)
            layers = f"lowerdir={mark.template},upperdir={folder.upper},workdir={folder.work}"
            await self._host.run(
                right, "Mounting the guest's layers", "mount", "-t", "overlay", "-o", layers, "overlay",
                str(folder.merged),
            )  # fmt: skip
        return folder.merged

    async def unmount(self, right: Right, folder: Path) -> None:
        """Take down everything that is mounted below a guest's folder."""
        for place in await self._host_mounts(folder):
            await self._host.run(right, "Unmounting the guest's disk", "umount", "--", str(place))

    async def delete(self, right: Right, folder: Path) -> None:
        """Delete a folder with all that a customer has made of it; nothing that is mounted in it is entered."""
        await self.unmount(right, folder)
        await self._host.act(right, "Deleting the guest's folder", delete_tree, folder)

    def is_sized(self, folder: GuestFolder, mark: GuestMark, disk_mib: int) -> bool:
        """Tell whether the disk has its size, by the image and by the file system in it."""
        if not self.has_limit:
            return True
        wanted = disk_mib * MIB
        try:
            has_room = folder.image.stat().st_size == wanted
            inside = read_size(folder)
        except OSError:
            return False
        return has_room and mark.disk_mib == disk_mib and wanted - _TAIL_BYTES < inside <= wanted

    async def resize(self, right: Right, folder: GuestFolder, mark: GuestMark, disk_mib: int) -> GuestMark:
        """Make the disk larger, whether it is in use or not; raise DiskLarger where it would become smaller."""
        if disk_mib < mark.disk_mib:
            raise DiskLarger(has_mib=mark.disk_mib, wanted_mib=disk_mib)
        what = "Enlarging the guest's disk"
        await self._host.act(right, what, grow_file, folder.image, disk_mib * MIB)
        await self._mount_data(right, folder)
        device = await asyncio.to_thread(find_source, folder.data)
        await self._host.run(right, what, "losetup", "--set-capacity", device or "")
        await self._host.run(right, what, "xfs_growfs", "-d", str(folder.data), timeout_s=GROW_TIMEOUT_S)
        mark = replace_disk(mark, disk_mib)
        await self._host.act(right, what, write_mark, folder, mark)
        return mark

    async def _make_image(self, right: Right, folder: GuestFolder, disk_mib: int) -> None:
        what = "Making the guest's disk"
        await self._host.act(right, what, grow_file, folder.image, disk_mib * MIB)
        # XFS grows while it is in use by the right to mount alone; ext4 asks for one more, which root of a virtual
        # machine may lack. No blocks are given back at first: the image is a hole.
        await self._host.run(right, what, "mkfs.xfs", "-q", "-f", "-K", str(folder.image))

    async def _mount_data(self, right: Right, folder: GuestFolder) -> None:
        if self.has_limit and folder.data not in await self._host_mounts(folder.path):
            await self._host.run(
                right, "Mounting the guest's disk", "mount", "-t", "xfs", "-o", "loop,nodev,discard",
                str(folder.image), str(folder.data),
            )  # fmt: skip

    async def _host_mounts(self, folder: Path) -> list[Path]:
        return [place for place, _source in await asyncio.to_thread(find_mounts, folder)]


def replace_disk(mark: GuestMark, disk_mib: int) -> GuestMark:
    """Return the mark with another size of the disk."""
    return structs.replace(mark, disk_mib=disk_mib)


def make_layer(folder: GuestFolder, root_id: int) -> None:
    """Make the two folders of an overlay; the upper one is what root of the guest sees as /."""
    folder.work.mkdir(mode=0o700, exist_ok=True)
    folder.upper.mkdir(exist_ok=True)
    os.chown(folder.upper, root_id, root_id)
    folder.data.chmod(0o711)
    folder.upper.chmod(0o755)


def grow_file(path: Path, size: int) -> None:
    """Make a file at least so long; what is new is a hole."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_size(folder: GuestFolder) -> int:
    """Return how large the guest's file system is, in bytes; raises OSError."""
    if find_source(folder.data) is not None:
        # What is on the device may be behind what is in use.
        descriptor = os.open(folder.data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            geometry = fcntl.ioctl(descriptor, _XFS_GEOMETRY, bytes(_XFS_GEOMETRY_BYTES))
        finally:
            os.close(descriptor)
        (block_bytes,), (blocks,) = struct.unpack_from("=I", geometry), struct.unpack_from("=Q", geometry, 32)
        return int(block_bytes * blocks)
    with folder.image.open("rb") as file:
        block = file.read(16)
    if not block.startswith(b"XFSB"):
        raise OSError(f"there is no file system in {folder.image}")
    block_bytes, blocks = struct.unpack_from(">IQ", block, 4)
    return int(block_bytes * blocks)


def find_mounts(folder: Path) -> list[tuple[Path, str]]:
    """Return what is mounted at and below a folder, with its source, the innermost first."""
    found = []
    for line in MOUNT_INFO.read_text().splitlines():
        before, _dash, after = line.partition(" - ")
        place = Path(_unescape(before.split(" ")[4]))
        if place == folder or folder in place.parents:
            found.append((place, _unescape(after.split(" ")[1])))
    return found[::-1]


def find_source(place: Path) -> str | None:
    """Return the device that is mounted exactly here."""
    return next((source for mounted, source in find_mounts(place) if mounted == place), None)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
