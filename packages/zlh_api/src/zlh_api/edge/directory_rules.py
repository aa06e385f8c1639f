"""What is done about the files of the proxy's directory: pure, and the same wherever it lies.

name                    what it is
dev-101.yml             ours, or a stranger in its place: its mark says so
.writing/….new          being written by us, in a folder that Traefik does not watch: at each event it reads all of its
                        files again, and so there is one for each publication
(quarantine) 20…Z-0-x   a file that stopped Traefik, moved there under its moment and its own name
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from zlh_api.edge.foreign_files import HARMLESS, Judgement, Verdict, is_read_by_proxy, judge
from zlh_common.names import OwnerMark

# So long a file must have looked the same before what was read of it counts: where time stamps are whole seconds, it
# may change again within the second, and look the same.
SETTLES_IN_S = 2.0
# What is still being written after this time was left by a crash.
ABANDONED_AFTER_S = 600.0
# One file in so many is read again at each look although nothing tells that it has changed: time stamps can be set.
REREAD_ONE_IN = 40
# So long after a file was moved away Traefik has the time to show that it was the cause.
PROVING_S = 10.0
# A foreign name is kept to its end, within what a file system takes.
MOST_NAME_BYTES = 200
WRITING = ".writing"
_TEMPORARY = re.compile(r"(?:\.writing/)?\.?[a-z0-9-]+\.yml\.(?:[0-9a-f]{16}\.)?new(?:\.new)?")
_QUARANTINED = re.compile(r"(?P<moment>[0-9]{8}T[0-9]{6}Z)-[0-9]+-.+", re.DOTALL)
Kind = Literal["file", "folder", "link", "other"]
# What tells one version of a file from another without reading it.
Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name below the directory, as a listing shows it; `name` is relative, and may hold bytes that are no text."""

    name: str
    kind: Kind
    version: Version
    modified_s: int


@dataclass(frozen=True, slots=True)
class Unread:
    """A file of which nothing could be read: Traefik cannot either where it `is_certain`."""

    reason: str
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of one file."""

    version: Version
    # When this version was first seen, and when it was read, by our own monotonic clock.
    seen_at: float
    read_at: float
    owner: OwnerMark | None
    sha256: str
    judgement: Judgement = HARMLESS

    @property
    def is_settled(self) -> bool:
        """Whether whatever has changed the file since it was read shows in its version."""
        return self.read_at - self.seen_at >= SETTLES_IN_S


def temporary_name(name: str, nonce: str) -> str:
    """Return under which name a file is written before it is there; `nonce` is 16 hexadecimal digits."""
    return f"{WRITING}/{name}.{nonce}.new"


def is_temporary(name: str) -> bool:
    """Tell whether it is a file that we are writing, or were; in the directory itself it begins with a dot."""
    return _TEMPORARY.fullmatch(name) is not None and name.startswith(".")


def is_abandoned(entry: Entry, *, seen_at: float, now: float) -> bool:
    """Tell whether a crash has left it: a temporary file of ours that has not changed for long."""
    return entry.kind == "file" and is_temporary(entry.name) and now - seen_at >= ABANDONED_AFTER_S


def must_read(entry: Entry, known: Mapping[str, Reading], *, turn: int) -> bool:
    """Tell whether a file is read at this look; `turn` counts the looks, so that every file has its turn."""
    if entry.kind == "link":
        # What it leads to may change, and the link does not show it.
        return is_read_by_proxy(entry.name)
    if entry.kind != "file":
        return False
    before = known.get(entry.name)
    if before is None or before.version != entry.version or not before.is_settled:
        return True
    return _spread(entry.name) == turn % REREAD_ONE_IN


def _spread(name: str) -> int:
    """Return a number that a name always has."""
    return sum(name.encode("utf-8", "surrogateescape")) % REREAD_ONE_IN


def judge_file(entry: Entry, owner: OwnerMark | None, content: bytes | Unread | None) -> Judgement:
    """Return whether a name keeps Traefik from loading; `content` is None for what is not read."""
    if entry.kind == "folder" or not is_read_by_proxy(entry.name):
        return HARMLESS
    if isinstance(content, Unread):
        return Judgement(Verdict.BROKEN if content.is_certain else Verdict.UNSURE, content.reason)
    if content is None:
        return Judgement(Verdict.BROKEN, "it is no file that can be read, and whoever tries may wait for ever")
    return judge(entry.name, content) if owner is None else _judge_ours(content)


def _judge_ours(content: bytes) -> Judgement:
    """What carries our mark is put right by whoever wrote it; so it is no more than suspected."""
    try:
        json.loads(content.partition(b"\n")[2])
    except ValueError:
        return Judgement(Verdict.UNSURE, "it carries our mark and was changed by hand")
    return HARMLESS


def find_broken(entries: Iterable[Entry], known: Mapping[str, Reading]) -> list[tuple[Entry, str]]:
    """Return what must leave the directory at once, each with the reason."""
    return [
        (entry, known[entry.name].judgement.reason)
        for entry in entries
        if entry.name in known and known[entry.name].judgement.verdict is Verdict.BROKEN
    ]


def find_suspect(entries: Iterable[Entry], known: Mapping[str, Reading]) -> tuple[Entry, str] | None:
    """Return which file to move away first where Traefik loads nothing and none is broken for certain.

    Foreign ones before those with our mark, templates before others, and what changed last before what has been there.
    """
    unsure = [
        (entry, known[entry.name])
        for entry in entries
        if entry.name in known and known[entry.name].judgement.verdict is Verdict.UNSURE
    ]
    if not unsure:
        return None
    entry, reading = min(
        unsure,
        key=lambda each: (
            each[1].owner is not None,
            "template" not in each[1].judgement.reason,
            -each[0].modified_s,
            each[0].name,
        ),
    )
    return entry, reading.judgement.reason


def quarantine_name(name: str, moment: datetime, taken: Collection[str]) -> str:
    """Return a name of the quarantine that nothing has: its moment, a number, and what the file was called."""
    flat = name.replace("/", "_").encode("utf-8", "surrogateescape")[-MOST_NAME_BYTES:]
    tail = flat.decode("utf-8", "surrogateescape")
    stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return next(each for number in range(len(taken) + 1) if (each := f"{stamp}-{number}-{tail}") not in taken)


def is_being_proved(quarantined: Iterable[str], now: datetime) -> bool:
    """Tell whether a file was moved away so lately that Traefik may still be about to show that it was the cause."""
    moments = [match["moment"] for name in quarantined if (match := _QUARANTINED.fullmatch(name))]
    if not moments:
        return False
    newest = datetime.strptime(max(moments), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return 0 <= (now - newest).total_seconds() < PROVING_S
