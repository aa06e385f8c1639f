"""Plans: what a wish comes to, with as many rounds of asking Modrinth as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from zlh_api.mods.model import BATCH, FEW_VERSIONS, Needs, Project, Resolution, Snapshot, Target, Version
from zlh_api.mods.refusals import ModsTooWide
from zlh_api.mods.resolving_rules import MOST_PROJECTS, resolve
from zlh_common.schema.mods import ModLedger, PlanMods

# A chain of needs that is longer, or a graph that is wider, is nobody's server.
MOST_ROUNDS = 60
MOST_KNOWN = 2 * MOST_PROJECTS
# Needs in a ledger, which is its customer's word; real mods have a handful each.
MOST_NEEDS = 20_000
# All customers share what Modrinth lets us ask: this is a minute and a half of it.
MOST_QUESTIONS = 400


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
    if sum(len(entry.file.needs) for entry in ledger.entries) > MOST_NEEDS:
        raise ModsTooWide(limit=MOST_NEEDS, of="needs of each other")
    asking = _Asking(offers, target)
    for _ in range(MOST_ROUNDS):
        found = await asyncio.to_thread(resolve, asked, ledger, asking.snapshot, target)
        if found.needs.are_met:
            return found, asking.snapshot
        await asking.meet(found.needs)
        if len(asking.snapshot.projects) > MOST_KNOWN:
            break
    raise ModsTooWide(limit=MOST_PROJECTS)


class _Asking:
    """What was fetched for one plan, in no more questions than one plan may take."""

    def __init__(self, offers: Offers, target: Target) -> None:
        self.snapshot = Snapshot()
        self._offers = offers
        self._target = target
        self._questions = 0

    async def meet(self, needs: Needs) -> None:
        """Have the snapshot hold what is lacking; raise ModsTooWide before more is asked than may be."""
        self._count(_batches(needs.refs))
        self.snapshot = self.snapshot.with_more(projects=await self._offers.fetch_projects(list(needs.refs)))
        small, large = _sort(needs, self.snapshot)
        wanted = [*needs.versions, *(version for versions in small.values() for version in versions)]
        self._count(_batches(wanted) + len(large))
        versions = await self._offers.fetch_versions(wanted)
        listed = {project: await self._offers.fetch_listing(project, self._target) for project in large}
        gathered = {
            project: tuple(found for each in ids if (found := versions.get(each)) and found.project_id == project)
            for project, ids in small.items()
        }
        self.snapshot = self.snapshot.with_more(versions=versions, listings={**listed, **gathered})

    def _count(self, questions: int) -> None:
        self._questions += questions
        if self._questions > MOST_QUESTIONS:
            raise ModsTooWide(limit=MOST_QUESTIONS, of="questions to Modrinth")


def _batches(keys: Sequence[str]) -> int:
    return -(-len(keys) // BATCH)


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
