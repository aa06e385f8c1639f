"""Which game servers a catalog offers: pure decisions over what was resolved and the runtimes that are offered."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zlh_api.artifacts.template_model import ArchiveSource, TemplateRecord
from zlh_common.schema.catalog import CatalogRuntime, CatalogVersion
from zlh_common.schema.template import CatalogTemplate, Requirement, TemplateVersion


def render_templates(
    records: Iterable[TemplateRecord], runtimes: tuple[CatalogRuntime, ...]
) -> tuple[CatalogTemplate, ...]:
    """Return the templates by name, in the versions whose runtimes are all there; those without any are left out."""
    offered = [(record, _offered_versions(record, runtimes)) for record in records]
    return tuple(
        CatalogTemplate(name=record.name, title=record.title, template=record.template, versions=versions)
        for record, versions in sorted(offered, key=lambda pair: pair[0].name)
        if versions
    )


def find_lacks(record: TemplateRecord, runtimes: tuple[CatalogRuntime, ...]) -> list[str]:
    """Return the runtimes that versions of a template need and that are not offered, such as `java 25`."""
    lacks = {
        f"{need.name} {need.version}"
        for version in _known_versions(record, runtimes)
        for need in version.requires
        if not _is_met(need, runtimes)
    }
    if isinstance(record.source, ArchiveSource) and _find_runtime(record.source, runtimes) is None:
        lacks.add(record.source.runtime)
    return sorted(lacks)


def _offered_versions(record: TemplateRecord, runtimes: tuple[CatalogRuntime, ...]) -> tuple[TemplateVersion, ...]:
    known = _known_versions(record, runtimes)
    usable = [version for version in known if all(_is_met(need, runtimes) for need in version.requires)]
    return with_default(usable)


def with_default(versions: Iterable[TemplateVersion]) -> tuple[TemplateVersion, ...]:
    """Return the versions with one default: the first that is marked, else the newest stable one, else the newest."""
    held = list(versions)
    stable = [version for version in held if version.channel == "stable"] or held
    default = next((version for version in stable if version.default), stable[0] if stable else None)
    return tuple(msgspec.structs.replace(version, default=version is default) for version in held)


def _known_versions(record: TemplateRecord, runtimes: tuple[CatalogRuntime, ...]) -> list[TemplateVersion]:
    if not isinstance(record.source, ArchiveSource):
        return list(record.versions)
    runtime = _find_runtime(record.source, runtimes)
    return [] if runtime is None else [_version_of(entry, record.source) for entry in runtime.versions]


def _find_runtime(source: ArchiveSource, runtimes: tuple[CatalogRuntime, ...]) -> CatalogRuntime | None:
    return next((runtime for runtime in runtimes if runtime.name == source.runtime and runtime.for_games), None)


def _version_of(entry: CatalogVersion, source: ArchiveSource) -> TemplateVersion:
    return TemplateVersion(
        version=entry.version,
        channel=entry.channel,
        default=entry.default,
        requires=(Requirement(name=source.runtime, version=entry.version), *source.requires),
        game_version=source.game_version,
    )


def _is_met(need: Requirement, runtimes: tuple[CatalogRuntime, ...]) -> bool:
    return any(
        runtime.name == need.name
        and any(
            entry.version == need.version or entry.version.startswith(f"{need.version}.") for entry in runtime.versions
        )
        for runtime in runtimes
    )
