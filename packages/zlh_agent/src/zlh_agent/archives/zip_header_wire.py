"""How entries stand in a zip that is written in one go (APPNOTE 6.3.10): sizes follow the content."""

from __future__ import annotations

import struct

from zlh_agent.archives.model import Item
from zlh_agent.files.model import FOLDER, LINK

STORED, DEFLATED = 0, 8
MAX_32 = 0xFFFFFFFF
# Content that may grow beyond 32 bits while it is packed is announced as 64.
LARGE_BYTES = 2**31
_UTF8, _SIZES_FOLLOW = 1 << 11, 1 << 3
_UNIX = 3 << 8
_KINDS = {FOLDER: 0o040000, LINK: 0o120000}
_FIRST_DOS_S, _LAST_DOS_S = 315532800, 4354819198
_LOCAL = struct.Struct("<IHHHIIIIHH")
_CENTRAL = struct.Struct("<IHHHHIIIIHHHHHII")


class Written:
    """What is known of an entry once its content is written."""

    __slots__ = ("crc", "offset", "packed", "size")

    def __init__(self, offset: int, crc: int, packed: int, size: int) -> None:
        self.offset = offset
        self.crc = crc
        self.packed = packed
        self.size = size


def is_streamed(item: Item) -> bool:
    """Tell whether the sizes follow the content, which is packed then; a link's and a folder's are known before."""
    return item.kind not in _KINDS


def render_local(item: Item, written: Written) -> bytes:
    """Return what stands before the content; of a streamed entry what is written counts for nothing yet."""
    large = is_streamed(item) and item.size >= LARGE_BYTES
    extra = (struct.pack("<HHQQ", 1, 16, 0, 0) if large else b"") + _times(item)
    known = (MAX_32, MAX_32) if large else (written.packed, written.size)
    fields = (0x04034B50, 45 if large else 20, *_head(item), written.crc, *known, len(_name(item)), len(extra))
    return _LOCAL.pack(*fields) + _name(item) + extra


def render_descriptor(item: Item, written: Written) -> bytes:
    """Return what follows the content of a streamed entry."""
    form = "<IIQQ" if item.size >= LARGE_BYTES else "<IIII"
    return struct.pack(form, 0x08074B50, written.crc, written.packed, written.size)


def render_central(item: Item, written: Written) -> bytes:
    """Return the entry's row in the directory at the end."""
    wide = [value for value in (written.size, written.packed, written.offset) if value >= MAX_32]
    extra = (struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b"") + _times(item)
    packed, size, offset = (min(value, MAX_32) for value in (written.packed, written.size, written.offset))
    mode = (_KINDS.get(item.kind, 0o100000) | item.mode & 0o777) << 16 | (0x10 if item.kind == FOLDER else 0)
    version = 45 if wide or item.size >= LARGE_BYTES else 20
    fields = (0x02014B50, _UNIX | 45, version, *_head(item), written.crc, packed, size, len(_name(item)), len(extra))
    return _CENTRAL.pack(*fields, 0, 0, 0, mode, offset) + _name(item) + extra


def render_end(count: int, directory_bytes: int, offset: int) -> bytes:
    """Return the end of a zip whose directory of `count` rows stands at `offset`."""
    wide = b""
    if count >= 0xFFFF or directory_bytes >= MAX_32 or offset >= MAX_32:
        fields = (0x06064B50, 44, 45, 45, 0, 0, count, count, directory_bytes, offset)
        wide = struct.pack("<IQHHIIQQQQ", *fields)
        wide += struct.pack("<IIQI", 0x07064B50, 0, offset + directory_bytes, 1)
    rows = min(count, 0xFFFF)
    last = (0x06054B50, 0, 0, rows, rows, min(directory_bytes, MAX_32), min(offset, MAX_32), 0)
    return wide + struct.pack("<IHHHHIIH", *last)


def _head(item: Item) -> tuple[int, int, int]:
    """Return flags, method and DOS time."""
    streamed = is_streamed(item)
    flags = (_UTF8 if _is_utf8(item.name) else 0) | (_SIZES_FOLLOW if streamed else 0)
    return flags, DEFLATED if streamed else STORED, _dos_time(item.modified_s)


def _name(item: Item) -> bytes:
    return item.name + b"/" if item.kind == FOLDER else item.name


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _times(item: Item) -> bytes:
    """Return the time in seconds since 1970, which DOS cannot tell."""
    return struct.pack("<HHBi", 0x5455, 5, 1, max(-(2**31), min(item.modified_s, 2**31 - 1)))


def _dos_time(modified_s: int) -> int:
    at = max(_FIRST_DOS_S, min(modified_s, _LAST_DOS_S))
    days, seconds = divmod(at, 86400)
    year, month, day = _date(days)
    clock = seconds // 3600 << 11 | seconds // 60 % 60 << 5 | seconds % 60 // 2
    return ((year - 1980) << 9 | month << 5 | day) << 16 | clock


def _date(days: int) -> tuple[int, int, int]:
    """Return the date so many days after 1970-01-01 (Hinnant, days_from_civil, turned round)."""
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * day_of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    return year, month, day_of_year - (153 * from_march + 2) // 5 + 1
