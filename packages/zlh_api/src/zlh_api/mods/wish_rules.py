"""A wish for mods in terms of projects: what is asked for, what goes, and where the walk of a plan begins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zlh_api.mods.model import Snapshot
from zlh_common.schema.mods import LedgerEntry, ModLedger, ModWish, PlanMods, PlanProblem, ReleaseChannel


@dataclass(slots=True)
class Asked:
    """A wish in terms of projects."""

    entries: dict[str, LedgerEntry]
    wishes: dict[str, ModWish]
    updates: frozenset[str]
    removals: frozenset[str]
    roots: list[str]
    channel: ReleaseChannel
    problems: list[PlanProblem] = field(default_factory=list)
    missing_refs: set[str] = field(default_factory=set)


def read_wish(asked: PlanMods, ledger: ModLedger, snapshot: Snapshot) -> Asked:
    """Return what a wish says of which projects, and what is wrong with it by itself."""
    entries = {entry.file.project_id: entry for entry in ledger.entries}
    every = {project for project, entry in entries.items() if not entry.is_pinned} if asked.update_all else set()
    read = Asked(
        entries, {}, frozenset({*asked.update, *every} & entries.keys()), frozenset(asked.remove), [], asked.channel
    )
    for project in sorted({*asked.update, *asked.remove} - entries.keys()):
        read.problems.append(
            render_problem(
                code="mod_not_installed", message=f"There is no mod of the project {project} here.", project=project
            )
        )
    _read_wishes(asked, snapshot, read)
    for project in sorted(read.removals & {*read.wishes, *asked.update}):
        title = entries[project].file.title if project in entries else project
        read.problems.append(
            render_problem(
                code="mod_both_ways", message=f"{title} cannot be removed and be had at once.", project=project
            )
        )
    staying = _find_staying(entries, read.removals, remove_orphans=asked.remove_orphans)
    read.roots = [*staying, *(project for project in read.wishes if project not in staying)]
    return read


def _read_wishes(asked: PlanMods, snapshot: Snapshot, read: Asked) -> None:
    for wish in asked.install:
        if wish.project not in snapshot.projects:
            read.missing_refs.add(wish.project)
            continue
        project = snapshot.projects[wish.project]
        if project is None:
            read.problems.append(
                render_problem(code="mod_not_found", message=f"Modrinth has no project {wish.project}.", project=None)
            )
        elif read.wishes.setdefault(project.id, wish) != wish and wish.version != read.wishes[project.id].version:
            message = f"{project.title} is asked for twice, in different versions."
            read.problems.append(render_problem(code="mod_both_ways", message=message, project=project.id))


def _find_staying(entries: Mapping[str, LedgerEntry], removals: frozenset[str], *, remove_orphans: bool) -> list[str]:
    """Return which mods stay whoever needs them: asked for, pinned, disabled, or needed by nobody already before."""
    asked_for = [project for project, entry in entries.items() if entry.is_asked_for]
    needed = _reach(entries, asked_for)
    return [
        project
        for project, entry in entries.items()
        if project not in removals
        and (
            entry.is_asked_for or entry.is_pinned or not entry.is_enabled
            or project not in needed or not remove_orphans
        )
    ]  # fmt: skip


def _reach(entries: Mapping[str, LedgerEntry], start: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        project = waiting.pop()
        if project not in seen and project in entries:
            seen.add(project)
            waiting += [need.project_id for need in entries[project].file.needs if need.kind == "required"]
    return seen


def render_problem(*, code: str, message: str, project: str | None, is_fatal: bool = True) -> PlanProblem:
    """Return a problem; one that is not fatal is a word of warning."""
    return PlanProblem(code=code, message=message, project_id=project, is_fatal=is_fatal)
