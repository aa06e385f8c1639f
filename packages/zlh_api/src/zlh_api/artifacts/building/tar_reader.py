"""Reads the tar files of others: a .deb's data, a vendor's tarball, a package of npm's.

Nothing is unpacked under a name that an archive chose: each file's bytes go into a numbered file of the blob folder,
and names, links and modes are only remembered. What is no plain file, folder or link is refused, as is a set-uid bit,
and whatever would make more files or bytes than `Bounds` allows.

Others write tars in every dialect, so the standard library's reader is used, which knows all of them. Agents have a
reader of their own (`zlh_agent.runtimes.installing.tar_wire`): it takes what `repack` writes, and no other dialect.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import zstandard

from zlh_api.artifacts.rules import SourceEntry, is_safe_name, resolve_link

_CHUNK = 1 << 20
_AR_MAGIC = b"!<arch>\n"
_SPECIAL_BITS = 0o7000
# What a decoder may be made to hold.
_MAX_WINDOW = 1 << 27


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one archive may hold."""

    entries: int = 300_000
    file_bytes: int = 1 << 31
    bytes: int = 4 << 30


DEFAULT_BOUNDS = Bounds()


class ArchiveUnsafe(ValueError):
    """An archive holds what none of ours may come from, or is damaged."""


@dataclass(slots=True)
class Blobs:
    """The files of one or several archives, each in a numbered file of one folder."""

    folder: Path
    entries: dict[str, SourceEntry] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)
    _bytes: int = 0
    _files: int = 0

    def open(self, name: str) -> IO[bytes]:
        """Open a file by its name in the archive."""
        return self._paths[name].open("rb")

    def path(self, name: str) -> Path:
        """Return where the bytes of a file are."""
        return self._paths[name]

    def add_tar(self, stream: IO[bytes], bounds: Bounds = DEFAULT_BOUNDS) -> None:
        """Read one uncompressed tar stream to its end; raise ArchiveUnsafe."""
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar:
                for member in tar:
                    self._add(tar, member, bounds)
            # What follows the end is read too, so that the check sums of the compressor are looked at.
            while stream.read(_CHUNK):
                pass
        except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as exc:
            raise ArchiveUnsafe(f"it is damaged: {exc}") from exc

    def add_file(self, name: str, source: IO[bytes], *, executable: bool, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        """Take one file over."""
        path = self.folder / str(self._files)
        size = 0
        with path.open("xb") as target:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                self._bytes += len(chunk)
                if size > bounds.file_bytes or self._bytes > bounds.bytes:
                    raise ArchiveUnsafe(f"it holds more than {bounds.bytes} bytes, or {name} more than allowed")
                target.write(chunk)
        self._files += 1
        self.entries[name], self._paths[name] = SourceEntry(name, size, executable), path

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, bounds: Bounds) -> None:
        name = member.name.removeprefix("./").rstrip("/")
        if member.isdir() and name in {"", "."}:
            return
        if not is_safe_name(name):
            raise ArchiveUnsafe(f"it holds the name {member.name!r}")
        if len(self.entries) >= bounds.entries:
            raise ArchiveUnsafe(f"it holds more than {bounds.entries} files")
        if member.isdir():
            return
        if name in self.entries:
            raise ArchiveUnsafe(f"it holds {name} twice")
        if member.issym():
            self._add_link(name, member.linkname)
        elif member.islnk():
            self._add_hard_link(name, member.linkname)
        elif member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not member.sparse:
            self._add_member(tar, member, name, bounds)
        else:
            raise ArchiveUnsafe(f"{name} is neither a file, a folder nor a link")

    def _add_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, bounds: Bounds) -> None:
        if member.mode & _SPECIAL_BITS:
            raise ArchiveUnsafe(f"{name} has mode {member.mode:04o}")
        content = tar.extractfile(member)
        assert content is not None  # a regular file has content
        self.add_file(name, content, executable=bool(member.mode & 0o100), bounds=bounds)
        if self.entries[name].size != member.size:
            raise ArchiveUnsafe(f"{name} ends after {self.entries[name].size} of {member.size} bytes")

    def _add_link(self, name: str, target: str) -> None:
        if not target.isprintable() or not target or len(target) > 1024:
            raise ArchiveUnsafe(f"the link {name} leads to {target!r}")
        self.entries[name] = SourceEntry(name, 0, executable=False, target=target)

    def _add_hard_link(self, name: str, target: str) -> None:
        held = self.entries.get(target.removeprefix("./"))
        if held is None or held.target is not None:
            raise ArchiveUnsafe(f"the hard link {name} leads to {target!r}")
        self.entries[name] = SourceEntry(name, held.size, held.executable)
        self._paths[name] = self._paths[held.name]


