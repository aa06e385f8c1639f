"""Follows the game server: hears its output, asks it now and then, and remembers who played."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from msgspec import UNSET

from zlh_agent.console.console import Console
from zlh_agent.gameplay import presence
from zlh_agent.gameplay.asking import StatusAnswer, ask_query, ask_status
from zlh_agent.gameplay.output import Heard, Line, OutputReader, RunEnded
from zlh_agent.gameplay.presence import Answer, PresenceState
from zlh_agent.gameplay.presence_store import MAX_SESSIONS, KeptPresence, PresenceStore
from zlh_agent.gameplay.rcon import RconFailed, run_command
from zlh_agent.gameplay.telemetry import Figures, parse_ticks
from zlh_agent.games.errors import NoGame
from zlh_agent.supervision.service import ProcessService
from zlh_common.clock import Clock
from zlh_common.line_patterns import match_line
from zlh_common.schema.game import (
    SERVER,
    CommandAnswer,
    Players,
    PlayerSession,
    PlayerSessions,
    PlayersSeen,
    Telemetry,
    WantedGame,
)
from zlh_common.schema.game_refusals import CommandNotTaken, GameNotRunning
from zlh_common.schema.template import Hint, Presence

log = structlog.get_logger()
ASK_S = 15.0
# How soon what was heard is on disk.
SAVE_S = 2.0
# What a flood of output is read at, at most: everything else of the agent comes first.
READ_PAUSE_S = 0.02
MAX_HISTORY = 200


@dataclass(frozen=True, slots=True)
class GameplayPlace:
    """What the service works with."""

    processes: ProcessService
    store: PresenceStore
    clock: Clock
    # Where the server listens.
    address: str
    # The secret of a name, made where there is none yet.
    secret: Callable[[str], Awaitable[str]]
    on_change: Callable[[], None]
    # How often a server that is ready is asked.
    ask_s: float = ASK_S


class GameplayService:
    """`want` says which game it is, `run` is its life."""

    def __init__(self, place: GameplayPlace) -> None:
        self._place = place
        self._game: WantedGame | None = None
        self._state = PresenceState()
        self._reader = OutputReader(None, 0, None)
        self._figures = Figures()
        self._hint: Hint | None = None
        self._wake = asyncio.Event()
        # Stays that have ended and are not on disk yet, and whether anything else is not.
        self._ended: list[PlayerSession] = []
        self._is_dirty = False
        # Whether there is more output than was heard, and whether some of this run's is missing.
        self._is_behind = self._is_lossy = False
        self._saved_at = self._asked_at = float("-inf")
        self._is_loaded = False

    # What others say

    def want(self, game: WantedGame | None) -> None:
        """Follow this game from now on."""
        self._game = game
        self._wake.set()

    def note(self) -> None:
        """The server has printed something, or is in another state."""
        self._wake.set()

    # Its life

    async def run(self) -> None:
        """Follow the server until cancelled; what was heard is kept at the end."""
        await self._load()
        try:
            while True:
                self._wake.clear()
                if self._game is not None:
                    await self._follow(self._game)
                if not self._is_behind:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._pause_s()):
                            await self._wake.wait()
                # What is printed together is read together.
                await asyncio.sleep(READ_PAUSE_S)
        finally:
            await asyncio.shield(self._save())

    def _pause_s(self) -> float | None:
        if self._game is None:
            return None
        return min(SAVE_S, self._place.ask_s) if self._is_dirty else self._place.ask_s

    async def _load(self) -> None:
        kept = await asyncio.to_thread(self._place.store.load)
        if kept is not None:
            self._state = kept.state
            self._reader = OutputReader(kept.stream, kept.offset, kept.run_offset)

    async def _follow(self, game: WantedGame) -> None:
        # One block, however much there is: who prints without end is asked and kept all the same.
        self._hear_some(game)
        if self._is_ask_due():
            await self._ask(game)
        if self._is_dirty and self._now() - self._saved_at >= SAVE_S:
            await self._save()

    def _hear_some(self, game: WantedGame) -> None:
        console = self._place.processes.console_of(SERVER)
        if console is None:
            self._is_behind = False
            return
        console.refresh()
        for heard in list(self._reader.read(console, self._place.processes.runs_of(SERVER))):
            self._hear(game, heard)
        self._is_behind = self._has_more(console)

    def _has_more(self, console: Console) -> bool:
        run = self._present_run()
        return self._reader.is_behind(console) or (run is not None and run != self._reader.run)

    def _present_run(self) -> int | None:
        return self._place.processes.runs_of(SERVER).present

    def _hear(self, game: WantedGame, heard: Heard) -> None:
        at, before = self._place.clock.now(), self._state
        ended: list[PlayerSession] = []
        match heard:
            case Line(text=text):
                self._look_for_hint(game, text)
                self._state, ended = presence.hear_line(before, game.presence or Presence(), text, at)
            case RunEnded():
                self._state, ended = presence.end_run(before, at)
                self._figures.end_run()
                self._is_lossy = False
            case _:
                self._note_lost()
        self._take(before, ended)

    def _note_lost(self) -> None:
        """Tell once in a run: one that prints without end loses something at each look."""
        if not self._is_lossy:
            log.warning("presence.output_lost")
        self._is_lossy = True

    def _take(self, before: PresenceState, ended: list[PlayerSession]) -> None:
        self._ended += ended
        # More are not kept on the disk either, which may take none at the moment.
        del self._ended[:-MAX_SESSIONS]
        if self._state is not before or ended:
            self._is_dirty = True
        if self._state.online.keys() != before.online.keys() or self._state.count != before.count:
            self._place.on_change()

    def _look_for_hint(self, game: WantedGame, text: str) -> None:
        for hint in game.hints:
            if match_line(hint.line, text) is not None:
                self._hint = hint
                self._place.on_change()
                return

    # Asking

    def _is_ask_due(self) -> bool:
        return self._place.processes.is_ready(SERVER) and self._now() - self._asked_at >= self._place.ask_s

    async def _ask(self, game: WantedGame) -> None:
        self._asked_at = self._now()
        # What it says of why it ended was of a life before this one.
        self._hint = None
        policy, run = game.presence or Presence(), self._present_run()
        status = await self._ask_status(game, policy)
        answer = await self._ask_query(game, policy) or (status.status.players if status else None)
        ticks = await self._ask_ticks(game)
        if run is None or run != self._present_run():
            return
        if answer is not None:
            before = self._state
            self._state, ended = presence.hear_answer(before, answer, self._place.clock.now())
            self._take(before, ended)
        count = presence.count_online(self._state) if game.presence is not None else None
        self._figures.note(self._place.clock.now(), status, players=count, ticks=ticks)

    async def _ask_status(self, game: WantedGame, policy: Presence) -> StatusAnswer | None:
        port = find_port(game, policy.ping)
        return None if port is None else await ask_status(self._place.address, port)

    async def _ask_query(self, game: WantedGame, policy: Presence) -> Answer | None:
        port = find_port(game, policy.query)
        return None if port is None else await ask_query(self._place.address, port)

    async def _ask_ticks(self, game: WantedGame) -> float | None:
        if game.ticks is None:
            return None
        try:
            answer = await self._ask_rcon(game, game.ticks.command)
        except RconFailed:
            return None
        return None if answer is None else parse_ticks(game.ticks.answer, answer)

    async def _ask_rcon(self, game: WantedGame, command: str) -> str | None:
        """Return what the remote console answers, None where there is none."""
        port = find_port(game, game.rcon.port) if game.rcon is not None else None
        if game.rcon is None or port is None:
            return None
        try:
            secret = await self._place.secret(game.rcon.secret)
        except OSError as exc:
            raise RconFailed("its secret cannot be read") from exc
        return await run_command(self._place.address, port, secret, command)

    # The disk

    async def _save(self) -> None:
        if not self._is_dirty or self._reader.stream is None:
            return
        kept = KeptPresence(
            stream=self._reader.stream, offset=self._reader.offset, state=self._state, run_offset=self._reader.run
        )
        ended, self._ended, self._is_dirty = self._ended, [], False
        self._saved_at = self._now()
        try:
            await asyncio.to_thread(self._place.store.save, kept, ended)
        except OSError as error:
            log.warning("presence.not_kept", error=str(error))
            self._ended, self._is_dirty = [*ended, *self._ended][-MAX_SESSIONS:], True

    def _now(self) -> float:
        return self._place.clock.monotonic()

    # What is told

    def seen(self) -> PlayersSeen | None:
        """Return how many play, for the status; None where nothing is known of a server that runs."""
        if self._game is None or self._game.presence is None or self._reader.run is None:
            return None
        state = self._state
        at = state.answered_at or self._place.clock.now()
        source: Literal["ping", "log"] = "log" if state.answered_at is None else "ping"
        return PlayersSeen(count=presence.count_online(state), max=state.max, source=source, at=at)

    @property
    def hint(self) -> Hint | None:
        """What the last line that the template knows said of why the server ended or does not get ready."""
        return self._hint

    def players(self) -> Players:
        """Return who plays now; raise NoGame."""
        self._require()
        return Players(
            online=presence.list_online(self._state),
            count=presence.count_online(self._state),
            max=self._state.max,
            complete=presence.is_complete(self._state),
            observed_at=self._state.answered_at,
        )

    async def history(self, limit: int, before: int | None) -> PlayerSessions:
        """Return stays, the newest first; `before` is the `next` of a page. Raise NoGame."""
        self._require()
        ended = [*await asyncio.to_thread(self._place.store.sessions), *self._ended]
        online = [
            PlayerSession(name=one.name, uuid=one.uuid, joined_at=one.since, left_at=None)
            for one in presence.list_online(self._state)
        ]
        until = len(ended) if before is None else min(before, len(ended))
        start = max(0, until - limit)
        page = ended[start:until][::-1]
        items = [*reversed(online), *page] if before is None else page
        return PlayerSessions(items=tuple(items), next=str(start) if start else UNSET)

    def telemetry(self) -> Telemetry:
        """Return how the server does; raise NoGame."""
        self._require()
        return self._figures.report()

    async def command(self, command: str) -> CommandAnswer:
        """Say something to the server; raise NoGame, GameNotRunning, CommandNotTaken."""
        game = self._require()
        if self._present_run() is None:
            raise GameNotRunning
        try:
            output = await self._ask_rcon(game, command)
        except RconFailed as failed:
            raise CommandNotTaken(reason=str(failed)) from failed
        if output is None and not await self._place.processes.type_into(SERVER, command.encode() + b"\n"):
            raise GameNotRunning
        return CommandAnswer(output=output)

    def _require(self) -> WantedGame:
        if self._game is None:
            raise NoGame
        return self._game


def find_port(game: WantedGame, name: str | None) -> int | None:
    """Return the port of the container that a template calls so."""
    return next((port.port for port in game.ports if port.name == name), None)
