"""What a program or library of Linux says of itself: which libraries it needs, by which name it is needed.

Reads the dynamic section of 64-bit little-endian ELF files, bounded, and nothing else. Pure: the file is given.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

_MAX_SEGMENTS, _MAX_DYNAMIC, _MAX_NAME = 256, 8192, 512
# ELFOSABI_NONE and ELFOSABI_GNU.
_SYSTEMS = (0, 3)
_MACHINES = {"linux-x86_64": 62, "linux-aarch64": 183}
# ET_EXEC and ET_DYN.
_LINKED = (b"\x02\0", b"\x03\0")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 14, 15, 29


class ElfDamaged(ValueError):
    """A file begins as an ELF file and does not go on as one."""


@dataclass(frozen=True, slots=True)
class Elf:
    """The dynamic section's names."""

    needed: tuple[str, ...] = ()
    soname: str | None = None
    # Where it looks for what it needs, before the system's own folders.
    search: tuple[str, ...] = ()


def read_elf(file: IO[bytes], platform: str) -> Elf | None:
    """Return what a program or library needs, None where the file is neither; raise ElfDamaged.

    An object file is linked to nothing yet, and one of another system or machine than `platform` is data here.
    """
    header = file.read(64)
    is_whole = len(header) == 64 and header[:6] == b"\x7fELF\x02\x01"
    if not is_whole or header[7] not in _SYSTEMS or header[16:18] not in _LINKED:
        return None
    if int.from_bytes(header[18:20], "little") != _MACHINES.get(platform):
        return None
    try:
        segments = _read_segments(file, header)
        dynamic = next((segment for segment in segments if segment[0] == _PT_DYNAMIC), None)
        return None if dynamic is None else _read_dynamic(file, dynamic, segments)
    except (struct.error, OverflowError, OSError, UnicodeDecodeError) as exc:
        raise ElfDamaged(str(exc)) from exc


def _read_segments(file: IO[bytes], header: bytes) -> list[tuple[int, int, int, int]]:
    """Return kind, offset in the file, address and size of each segment."""
    (offset,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    if count > _MAX_SEGMENTS or size < 56:
        raise ElfDamaged(f"it has {count} segments of {size} bytes")
    file.seek(offset)
    table = file.read(size * count)
    segments = []
    for number in range(count):
        kind, _flags, start, address, _physical, length = struct.unpack_from("<IIQQQQ", table, number * size)
        segments.append((kind, start, address, length))
    return segments


def _read_dynamic(
    file: IO[bytes], dynamic: tuple[int, int, int, int], segments: list[tuple[int, int, int, int]]
) -> Elf:
    _, start, _, length = dynamic
    file.seek(start)
    length = min(length, _MAX_DYNAMIC * 16)
    table = file.read(length)
    if len(table) < length:
        raise ElfDamaged("it is cut short")
    entries: list[tuple[int, int]] = []
    for tag, value in struct.iter_unpack("<QQ", table[: len(table) // 16 * 16]):
        if tag == _DT_NULL:
            break
        entries.append((tag, value))
    address = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if address is None:
        return Elf()
    strings = _offset_of(address, segments)

    def named(*tags: int) -> list[str]:
        return [_read_string(file, strings + value) for tag, value in entries if tag in tags]

    search = [part for text in named(_DT_RPATH, _DT_RUNPATH) for part in text.split(":") if part]
    return Elf(tuple(named(_DT_NEEDED)), next(iter(named(_DT_SONAME)), None), tuple(search))


def _offset_of(address: int, segments: list[tuple[int, int, int, int]]) -> int:
    for kind, start, begins, length in segments:
        if kind == _PT_LOAD and begins <= address < begins + length:
            return start + address - begins
    raise ElfDamaged("its names are nowhere in the file")


def _read_string(file: IO[bytes], offset: int) -> str:
    file.seek(offset)
    text, end, _ = file.read(_MAX_NAME).partition(b"\0")
    if not end:
        raise ElfDamaged("one of its names has no end")
    return text.decode()
