"""How an entry stands before its content in a tar (POSIX.1-2017, pax): ustar where it fits, more where it does not."""

from __future__ import annotations

from zlh_agent.archives.model import Item
from zlh_agent.files.model import FOLDER, LINK
from zlh_common.tar_fields import BLOCK_BYTES, sum_of

END = bytes(2 * BLOCK_BYTES)
_MAX_FIELD_BYTES = 100
_MAX_OCTAL = 8**11


def render_headers(item: Item) -> bytes:
    """Return what stands before the content; owners are nobody in particular."""
    name = item.name + b"/" if item.kind == FOLDER else item.name
    records = []
    if len(name) > _MAX_FIELD_BYTES:
        records.append((b"path", name))
    if len(item.target) > _MAX_FIELD_BYTES:
        records.append((b"linkpath", item.target))
    if item.size >= _MAX_OCTAL:
        records.append((b"size", b"%d" % item.size))
    if not 0 <= item.modified_s < _MAX_OCTAL:
        records.append((b"mtime", b"%d" % item.modified_s))
    body = b"".join(_record(key, value) for key, value in records)
    extra = _header(b"pax", b"x", mode=0o644, size=len(body)) + pad(body) if body else b""
    kind = {FOLDER: b"5", LINK: b"2"}.get(item.kind, b"0")
    return extra + _header(
        name, kind, mode=item.mode & 0o777, size=item.size, modified_s=item.modified_s, target=item.target
    )


def pad(content: bytes) -> bytes:
    """Return the content up to the end of its last block."""
    return content + bytes(-len(content) % BLOCK_BYTES)


def _record(key: bytes, value: bytes) -> bytes:
    """Return one record; its length counts its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


def _header(name: bytes, kind: bytes, *, mode: int, size: int, modified_s: int = 0, target: bytes = b"") -> bytes:
    size = size if size < _MAX_OCTAL else 0
    modified_s = modified_s if 0 <= modified_s < _MAX_OCTAL else 0
    start = name[:_MAX_FIELD_BYTES].ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2
    start += b"%011o\0%011o\0" % (size, modified_s)
    rest = kind + target[:_MAX_FIELD_BYTES].ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2
    total = sum_of(start + bytes(8) + rest)
    return (start + b"%06o\0 " % total + rest).ljust(BLOCK_BYTES, b"\0")
