"""Which version of a runtime is meant, and whether it can be installed: pure decisions over a catalog.

The API asks before it accepts a container, the agent asks again before it downloads; both get the same answer.
"""

from __future__ import annotations

import platform as machine
from dataclasses import dataclass
from difflib import get_close_matches

from zlh_common.schema.catalog import (
    Artifact,
    Catalog,
    CatalogProblem,
    CatalogRuntime,
    CatalogVersion,
    Channel,
    Validation,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One installable artifact: the runtime, its exact version and the archive for the platform."""

    runtime: CatalogRuntime
    version: CatalogVersion
    artifact: Artifact


def this_platform() -> str:
    """Return the platform of this machine as the catalog names it, such as `linux-x86_64`."""
    return f"linux-{machine.machine()}"


def choose_runtime(
    catalog: Catalog, *, name: str, version: str | None, platform: str, channels: frozenset[Channel]
) -> Choice | CatalogProblem:
    """Return what `name` and `version` mean, or why they mean nothing.

    `version` is exact or the leading part of one ("24", "24.19"); the newest match is taken, and without one the
    version that is marked as default, else the newest.
    """
    runtime = next((entry for entry in catalog.runtimes if entry.name == name), None)
    if runtime is None:
        return _unknown_runtime(catalog, name)
    offered = [entry for entry in runtime.versions if entry.channel in channels]
    if not offered:
        return _unknown_runtime(catalog, name)
    matching = [entry for entry in offered if _means(version, entry)]
    if not matching:
        return _unknown_version(runtime, version or "", offered)
    for chosen in matching if version else sorted(matching, key=lambda entry: not entry.default):
        artifact = next((entry for entry in chosen.artifacts if entry.platform == platform), None)
        if artifact is not None:
            return Choice(runtime, chosen, artifact)
    return _unknown_platform(name, matching, platform)


def validate_runtime(
    catalog: Catalog, *, name: str, version: str | None, platform: str, channels: frozenset[Channel]
) -> Validation:
    """Return the answer of `POST /api/catalog/validate`."""
    found = choose_runtime(catalog, name=name, version=version, platform=platform, channels=channels)
    if isinstance(found, CatalogProblem):
        return Validation(ok=False, problems=(found,))
    return Validation(ok=True, problems=(), version=found.version.version)


def _means(asked: str | None, entry: CatalogVersion) -> bool:
    return asked is None or entry.version == asked or entry.version.startswith(f"{asked}.")


def _unknown_runtime(catalog: Catalog, name: str) -> CatalogProblem:
    names = [entry.name for entry in catalog.runtimes]
    close = get_close_matches(name, names, n=1)
    offered = ", ".join(names) or "nothing"
    return CatalogProblem(
        code="runtime_not_offered",
        field="runtime",
        message=f"{name} is not offered; the catalog has {offered}.",
        suggestion=close[0] if close else None,
    )


def _unknown_version(runtime: CatalogRuntime, asked: str, offered: list[CatalogVersion]) -> CatalogProblem:
    versions = [entry.version for entry in offered]
    major = asked.split(".", maxsplit=1)[0]
    nearest = next((version for version in versions if version.split(".", maxsplit=1)[0] == major), versions[0])
    return CatalogProblem(
        code="version_not_offered",
        field="version",
        message=f"{runtime.name} {asked} is not offered; {versions[0]} is the newest.",
        suggestion=nearest,
    )


def _unknown_platform(name: str, matching: list[CatalogVersion], platform: str) -> CatalogProblem:
    platforms = sorted({artifact.platform for entry in matching for artifact in entry.artifacts})
    return CatalogProblem(
        code="platform_not_offered",
        field="platform",
        message=f"{name} {matching[0].version} is not offered for {platform}; it is for {', '.join(platforms)}.",
        suggestion=platforms[0] if platforms else None,
    )
