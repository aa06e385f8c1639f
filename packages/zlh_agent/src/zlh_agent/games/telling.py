"""What a child says on its standard output, a line of JSON each; several threads may tell of one stage."""

from __future__ import annotations

import sys
import threading
import time

import msgspec

from zlh_agent.games.model import ChildLine, ProgressLine, ReadyLine
from zlh_agent.runtimes.installing.transfer_rate import TransferRate, advance

INTERVAL_S = 0.25


def say(line: ChildLine) -> None:
    """Write one line, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def ask_to_go_on() -> None:
    """Say that everything is looked at, and return once the agent has written that down; exit where it has gone."""
    say(ReadyLine())
    if not sys.stdin.buffer.readline():
        sys.exit(1)


class Telling:
    """Tells how far a stage is that moves bytes, at most four times a second; its beginning and its end always."""

    def __init__(self, stage: str, total: int) -> None:
        self._stage = stage
        self._total = total
        self._done = 0
        self._rate = TransferRate()
        self._told_at = 0.0
        self._lock = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        """Tell that so many bytes more are done; fewer, where some were found to be wrong."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._done != self._total and now - self._told_at < INTERVAL_S:
                return
            self._told_at = now
            self._rate = advance(self._rate, now=now, done=self._done)
            say(
                ProgressLine(
                    stage=self._stage,
                    done=self._done,
                    total=self._total,
                    bytes_per_s=self._rate.bytes_per_s(),
                    left_s=self._rate.left_s(self._total),
                )
            )
