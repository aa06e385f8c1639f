"""Where in the history of a process the output of each of its newest runs begins."""

from __future__ import annotations

from dataclasses import dataclass

# More than begin between two looks of anybody who reads the output.
KEPT = 64


@dataclass(frozen=True, slots=True)
class Runs:
    """`starts` are absolute offsets, ascending; the last of them goes on where `goes_on`."""

    starts: tuple[int, ...] = ()
    goes_on: bool = False

    @property
    def present(self) -> int | None:
        """Where the output of the run begins that goes on now, which no other run has; None between two."""
        return self.starts[-1] if self.starts and self.goes_on else None


def note_run(runs: Runs, start: int | None, *, goes_on: bool) -> Runs:
    """Add what is known of the newest run: where it began, None where there was none yet."""
    if start is None or (runs.starts and start == runs.starts[-1]):
        return Runs(runs.starts, goes_on and start is not None)
    # Offsets only go back when the history was removed, and another began.
    earlier = runs.starts if not runs.starts or start > runs.starts[-1] else ()
    return Runs((*earlier, start)[-KEPT:], goes_on)
