"""What the install child says on its standard output: progress now and then with its rate, and the outcome."""

from __future__ import annotations

import sys
import time

import msgspec

from zlh_agent.runtimes.installing.transfer_rate import TransferRate, advance
from zlh_agent.runtimes.model import ChildLine, ProgressLine

INTERVAL_S = 0.25


class Teller:
    """Tells how far each stage is, at most four times a second; its beginning and its end always."""

    def __init__(self) -> None:
        self._stage = ""
        self._rate = TransferRate()
        self._told_at = 0.0

    def show(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Tell of a stage; `total` is 0 where there is nothing to count."""
        now = time.monotonic()
        is_new = stage != self._stage
        if is_new:
            self._stage, self._rate = stage, TransferRate()
        if not is_new and done != total and now - self._told_at < INTERVAL_S:
            return
        self._rate = advance(self._rate, now=now, done=done)
        self._told_at = now
        say(
            ProgressLine(
                stage=stage,
                done=done,
                total=total,
                bytes_per_s=self._rate.bytes_per_s(),
                left_s=self._rate.left_s(total),
            )
        )


def say(line: ChildLine) -> None:
    """Write one line, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()
