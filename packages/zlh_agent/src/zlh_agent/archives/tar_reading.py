"""Reads tars of whatever make: v7, ustar, GNU and pax, and refuses what it would have to guess."""

from __future__ import annotations

from zlh_agent.archives.model import Item
from zlh_agent.archives.rules import DAMAGED, ENDLESS, MAX_PADDING_BYTES, SPARSE, UNKNOWN, UNSAFE
from zlh_agent.files.model import FILE, FOLDER, LINK, OTHER
from zlh_agent.files.refusals import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from zlh_agent.archives.streams import Stream

BLOCK_BYTES = 512
# What may stand before one entry to describe it.
MAX_NAMING_BYTES = 256 * 1024
_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": FILE, b"2": LINK, b"5": FOLDER}
_NAMING = {b"L": b"path", b"K": b"linkpath"}
_WORDS = {b"path", b"linkpath", b"size", b"mtime"}
_SPARSE = b"GNU.sparse."


def read_tar(stream: Stream) -> Iterator[tuple[Item, Iterator[memoryview]]]:
    """Yield each entry and its content, which must be taken before the next is asked for; raise Refused."""
    everywhere: dict[bytes, bytes] = {}
    here: dict[bytes, bytes] = {}
    is_first = True
    while True:
        header = stream.take(BLOCK_BYTES)
        if not is_first and header == bytes(BLOCK_BYTES):
            _require_end(stream)
            return
        if len(header) < BLOCK_BYTES or not _has_right_sum(header):
            if is_first and header == bytes(BLOCK_BYTES):
                _require_end(stream)
                return
            raise Refused(UNKNOWN if is_first else DAMAGED)
        is_first = False
        kind = header[156:157]
        if kind in b"xgXLK":
            size = _number(header[124:136])
            if size > MAX_NAMING_BYTES:
                raise Refused(UNSAFE)
            body = _exactly(stream, size)
            _exactly(stream, -size % BLOCK_BYTES)
            if kind in _NAMING:
                here[_NAMING[kind]] = body.rstrip(b"\0")
            else:
                (everywhere if kind == b"g" else here).update(_known(_records(body)))
            continue
        item = _item(header, {**everywhere, **here})
        here = {}
        padding = -item.size % BLOCK_BYTES
        size, item.size = item.size, item.size if item.kind == FILE and not item.is_hard else 0
        content = _pieces(stream, size)
        yield item, content
        for _ in content:
            pass  # what nobody wanted
        _exactly(stream, padding)


def _item(header: bytes, told: dict[bytes, bytes]) -> Item:
    is_posix = header[257:263] == b"ustar\0"
    name = _text(header[:100])
    if is_posix and header[345:346] != b"\0":
        name = _text(header[345:500]) + b"/" + name
    name = told.get(b"path", name)
    kind = header[156:157]
    if kind == b"S" or _SPARSE in told:
        raise Refused(SPARSE, name[-1000:])
    item = Item(name, kind=_KINDS.get(kind, OTHER), mode=_number(header[100:108]) & 0o777)
    item.is_hard = kind == b"1"
    item.target = told.get(b"linkpath", _text(header[157:257])) if kind in b"12" else b""
    item.size = _told_number(told[b"size"]) if b"size" in told else _number(header[124:136])
    modified = told[b"mtime"].partition(b".")[0] if b"mtime" in told else b""
    item.modified_s = _told_number(modified) if modified else _number(header[136:148])
    if item.kind == FILE and kind in b"0\0" and name.endswith(b"/"):
        item.kind = FOLDER  # as v7 has it
    if item.size < 0:
        raise Refused(DAMAGED, name[-1000:])
    return item


def _require_end(stream: Stream) -> None:
    """Raise Refused unless zeros follow, and the end."""
    count = 0
    for piece in stream.pieces(MAX_PADDING_BYTES + 1):
        count += len(piece)
        if any(piece):
            raise Refused(ENDLESS)
    if count < BLOCK_BYTES:
        raise Refused(DAMAGED)
    if count > MAX_PADDING_BYTES:
        raise Refused(ENDLESS)


def _pieces(stream: Stream, size: int) -> Iterator[memoryview]:
    left = size
    for piece in stream.pieces(size):
        left -= len(piece)
        yield piece
    if left:
        raise Refused(DAMAGED)


def _exactly(stream: Stream, size: int) -> bytes:
    body = stream.take(size)
    if len(body) != size:
        raise Refused(DAMAGED)
    return body


def _has_right_sum(header: bytes) -> bool:
    found = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    digits = header[148:156].strip(b" \0")
    return digits.isdigit() and len(digits) < 8 and not set(digits) & set(b"89") and int(digits, 8) == found


def _number(field: bytes) -> int:
    """Return an octal number, or one in base 256 (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & (1 << 8 * len(field) - 1) - 1
        return value - (1 << 8 * len(field) - 1) if field[0] & 0x40 else value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not digits.isdigit() or set(digits) & set(b"89"):
        raise Refused(DAMAGED)
    return int(digits, 8)


def _told_number(raw: bytes) -> int:
    digits = raw.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18:
        raise Refused(DAMAGED)
    return int(raw)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _known(records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield what is asked for later: headers may follow each other without end, and must not be kept without end."""
    for key, value in records:
        if key in _WORDS:
            yield key, value
        elif key.startswith(_SPARSE):
            yield _SPARSE, b""


def _records(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a pax header says: records of `<length> <key>=<value>` and a line break."""
    while raw:
        length, _, _ = raw[:10].partition(b" ")
        if not (length.isdigit() and len(length) < 8 and len(length) + 2 < int(length) <= len(raw)):
            raise Refused(DAMAGED)
        record, raw = raw[len(length) + 1 : int(length)], raw[int(length) :]
        key, is_pair, value = record.removesuffix(b"\n").partition(b"=")
        if not is_pair or not record.endswith(b"\n"):
            raise Refused(DAMAGED)
        yield key, value
