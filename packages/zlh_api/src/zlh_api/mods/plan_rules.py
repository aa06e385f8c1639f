"""What a resolution is for people, a plan; and for an agent, acts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from zlh_api.mods.model import Chosen, Edge, Project, Resolution, Snapshot, Version
from zlh_common.schema.mods import (
    FormerFile,
    LedgerEntry,
    ModAct,
    ModFile,
    ModLedger,
    ModPlan,
    Need,
    OfferedVersion,
    OfferedVersions,
    PlannedMod,
    PutMod,
    RemoveMod,
    SwitchMod,
)

# Of one project; nobody goes through more.
MOST_OFFERED = 300


def render_plan(resolution: Resolution, ledger: ModLedger) -> ModPlan:
    """Return what would be done, in the order: what goes in or up, what stays, what goes."""
    entries = _by_project(ledger)
    lines = [_render_chosen(chosen, resolution, entries) for chosen in resolution.chosen.values()]
    lines.sort(key=lambda line: (line.act == "keep", bool(line.needed_by), line.title.casefold(), line.project_id))
    gone = [
        PlannedMod(
            project_id=project,
            title=entries[project].file.title,
            act="remove",
            before=entries[project].file.version_number,
            channel=entries[project].file.channel,
        )
        for project in resolution.removed
    ]
    return ModPlan(
        revision=ledger.revision,
        mods=(*lines, *gone),
        problems=resolution.problems,
        download_bytes=sum(line.size for line in lines),
        is_possible=resolution.is_possible,
    )


def render_offered(project: Project, versions: Iterable[Version]) -> OfferedVersions:
    """Return what people choose of, in the order that is given, the first few hundred."""
    items = tuple(
        OfferedVersion(
            version_id=version.id,
            version_number=version.number,
            channel=version.channel,
            published_at=version.published_at,
            loaders=version.loaders,
            size=version.file.size if version.file else 0,
            trouble=None if version.file else version.trouble,
        )
        for version in islice(versions, MOST_OFFERED)
    )
    return OfferedVersions(project_id=project.id, title=project.title, items=items)


def render_acts(
    resolution: Resolution, ledger: ModLedger, snapshot: Snapshot, *, actor: str, reason: str, now: datetime
) -> tuple[ModAct, ...]:
    """Return what an agent is to do so that the resolution holds; nothing where all is so already."""
    entries = _by_project(ledger)
    acts: list[ModAct] = [RemoveMod(project_id=project) for project in resolution.removed]
    for chosen in resolution.chosen.values():
        before = entries.get(chosen.project_id)
        is_asked_for = chosen.project_id in resolution.asked_for
        if chosen.version is not None:
            entry = _put_entry(chosen, before, snapshot, actor=actor, reason=reason, now=now)
            is_enabled = entry.is_enabled or chosen.project_id in resolution.enabled_again
            acts.append(PutMod(entry=_change(entry, is_asked_for=is_asked_for, is_enabled=is_enabled)))
        elif before is not None and before.is_asked_for != is_asked_for:
            acts.append(PutMod(entry=_change(before, is_asked_for=is_asked_for, is_enabled=before.is_enabled)))
    put = {act.entry.file.project_id for act in acts if isinstance(act, PutMod)}
    acts += [
        SwitchMod(project_id=project, is_enabled=True) for project in resolution.enabled_again if project not in put
    ]
    return tuple(acts)


def render_needs(edges: Iterable[Edge], snapshot: Snapshot) -> tuple[Need, ...]:
    """Return edges as the ledger keeps them: those whose project is known."""
    needs = []
    for edge in edges:
        version = snapshot.find_version(edge.version_id) if edge.version_id else None
        project = edge.project_id or (version.project_id if version else None)
        if project is not None:
            needs.append(Need(project_id=project, kind=edge.kind, version_id=edge.version_id))
    return tuple(needs)


def _by_project(ledger: ModLedger) -> dict[str, LedgerEntry]:
    return {entry.file.project_id: entry for entry in ledger.entries}


def _render_chosen(chosen: Chosen, resolution: Resolution, entries: dict[str, LedgerEntry]) -> PlannedMod:
    before = entries.get(chosen.project_id)
    is_put = chosen.version is not None
    is_asked_for = chosen.project_id in resolution.asked_for
    needed_by = () if is_asked_for else resolution.needed_by.get(chosen.project_id, ())
    file = chosen.version.file if chosen.version else None
    return PlannedMod(
        project_id=chosen.project_id,
        title=chosen.title,
        act="keep" if not is_put else "update" if before else "install",
        before=before.file.version_number if before else None,
        after=chosen.number,
        channel=chosen.channel,
        size=file.size if file else 0,
        needed_by=tuple(resolution.chosen[project].title for project in needed_by if project in resolution.chosen),
    )


def _put_entry(
    chosen: Chosen, before: LedgerEntry | None, snapshot: Snapshot, *, actor: str, reason: str, now: datetime
) -> LedgerEntry:
    version = chosen.version
    assert version is not None
    assert version.file is not None
    project = snapshot.projects.get(chosen.project_id)
    return LedgerEntry(
        file=ModFile(
            project_id=chosen.project_id,
            slug=chosen.slug,
            title=chosen.title,
            version_id=version.id,
            version_number=version.number,
            channel=version.channel,
            file_name=version.file.name,
            url=version.file.url,
            size=version.file.size,
            sha512=version.file.sha512,
            loaders=version.loaders,
            game_versions=version.game_versions,
            environment=project.environment if project else "unknown",
            needs=render_needs(version.edges, snapshot),
            published_at=version.published_at,
        ),
        installed_at=now,
        actor=actor,
        is_enabled=chosen.is_enabled,
        is_pinned=before.is_pinned if before else False,
        reason=reason,
        previous=_former(before),
    )


def _former(before: LedgerEntry | None) -> FormerFile | None:
    if before is None:
        return None
    file = before.file
    return FormerFile(
        version_id=file.version_id, version_number=file.version_number, file_name=file.file_name, sha512=file.sha512
    )


def _change(entry: LedgerEntry, *, is_asked_for: bool, is_enabled: bool) -> LedgerEntry:
    return LedgerEntry(
        file=entry.file,
        installed_at=entry.installed_at,
        actor=entry.actor,
        is_enabled=is_enabled,
        is_pinned=entry.is_pinned,
        is_asked_for=is_asked_for,
        source=entry.source,
        reason=entry.reason,
        previous=entry.previous,
    )
