"""Archives of a folder, made and unpacked by real children, and archives that nobody honest would make."""

from __future__ import annotations

import asyncio
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from fakes.hostile_files import Ground
from zlh_agent.archives.service import Archives
from zlh_agent.files.link import FilePlace
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.told import Outcome
from zlh_common.errors import ZlhError
from zlh_common.schema.files import ArchiveFormat, Overwrite

PARTIAL, STAGING = ".made.zlh-part", ".unpacked.zlh-part"
FORMS = ("zip", "tar", "tar.gz", "tar.xz", "tar.zst")


class Workshop:
    """The root of a customer, and archives in it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.folder = ground.inside
        self.root = OfferedRoot("root", "/root", FilePlace(str(ground.inside), ground.own()))
        self.archives = Archives(Roots([self.root]))

    def own(self) -> None:
        """Give what a test has made to the customer."""
        self.ground.own()

    async def pack(self, *paths: str, form: str = "tar.gz", to: str = "made", replace: bool = False) -> Outcome:
        """Make an archive at `to`."""
        return await self.archives.pack(self.root, paths, to, ArchiveFormat(form), partial=PARTIAL, replace=replace)

    async def unpack(self, path: str, to: str = "new", overwrite: str = "refuse") -> Outcome:
        """Unpack an archive to `to`; what is not whole yet is beside it."""
        staging = f"{to.rpartition('/')[0]}/{STAGING}".removeprefix("/")
        return await self.archives.unpack(self.root, path, to, staging=staging, overwrite=Overwrite(overwrite))

    async def code_of(self, path: str, to: str = "new", overwrite: str = "refuse") -> str:
        """Return why an archive is not unpacked."""
        try:
            return repr(await self.unpack(path, to, overwrite))
        except ZlhError as refused:
            return refused.code

    async def stream(self, *paths: str, form: str = "tar.gz") -> bytes:
        """Return a whole archive, as it came through the pipe."""
        async with self.archives.streaming(self.root, paths, ArchiveFormat(form)) as fd:
            return await asyncio.to_thread(read_to_end, fd)


def read_to_end(fd: int) -> bytes:
    """Return all that comes out of a pipe."""
    blocks = []
    while block := os.read(fd, 1024 * 1024):
        blocks.append(block)
    return b"".join(blocks)


@dataclass(frozen=True)
class Odd:
    """An entry as no honest program writes it; `kind` is file, dir, link, hard or fifo."""

    name: str
    kind: str = "file"
    content: bytes = b"from the archive"
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    pax: dict[str, str] = field(default_factory=dict)


_TYPES = {
    "file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE,
}  # fmt: skip
_MODES = {"file": 0o100000, "dir": 0o040000, "link": 0o120000, "fifo": 0o010000, "device": 0o020000}


def write_archive(path: Path, form: str, entries: list[Odd]) -> Path:
    """Write an archive in any of the formats with exactly these entries; a zip has no hard links."""
    path.write_bytes(_zip(entries) if form == "zip" else _compress(form, _tar(entries)))
    return path


def _compress(form: str, raw: bytes) -> bytes:
    match form:
        case "tar.gz":
            return gzip.compress(raw, 1)
        case "tar.xz":
            return lzma.compress(raw, preset=0)
        case "tar.zst":
            return zstandard.compress(raw)
        case _:
            return raw


def _tar(entries: list[Odd]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode = _TYPES[entry.kind], entry.target, entry.mode
            info.uid, info.pax_headers, info.mtime = entry.uid, entry.pax, 1_000_000_000
            info.size = len(entry.content) if entry.kind == "file" else 0
            archive.addfile(info, io.BytesIO(entry.content))
    return out.getvalue()


def _zip(entries: list[Odd]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            info = zipfile.ZipInfo("x", (2001, 9, 9, 1, 46, 40))
            info.filename = entry.name + ("/" if entry.kind == "dir" and not entry.name.endswith("/") else "")
            info.create_system = 3
            info.external_attr = (_MODES[entry.kind] | entry.mode) << 16
            content = entry.target.encode() if entry.kind == "link" else entry.content
            archive.writestr(info, content if entry.kind in {"file", "link"} else b"")
    return out.getvalue()


def contents_of(path: Path) -> set[bytes]:
    """Return what the files of an archive hold; a link of a zip, which holds where it leads, is none."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            files = [info for info in packed.infolist() if stat.S_ISREG(info.external_attr >> 16)]
            return {packed.read(info) for info in files}
    with tarfile.open(path) as archive:
        return {taken.read() for member in archive if member.isfile() and (taken := archive.extractfile(member))}
