"""Decides how an entry of the journal looks, and what a file of entries is worth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import msgspec

from zlh_agent.journal.model import Occurrence
from zlh_common.schema.agent_events import JournalId
from zlh_common.schema.history import Fact, Happening

MAX_MESSAGE_CHARS, MAX_FACT_CHARS, MAX_SUBJECT_CHARS = 500, 200, 64
# So far back somebody may have died: a start of the agent is told once for each process.
RECENT = 200
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, rename="camel"):
    """The first line of the file."""

    journal: JournalId
    # The number of the first entry that follows.
    first: int


class JournalCorrupt(Exception):
    """The file is not what an agent has written."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a file holds, and how many of its bytes are whole lines."""

    head: Head
    entries: tuple[Happening, ...]
    whole_bytes: int

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return self.entries[-1].number + 1 if self.entries else self.head.first


def make_happening(occurrence: Occurrence, number: int, now: datetime) -> Happening:
    """Return an occurrence as an entry, with texts of a bounded length."""
    return Happening(
        number=number,
        at=occurrence.at or now,
        kind=occurrence.kind,
        subject=None if occurrence.subject is None else occurrence.subject[:MAX_SUBJECT_CHARS],
        message=_shorten(occurrence.message, MAX_MESSAGE_CHARS),
        data={name: _shorten_fact(fact) for name, fact in occurrence.data.items()},
    )


def is_told(occurrence: Occurrence, newest_first: Iterable[Happening]) -> bool:
    """Tell whether this very occurrence was written down before, by an agent that died over it.

    It is followed by one that sees the same again. That can be told from another of its kind where it came with a time.
    """
    if occurrence.at is None:
        return False
    recent = islice(newest_first, RECENT)
    key = (occurrence.subject, occurrence.kind, occurrence.at)
    return any((entry.subject, entry.kind, entry.at) == key for entry in recent)


def render_line(value: Head | Happening) -> bytes:
    """Return one line of the file."""
    return _encode(value) + b"\n"


def parse_file(raw: bytes) -> Read:
    """Return what a file holds; its last line may be torn, for whoever wrote it was killed. Raises JournalCorrupt."""
    whole = raw.rfind(b"\n") + 1
    lines = raw[:whole].splitlines()
    try:
        head = msgspec.json.decode(lines[0], type=Head)
        entries = tuple(msgspec.json.decode(line, type=Happening) for line in lines[1:])
    except (IndexError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise JournalCorrupt(str(exc)) from exc
    if [entry.number for entry in entries] != list(range(head.first, head.first + len(entries))) or head.first < 1:
        raise JournalCorrupt("its numbers do not follow one another")
    return Read(head, entries, whole)


def _shorten(text: str, limit: int) -> str:
    clean = text.replace("\0", "�")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _shorten_fact(fact: Fact) -> Fact:
    return _shorten(fact, MAX_FACT_CHARS) if isinstance(fact, str) else fact
