"""What the agent and its file child say to each other over a pair of sockets, without any I/O.

The sockets keep messages apart (SOCK_SEQPACKET), so a descriptor belongs to the one message that it came with, and
nobody has to put halves together. Each message has a kind (1 byte), then fields, each behind its length.

    agent → child   ORDER      version, parent's pid, root, confinement, what to load    the first message
                    REQUEST    call, path, other, number, flag, more ...    one at a time
    child → agent   READY      version, ABI of Landlock                     the answer to ORDER
                    UNREADY    step, reason                                 instead; the child ends
                    PROGRESS   files, folders, bytes, bytes of the disk     still at it; any number before an answer
                    FOUND      path, entry, (number, line) ...              before the answer to a search alone
                    DONE       the same, how many were left out, a word, (path, code) ...
                    ENTRIES (has more, entries), REFUSED (code, where, is it of `other`), TOLD (words)
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

VERSION = 3
MAX_MESSAGE_BYTES = 192 * 1024
ORDER, REQUEST = 1, 2
READY, UNREADY, PROGRESS, DONE, ENTRIES, REFUSED, OPENED, FOUND, TOLD = 16, 17, 18, 19, 20, 21, 22, 23, 24

_LENGTH = struct.Struct(">I")
_ENTRY = struct.Struct(">BHQqqQ?")
_AMOUNT = struct.Struct(">QQQQ")
_NUMBER = struct.Struct(">Q")
_CODE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")
_MAX_CODE_LETTERS = 40
_MAX_TARGET_BYTES = 4096
_MAX_WORDS, _MAX_WORD_BYTES = 16, 100
# Of what was left out, the first so many are told, with paths of so many bytes in all.
MAX_TOLD, MAX_TOLD_BYTES = 100, 64 * 1024
# A line that a search tells, in bytes: a letter has four at most.
MAX_LINE_BYTES = 4000


class WireError(Exception):
    """The other side does not speak this protocol; nothing that it says can be believed."""


def render_order(*, parent: int, root: str, confinement: str, loads: str = "") -> bytes:
    """Return the first message."""
    fields = [b"%d" % VERSION, b"%d" % parent, encode_name(root), confinement.encode(), loads.encode()]
    return _render(ORDER, fields)


def parse_order(message: bytes) -> tuple[int, str, str, str]:
    """Return (parent's pid, root, confinement, what to load); raise WireError where it is no order of this version."""
    kind, fields = _parse(message)
    if kind != ORDER or len(fields) != 5 or int(fields[0]) != VERSION:
        raise WireError("this is no order")
    return int(fields[1]), decode_name(fields[2]), fields[3].decode(), fields[4].decode()


def render_request(request: Request) -> bytes:
    """Return a REQUEST."""
    flag = b"yes" if request.flag else b""
    fields = [request.call.encode(), request.path, request.other, b"%d" % request.number, flag]
    return _render(REQUEST, [*fields, *request.more])


def parse_request(message: bytes) -> Request:
    """Return the request of a message; raise WireError where it is none."""
    kind, fields = _parse(message)
    if kind != REQUEST or len(fields) < 5:
        raise WireError("this is no request")
    call, path, other, number, flag, *more = fields
    return Request(call.decode(), path, other=other, number=int(number), flag=bool(flag), more=more)


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
        return _render(REFUSED, [answer.code.encode(), answer.where, b"yes" if answer.of_other else b""])
    if answer.kind in {ENTRIES, OPENED}:
        return _render(answer.kind, [b"more" if answer.has_more else b"", *map(_render_entry, answer.entries)])
    if answer.kind == TOLD:
        return _render(TOLD, answer.words)
    if answer.kind == FOUND:
        lines = [field for number, line in answer.lines for field in (_NUMBER.pack(number), line)]
        return _render(FOUND, [answer.where, _render_entry(answer.entries[0]), *lines])
    amount = answer.amount
    fields = [_AMOUNT.pack(amount.files, amount.folders, amount.byte_count, amount.disk_bytes)]
    if answer.kind == DONE:
        skipped = [field for path, code in answer.skipped for field in (path, code.encode())]
        fields += [_NUMBER.pack(answer.skipped_count), *(answer.words or (b"",)), *skipped]
    return _render(answer.kind, fields)


def parse_answer(message: bytes) -> Answer:
    """Return an answer; raise WireError where it is none that a child of ours gives."""
    kind, fields = _parse(message)
    if kind == PROGRESS and len(fields) == 1:
        return Answer(kind, amount=_parse_amount(fields[0]))
    if kind == DONE and len(fields) >= 3 and len(fields) % 2 == 1 and len(fields[2]) <= _MAX_WORD_BYTES:
        return _parse_done(fields)
    if kind == REFUSED and len(fields) == 3 and len(fields[1]) <= _MAX_TARGET_BYTES:
        return Answer(kind, code=_parse_code(fields[0]), where=fields[1], of_other=bool(fields[2]))
    if kind in {ENTRIES, OPENED} and fields and fields[0] in {b"", b"more"}:
        return Answer(kind, entries=[_parse_entry(field) for field in fields[1:]], has_more=bool(fields[0]))
    if kind == FOUND and len(fields) >= 2 and len(fields) % 2 == 0:
        return _parse_found(fields)
    if kind == TOLD and len(fields) <= _MAX_WORDS:
        return Answer(kind, words=fields)
    raise WireError("this is no answer of a file child")


def _parse_done(fields: list[bytes]) -> Answer:
    skipped = [(path, _parse_code(code)) for path, code in zip(fields[3::2], fields[4::2], strict=True)]
    count = _parse_number(fields[1])
    if len(skipped) > min(count, MAX_TOLD):
        raise WireError("this is not what can be left out")
    return Answer(
        DONE,
        amount=_parse_amount(fields[0]),
        skipped=skipped,
        skipped_count=count,
        words=[fields[2]] if fields[2] else [],
    )


def _parse_found(fields: list[bytes]) -> Answer:
    lines = [(_parse_number(number), line) for number, line in zip(fields[2::2], fields[3::2], strict=True)]
    if any(number < 1 or len(line) > MAX_LINE_BYTES for number, line in lines):
        raise WireError("this is no line")
    return Answer(FOUND, where=fields[0], entries=[_parse_entry(fields[1])], lines=lines)


def _parse_amount(raw: bytes) -> Amount:
    numbers = _unpack(_AMOUNT, raw)
    if max(numbers) >= 2**63:
        raise WireError("there is not so much of anything")
    return Amount(*numbers)


def _parse_number(raw: bytes) -> int:
    (number,) = _unpack(_NUMBER, raw)
    if number >= 2**63:
        raise WireError("there is not so much of anything")
    return number


def _parse_code(raw: bytes) -> str:
    code = raw.decode("ascii", "replace")
    if not 0 < len(code) <= _MAX_CODE_LETTERS or not set(code) <= _CODE_LETTERS:
        raise WireError("this is no code")
    return code


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
