"""Reads a tar stream: fed with bytes cut anywhere, it gives entries and the contents of files.

It knows the part of the formats that runtimes need: ustar, GNU long names, PAX names. Everything else is refused by
its name instead of being passed over, so nothing in an archive can mean one thing here and another elsewhere. The
publisher reads the tars of others, in whatever dialect, with another reader (`zlh_api.artifacts.building.tar_reader`).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from zlh_agent.runtimes.errors import ArchiveRefused, UnpackFailed
from zlh_common.tar_fields import BLOCK_BYTES, Header, has_right_sum, parse_octal, parse_records

# What may stand before one entry to give it a name: far more than the longest name that is accepted.
MAX_NAMING_BYTES = 16 * 1024
_MAGICS = {b"ustar\x0000": "posix", b"ustar  \x00": "gnu"}
_REFUSED = {
    b"3": "a character device", b"4": "a block device", b"6": "a named pipe", b"7": "a reserved file",
    b"S": "a sparse file", b"g": "a header for all entries", b"V": "a volume label", b"M": "part of another volume",
    b"D": "a list of names", b"K": "a second name", b"L": "a second name", b"x": "a second name",
}  # fmt: skip
# What a PAX header may say. Owners and times are read by nobody.
_PAX_IGNORED = {"mtime", "atime", "ctime", "uid", "gid", "uname", "gname"}


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD_LINK = "hard link"


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"5": Kind.FOLDER, b"2": Kind.LINK, b"1": Kind.HARD_LINK}


class Entry(msgspec.Struct, frozen=True):
    """One entry; `size` bytes of content follow it."""

    name: str
    kind: Kind
    mode: int
    size: int
    # Of links of either kind.
    target: str


class TarReader:
    """Takes a tar stream in pieces. After an entry come its contents, in pieces that add up to its size."""

    def __init__(self) -> None:
        self._header = bytearray()
        # Bytes of the current content, and of the padding behind it.
        self._left = 0
        self._padding = 0
        # The type and the contents of a header that names the next entry.
        self._naming: bytes | None = None
        self._named = bytearray()
        self._name: str | None = None
        self._target: str | None = None
        self._zero_blocks = 0

    def feed(self, data: memoryview) -> Iterator[Entry | memoryview]:
        """Yield what these bytes complete; raise UnpackFailed where they are no tar, ArchiveRefused for an entry."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                if self._naming is None:
                    yield piece
                else:
                    self._named += piece
            elif self._padding:
                piece = data[at : at + self._padding]
                self._padding -= len(piece)
            else:
                if self._naming is not None:
                    self._take_name()
                piece = data[at : at + BLOCK_BYTES - len(self._header)]
                self._header += piece
                if len(self._header) == BLOCK_BYTES:
                    header = bytes(self._header)
                    self._header.clear()
                    if (entry := self._take_header(header)) is not None:
                        yield entry
            at += len(piece)

    def finish(self) -> None:
        """Raise UnpackFailed unless the stream has come to its end."""
        if self._zero_blocks < 2 or self._header or self._left or self._padding:
            raise UnpackFailed(reason="it ends too early")

    def _take_header(self, block: bytes) -> Entry | None:
        if not any(block):
            self._zero_blocks += 1
            return None
        if self._zero_blocks:
            raise UnpackFailed(reason="something follows its end")
        if not has_right_sum(block):
            raise UnpackFailed(reason="a header has the wrong checksum")
        header = Header(block)
        form = _MAGICS.get(header.magic)
        if form is None:
            raise UnpackFailed(reason="it holds a header that is neither ustar nor GNU")
        size = _number(header.size, "size")
        self._left, self._padding = size, -size % BLOCK_BYTES
        if self._begins_naming(header.kind, size):
            return None
        return self._make_entry(header, form, size)

    def _begins_naming(self, kind: bytes, size: int) -> bool:
        """Take note of a header that only names the next entry; each name comes once, and in one way."""
        if kind not in {b"x", b"L", b"K"}:
            return False
        if size > MAX_NAMING_BYTES:
            raise UnpackFailed(reason=f"it names an entry with {size} bytes")
        is_second = (self._target if kind == b"K" else self._name) is not None
        if is_second or (kind == b"x" and self._target is not None):
            raise ArchiveRefused(entry=self._name or self._target or "", what=_REFUSED[kind])
        self._naming = kind
        return True

    def _take_name(self) -> None:
        raw, kind = bytes(self._named), self._naming
        self._named.clear()
        self._naming = None
        if kind == b"L":
            self._name = _text(raw.removesuffix(b"\0"))
        elif kind == b"K":
            self._target = _text(raw.removesuffix(b"\0"))
        else:
            for key, value in _records(raw):
                if key == "path":
                    self._name = value
                elif key == "linkpath":
                    self._target = value
                elif key not in _PAX_IGNORED:
                    raise ArchiveRefused(entry=self._name or "", what=f"described by {key}")

    def _make_entry(self, header: Header, form: str, size: int) -> Entry:
        name = self._name if self._name is not None else _header_name(header, form)
        target = self._target if self._target is not None else _text(header.target)
        self._name = self._target = None
        kind = _KINDS.get(header.kind)
        if kind is None:
            what = _REFUSED.get(header.kind, f"of the unknown type {header.kind!r}")
            raise ArchiveRefused(entry=name, what=what)
        if kind is not Kind.FILE and size:
            raise ArchiveRefused(entry=name, what=f"a {kind} with contents")
        return Entry(name, kind, _number(header.mode, "mode") & 0o7777, size, target)


def _number(field: bytes, what: str) -> int:
    """Return an octal number; larger ones, in base 256, are of no file that a runtime has."""
    number = parse_octal(field)
    if number is None:
        raise UnpackFailed(reason=f"a header has no readable {what}")
    return number


def _header_name(header: Header, form: str) -> str:
    return _text(header.prefix + b"/" + header.name if form == "posix" and header.prefix else header.name)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ArchiveRefused(entry=raw.decode("utf-8", "backslashreplace"), what="no UTF-8") from None


def _records(raw: bytes) -> Iterator[tuple[str, str]]:
    try:
        for key, value in parse_records(raw):
            yield _text(key), _text(value)
    except ValueError as exc:
        raise UnpackFailed(reason="a PAX header is damaged") from exc
