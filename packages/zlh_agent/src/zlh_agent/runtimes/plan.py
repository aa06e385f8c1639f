"""What must be done to the installed runtimes so that they are what the spec says: a pure comparison.

    missing default → Install     there, PATH leads elsewhere → Switch     attempt was raised → Reinstall
    not in the spec → Remove, or Blocked while processes run from it

Invariants: what `current` leads to is removed only where the spec names no version of that runtime any more, so a
runtime that works goes on working until its new default is whole; a former default (`previous`) is kept where it is
there and never fetched for that. The plan says what may be done *now*: who has done the first of it, or found that it
fails, plans again. Doing an action twice is as good as once, so one may be killed anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from zlh_common.schema.spec import WantedRuntime

Version = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """One version on the disk."""

    name: str
    version: str
    is_current: bool
    # For which request to unpack it anew it was unpacked.
    attempt: int = 0
    # Not so where its record says nothing that holds: it may run, and counts as missing where it is wanted.
    is_whole: bool = True

    @property
    def key(self) -> Version:
        """What tells it from the others."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class Install:
    """Fetch it and unpack it; a default is switched to at once."""

    runtime: WantedRuntime


@dataclass(frozen=True, slots=True)
class Reinstall:
    """Unpack it anew in the place of what is there; a default is switched to at once."""

    runtime: WantedRuntime


@dataclass(frozen=True, slots=True)
class Switch:
    """It is there: let `current` lead to it."""

    runtime: WantedRuntime


@dataclass(frozen=True, slots=True)
class Remove:
    """Nobody wants it and nobody uses it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nobody wants it, and processes run from it."""

    name: str
    version: str


Action = Install | Reinstall | Switch | Remove | Blocked


def plan(wanted: Sequence[WantedRuntime], held: Collection[Held], used: Collection[Version]) -> list[Action]:
    """Return what may be done now, in this order: defaults, other versions, removals."""
    there = {entry.key: entry for entry in held}
    defaults = [runtime for runtime in wanted if runtime.default]
    others = [runtime for runtime in wanted if not runtime.default]
    found = [_bring(runtime, there.get((runtime.name, runtime.version))) for runtime in (*defaults, *others)]
    going = [Blocked(*key) if key in used else Remove(*key) for key in find_unwanted(wanted, held)]
    return [*(action for action in found if action is not None), *going]


def _bring(runtime: WantedRuntime, there: Held | None) -> Action | None:
    if there is None or not there.is_whole:
        return None if runtime.previous else Install(runtime)
    if there.attempt < runtime.attempt:
        return Reinstall(runtime)
    return Switch(runtime) if runtime.default and not there.is_current else None


def is_brought(runtime: WantedRuntime, held: Collection[Held]) -> bool:
    """Tell whether it is there as it is wanted."""
    there = next((entry for entry in held if entry.key == (runtime.name, runtime.version)), None)
    return there is not None and _bring(runtime, there) is None and there.is_whole


def find_unwanted(wanted: Sequence[WantedRuntime], held: Collection[Held]) -> list[Version]:
    """Return what must go and may: of a runtime that the spec names no more, what `current` leads to goes last."""
    keep = {(runtime.name, runtime.version): runtime for runtime in wanted}
    names = {runtime.name for runtime in wanted}
    going = [
        entry
        for entry in held
        if (entry.key not in keep or (keep[entry.key].previous and not entry.is_whole))
        and not (entry.is_current and entry.name in names)
    ]
    return [entry.key for entry in sorted(going, key=lambda entry: (entry.name, entry.is_current, entry.version))]


def needs_step(runtime: WantedRuntime, held: Collection[Held]) -> bool:
    """Tell whether people should see how far it is; a former default that is gone is nothing to wait for."""
    here = any(entry.key == (runtime.name, runtime.version) and entry.is_whole for entry in held)
    return here or not runtime.previous


def still_wants(action: Action, wanted: Sequence[WantedRuntime], held: Collection[Held]) -> bool:
    """Tell whether a spec that has come meanwhile would have the same done."""
    match action:
        case Install(runtime) | Reinstall(runtime) | Switch(runtime):
            return runtime in wanted
        case Remove(name, version) | Blocked(name, version):
            return (name, version) in find_unwanted(wanted, held)
