"""Reads tars of whatever make: v7, ustar, GNU and pax, and refuses what it would have to guess."""

from __future__ import annotations

from zlh_agent.archives.model import Item
from zlh_agent.archives.rules import DAMAGED, ENDLESS, MAX_PADDING_BYTES, SPARSE, UNKNOWN, UNSAFE
from zlh_agent.files.model import FILE, FOLDER, LINK, OTHER
from zlh_agent.files.refusals import Refused
from zlh_common.tar_fields import BLOCK_BYTES, Header, has_right_sum, parse_octal, parse_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from zlh_agent.archives.streams import Stream

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
        block = stream.take(BLOCK_BYTES)
        if block == bytes(BLOCK_BYTES):
            _require_end(stream)
            return
        if len(block) < BLOCK_BYTES or not has_right_sum(block):
            raise Refused(UNKNOWN if is_first else DAMAGED)
        is_first = False
        header = Header(block)
        kind = header.kind
        if kind in b"xgXLK":
            size = _number(header.size)
            if size > MAX_NAMING_BYTES:
                raise Refused(UNSAFE)
            body = _exactly(stream, size)
            _exactly(stream, -size % BLOCK_BYTES)
            if kind in _NAMING:
                here[_NAMING[kind]] = body.rstrip(b"\0")
            else:
                (everywhere if kind == b"g" else here).update(_known(body))
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


def _item(header: Header, told: dict[bytes, bytes]) -> Item:
    is_posix = header.magic.startswith(b"ustar\0")
    name = header.prefix + b"/" + header.name if is_posix and header.prefix else header.name
    name, kind = told.get(b"path", name), header.kind
    if kind == b"S" or _SPARSE in told:
        raise Refused(SPARSE, name)
    item = Item(name, kind=_KINDS.get(kind, OTHER), mode=_number(header.mode) & 0o777)
    item.is_hard = kind == b"1"
    item.target = told.get(b"linkpath", header.target) if kind in b"12" else b""
    item.size = _told_number(told[b"size"]) if b"size" in told else _number(header.size)
    modified = told[b"mtime"].partition(b".")[0] if b"mtime" in told else b""
    item.modified_s = _told_number(modified) if modified else _number(header.modified)
    if item.kind == FILE and kind in b"0\0" and name.endswith(b"/"):
        item.kind = FOLDER  # as v7 has it
    if item.size < 0:
        raise Refused(DAMAGED, name)
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


def _number(field: bytes) -> int:
    """Return an octal number, or one in base 256 (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & (1 << 8 * len(field) - 1) - 1
        return value - (1 << 8 * len(field) - 1) if field[0] & 0x40 else value
    number = parse_octal(field) if field.strip(b" \0") else 0
    if number is None:
        raise Refused(DAMAGED)
    return number


def _told_number(raw: bytes) -> int:
    digits = raw.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18:
        raise Refused(DAMAGED)
    return int(raw)


def _known(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what is asked for later: headers may follow each other without end, and must not be kept without end."""
    try:
        for key, value in parse_records(raw):
            if key in _WORDS:
                yield key, value
            elif key.startswith(_SPARSE):
                yield _SPARSE, b""
    except ValueError as exc:
        raise Refused(DAMAGED) from exc
