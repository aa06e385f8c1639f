"""Who plays: lines of the output and answers of the server, made into one list. Pure.

A line that says that somebody came or went counts at once. What the server answers is the other witness: where it names
everybody, and twice in a row somebody else than the lines did, the answers hold; a single one may have been on its way
while somebody came. Where it tells a number alone, the number is told beside the names; whoever comes by a line while
it is larger than the list was counted by it before, since servers count at the login and write later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from zlh_common.line_patterns import match_line
from zlh_common.schema.game import Player, PlayerSession
from zlh_common.schema.template import Presence

# More names than any server has players; what comes beyond is counted by the server alone.
MAX_ONLINE = 5000
# Ids that were told before their players came; those who never came are forgotten.
MAX_IDENTIFIED = 256


class Present(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody who plays."""

    name: str
    uuid: str | None
    since: datetime


class PresenceState(msgspec.Struct, frozen=True, rename="camel"):
    """Everything that is known; kept on disk, so that the next agent goes on with it."""

    online: dict[str, Present] = {}
    # Name → id, of those who are about to join.
    identified: dict[str, str] = {}
    # What the last answer said against the lines: names that it lacks, and names that it has besides.
    lacking: frozenset[str] = frozenset()
    besides: frozenset[str] = frozenset()
    # The server's own word with who has come and gone since, and when that was; None before the first of this run.
    count: int | None = None
    max: int | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has said of its players. `names` maps names to ids; `is_whole` says that it is all of them."""

    count: int
    max: int | None = None
    names: tuple[tuple[str, str | None], ...] = ()
    is_whole: bool = False


Outcome = tuple[PresenceState, list[PlayerSession]]


def hear_line(state: PresenceState, patterns: Presence, line: str, at: datetime) -> Outcome:
    """Take one line; return what is known then, and the stays that have ended."""
    if found := _match(patterns.identified, line):
        return _identify(state, found), []
    if found := _match(patterns.joined, line):
        name = found["name"]
        is_news = name not in state.online and name not in state.besides and _count_unnamed(state) <= 0
        return _join(_recount(state, +1 if is_news else 0), name, found.get("uuid"), at), []
    if found := _match(patterns.left, line):
        name = found["name"]
        is_news = name in state.online and name not in state.lacking and _count_unnamed(state) >= 0
        return _leave(_recount(state, -1 if is_news else 0), [name], at, is_certain=True)
    return state, []


def hear_answer(state: PresenceState, answer: Answer, at: datetime) -> Outcome:
    """Take what the server has answered."""
    state = msgspec.structs.replace(state, count=answer.count, max=answer.max, answered_at=at)
    if not answer.is_whole:
        return msgspec.structs.replace(state, lacking=frozenset(), besides=frozenset()), []
    named = dict(answer.names)
    lacking, besides = frozenset(state.online.keys() - named), frozenset(named.keys() - state.online)
    gone, new = lacking & state.lacking, besides & state.besides
    state = msgspec.structs.replace(state, lacking=lacking - gone, besides=besides - new)
    for name in sorted(new):
        state = _join(state, name, named[name], at)
    return _leave(state, sorted(gone), at, is_certain=False)


def end_run(state: PresenceState, at: datetime) -> Outcome:
    """The server has ended, so nobody plays."""
    _, ended = _leave(state, list(state.online), at, is_certain=True)
    return PresenceState(), ended


def list_online(state: PresenceState) -> tuple[Player, ...]:
    """Return who plays, those who came first in front."""
    present = sorted(state.online.values(), key=lambda one: (one.since, one.name))
    return tuple(Player(name=one.name, uuid=one.uuid, since=one.since) for one in present)


def count_online(state: PresenceState) -> int:
    """Return how many play: by the server's word, and by the lines that have come since."""
    return len(state.online) if state.count is None else max(state.count, len(state.online) - len(state.lacking))


def is_complete(state: PresenceState) -> bool:
    """Tell whether the names are all of those who play, as far as both witnesses agree."""
    return state.count is None or (state.count == len(state.online) and not state.lacking)


def _count_unnamed(state: PresenceState) -> int:
    """Return how many more the server has counted than anybody has named; below zero where it has counted less."""
    if state.count is None:
        return 0
    return state.count - len(state.online) - len(state.besides) + len(state.lacking)


def _recount(state: PresenceState, change: int) -> PresenceState:
    if state.count is None or change == 0:
        return state
    return msgspec.structs.replace(state, count=max(0, state.count + change))


def _match(patterns: Iterable[str], line: str) -> dict[str, str] | None:
    for pattern in patterns:
        found = match_line(pattern, line)
        if found is not None and found.get("name"):
            return found
    return None


def _identify(state: PresenceState, found: dict[str, str]) -> PresenceState:
    name, uuid = found["name"], found.get("uuid")
    if uuid is None:
        return state
    if name in state.online:
        # Some servers tell it afterwards.
        online = state.online | {name: msgspec.structs.replace(state.online[name], uuid=uuid)}
        return msgspec.structs.replace(state, online=online)
    identified = {key: value for key, value in state.identified.items() if key != name}
    while len(identified) >= MAX_IDENTIFIED:
        del identified[next(iter(identified))]
    return msgspec.structs.replace(state, identified=identified | {name: uuid})


def _join(state: PresenceState, name: str, uuid: str | None, at: datetime) -> PresenceState:
    identified = {key: value for key, value in state.identified.items() if key != name}
    before = state.online.get(name)
    if before is None and len(state.online) >= MAX_ONLINE:
        return state
    known = uuid or state.identified.get(name) or (before.uuid if before else None)
    # A second join without a leave is told by games that move somebody between worlds.
    present = Present(name, known, before.since if before else at)
    return msgspec.structs.replace(
        state,
        online=state.online | {name: present},
        identified=identified,
        lacking=state.lacking - {name},
        besides=state.besides - {name},
    )


def _leave(state: PresenceState, names: Iterable[str], at: datetime, *, is_certain: bool) -> Outcome:
    gone = {name: None for name in names if name in state.online}
    ended = [
        PlayerSession(
            name=name,
            uuid=state.online[name].uuid,
            joined_at=state.online[name].since,
            left_at=at,
            left_for_certain=is_certain,
        )
        for name in gone
    ]
    online = {name: present for name, present in state.online.items() if name not in gone}
    lacking = state.lacking.difference(gone)
    return msgspec.structs.replace(state, online=online, lacking=lacking), ended
