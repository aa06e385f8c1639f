"""Files that nobody knows, by their hashes: what they are, and the acts that take them into the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from zlh_api.mods.model import Project, Version
from zlh_common.schema.mods import (
    DISABLED_SUFFIX,
    IdentifiedFile,
    LedgerEntry,
    ModAct,
    ModFile,
    ModFileName,
    ModsReport,
    Need,
    PutMod,
    UnknownFile,
)

Versions = Mapping[str, Version | None]
Projects = Mapping[str, Project | None]


def find_unknown_digests(report: ModsReport) -> list[str]:
    """Return the hashes of files that the ledger does not know."""
    return [file.sha512 for file in report.unknown if file.sha512]


def render_identified(report: ModsReport, versions: Versions, projects: Projects) -> tuple[IdentifiedFile, ...]:
    """Return what each of them is."""
    return tuple(_identified(file, versions, projects) for file in report.unknown)


def render_adoption(
    report: ModsReport, versions: Versions, projects: Projects, *, actor: str, now: datetime
) -> tuple[ModAct, ...]:
    """Return acts for those that are the mod of a version and whose project has none yet; each project once."""
    taken = {seen.entry.file.project_id for seen in report.mods}
    # One that is there and one that is disabled have different names in the folder, and the same in a ledger.
    names = {seen.entry.file.file_name for seen in report.mods}
    acts: list[ModAct] = []
    for unknown in report.unknown:
        version = versions.get(unknown.sha512 or "")
        about = projects.get(version.project_id) if version else None
        name = unknown.file_name.removesuffix(DISABLED_SUFFIX)
        if version is None or about is None or about.id in taken or name in names:
            continue
        if not (_is_the_mod(unknown, version) and _may_be_kept(name)):
            continue
        taken.add(about.id)
        names.add(name)
        file = _file(name, about, version)
        entry = LedgerEntry(
            file=file, installed_at=now, actor=actor, is_enabled=unknown.is_enabled, source="identified"
        )
        acts.append(PutMod(entry=entry))
    return tuple(acts)


def _identified(file: UnknownFile, versions: Versions, projects: Projects) -> IdentifiedFile:
    version = versions.get(file.sha512 or "")
    about = projects.get(version.project_id) if version else None
    if version is None or about is None:
        return IdentifiedFile(file_name=file.file_name)
    return IdentifiedFile(
        file_name=file.file_name, project_id=about.id, title=about.title, version_number=version.number
    )


def _is_the_mod(unknown: UnknownFile, version: Version) -> bool:
    """Tell whether it is the file that servers take, and not one of sources."""
    return version.file is not None and (version.file.sha512, version.file.size) == (unknown.sha512, unknown.size)


def _may_be_kept(name: str) -> bool:
    """Tell whether a ledger can hold the name; what an agent tells of may be called anything."""
    try:
        msgspec.convert(name, ModFileName)
    except msgspec.ValidationError:
        return False
    return True


def _file(name: str, about: Project, version: Version) -> ModFile:
    assert version.file is not None
    return ModFile(
        project_id=about.id,
        slug=about.slug,
        title=about.title,
        version_id=version.id,
        version_number=version.number,
        channel=version.channel,
        file_name=name,
        url=version.file.url,
        size=version.file.size,
        sha512=version.file.sha512,
        loaders=version.loaders,
        game_versions=version.game_versions,
        environment=about.environment,
        needs=tuple(
            Need(project_id=edge.project_id, kind=edge.kind, version_id=edge.version_id)
            for edge in version.edges
            if edge.project_id
        ),
        published_at=version.published_at,
    )
