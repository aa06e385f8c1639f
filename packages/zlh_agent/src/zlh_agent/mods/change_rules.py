"""From one ledger to the next: which files move where, in which order, and how that is undone.

What goes away moves to a hidden place first, then files get other names, then new ones come in, so no step meets a name
that a step before it has to free. Every step is a rename, and tells from where the file is whether it was taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from zlh_agent.mods.ledger_rules import present_name
from zlh_common.schema.mods import DISABLED_SUFFIX, LedgerEntry, ModFile, ModLedger

# Beside what the server itself has in its folder, and read by no server.
HIDDEN = ".zlh-mods"
_AWAY = "old-"


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One rename; paths are below the server's folder. A file that was staged is held to its size and SHA-512."""

    source: str
    target: str
    size: int | None = None
    sha512: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that must be staged: which, and where."""

    file: ModFile
    staged: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change comes to in the folder."""

    steps: tuple[Step, ...]
    fetched: tuple[Fetched, ...]
    # Names in the folder that must be free, unless a step frees them.
    wanted: tuple[str, ...]


def find_present(entry: LedgerEntry, names: Mapping[str, object] | set[str]) -> str | None:
    """Return what the file of a mod is called now: people rename it by hand as well; None where it is gone."""
    plain = entry.file.file_name
    return next((name for name in (present_name(entry), plain, plain + DISABLED_SUFFIX) if name in names), None)


def plan_change(
    before: ModLedger, after: ModLedger, *, folder: str, change_id: str, digests: Mapping[str, str | None]
) -> Plan:
    """Return the steps from one ledger to another.

    `digests` are the files of the folder by name, with the SHA-512 of each that matters, None for what was not read.
    """
    plan = _Planning(folder, f"{HIDDEN}/{change_id}", digests)
    earlier = {entry.file.project_id: entry for entry in before.entries}
    later = {entry.file.project_id: entry for entry in after.entries}
    for project, entry in earlier.items():
        if project not in later:
            plan.remove(entry)
    for project, entry in later.items():
        if entry != earlier.get(project):
            plan.bring(earlier.get(project), entry)
    return plan.finish()


def is_moved_away(name: str) -> bool:
    """Tell whether a file in the hidden folder of a change is one that the change has taken out of the mods."""
    return name.startswith(_AWAY)


def undo(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the renames that take steps back, the last one first."""
    return tuple(Step(source=step.target, target=step.source) for step in reversed(steps))


class _Planning:
    def __init__(self, folder: str, hidden: str, digests: Mapping[str, str | None]) -> None:
        self._folder, self._hidden, self._digests = folder, hidden, digests
        self._away: list[Step] = []
        self._renamed: list[Step] = []
        self._in: list[Step] = []
        self._fetched: list[Fetched] = []
        self._wanted: list[str] = []

    def remove(self, entry: LedgerEntry) -> None:
        """Move the file of a mod away, if it is there."""
        if (name := find_present(entry, set(self._digests))) is not None:
            self._away.append(Step(source=f"{self._folder}/{name}", target=f"{self._hidden}/{_AWAY}{len(self._away)}"))

    def bring(self, earlier: LedgerEntry | None, entry: LedgerEntry) -> None:
        """Have the file of a mod under its name: the one that is there where it is the same, else another."""
        target = present_name(entry)
        present = find_present(earlier or entry, set(self._digests))
        # Only what was installed anew is about the file: who pins a mod leaves whatever somebody has made of it.
        is_new = earlier is None or (earlier.file, earlier.installed_at) != (entry.file, entry.installed_at)
        if present is not None and (not is_new or self._digests[present] == entry.file.sha512):
            if present != target:
                self._wanted.append(target)
                self._renamed.append(Step(source=f"{self._folder}/{present}", target=f"{self._folder}/{target}"))
            return
        if not is_new:
            return
        if earlier is not None:
            self.remove(earlier)
        staged = f"{self._hidden}/new-{len(self._in)}"
        self._wanted.append(target)
        self._fetched.append(Fetched(entry.file, staged))
        self._in.append(
            Step(source=staged, target=f"{self._folder}/{target}", size=entry.file.size, sha512=entry.file.sha512)
        )

    def finish(self) -> Plan:
        return Plan((*self._away, *self._renamed, *self._in), tuple(self._fetched), tuple(self._wanted))


def find_in_the_way(plan: Plan, folder: str, names: set[str]) -> str | None:
    """Return a name that a step needs and that no step before it frees, or None."""
    freed = {step.source.removeprefix(f"{folder}/") for step in plan.steps if step.source.startswith(f"{folder}/")}
    taken: set[str] = set()
    for name in plan.wanted:
        if (name in names and name not in freed) or name in taken:
            return name
        taken.add(name)
    return None
