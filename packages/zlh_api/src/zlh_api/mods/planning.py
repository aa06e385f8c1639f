"""Plans: what a wish comes to, with as many rounds of asking Modrinth as it takes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from zlh_api.mods.model import Needs, Project, Resolution, Snapshot, Target, Version
from zlh_api.mods.refusals import ModsTooWide
from zlh_api.mods.resolving_rules import MOST_PROJECTS, resolve
from zlh_common.schema.mods import ModLedger, PlanMods

# A chain of needs that is longer, or a graph that is wider, is nobody's server.
MOST_ROUNDS = 60
MOST_KNOWN = 2 * MOST_PROJECTS
# A project of so few versions is asked for with others in one request, whatever its versions are for.
FEW_VERSIONS = 20


class Offers(Protocol):
    """Who knows projects and versions."""

    async def fetch_projects(self, refs: list[str]) -> dict[str, Project | None]:
        """Return projects by id or slug."""
        ...

    async def fetch_versions(self, ids: list[str]) -> dict[str, Version | None]:
        """Return versions by id."""
        ...

    async def fetch_listing(self, project: str, target: Target) -> tuple[Version, ...]:
        """Return the versions of a project that may fit."""
        ...


async def plan(offers: Offers, asked: PlanMods, ledger: ModLedger, target: Target) -> tuple[Resolution, Snapshot]:
    """Return what a wish comes to, and what it was found by; raise ModsTooWide, SystemAway, ModrinthRefused."""
    snapshot = Snapshot()
    for _ in range(MOST_ROUNDS):
        found = await asyncio.to_thread(resolve, asked, ledger, snapshot, target)
        if found.needs.are_met:
            return found, snapshot
        snapshot = await _fetch(offers, found.needs, snapshot, target)
        if len(snapshot.projects) > MOST_KNOWN:
            break
    raise ModsTooWide(limit=MOST_PROJECTS)


async def _fetch(offers: Offers, needs: Needs, snapshot: Snapshot, target: Target) -> Snapshot:
    snapshot = snapshot.with_more(projects=await offers.fetch_projects(list(needs.refs)))
    small, large = _sort(needs, snapshot)
    wanted = [*needs.versions, *(version for versions in small.values() for version in versions)]
    versions = await offers.fetch_versions(wanted)
    listed = {project: await offers.fetch_listing(project, target) for project in large}
    gathered = {
        project: tuple(found for each in ids if (found := versions.get(each)) and found.project_id == project)
        for project, ids in small.items()
    }
    return snapshot.with_more(versions=versions, listings={**listed, **gathered})


def _sort(needs: Needs, snapshot: Snapshot) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Tell projects whose versions are asked for one by one, many in one request, from those that are listed."""
    small: dict[str, tuple[str, ...]] = {}
    large = []
    for project in needs.listings:
        about = snapshot.projects.get(project)
        if about is not None and 0 < len(about.version_ids) <= FEW_VERSIONS:
            small[project] = about.version_ids
        else:
            large.append(project)
    return small, large
