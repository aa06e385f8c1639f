"""What the agent and its file child say to each other over a pair of sockets, without any I/O.

The sockets keep messages apart (SOCK_SEQPACKET), so a descriptor belongs to the one message that it came with, and
nobody has to put halves together. Each message has a kind (1 byte), then fields, each behind its length.

    agent → child   ORDER      version, parent's pid, root, confinement     the first message, and only that
                    REQUEST    call, path, other, number, flag              one at a time
    child → agent   READY      version, ABI of Landlock                     the answer to ORDER
                    UNREADY    step, reason                                 instead; the child ends
                    PROGRESS   files, folders, bytes                        still at it; any number before an answer
                    DONE       files, folders, bytes                        as much was done
                    ENTRIES (has more, entries), REFUSED (code, where)
                    OPENED     entry, and a descriptor with it

Both sides are of one bundle, so there is one version. The agent believes no answer: what is not exactly of this shape
ends the child.
"""

from __future__ import annotations

import struct

from zlh_agent.files.model import KINDS, Amount, Answer, Entry, Request
from zlh_agent.files.rules import is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
MAX_MESSAGE_BYTES = 192 * 1024
ORDER, REQUEST = 1, 2
READY, UNREADY, PROGRESS, DONE, ENTRIES, REFUSED, OPENED = 16, 17, 18, 19, 20, 21, 22

_LENGTH = struct.Struct(">I")
_ENTRY = struct.Struct(">BHQqqQ?")
_AMOUNT = struct.Struct(">QQQ")
_CODE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")
_MAX_CODE_LETTERS = 40
_MAX_TARGET_BYTES = 4096


class WireError(Exception):
    """The other side does not speak this protocol; nothing that it says can be believed."""


def render_order(*, parent: int, root: str, confinement: str) -> bytes:
    """Return the first message."""
    return _render(ORDER, [b"%d" % VERSION, b"%d" % parent, encode_name(root), confinement.encode()])


def parse_order(message: bytes) -> tuple[int, str, str]:
    """Return (parent's pid, root, confinement); raise WireError where it is no order of this version."""
    kind, fields = _parse(message)
    if kind != ORDER or len(fields) != 4 or int(fields[0]) != VERSION:
        raise WireError("this is no order")
    return int(fields[1]), decode_name(fields[2]), fields[3].decode()


def render_request(request: Request) -> bytes:
    """Return a REQUEST."""
    flag = b"yes" if request.flag else b""
    return _render(REQUEST, [request.call.encode(), request.path, request.other, b"%d" % request.number, flag])


def parse_request(message: bytes) -> Request:
    """Return the request of a message; raise WireError where it is none."""
    kind, fields = _parse(message)
    if kind != REQUEST or len(fields) != 5:
        raise WireError("this is no request")
    return Request(fields[0].decode(), fields[1], other=fields[2], number=int(fields[3]), flag=bool(fields[4]))


def render_ready(*, landlock_abi: int) -> bytes:
    """Return the word of a child that is confined."""
    return _render(READY, [b"%d" % VERSION, b"%d" % landlock_abi])


def render_unready(*, step: str, reason: str) -> bytes:
    """Return the word of a child that is not, and so does nothing."""
    return _render(UNREADY, [step.encode(), reason.encode("utf-8", "replace")[:400]])


def parse_ready(message: bytes) -> int | tuple[str, str]:
    """Return the ABI of Landlock that confines the child, or (step, reason) where it is not ready."""
    kind, fields = _parse(message)
    if kind == UNREADY and len(fields) == 2:
        return fields[0].decode("utf-8", "replace"), fields[1].decode("utf-8", "replace")
    if kind != READY or len(fields) != 2 or fields[0] != b"%d" % VERSION or not _is_number(fields[1]):
        raise WireError("this is no first word of a file child")
    return int(fields[1])


