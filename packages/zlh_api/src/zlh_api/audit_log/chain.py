"""The hash of an entry, and whether a chain is whole. docs/audit-log.md tells the layout to whoever checks it.

    hash = SHA-256("zlh-audit-log-1" LF, hash of the entry before (32 bytes; zeros before the first), fields)

The fields are texts, in this order: number, at, act, outcome, user, e-mail, credential, by token, customer, subject,
status, code, request id, address, how many details, and of each detail its name and its value, in the order of the
names. A text is written as its length in bytes of UTF-8, a colon, the bytes and a comma; one that is null as `-`. Every
text says where it ends, so no two entries have the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from zlh_api.audit_log.model import PLATFORM, Act, Ending, Entry, Head, Link

LAYOUT = b"zlh-audit-log-1\n"
BEGINNING = bytes(32)


def hash_entry(link: Link, act: Act, ending: Ending) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(LAYOUT + link.previous + b"".join(_render_fields(link, act, ending))).digest()


def render_time(at: datetime) -> str:
    """Return a time as the hash covers it: UTC, and always six digits of the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _render_fields(link: Link, act: Act, ending: Ending) -> Iterator[bytes]:
    who = act.who
    yield from map(
        _render_field,
        (
            str(link.number),
            render_time(link.at),
            act.word,
            ending.outcome.value,
            _text(who.user_id),
            who.email,
            _text(who.credential_id),
            "true" if who.by_token else "false",
            None if act.chain == PLATFORM else str(act.chain),
            act.subject,
            _text(ending.status),
            ending.code,
            act.request_id,
            act.address,
            str(len(act.details)),
        ),
    )
    yield from map(_render_field, _flat(act.details))


def _flat(details: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(details):
        yield name
        yield details[name]


def _text(value: UUID | int | None) -> str | None:
    return None if value is None else str(value)


def _render_field(text: str | None) -> bytes:
    if text is None:
        return b"-"
    raw = text.encode()
    return b"%d:%b," % (len(raw), raw)


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first thing about a chain that is not as it was written."""

    chain: UUID
    # The entry that does not fit.
    number: int
    what: str


@dataclass(slots=True)
class ChainCheck:
    """Takes the entries of one chain in the order of their numbers; holds no more than the last of them.

    What follows the first flaw is not looked at: it cannot be told from what it would have been.
    """

    chain: UUID
    # Hashes that were written down elsewhere, by number.
    anchors: Mapping[int, bytes]
    flaw: Flaw | None = None
    number: int = 0
    hash: bytes = BEGINNING

    def take(self, entry: Entry) -> None:
        """Look at the next entry."""
        if self.flaw is not None:
            return
        if entry.number != self.number + 1:
            self._note(self.number + 1, "is missing" if entry.number > self.number else "is there twice")
            return
        computed = hash_entry(Link(entry.number, entry.at, self.hash), entry.act, entry.ending)
        if computed != entry.hash:
            self._note(entry.number, "is not what was written")
            return
        self.number, self.hash = entry.number, computed
        if self.anchors.get(entry.number, computed) != computed:
            self._note(entry.number, "is not what it was when its hash was noted elsewhere")

    def finish(self, head: Head | None) -> Flaw | None:
        """Look at where the chain ends, and return the first flaw."""
        if self.flaw is None:
            self._check_end(head)
        return self.flaw

    def _check_end(self, head: Head | None) -> None:
        if beyond := [number for number in self.anchors if number > self.number]:
            self._note(self.number + 1, f"is missing: entry {max(beyond)} was noted elsewhere")
        elif head is None and self.number == 0:
            return
        elif head is None:
            self._note(self.number, "is the last, and where the chain ends is not noted")
        elif head.number > self.number:
            self._note(self.number + 1, f"is missing: the chain has {head.number}")
        elif (head.number, head.hash) != (self.number, self.hash):
            self._note(self.number, f"is the last, and the chain is noted to end otherwise, with {head.number}")

    def _note(self, number: int, what: str) -> None:
        self.flaw = Flaw(self.chain, number, what)
