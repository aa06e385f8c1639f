"""The output of the server, line by line and run by run: each line once, also across restarts of the agent.

A run is one life of the server, known by the offset at which its output begins. What stands before the first run that
is known belongs to nobody, and is passed over. A run may be over before anybody looks; its lines are heard anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zlh_agent.console.console import Console
from zlh_agent.console.plain_lines import PlainLines
from zlh_agent.supervision.runs import Runs

# At a time; then everybody else has a turn.
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the output."""

    text: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """What comes next is of another run, or there is none: whoever played has gone."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The output was faster than it was read; lines are missing here."""


Heard = Line | RunEnded | Lost


class OutputReader:
    """Reads the output from where somebody before has left off."""

    def __init__(self, stream: str | None, offset: int, run: int | None) -> None:
        self._lines = PlainLines()
        self._at = offset
        self.stream = stream
        # Behind the last line that has ended: where the next agent goes on.
        self.offset = offset
        # The run that what is read belongs to; None between two.
        self.run = run
        # Whether it is known that what comes begins with a line.
        self._is_placed = False

    def read(self, console: Console, runs: Runs) -> Iterator[Heard]:
        """Yield what has come since, up to READ_BYTES of it."""
        if console.stream() != self.stream:
            yield from self._begin_anew(console.stream())
        oldest, written = console.bounds()
        if not self._is_placed and self._at >= oldest:
            # Whoever has left off here may have lost the beginning of this line.
            is_begun = self._at in {0, *runs.starts} or (self._at > oldest and console.read(self._at - 1, 1) == b"\n")
            self._go_to(self._at, is_cut=not is_begun)
        if self._at < oldest:
            self._go_to(oldest, is_cut=True)
            yield Lost()
        yield from self._take_up(runs, written)
        # What one run has printed comes before the next begins.
        until = min((start for start in runs.starts if start > self._at), default=written)
        if until > self._at:
            yield from self._feed(console.read(self._at, min(READ_BYTES, until - self._at)))
        yield from self._take_up(runs, written)
        if not runs.goes_on and self._at >= written:
            yield from self._end_run()

    def is_behind(self, console: Console) -> bool:
        """Tell whether there is more to read."""
        return console.stream() != self.stream or self._at < console.bounds()[1]

    def _begin_anew(self, stream: str) -> Iterator[Heard]:
        self.stream = stream
        self._go_to(0)
        yield from self._end_run()

    def _feed(self, data: bytes) -> Iterator[Heard]:
        self._at += len(data)
        lines = self._lines.feed(data)
        if b"\n" in data:
            self.offset = self._at - (len(data) - data.rindex(b"\n") - 1)
        if self.run is not None:
            yield from map(Line, lines)

    def _take_up(self, runs: Runs, written: int) -> Iterator[Heard]:
        """Go over to the run that has begun here, or before; not to one that is over and was heard to its end."""
        run = max((start for start in runs.starts if start <= self._at), default=None)
        is_over = not runs.goes_on and self._at >= written
        if run is None or run == self.run or is_over:
            return
        yield from self._end_run()
        # Behind its first byte where that was lost, or was read before anybody knew whose it is.
        self._go_to(self._at, is_cut=self._at > run)
        self.run = run

    def _end_run(self) -> Iterator[Heard]:
        if self.run is not None:
            self.run = None
            yield RunEnded()

    def _go_to(self, at: int, *, is_cut: bool = False) -> None:
        self._lines, self._is_placed = PlainLines(is_cut=is_cut), True
        self._at = self.offset = at
