"""What is known of projects and their versions, as far as plans are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from zlh_common.schema.mods import Environment, PlanProblem, ReleaseChannel

NeedKind = Literal["required", "optional", "incompatible", "embedded"]
# Ids in one question to Modrinth: some 1.5 KB of it.
BATCH = 100
# A project of so few versions is asked for with others in one question, whatever its versions are for.
FEW_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Edge:
    """What a version says of another project: by its id, by a version of it, by both, or by the name of a file."""

    kind: NeedKind
    project_id: str | None = None
    version_id: str | None = None
    # Of something that is not there: a project elsewhere.
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """The one file of a version that servers take."""

    name: str
    url: str
    size: int
    sha512: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a project; without a `file` it cannot be had, and `trouble` says why."""

    id: str
    project_id: str
    number: str
    channel: ReleaseChannel
    loaders: tuple[str, ...]
    game_versions: tuple[str, ...]
    published_at: datetime
    edges: tuple[Edge, ...] = ()
    file: RemoteFile | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """One project; `version_ids` are all that it has, in no order, where they are FEW_VERSIONS at most; else some."""

    id: str
    slug: str
    title: str
    # "mod", "modpack" …
    kind: str
    environment: Environment
    version_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What mods must be made for: loaders, the best one first, and the game's version where there is one."""

    loaders: tuple[str, ...]
    game_version: str | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be fetched before a plan can be made, each sorted: ids or slugs, projects to list, ids of versions."""

    refs: tuple[str, ...] = ()
    listings: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def are_met(self) -> bool:
        """Whether nothing is lacking."""
        return not (self.refs or self.listings or self.versions)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was fetched so far. What was asked for and is not there stands in it as None."""

    # By id or slug, as it was asked for.
    projects: Mapping[str, Project | None] = field(default_factory=dict)
    # All versions of a project that may fit the target.
    listings: Mapping[str, tuple[Version, ...]] = field(default_factory=dict)
    versions: Mapping[str, Version | None] = field(default_factory=dict)

    def find_version(self, version_id: str) -> Version | None:
        """Return a version, wherever it came in."""
        return self.versions.get(version_id)

    def with_more(
        self,
        *,
        projects: Mapping[str, Project | None] | None = None,
        listings: Mapping[str, tuple[Version, ...]] | None = None,
        versions: Mapping[str, Version | None] | None = None,
    ) -> Snapshot:
        """Return a snapshot that holds this besides; a project that came in by its slug is known by its id as well."""
        given = {**self.projects, **(projects or {})}
        by_id = {project.id: project for project in given.values() if project}
        listed = {version.id: version for listing in (listings or {}).values() for version in listing}
        return replace(
            self,
            projects={**given, **by_id},
            listings={**self.listings, **(listings or {})},
            versions={**self.versions, **listed, **(versions or {})},
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """One project of the outcome; `version` is None where what the ledger knows stays."""

    project_id: str
    slug: str
    title: str
    version_id: str
    number: str
    channel: ReleaseChannel
    file_name: str
    edges: tuple[Edge, ...]
    is_enabled: bool = True
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What there should be, by project; what is wrong with it; and what must be fetched before it is final."""

    chosen: Mapping[str, Chosen]
    problems: tuple[PlanProblem, ...]
    needs: Needs
    # Projects of the ledger that go.
    removed: tuple[str, ...]
    # Those that somebody asked for, now or before.
    asked_for: frozenset[str]
    # Disabled ones that a new mod needs.
    enabled_again: tuple[str, ...]
    # For each project the others that need it.
    needed_by: Mapping[str, tuple[str, ...]]

    @property
    def is_possible(self) -> bool:
        """Whether it can be carried out as it is."""
        return self.needs.are_met and not any(problem.is_fatal for problem in self.problems)
