"""From what is there and what is wished to the mods that there should be: pure, over what was fetched so far.

`resolve` walks from everything that is to stay along required edges and chooses one version for each project:

    pinned, or kept ── the version of the ledger
    wished by id ───── that version
    demanded ───────── the one version that a mod which is chosen cannot do without
    else ───────────── the newest that fits, within the channel

What it lacks it names in `needs`; whoever calls it fetches that and calls again, until nothing is lacking. A demand for
one version may change what is chosen, so the walk is repeated; demands are only ever added, and each stands in
the snapshot, so it ends. What is found wrong is a problem, never left out silently: a fatal one makes the plan
impossible. An edge `embedded` of a mod that somebody asked for, or that stays, fulfils what others need of the
project at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC

from zlh_api.mods.fitting_rules import (
    CHANNELS,
    describe_target,
    explain_none,
    find_newest,
    fits_game,
    loader_rank,
)
from zlh_api.mods.model import Chosen, Edge, Needs, Project, Resolution, Snapshot, Target, Version
from zlh_api.mods.wish_rules import Asked, read_wish, render_problem
from zlh_common.schema.mods import LedgerEntry, ModLedger, ModWish, PlanMods, PlanProblem, ReleaseChannel

# Of one server: what is more than that is no plan of a person.
MOST_PROJECTS = 1000
# Each turn finds a further demand for one version; real mods need one or two.
MOST_TURNS = 50
# Of those who demand one version each, as many are told, and asked about, as anybody reads.
MOST_SIDES = 5
SERVER_KINDS = ("mod", "plugin")


def resolve(asked: PlanMods, ledger: ModLedger, snapshot: Snapshot, target: Target) -> Resolution:
    """Return what the mods come to when this is done; see the module."""
    demands: dict[str, dict[str, str]] = {}
    for _turn in range(MOST_TURNS):
        walk = _walk(asked, ledger, snapshot, target, demands)
        found = walk.find_demands()
        if all(version in demands.get(project, {}) for project, versions in found.items() for version in versions):
            return walk.finish()
        demands = {project: {**found.get(project, {}), **demands.get(project, {})} for project in {*demands, *found}}
    return _walk(asked, ledger, snapshot, target, demands).finish(is_settled=False)


def _walk(
    asked: PlanMods, ledger: ModLedger, snapshot: Snapshot, target: Target, demands: Mapping[str, Mapping[str, str]]
) -> _Walk:
    walk = _Walk(read_wish(asked, ledger, snapshot), snapshot, target, demands)
    walk.run()
    return walk


class _Walk:
    """One walk, with the demands that are known before it."""

    def __init__(
        self, asked: Asked, snapshot: Snapshot, target: Target, demands: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._asked = asked
        self._snapshot = snapshot
        self._target = target
        self._demands = demands
        self._chosen: dict[str, Chosen | None] = {}
        self._problems: list[PlanProblem] = list(asked.problems)
        self._refs: set[str] = set(asked.missing_refs)
        self._listings: set[str] = set()
        self._versions: set[str] = set()
        self._enabled_again: set[str] = set()
        self._embedded: set[str] = set()

    def run(self) -> None:
        """Choose for the roots, then for all that they need, in the order in which it is found."""
        for project in self._asked.roots:
            self._take(project)
        self._embedded = {
            embedded
            for chosen in self._live()
            for edge in chosen.edges
            if edge.kind == "embedded" and (embedded := self._project_of(edge))
        }
        waiting, done = deque(self._asked.roots), set[str]()
        while waiting and len(self._chosen) <= MOST_PROJECTS:
            project = waiting.popleft()
            chosen = self._chosen.get(project)
            if chosen is None or project in done or not self._is_live(chosen):
                continue
            done.add(project)
            for edge in chosen.edges:
                needed = self._follow(chosen, edge)
                if needed is None:
                    continue
                if needed not in self._chosen:
                    self._take(needed)
                if needed not in done:
                    waiting.append(needed)

    def find_demands(self) -> dict[str, dict[str, str]]:
        """Return for each project the versions that are demanded of it, and the title of who demands it."""
        found: dict[str, dict[str, str]] = {}
        for chosen in self._live():
            for edge in chosen.edges:
                project = self._project_of(edge) if edge.kind == "required" else None
                if project and edge.version_id and project != chosen.project_id:
                    found.setdefault(project, {}).setdefault(edge.version_id, chosen.title)
        return found

    def finish(self, *, is_settled: bool = True) -> Resolution:
        """Look at the whole, and return it."""
        if not is_settled:
            message = "These mods demand versions of each other in a way that comes to no end; ask for fewer of them."
            self._tell(code="mods_unsettled", message=message)
        self._tell_incompatible()
        self._tell_same_files()
        self._tell_options()
        chosen = {project: each for project, each in self._chosen.items() if each}
        if len(chosen) > MOST_PROJECTS:
            self._tell(
                code="mods_too_many",
                message=f"A server takes {MOST_PROJECTS} mods at most; this comes to {len(chosen)}.",
            )
        asked_for = {project for project, entry in self._asked.entries.items() if entry.is_asked_for}
        return Resolution(
            chosen=chosen,
            problems=tuple(_once(self._problems)),
            needs=Needs(
                refs=tuple(sorted(self._refs)),
                listings=tuple(sorted(self._listings)),
                versions=tuple(sorted(self._versions)),
            ),
            removed=tuple(project for project in self._asked.entries if project not in self._chosen),
            asked_for=frozenset((asked_for | self._asked.wishes.keys()) & chosen.keys()),
            enabled_again=tuple(sorted(self._enabled_again)),
            needed_by=self._find_needed_by(),
        )

    # What is chosen

    def _take(self, project: str) -> None:
        self._chosen[project] = None
        self._chosen[project] = self._choose(project)

    def _choose(self, project: str) -> Chosen | None:
        entry, wish = self._asked.entries.get(project), self._asked.wishes.get(project)
        demanded = self._demands.get(project, {})
        fixed = self._find_fixed(project, entry, wish)
        if fixed is not None and any(version != fixed for version in demanded):
            return self._refuse_conflict(project, fixed, demanded, entry)
        if len(demanded) > 1:
            return self._refuse_conflict(project, None, demanded, entry)
        version_id = fixed or next(iter(demanded), None)
        if entry is not None and (version_id == entry.file.version_id or self._keeps(project, version_id)):
            self._note_held(project, entry, demanded)
            return _keep(entry)
        found = self._find_by_id(project, version_id) if version_id else self._find_newest(project, wish)
        if found is None:
            return _keep(entry) if entry else None
        return self._weigh(found, entry, wish)

    def _find_fixed(self, project: str, entry: LedgerEntry | None, wish: ModWish | None) -> str | None:
        """Return the one version that people have said, by a pin or by a wish."""
        wished = wish.version if wish else None
        if entry is None or not entry.is_pinned:
            return wished
        if wished not in {None, entry.file.version_id}:
            message = f"{entry.file.title} is pinned to {entry.file.version_number}; unpin it to have another version."
            self._tell(code="mod_pinned", message=message, project=project)
        elif wish or project in self._asked.updates:
            message = f"{entry.file.title} stays at {entry.file.version_number}, since it is pinned."
            self._tell(code="mod_stays_pinned", message=message, project=project, is_fatal=False)
        return entry.file.version_id

    def _keeps(self, project: str, version_id: str | None) -> bool:
        return version_id is None and project not in self._asked.updates and project not in self._asked.wishes

    def _note_held(self, project: str, entry: LedgerEntry, demanded: Mapping[str, str]) -> None:
        if demanded and not entry.is_pinned and project in self._asked.updates:
            message = (
                f"{entry.file.title} stays at {entry.file.version_number},"
                f" since {next(iter(demanded.values()))} needs that version."
            )
            self._tell(code="mod_held_back", message=message, project=project, is_fatal=False)

    def _find_by_id(self, project: str, version_id: str) -> tuple[Project, Version] | None:
        about, version = self._know(project), self._snapshot.find_version(version_id)
        if version_id not in self._snapshot.versions:
            self._versions.add(version_id)
        if about is None or version_id not in self._snapshot.versions or not self._is_for_servers(about):
            return None
        if version is None or version.project_id != project:
            self._tell(
                code="mod_version_not_found", message=f"{about.title} has no version {version_id}.", project=project
            )
            return None
        return self._check_named(about, version)

    def _check_named(self, about: Project, version: Version) -> tuple[Project, Version] | None:
        """Take a version that somebody has named: other loaders are out of the question, other games are told."""
        fit = f"{about.title} {version.number} is not made for {describe_target(self._target)}"
        if loader_rank(version, self._target) is None:
            self._tell(code="mod_does_not_fit", message=f"{fit}.", project=about.id)
            return None
        if version.file is None:
            self._tell(
                code="mod_file_refused",
                message=f"{about.title} {version.number} cannot be taken: {version.trouble}.",
                project=about.id,
            )
            return None
        if not fits_game(version, self._target):
            self._tell(
                code="mod_does_not_fit", message=f"{fit}, as far as its author says.", project=about.id, is_fatal=False
            )
        return about, version

    def _find_newest(self, project: str, wish: ModWish | None) -> tuple[Project, Version] | None:
        about = self._know(project)
        if about is None or not self._is_for_servers(about):
            return None
        listing = self._snapshot.listings.get(project)
        if listing is None:
            self._listings.add(project)
            return None
        channel = _riskier(self._asked.channel, wish.channel if wish else "release")
        version = find_newest(listing, self._target, channel)
        if version is not None:
            return about, version
        entry = self._asked.entries.get(project)
        why = explain_none(about.title, listing, self._target, channel)
        self._tell(code=why.code, message=why.message, project=project, is_fatal=entry is None)
        return None

    def _weigh(self, found: tuple[Project, Version], entry: LedgerEntry | None, wish: ModWish | None) -> Chosen:
        """Put a version in place of what is there, where that is no step back that nobody has asked for."""
        about, version = found
        if entry is not None and self._is_back(version, entry):
            file = entry.file
            if wish is None and about.id in self._asked.updates and about.id not in self._demands:
                message = (
                    f"{file.title} stays at {file.version_number}: the newest that fits, {version.number}, is older."
                )
                self._tell(code="mod_kept_newer", message=message, project=about.id, is_fatal=False)
                return _keep(entry)
            message = f"{file.title} goes back from {file.version_number} to {version.number}."
            self._tell(code="mod_downgrade", message=message, project=about.id, is_fatal=False)
        if entry is not None and version.id == entry.file.version_id:
            return _keep(entry)
        return _put(about, version, is_enabled=entry.is_enabled if entry else True)

    def _is_back(self, version: Version, entry: LedgerEntry) -> bool:
        """Tell whether a version was published before the one that is there, as far as that is known."""
        known = self._snapshot.find_version(entry.file.version_id)
        before = known.published_at if known else entry.file.published_at
        if version.id == entry.file.version_id or before is None:
            return False
        return version.published_at < (before if before.tzinfo else before.replace(tzinfo=UTC))

    # What is known

    def _know(self, project: str) -> Project | None:
        if project not in self._snapshot.projects:
            self._refs.add(project)
            return None
        about = self._snapshot.projects[project]
        if about is None:
            self._tell(code="mod_not_found", message=f"Modrinth has no project {project}.", project=project)
        return about

    def _is_for_servers(self, about: Project) -> bool:
        if about.kind not in SERVER_KINDS:
            self._tell(
                code="mod_wrong_kind",
                message=f"{about.title} is a {about.kind}, which cannot be put beside mods.",
                project=about.id,
            )
            return False
        if about.environment == "client":
            self._tell(
                code="mod_client_only",
                message=f"{about.title} works in the game of a player alone, not on a server.",
                project=about.id,
            )
            return False
        return True

    def _project_of(self, edge: Edge) -> str | None:
        """Return the project at the other end; where a version alone is named, it must be known whose it is."""
        if edge.project_id or not edge.version_id:
            return edge.project_id
        if edge.version_id not in self._snapshot.versions:
            self._versions.add(edge.version_id)
            return None
        version = self._snapshot.versions[edge.version_id]
        return version.project_id if version else None

    # Edges

    def _follow(self, chosen: Chosen, edge: Edge) -> str | None:
        """Return the project that an edge asks for and that is to be had; None where there is nothing to do."""
        if edge.kind != "required":
            return None
        project = self._project_of(edge)
        if project is None:
            self._tell_nameless(chosen, edge)
            return None
        if project == chosen.project_id or (project in self._embedded and project not in self._chosen):
            return None
        if project in self._asked.removals:
            entry = self._asked.entries.get(project)
            title = entry.file.title if entry else project
            self._tell(
                code="mod_still_needed",
                message=f"{title} cannot be removed, since {chosen.title} needs it.",
                project=project,
            )
            return None
        self._enable_again(chosen, project)
        return project

    def _enable_again(self, chosen: Chosen, project: str) -> None:
        there = self._chosen.get(project)
        if chosen.version is None or there is None or there.is_enabled or project in self._enabled_again:
            return
        self._enabled_again.add(project)
        message = f"{there.title} is disabled, and {chosen.title} needs it: it is enabled again."
        self._tell(code="mod_enabled_again", message=message, project=project, is_fatal=False)

    def _tell_nameless(self, chosen: Chosen, edge: Edge) -> None:
        if edge.version_id and edge.version_id in self._snapshot.versions:
            message = f"{chosen.title} needs the version {edge.version_id} of a mod that Modrinth does not have."
            self._tell(code="mod_version_not_found", message=message, project=chosen.project_id)
        elif edge.file_name and not edge.version_id:
            message = f"{chosen.title} needs {edge.file_name[:100]}, which is not at Modrinth: see that it is there."
            self._tell(code="mod_external_need", message=message, project=chosen.project_id, is_fatal=False)

    # What is wrong

    def _refuse_conflict(
        self, project: str, fixed: str | None, demanded: Mapping[str, str], entry: LedgerEntry | None
    ) -> Chosen | None:
        about = self._snapshot.projects.get(project)
        if entry is None and project not in self._snapshot.projects:
            self._refs.add(project)
        told = sorted(demanded.items())[:MOST_SIDES]
        self._versions |= {version for version, _ in told if version not in self._snapshot.versions}
        title = about.title if about else entry.file.title if entry else project
        sides = [f"{who} needs {self._number_of(version)}" for version, who in told]
        if len(demanded) > len(told):
            sides.append(f"{len(demanded) - len(told)} more need others")
        if fixed is not None:
            sides.append(f"{self._number_of(fixed, entry)} is what was asked for or pinned")
        self._tell(
            code="mods_conflict",
            message=f"{title} cannot be there in several versions: {', '.join(sides)}.",
            project=project,
        )
        return _keep(entry) if entry else None

    def _number_of(self, version_id: str, entry: LedgerEntry | None = None) -> str:
        if entry is not None and entry.file.version_id == version_id:
            return entry.file.version_number
        version = self._snapshot.find_version(version_id)
        return version.number if version else version_id

    def _tell_incompatible(self) -> None:
        for chosen in self._live():
            for edge in chosen.edges:
                if edge.kind != "incompatible":
                    continue
                other = self._chosen.get(self._project_of(edge) or "")
                if other is None or other is chosen or not self._is_live(other):
                    continue
                if edge.version_id in {None, other.version_id}:
                    message = (
                        f"{chosen.title} and {other.title} do not work together, as the author of {chosen.title} says."
                    )
                    self._tell(code="mods_incompatible", message=message, project=chosen.project_id)

    def _tell_same_files(self) -> None:
        owners: dict[str, Chosen] = {}
        for chosen in self._chosen.values():
            if chosen is None:
                continue
            other = owners.setdefault(chosen.file_name, chosen)
            if other is not chosen:
                message = f"{chosen.title} and {other.title} are both a file {chosen.file_name}."
                self._tell(code="mods_same_file", message=message, project=chosen.project_id)

    def _tell_options(self) -> None:
        """Name what new mods can make use of, which is had by asking for it alone."""
        for chosen in self._live():
            if chosen.version is None:
                continue
            for edge in chosen.edges:
                project = self._project_of(edge) if edge.kind == "optional" else None
                if project is None or project in self._chosen:
                    continue
                if project not in self._snapshot.projects:
                    self._refs.add(project)
                elif about := self._snapshot.projects[project]:
                    message = f"{chosen.title} can make use of {about.title}, which is not asked for."
                    self._tell(code="mod_optional", message=message, project=project, is_fatal=False)

    def _tell(self, *, code: str, message: str, project: str | None = None, is_fatal: bool = True) -> None:
        self._problems.append(render_problem(code=code, message=message, project=project, is_fatal=is_fatal))

    # The whole

    def _live(self) -> list[Chosen]:
        return [each for each in self._chosen.values() if each and self._is_live(each)]

    def _is_live(self, chosen: Chosen) -> bool:
        return chosen.is_enabled or chosen.project_id in self._enabled_again

    def _find_needed_by(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for chosen in self._live():
            for edge in chosen.edges:
                if edge.kind == "required" and (project := self._project_of(edge)) in self._chosen:
                    found.setdefault(project or "", []).append(chosen.project_id)
        return {project: tuple(dict.fromkeys(others)) for project, others in found.items()}


def _keep(entry: LedgerEntry) -> Chosen:
    file = entry.file
    edges = tuple(Edge(need.kind, need.project_id, need.version_id) for need in file.needs)
    return Chosen(
        file.project_id, file.slug, file.title, file.version_id, file.version_number, file.channel, file.file_name,
        edges, is_enabled=entry.is_enabled,
    )  # fmt: skip


def _put(about: Project, version: Version, *, is_enabled: bool) -> Chosen:
    assert version.file is not None
    return Chosen(
        about.id, about.slug, about.title, version.id, version.number, version.channel, version.file.name,
        version.edges, is_enabled=is_enabled, version=version,
    )  # fmt: skip


def _riskier(one: ReleaseChannel, other: ReleaseChannel) -> ReleaseChannel:
    return max(one, other, key=CHANNELS.index)


def _once(problems: Iterable[PlanProblem]) -> list[PlanProblem]:
    return list(dict.fromkeys(problems))
