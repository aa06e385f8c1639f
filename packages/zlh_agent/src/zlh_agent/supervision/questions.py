"""Asks a process whether it is there, for as long as its machine has a use for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zlh_agent.console.console import Console
from zlh_agent.supervision import probes
from zlh_agent.supervision.log_match import LineMatch, LogMatch
from zlh_agent.supervision.machine import should_probe
from zlh_agent.supervision.model import Child, Event, Phase, ProbeAnswered, ProbeFailed, State
from zlh_common.schema.process import HangPolicy, LineProbe, LogProbe, PingProbe, Probe, ProcessPolicy

# How often a process that starts is asked, and one that runs and may hang.
START_ASK_S = 0.5
ALIVE_ASK_S = 10.0
LOG_READ_BYTES = 64 * 1024


class Questions:
    """The questions to one process; `hear` is told each answer."""

    def __init__(self, console: Console, address: str, hear: Callable[[Event], None]) -> None:
        self._console = console
        self._address = address
        self._hear = hear
        self._output = asyncio.Event()
        # Who is asked what, and how long after an answer again.
        self._asked: tuple[Child | None, Probe] | None = None
        self._pause_s = START_ASK_S
        self._asking: asyncio.Task[None] | None = None

    def note_output(self) -> None:
        """The process has printed something."""
        self._output.set()

    def follow(self, state: State, policy: ProcessPolicy, *, start_offset: int | None) -> None:
        """Ask what this state calls for by this policy, and nothing else. Its output begins at `start_offset`."""
        self._pause_s = START_ASK_S if state.phase is Phase.STARTING else _alive_pause_s(policy.hang)
        probe = _question_of(policy.ready.probe, state.phase) if should_probe(state, policy) else None
        asked = None if probe is None else (state.child, probe)
        if asked == self._asked and self._asking is not None and not self._asking.done():
            return
        self.call_off()
        if probe is not None:
            self._asked = asked
            self._asking = asyncio.create_task(self._ask_for_ever(probe, start_offset))

    def call_off(self) -> None:
        """Ask nothing any more; may be called twice."""
        if self._asking is not None:
            self._asking.cancel()
        self._asked = self._asking = None

    async def _ask_for_ever(self, probe: Probe, start_offset: int | None) -> None:
        asked: Probe | None = probe
        if isinstance(probe, LogProbe | LineProbe):
            await self._watch_output(probe, start_offset)
            asked = _then(probe)
        if asked is None:
            self._hear(ProbeAnswered())
            return
        while True:
            failure = await probes.ask(asked, self._address)
            self._hear(ProbeAnswered() if failure is None else ProbeFailed(failure))
            await asyncio.sleep(self._pause_s)

    async def _watch_output(self, probe: LogProbe | LineProbe, at: int | None) -> None:
        match = LogMatch(probe.pattern) if isinstance(probe, LogProbe) else LineMatch(probe.pattern)
        while not match.is_found:
            self._output.clear()
            oldest, written = self._console.bounds()
            at = 0 if at is None else at
            if at < oldest:
                at = oldest
                match.lose()
            if at < written:
                data = self._console.read(at, LOG_READ_BYTES)
                at += len(data)
                match.feed(data)
                # A flood gives way to everything else.
                await asyncio.sleep(0)
                continue
            await self._output.wait()


def _question_of(probe: Probe | None, phase: Phase) -> Probe | None:
    """Return what is asked in this phase: a line that was written once says nothing of one that runs."""
    return _then(probe) if isinstance(probe, LineProbe) and phase is Phase.RUNNING else probe


def _then(probe: LogProbe | LineProbe) -> Probe | None:
    """Return what is asked once the line was seen."""
    return PingProbe(port=probe.ping) if isinstance(probe, LineProbe) and probe.ping is not None else None


def _alive_pause_s(hang: HangPolicy | None) -> float:
    if hang is None:
        return ALIVE_ASK_S
    # Of one that may be silent for long it need not be known so soon, and each question takes time of an idle machine.
    return max(min(ALIVE_ASK_S, hang.after_s / 3), hang.after_s / 6)
