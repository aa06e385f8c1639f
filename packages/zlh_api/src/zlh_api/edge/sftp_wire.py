"""SFTP version 3 as bytes, the part of it that the publisher uses: pure.

A request is built without its number, which whoever sends it puts in front. What a server sends is bounded and checked:
nothing in it decides how much is read or how long is waited.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# OpenSSH's own limit for one message.
MOST_MESSAGE_BYTES = 256 * 1024
# As much of a file as one answer carries.
BLOCK_BYTES = 128 * 1024
VERSION = 3
FSYNC, POSIX_RENAME, STATVFS = b"fsync@openssh.com", b"posix-rename@openssh.com", b"statvfs@openssh.com"
NEEDED_EXTENSIONS = (FSYNC, POSIX_RENAME)

READ, WRITE, CREATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x20
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
IS_READ_ONLY = 1

_INIT, _VERSION = 1, 2

_SIZE, _OWNER, _MODE, _TIMES, _MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000
_U32, _U64 = struct.Struct(">I"), struct.Struct(">Q")


class WireError(ValueError):
    """The server does not speak SFTP as it should."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request without its number."""

    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Status:
    """How a request went; anything but OK is a refusal."""

    code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Handle:
    """An open file or folder."""

    handle: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a listing tells of a name."""

    size: int = 0
    user: int = 0
    group: int = 0
    mode: int = 0
    modified_s: int = 0


@dataclass(frozen=True, slots=True)
class Names:
    """A part of a listing."""

    entries: tuple[tuple[bytes, Attributes], ...]


@dataclass(frozen=True, slots=True)
class Space:
    """What is left on a file system, for an ordinary user."""

    free_blocks: int
    free_files: int
    flags: int


Reply = Status | Handle | Data | Attributes | Names | bytes


def open_file(path: bytes, flags: int, mode: int | None = None) -> Request:
    """Ask to open a file."""
    attributes = _U32.pack(0) if mode is None else _U32.pack(_MODE) + _U32.pack(mode)
    return Request(3, _text(path) + _U32.pack(flags) + attributes)


def close(handle: bytes) -> Request:
    """Ask to close a file or a folder."""
    return Request(4, _text(handle))


def read(handle: bytes, offset: int) -> Request:
    """Ask for a block."""
    return Request(5, _text(handle) + _U64.pack(offset) + _U32.pack(BLOCK_BYTES))


def write(handle: bytes, offset: int, data: bytes) -> Request:
    """Ask to write a block."""
    return Request(6, _text(handle) + _U64.pack(offset) + _text(data))


def lstat(path: bytes) -> Request:
    """Ask what a name is."""
    return Request(7, _text(path))


def fstat(handle: bytes) -> Request:
    """Ask what an open file is."""
    return Request(8, _text(handle))


def set_mode(handle: bytes, mode: int) -> Request:
    """Ask to let others read an open file, or not."""
    return Request(10, _text(handle) + _U32.pack(_MODE) + _U32.pack(mode))


def open_folder(path: bytes) -> Request:
    """Ask to open a folder."""
    return Request(11, _text(path))


def read_folder(handle: bytes) -> Request:
    """Ask for the next part of a listing."""
    return Request(12, _text(handle))


def remove(path: bytes) -> Request:
    """Ask to remove a file."""
    return Request(13, _text(path))


def make_folder(path: bytes, mode: int) -> Request:
    """Ask to make a folder."""
    return Request(14, _text(path) + _U32.pack(_MODE) + _U32.pack(mode))


def remove_folder(path: bytes) -> Request:
    """Ask to remove an empty folder."""
    return Request(15, _text(path))


def stat(path: bytes) -> Request:
    """Ask what a name leads to."""
    return Request(17, _text(path))


def rename(source: bytes, target: bytes) -> Request:
    """Ask to rename; a target that is there is never replaced."""
    return Request(18, _text(source) + _text(target))


def posix_rename(source: bytes, target: bytes) -> Request:
    """Ask to rename over what is there."""
    return Request(200, _text(POSIX_RENAME) + _text(source) + _text(target))


def fsync(handle: bytes) -> Request:
    """Ask to bring an open file to the disk."""
    return Request(200, _text(FSYNC) + _text(handle))


def statvfs(path: bytes) -> Request:
    """Ask how much room there is."""
    return Request(200, _text(STATVFS) + _text(path))


def render_init() -> bytes:
    """Return the first message of a client."""
    return _U32.pack(5) + bytes([_INIT]) + _U32.pack(VERSION)


def render_request(number: int, request: Request) -> bytes:
    """Return a request as it is sent."""
    return _U32.pack(5 + len(request.body)) + bytes([request.kind]) + _U32.pack(number) + request.body


def split_messages(buffer: bytearray) -> Iterator[bytes]:
    """Take every whole message out of the buffer; raise WireError where one is too long."""
    start = 0
    try:
        while len(buffer) - start >= 4:
            (length,) = _U32.unpack_from(buffer, start)
            if not 1 <= length <= MOST_MESSAGE_BYTES:
                raise WireError(f"a message of {length} bytes")
            if len(buffer) - start - 4 < length:
                return
            message = bytes(buffer[start + 4 : start + 4 + length])
            start += 4 + length
            yield message
    finally:
        del buffer[:start]


def parse_version(message: bytes) -> Mapping[bytes, bytes]:
    """Return the extensions that the server offers in its first message."""
    reader = _Reader(message)
    if reader.byte() != _VERSION:
        raise WireError("the first message is no greeting")
    if (version := reader.u32()) != VERSION:
        raise WireError(f"version {version} in place of {VERSION}")
    extensions = {}
    while reader.has_more:
        name = reader.text()
        extensions[name] = reader.text()
    return extensions


def parse_reply(message: bytes) -> tuple[int, Reply]:
    """Return the number of the request and the answer to it."""
    reader = _Reader(message)
    kind, number = reader.byte(), reader.u32()
    match kind:
        case 101:
            return number, Status(reader.u32(), reader.text().decode("utf-8", "replace") if reader.has_more else "")
        case 102:
            return number, Handle(reader.text())
        case 103:
            return number, Data(reader.text())
        case 104:
            return number, Names(tuple(reader.name() for _ in range(reader.count())))
        case 105:
            return number, reader.attributes()
        case 201:
            return number, reader.rest()
        case _:
            raise WireError(f"an answer of kind {kind}")


def parse_space(answer: bytes) -> Space:
    """Return what `statvfs` was answered."""
    if len(answer) < 11 * 8:
        raise WireError("an answer that is too short")
    fields = struct.unpack_from(">11Q", answer)
    return Space(free_blocks=fields[4], free_files=fields[7], flags=fields[9])


def _text(text: bytes) -> bytes:
    return _U32.pack(len(text)) + text


class _Reader:
    """Reads one message from its beginning; whatever is not there is a WireError."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._message)

    def byte(self) -> int:
        return self._take(1)[0]

    def u32(self) -> int:
        value: int = _U32.unpack(self._take(4))[0]
        return value

    def text(self) -> bytes:
        return self._take(self.u32())

    def count(self) -> int:
        # An entry takes at least twelve bytes, so a number beyond that is a lie.
        count = self.u32()
        if count * 12 > len(self._message):
            raise WireError(f"a listing of {count} names in {len(self._message)} bytes")
        return count

    def name(self) -> tuple[bytes, Attributes]:
        name = self.text()
        # The line that `ls -l` would show is for people.
        self.text()
        return name, self.attributes()

    def attributes(self) -> Attributes:
        flags = self.u32()
        size: int = _U64.unpack(self._take(8))[0] if flags & _SIZE else 0
        user, group = (self.u32(), self.u32()) if flags & _OWNER else (0, 0)
        mode = self.u32() if flags & _MODE else 0
        _accessed, modified = (self.u32(), self.u32()) if flags & _TIMES else (0, 0)
        if flags & _MORE:
            for _ in range(self.count()):
                self.text()
                self.text()
        return Attributes(size, user, group, mode, modified)

    def rest(self) -> bytes:
        rest = self._message[self._at :]
        self._at = len(self._message)
        return rest

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._message):
            raise WireError("a message that is cut short")
        taken = self._message[self._at : end]
        self._at = end
        return taken
