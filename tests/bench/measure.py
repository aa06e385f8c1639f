"""What a measurement is: rows of figures, taken side by side, and the memory and time of processes."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

MB = 1_000_000
MIB = 1024 * 1024
Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of some figures."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Return the spread of one figure or more."""
        return cls(min(figures), statistics.median(figures), max(figures))


@dataclass(frozen=True)
class Budget:
    """What a row must reach: of its ratio to the peer, or of its own figure."""

    of: Literal["ratio", "ours"]
    limit: float
    is_floor: bool = False

    def is_kept(self, row: Row) -> bool | None:
        """Tell whether the median keeps it; None where it was not measured."""
        spread = row.ratio if self.of == "ratio" else row.ours
        if spread is None:
            return None
        return spread.median >= self.limit if self.is_floor else spread.median <= self.limit


def ratio_at_most(limit: float) -> Budget:
    """Ours may be so many times the peer's."""
    return Budget("ratio", limit)


def ratio_at_least(limit: float) -> Budget:
    """Ours must be so many times the peer's."""
    return Budget("ratio", limit, is_floor=True)


def at_most(limit: float) -> Budget:
    """Ours may be so much, in the row's unit."""
    return Budget("ours", limit)


def at_least(limit: float) -> Budget:
    """Ours must be so much, in the row's unit."""
    return Budget("ours", limit, is_floor=True)


@dataclass(frozen=True)
class Row:
    """One line of the report. A ratio is ours / peer, taken from each pair of neighbours and not from the medians."""

    name: str
    unit: str
    ours: Spread | None
    peer_name: str = ""
    peer: Spread | None = None
    ratio: Spread | None = None
    budget: Budget | None = None
    note: str = ""


@dataclass
class Samples:
    """The figures of several sides, one list each, taken in turn."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, side: str, figure: float) -> None:
        """Keep one figure."""
        self.figures.setdefault(side, []).append(figure)

    def alone(self, name: str, unit: str, *, side: str = "ours", budget: Budget | None = None, note: str = "") -> Row:
        """Return a row of one side that has no peer."""
        return Row(name, unit, Spread.of(self.figures[side]), budget=budget, note=note)

    def row(
        self,
        name: str,
        unit: str,
        *,
        side: str = "ours",
        peer: str,
        peer_name: str = "",
        budget: Budget | None = None,
        note: str = "",
    ) -> Row:
        """Return a row of two sides; a peer that could not be measured is said in the note."""
        ours = self.figures[side]
        theirs = self.figures.get(peer)
        if not theirs:
            missing = f"{peer_name or peer} could not be measured here"
            return Row(name, unit, Spread.of(ours), peer_name or peer, note=f"{note} {missing}".strip(), budget=budget)
        if not all(theirs):
            # A keeper that does nothing at all spends no time.
            return Row(name, unit, Spread.of(ours), peer_name or peer, Spread.of(theirs), budget=budget, note=note)
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        return Row(name, unit, Spread.of(ours), peer_name or peer, Spread.of(theirs), Spread.of(ratios), budget, note)


@dataclass
class Run:
    """How one run of the bench was asked for, and where it may work."""

    repeat: int
    is_quick: bool
    # For this run alone, removed at its end; and one that the next run finds again.
    folder: Path
    cache: Path

    def show(self, text: str) -> None:
        """Say what is being done."""
        print(f"  · {text}", file=sys.stderr, flush=True)

    def choose(self, full: Any, quick: Any) -> Any:
        """Return the size for this kind of run."""
        return quick if self.is_quick else full

    def fresh_folder(self, name: str) -> Path:
        """Return a new folder of this name."""
        number = 1
        while (path := self.folder / f"{name}-{number}").exists():
            number += 1
        path.mkdir(parents=True)
        return path

    async def side_by_side(self, title: str, sides: Mapping[str, Side], *, warm_up: bool = True) -> Samples:
        """Measure every side in turn, A B A B …, after one turn that does not count."""
        samples = Samples()
        for turn in range(0 if warm_up and not self.is_quick else 1, self.repeat + 1):
            found = {name: await side() for name, side in sides.items()}
            self.show(f"{title} {turn}/{self.repeat}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()))
            if turn:
                for name, figure in found.items():
                    samples.add(name, figure)
        return samples


@dataclass(frozen=True)
class Case:
    """A measurement that can be chosen by its name; it yields rows whose names begin with it."""

    name: str
    about: str
    measure: Callable[[Run], Awaitable[list[Row]]]
    is_slow: bool = False


def percentile(figures: Sequence[float], share: float) -> float:
    """Return the figure below which `share` of all lie."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def read_rss(pid: int) -> float:
    """Return what a process holds in memory, in MB."""
    return _status_field(pid, "VmRSS")


def read_peak_rss(pid: int) -> float:
    """Return what a process has held at most, in MB."""
    return _status_field(pid, "VmHWM")


def forget_peak_rss(pid: int) -> None:
    """Have `read_peak_rss` tell of what comes from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def read_pss(pid: int) -> float:
    """Return a process's share of memory, pages that others have too counted in part, in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


def read_cpu_s(pid: int) -> float:
    """Return the seconds that a process has spent on a processor, to the nanosecond, all of its threads together."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def _status_field(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


class Stopwatch:
    """`with Stopwatch() as watch: …`, then `watch.seconds`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.seconds = time.perf_counter() - self._began