def render_answer(answer: Answer) -> bytes:
    """Return an answer, or the word that one is still to come."""
    if answer.kind == REFUSED:
        return _render(REFUSED, [answer.code.encode(), answer.where])
    if answer.kind in {ENTRIES, OPENED}:
        return _render(answer.kind, [b"more" if answer.has_more else b"", *map(_render_entry, answer.entries)])
    amount = answer.amount
    return _render(answer.kind, [_AMOUNT.pack(amount.files, amount.folders, amount.byte_count)])


def parse_answer(message: bytes) -> Answer:
    """Return an answer; raise WireError where it is none that a child of ours gives."""
    kind, fields = _parse(message)
    if kind in {PROGRESS, DONE} and len(fields) == 1:
        numbers = _unpack(_AMOUNT, fields[0])
        if max(numbers) < 2**63:
            return Answer(kind, amount=Amount(*numbers))
    if kind == REFUSED and len(fields) == 2 and len(fields[1]) <= _MAX_TARGET_BYTES:
        code = fields[0].decode("ascii", "replace")
        if 0 < len(code) <= _MAX_CODE_LETTERS and set(code) <= _CODE_LETTERS:
            return Answer(kind, code=code, where=fields[1])
    if kind in {ENTRIES, OPENED} and fields and fields[0] in {b"", b"more"}:
        return Answer(kind, entries=[_parse_entry(field) for field in fields[1:]], has_more=bool(fields[0]))
    raise WireError("this is no answer of a file child")


def encode_name(name: str) -> bytes:
    """Return the bytes that a name stands for; raise ValueError where there are none."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(raw: bytes) -> str:
    """Return a name as Python holds it: bytes that are not UTF-8 are escaped, and come back by `encode_name`."""
    return raw.decode("utf-8", "surrogateescape")


def _render_entry(entry: Entry) -> bytes:
    fixed = _ENTRY.pack(
        KINDS.index(entry.kind),
        entry.mode,
        entry.size,
        entry.modified_ns,
        entry.changed_ns,
        entry.inode,
        entry.target is not None,
    )
    return _render_fields([fixed, encode_name(entry.name), encode_name(entry.target or "")])


def _parse_entry(raw: bytes) -> Entry:
    fields = _parse_fields(raw)
    if len(fields) != 3 or len(fields[2]) > _MAX_TARGET_BYTES:
        raise WireError("this is no entry")
    kind, mode, size, modified_ns, changed_ns, inode, has_target = _unpack(_ENTRY, fields[0])
    # Only the root, and what was asked for as `..`, is no name.
    if kind >= len(KINDS) or mode > 0o7777 or size >= 2**63 or not (is_name(fields[1]) or fields[1] in {b"", b".."}):
        raise WireError("this is no entry")
    return Entry(
        name=decode_name(fields[1]),
        kind=KINDS[kind],
        size=size,
        mode=mode,
        modified_ns=modified_ns,
        changed_ns=changed_ns,
        inode=inode,
        target=decode_name(fields[2]) if has_target else None,
    )


def _is_number(raw: bytes) -> bool:
    return raw.isdigit() and len(raw) < 5


def _render(kind: int, fields: Sequence[bytes]) -> bytes:
    message = bytes([kind]) + _render_fields(fields)
    if len(message) > MAX_MESSAGE_BYTES:
        raise WireError(f"a message has at most {MAX_MESSAGE_BYTES} bytes, this one would have {len(message)}")
    return message


def _parse(message: bytes) -> tuple[int, list[bytes]]:
    if not 1 <= len(message) <= MAX_MESSAGE_BYTES:
        raise WireError("this is no message")
    return message[0], _parse_fields(message[1:])


def _render_fields(fields: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def _parse_fields(raw: bytes) -> list[bytes]:
    fields: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise WireError("a field was cut short")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size + length
        if at > len(raw):
            raise WireError("a field was cut short")
        fields.append(raw[at - length : at])
    return fields


def _unpack(layout: struct.Struct, raw: bytes) -> tuple[int, ...]:
    if len(raw) != layout.size:
        raise WireError(f"{layout.size} bytes are wanted here, {len(raw)} are there")
    return layout.unpack(raw)