def open_compressed(file: IO[bytes], name: str) -> IO[bytes]:
    """Return the uncompressed stream of a file whose name tells how it is compressed; raise ArchiveUnsafe else."""
    if name.endswith(".tar"):
        return file
    if name.endswith((".tar.gz", ".tgz")):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if name.endswith(".tar.xz"):
        return cast("IO[bytes]", lzma.LZMAFile(file))
    if name.endswith(".tar.zst"):
        reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(file, closefd=False)
        return cast("IO[bytes]", reader)
    raise ArchiveUnsafe(f"{name} is compressed in a way that is not known")


def add_deb(blobs: Blobs, deb: Path) -> None:
    """Read the files of a Debian package, and none of its scripts; raise ArchiveUnsafe."""
    with deb.open("rb") as file:
        members = list(_ar_members(file))
        if not members or members[0][0] != "debian-binary":
            raise ArchiveUnsafe("it is no Debian package")
        data = [(name, start, size) for name, start, size in members if name.startswith("data.tar")]
        if len(data) != 1:
            raise ArchiveUnsafe("it does not have exactly one data.tar")
        name, start, size = data[0]
        window = _Window(file, start, size)
        blobs.add_tar(open_compressed(cast("IO[bytes]", window), name))


def _ar_members(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each member of an ar archive."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ArchiveUnsafe("it is no Debian package")
    end = file.seek(0, 2)
    offset = len(_AR_MAGIC)
    while offset < end:
        file.seek(offset)
        header = file.read(60)
        digits = header[48:58].rstrip(b" ")
        if len(header) != 60 or header[58:] != b"`\n" or not digits.isdigit():
            raise ArchiveUnsafe("its archive header is damaged")
        size = int(digits)
        if offset + 60 + size > end:
            raise ArchiveUnsafe("it is cut short")
        yield header[:16].decode("latin-1").rstrip(" ").rstrip("/"), offset + 60, size
        offset += 60 + size + size % 2


class _Window:
    """Part of a file, read from its start to its end."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._left = file, size
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._file.read(wanted)
        self._left -= len(chunk)
        return chunk


def materialise(blobs: Blobs, folder: Path, *, below: str = "") -> None:
    """Make a real tree of the entries below one of their folders; raise ArchiveUnsafe where it would not be one.

    Links are made last and only where they stay inside, so nothing is ever written through one.
    """
    prefix = f"{below}/" if below else ""
    names = {name.removeprefix(prefix): entry for name, entry in blobs.entries.items() if name.startswith(prefix)}
    folders = {"/".join(parts[:depth]) for parts in map(_split, names) for depth in range(1, len(parts))}
    doubled = folders & set(names)
    if doubled:
        raise ArchiveUnsafe(f"{min(doubled)} is a file and a folder")
    for path in ["", *sorted(folders)]:
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path, entry in names.items():
        if entry.target is None:
            shutil.copyfile(blobs.path(entry.name), folder / path)
            (folder / path).chmod(0o755 if entry.executable else 0o644)
        elif entry.target.startswith("/") or resolve_link(path, entry.target) is None:
            raise ArchiveUnsafe(f"the link {path} leads to {entry.target!r}")
    for path, entry in names.items():
        if entry.target is not None:
            (folder / path).symlink_to(entry.target)


def _split(name: str) -> list[str]:
    return name.split("/")
