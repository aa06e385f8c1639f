"""Plans over whatever an index says: chains and circles of needs, and ones without an end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from zlh_api.mods.model import Edge, Project, RemoteFile, Target, Version
from zlh_api.mods.planning import MOST_KNOWN, MOST_ROUNDS, plan
from zlh_api.mods.refusals import ModsTooWide
from zlh_common.schema.mods import ModLedger, ModWish, PlanMods

FABRIC = Target(("fabric",), "1.21.8")
WISH = PlanMods(install=(ModWish(project="m0"),))


class Index:
    """Knows a mod of every number; `needs` says which others each one needs."""

    def __init__(self, width: int = 1, circle: int | None = None) -> None:
        self.width, self.circle = width, circle
        self.asked = 0

    def needs(self, number: int) -> list[int]:
        """Return the mods that one needs."""
        following = [number * self.width + each + 1 for each in range(self.width)]
        return following if self.circle is None else [each % self.circle for each in following]

    async def fetch_projects(self, refs: list[str]) -> dict[str, Project | None]:
        """Return them, whatever is asked for."""
        self.asked += 1
        return {ref: Project(ref, ref, ref.upper(), "mod", "both", (f"{ref}v",)) for ref in refs}

    async def fetch_versions(self, ids: list[str]) -> dict[str, Version | None]:
        """Return them, each with its needs."""
        return {each: self.version(each) for each in ids}

    async def fetch_listing(self, project: str, target: Target) -> tuple[Version, ...]:
        """Return the one version that there is."""
        return (self.version(f"{project}v"),)

    def version(self, version_id: str) -> Version:
        """Return a version."""
        project = version_id.removesuffix("v")
        edges = tuple(Edge("required", f"m{each}") for each in self.needs(int(project[1:])))
        file = RemoteFile(f"{project}.jar", f"https://cdn.example.net/{project}.jar", 1, "0" * 128)
        published = datetime(2026, 1, 1, tzinfo=UTC)
        return Version(
            version_id, project, "1", "release", FABRIC.loaders, ("1.21.8",), published, edges=edges, file=file
        )


async def test_a_circle_of_needs_is_walked_once() -> None:
    """Each of them comes along, and the plan is possible."""
    found, _ = await plan(Index(circle=5), WISH, ModLedger(), FABRIC)
    assert found.is_possible
    assert sorted(found.chosen) == ["m0", "m1", "m2", "m3", "m4"]


async def test_a_chain_without_an_end_is_given_up() -> None:
    """By its length: nobody is asked for ever."""
    index = Index()
    with pytest.raises(ModsTooWide):
        await plan(index, WISH, ModLedger(), FABRIC)
    assert index.asked <= MOST_ROUNDS


async def test_a_tree_without_an_end_is_no_plan() -> None:
    """By the number of mods, after few questions, and the plan says so."""
    index = Index(width=3)
    found, snapshot = await plan(index, WISH, ModLedger(), FABRIC)
    assert not found.is_possible
    assert "mods_too_many" in {problem.code for problem in found.problems}
    assert len(snapshot.projects) <= MOST_KNOWN
    assert index.asked < 20
