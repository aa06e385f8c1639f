"""Graphs of mods as no service has them: projects and versions by a few words, and a ledger that came of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from zlh_api.mods.model import Edge, Needs, Project, RemoteFile, Resolution, Snapshot, Target, Version
from zlh_api.mods.plan_rules import render_acts
from zlh_api.mods.resolving_rules import resolve
from zlh_common.schema.mods import (
    Environment,
    LedgerEntry,
    ModLedger,
    ModWish,
    PlanMods,
    PutMod,
    ReleaseChannel,
    RemoveMod,
)

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
FABRIC = Target(("fabric",), "1.21.8")


def edge(kind: str, project: str | None = None, version: str | None = None) -> Edge:
    """Return an edge to a project, a version, or both."""
    return Edge(kind, project, version)  # type: ignore[arg-type]


@dataclass
class Graph:
    """Everything that there is; what a resolver asks for is handed out piece by piece."""

    projects: dict[str, Project] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    rounds: int = 0

    def project(
        self, name: str, *, environment: Environment = "both", kind: str = "mod", title: str | None = None
    ) -> str:
        """Add a project whose id is its name and whose slug is the name behind `slug-`."""
        self.projects[name] = Project(name, f"slug-{name}", title or name.upper(), kind, environment)
        return name

    def version(
        self,
        project: str,
        number: int,
        *edges: Edge,
        channel: ReleaseChannel = "release",
        loaders: tuple[str, ...] = ("fabric",),
        games: tuple[str, ...] = ("1.21.8",),
        file_name: str | None = None,
        trouble: str = "",
    ) -> str:
        """Add a version, the newer the higher its number, and its project where it lacks; return its id."""
        if project not in self.projects:
            self.project(project)
        identity = f"{project}-v{number}"
        name = file_name or f"{project}-{number}.jar"
        digest = f"{len(self.versions):0128x}"
        file = None if trouble else RemoteFile(name, f"https://cdn.example.net/{name}", 100 + number, digest)
        self.versions[identity] = Version(
            identity,
            project,
            f"{number}.0",
            channel,
            loaders,
            games,
            BEGIN + timedelta(days=number),
            edges,
            file,
            trouble,
        )
        return identity

    def answer(self, needs: Needs, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with what is lacking."""
        self.rounds += 1
        by_slug = {project.slug: project for project in self.projects.values()}
        return snapshot.with_more(
            projects={ref: self.projects.get(ref) or by_slug.get(ref) for ref in needs.refs},
            listings={p: tuple(v for v in self.versions.values() if v.project_id == p) for p in needs.listings},
            versions={version: self.versions.get(version) for version in needs.versions},
        )

    def resolve(
        self, asked: PlanMods, ledger: ModLedger | None = None, target: Target = FABRIC
    ) -> tuple[Resolution, Snapshot]:
        """Return what a wish comes to, and what had to be known for it."""
        snapshot = Snapshot()
        for _ in range(200):
            found = resolve(asked, ledger or ModLedger(), snapshot, target)
            if found.needs.are_met:
                return found, snapshot
            snapshot = self.answer(found.needs, snapshot)
        raise AssertionError("it never has enough")


def carry_out(resolution: Resolution, ledger: ModLedger, snapshot: Snapshot) -> ModLedger:
    """Return the ledger after the acts of a resolution were done."""
    acts = render_acts(resolution, ledger, snapshot, actor="someone", reason="", now=BEGIN)
    entries: dict[str, LedgerEntry] = {entry.file.project_id: entry for entry in ledger.entries}
    for act in acts:
        match act:
            case PutMod(entry=entry):
                entries[entry.file.project_id] = entry
            case RemoveMod(project_id=project):
                del entries[project]
            case _:
                pass
    return ModLedger(revision=ledger.revision + 1, entries=tuple(entries.values()))


def installed(graph: Graph, *projects: str, target: Target = FABRIC) -> ModLedger:
    """Return the ledger of a server on which these were asked for."""
    return grow(graph, ModLedger(), *projects, target=target)


def grow(graph: Graph, ledger: ModLedger, *projects: str, target: Target = FABRIC) -> ModLedger:
    """Return the ledger after these were asked for as well."""
    found, snapshot = graph.resolve(wish(*projects), ledger, target)
    assert found.is_possible, found.problems
    return carry_out(found, ledger, snapshot)


def wish(*projects: str, channel: ReleaseChannel = "release") -> PlanMods:
    """Return the wish for the newest of each of some projects; `project@version` for one version."""

    def one(text: str) -> ModWish:
        project, _, version = text.partition("@")
        return ModWish(project=project, version=version or None)

    return PlanMods(install=tuple(one(text) for text in projects), channel=channel)


def versions_of(resolution: Resolution) -> dict[str, str]:
    """Return what is chosen, as project to version."""
    return {project: chosen.version_id for project, chosen in resolution.chosen.items()}


def codes_of(resolution: Resolution, *, is_fatal: bool | None = None) -> list[str]:
    """Return the codes of what is wrong."""
    problems: Iterable[str] = (
        problem.code for problem in resolution.problems if is_fatal is None or problem.is_fatal == is_fatal
    )
    return list(problems)
