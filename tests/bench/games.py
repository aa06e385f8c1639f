"""What is heard of a game server, and what mods take: processor time for each line of its output, and for each plan."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from bench.measure import Case, Row, Run, ratio_at_most
from fakes.mod_graph import FABRIC, Graph, edge, wish
from zlh_agent.gameplay.presence import PresenceState, hear_line
from zlh_api.mods.model import Snapshot
from zlh_api.mods.resolving_rules import resolve
from zlh_common.schema.mods import ModLedger, PlanMods
from zlh_common.schema.template import Presence

PLAYERS = (10, 1000)
PROJECTS = (60, 600)
LINES = 20_000
PREFIX = "[12:00:00] [Server thread/INFO]: "
PATTERNS = Presence(
    joined=("[{time}] [Server thread/INFO]: {name} joined the game",),
    left=("[{time}] [Server thread/INFO]: {name} left the game",),
    identified=("[{time}] [User Authenticator #{number}/INFO]: UUID of player {name} is {uuid}",),
)
# What a program that follows one game alone would look for.
BY_HAND = (
    re.compile(r"\[[\d:]+\] \[User Authenticator #\d+/INFO\]: UUID of player (\S+) is (\S+)"),
    re.compile(r"\[[\d:]+\] \[Server thread/INFO\]: (\S+) joined the game"),
    re.compile(r"\[[\d:]+\] \[Server thread/INFO\]: (\S+) left the game"),
)


def _output(count: int) -> list[str]:
    """Return what a server prints with one line in ten about somebody who goes or comes back."""
    lines = []
    for number in range(count):
        name, word = f"Player{number // 20 % 10}", "left" if number // 10 % 2 == 0 else "joined"
        said = f"{name} {word} the game" if number % 10 == 0 else f"<{name}> This is line {number}, as people say it"
        lines.append(PREFIX + said)
    return lines


async def _hear(state: PresenceState, lines: list[str]) -> float:
    """Hear all of it; return the microseconds for a line."""
    began, at = time.process_time(), datetime.now(UTC)
    for line in lines:
        state, _ = hear_line(state, PATTERNS, line, at)
    return (time.process_time() - began) * 1e6 / len(lines)


async def _hear_by_hand(count: int, lines: list[str]) -> float:
    """Hear the same for one game alone, into a set."""
    online = {f"Player{number}" for number in range(count)}
    began = time.process_time()
    for line in lines:
        for pattern, act in zip(BY_HAND, (None, online.add, online.discard), strict=True):
            if (found := pattern.fullmatch(line)) is not None:
                _take(act, found[1])
                break
    return (time.process_time() - began) * 1e6 / len(lines)


def _take(act: Callable[[str], None] | None, name: str) -> None:
    if act is not None:
        act(name)


async def lines(run: Run) -> list[Row]:
    """Lines of a server with few and with many players."""
    rows: list[Row] = []
    output = _output(run.choose(LINES, 2000))
    for count in run.choose(PLAYERS, PLAYERS[:1]):
        state, at = PresenceState(), datetime.now(UTC)
        for number in range(count):
            state, _ = hear_line(state, PATTERNS, f"{PREFIX}Player{number} joined the game", at)
        sides = {"ours": partial(_hear, state, output), "by-hand": partial(_hear_by_hand, count, output)}
        samples = await run.side_by_side(f"games.lines.{count}", sides)
        rows.append(
            samples.row(
                f"games.lines.{count}",
                "us of CPU a line",
                peer="by-hand",
                peer_name="three patterns of one game, by hand",
                budget=ratio_at_most(5) if count == PLAYERS[0] else None,
            )
        )
    return rows


def _mods(count: int) -> tuple[Graph, list[str]]:
    """Return projects of which every third is asked for, and each of those needs the two behind it."""
    graph, asked = Graph(), []
    for number in range(0, count, 3):
        asked.append(f"p{number}")
        for version in (1, 2, 3):
            graph.version(f"p{number + 1}", version)
            graph.version(f"p{number + 2}", version)
            graph.version(f"p{number}", version, edge("required", f"p{number + 1}"), edge("required", f"p{number + 2}"))
    return graph, asked


async def _plan(asked: PlanMods, snapshot: Snapshot, count: int) -> float:
    """Plan all of them once more, from nothing, with all of it known; return the milliseconds."""
    began = time.process_time()
    found = resolve(asked, ModLedger(), snapshot, FABRIC)
    spent_ms = (time.process_time() - began) * 1000
    if not found.is_possible or len(found.chosen) != count:
        raise RuntimeError("the plan is not what it should be")
    return spent_ms


async def plans(run: Run) -> list[Row]:
    """Plans of few and of many mods, with all that is asked of Modrinth answered at once."""
    rows: list[Row] = []
    for count in run.choose(PROJECTS, PROJECTS[:1]):
        graph, names = _mods(count)
        asked = wish(*names)
        _, snapshot = graph.resolve(asked)
        samples = await run.side_by_side(f"mods.plan.{count}", {"ours": partial(_plan, asked, snapshot, count)})
        rows.append(samples.alone(f"mods.plan.{count}", "ms of CPU"))
    return rows


CASES = (
    Case("games.lines", "lines of a game server's output with 10 and 1,000 players", lines),
    Case("mods.plan", "plans of 60 and 600 mods", plans),
)
