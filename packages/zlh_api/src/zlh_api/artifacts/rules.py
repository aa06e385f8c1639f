"""Pure decisions of the publisher: the catalog from the records, the tree, what is due."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any, Literal, TypeVar

import msgspec

from zlh_api.artifacts.model import BuildRecord, Decisions, Layout
from zlh_common.schema.catalog import (
    CATALOG_FORMAT,
    Artifact,
    Catalog,
    CatalogAddon,
    CatalogRuntime,
    CatalogTemplate,
    CatalogVersion,
    Channel,
    OfferKind,
)
from zlh_common.tree_rules import find_link_fault, find_name_fault, find_namesakes, is_plain_target
from zlh_common.version_order import version_order

ROOT_LIFE = timedelta(days=3650)
TARGETS_LIFE = timedelta(days=365)
# Long enough that an artifact server may be down over a holiday, short enough that a frozen catalog is noticed.
SHORT_LIFE = timedelta(days=14)
REFRESH_EVERY = timedelta(days=1)
# The yearly signature is renewed by the daily run well before clients would refuse it.
TARGETS_RENEWAL = timedelta(days=60)

O = TypeVar("O", CatalogRuntime, CatalogAddon, CatalogTemplate)  # noqa: E741
CatalogOffer = CatalogRuntime | CatalogAddon | CatalogTemplate


def render_catalog(
    records: Iterable[BuildRecord], *, published_at: datetime, decisions: Decisions | None = None
) -> Catalog:
    """Return the catalog of all built archives: runtimes by name, versions newest first, one default per runtime."""
    decided = decisions or Decisions()
    latest = [
        msgspec.structs.replace(record, channel=channel_of(record, decided))
        for record in latest_revisions(records)
        if record.offered_version not in decided.withdrawn
    ]
    return Catalog(
        format=CATALOG_FORMAT,
        published_at=published_at,
        runtimes=_render_kind("runtime", latest, CatalogRuntime, decided),
        addons=_render_kind("addon", latest, CatalogAddon, decided),
        templates=_render_kind("template", latest, CatalogTemplate, decided),
    )


def channel_of(record: BuildRecord, decisions: Decisions) -> Channel:
    """Return the channel that was decided for a version, else the one of its recipe."""
    return decisions.channels.get(record.offered_version, record.channel)


def offers_of(catalog: Catalog) -> dict[str, CatalogOffer]:
    """Return all that a catalog offers, by kind and name: `runtime/node`."""
    kinds: dict[OfferKind, tuple[CatalogOffer, ...]] = {
        "runtime": catalog.runtimes,
        "addon": catalog.addons,
        "template": catalog.templates,
    }
    return {f"{kind}/{offer.name}": offer for kind, offers in kinds.items() for offer in offers}


def artifacts_of(catalog: Catalog) -> list[Artifact]:
    """Return every archive that a catalog names."""
    versions = [version for offer in offers_of(catalog).values() for version in offer.versions]
    return [artifact for version in versions for artifact in version.artifacts]


def default_of(offer: CatalogOffer) -> str:
    """Return the version that is the default of a name."""
    return next((version.version for version in offer.versions if version.default), "")


def _render_kind(
    kind: OfferKind, records: list[BuildRecord], shape: Callable[..., O], decisions: Decisions
) -> tuple[O, ...]:
    meant = sorted((record for record in records if record.kind == kind), key=lambda record: record.name)
    return tuple(
        shape(name=name, **_render_offer(list(group), decisions.defaults.get(f"{kind}/{name}")))
        for name, group in groupby(meant, key=lambda record: record.name)
    )


def latest_revisions(records: Iterable[BuildRecord]) -> list[BuildRecord]:
    """Return, for each version and platform, the record of its highest revision."""
    chosen: dict[tuple[str, str, str, str], BuildRecord] = {}
    for record in records:
        key = (record.kind, record.name, record.version, record.platform)
        held = chosen.get(key)
        if held is None or held.revision < record.revision:
            chosen[key] = record
    return list(chosen.values())


def sort_newest_first(records: Iterable[BuildRecord]) -> list[BuildRecord]:
    """Return the records by version and revision, the newest first."""
    return sorted(records, key=lambda record: (version_order(record.version), record.revision), reverse=True)


def _render_offer(records: list[BuildRecord], decided: str | None) -> dict[str, Any]:
    newest_first = sort_newest_first(records)
    by_version: dict[str, list[BuildRecord]] = {}
    for record in newest_first:
        by_version.setdefault(record.version, []).append(record)
    default = _choose_default(newest_first, decided)
    versions = tuple(_render_version(group, is_default=version == default) for version, group in by_version.items())
    return {"title": newest_first[0].title, "versions": versions}


def _choose_default(newest_first: list[BuildRecord], decided: str | None) -> str:
    """Return the decided version, else the newest that its recipe calls the default, else the newest.

    A candidate is no default as long as there is a stable version: most clients would not see it.
    """
    eligible = [record for record in newest_first if record.channel == "stable"] or newest_first
    if any(record.version == decided for record in eligible):
        return decided or ""
    # A version that was the default of an older release is still there; the newest one that says so is meant.
    return next((record.version for record in eligible if record.default), eligible[0].version)


def _render_version(records: list[BuildRecord], *, is_default: bool) -> CatalogVersion:
    said = records[0]
    return CatalogVersion(
        version=said.version,
        channel=said.channel,
        default=is_default,
        edition=said.edition,
        licence=said.licence,
        artifacts=tuple(_render_artifact(record) for record in sorted(records, key=lambda record: record.platform)),
        bin=said.bin,
        environment=said.environment,
        smoke_test=said.smoke_test,
        smoke_expect=said.smoke_expect,
    )


def _render_artifact(record: BuildRecord) -> Artifact:
    return Artifact(
        platform=record.platform,
        path=record.path,
        size=record.size,
        unpacked_size=record.unpacked_size,
        sha256=record.sha256,
        entries=record.entries,
        source=record.source,
        source_sha256=record.source_sha256,
    )


def is_same_offer(one: Catalog, other: Catalog) -> bool:
    """Tell whether two catalogs offer the same, whenever each was published."""
    return (one.format, one.runtimes, one.addons, one.templates) == (
        other.format,
        other.runtimes,
        other.addons,
        other.templates,
    )


def is_refresh_due(last: datetime | None, now: datetime) -> bool:
    """Tell whether the short-lived signatures must be renewed; a clock that went backwards counts as due."""
    return last is None or now - last >= REFRESH_EVERY or now < last


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One file of a source, or a link where `target` says where it points; an absolute one starts at the source."""

    name: str
    size: int
    executable: bool
    target: str | None = None


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of the tree to be made.

    `origin` is a name in the source, a text's name, a program's text, or where a link points.
    """

    path: str
    kind: Literal["folder", "file", "text", "script", "link"]
    origin: str = ""
    size: int = 0
    executable: bool = False


class LayoutWrong(ValueError):
    """The layout names something that the source does not have."""


# Longer chains of links are loops, or somebody's idea of a joke.
MAX_LINKS = 40
# What every root file system of Debian has: ld.so, the C library, the compiler's, zlib.
BASE_LIBRARIES = re.compile(
    r"ld-linux-[a-z0-9-]+\.so\.\d|lib(c|m|dl|pthread|rt|util|resolv|crypt|gcc_s|stdc\+\+|z)\.so\.\d"
)


def is_safe_name(name: str) -> bool:
    """Tell whether a name of a source is a plain path below it."""
    parts = name.split("/")
    return len(name) <= 1024 and name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(parts)


def plan_tree(entries: Iterable[SourceEntry], layout: Layout) -> list[TreeEntry]:
    """Return the tree that `layout` makes of a source, sorted, each folder before what it holds.

    A link of the source stays one where it leads to something in the tree; where it leads to a file outside, that file
    takes its place. Raises LayoutWrong where the layout asks for what is not there: a recipe never silently makes less
    than it says.
    """
    by_name = {entry.name: entry for entry in entries}
    kept = dict(_kept(by_name, layout))
    inside = {*kept, *_folders(kept)}
    tree = _Named(by_name)
    planned = {path: _planned(path, by_name[name], tree, inside) for path, name in kept.items()}
    for path, origin in layout.copies.items():
        planned[path] = _file(path, tree.file(origin))
    for path, text in layout.texts.items():
        planned[path] = TreeEntry(path, "text", text)
    for path, text in layout.scripts.items():
        planned[path] = TreeEntry(path, "script", text, executable=True)
    for path, target in layout.links.items():
        planned[path] = TreeEntry(path, "link", target)
    if not planned:
        raise LayoutWrong(f"the source has nothing below {layout.root}")
    return arrange(planned.values())


def arrange(entries: Iterable[TreeEntry]) -> list[TreeEntry]:
    """Return the entries sorted, with the folders that they need.

    Every tree comes through here: raises LayoutWrong for a name or link that could lead out of it, or nowhere.
    """
    planned = {entry.path: entry for entry in entries if entry.kind != "folder"}
    folders = _folders(planned)
    for path in planned:
        if not is_safe_name(path):
            raise LayoutWrong(f"the unsafe name {path!r} would be in the tree")
        if fault := find_name_fault(path):
            raise LayoutWrong(f"{path!r} would be {fault}, which no agent takes")
        if path in folders:
            raise LayoutWrong(f"{path} is a file and a folder")
    if namesakes := find_namesakes([*sorted(folders), *planned]):
        raise LayoutWrong(
            f"{' and '.join(namesakes)} are told apart by case or composed letters alone, which no agent takes"
        )
    _check_links(planned, folders)
    return sorted(
        [*(TreeEntry(path, "folder") for path in folders), *planned.values()], key=lambda entry: entry.path.split("/")
    )


def _check_links(planned: Mapping[str, TreeEntry], folders: set[str]) -> None:
    targets = {path: entry.origin for path, entry in planned.items() if entry.kind == "link"}
    inside = {*planned, *folders}
    for path, target in targets.items():
        if not is_plain_target(target) or resolve_link(path, target) not in inside:
            raise LayoutWrong(f"the link {path} leads to {target}, which is not in the tree")
        if fault := find_link_fault(path, targets):
            raise LayoutWrong(f"{path} would be {fault}, which no agent takes")


def _kept(by_name: dict[str, SourceEntry], layout: Layout) -> Iterable[tuple[str, str]]:
    """Yield path in the tree and name in the source of everything that stays."""
    prefix = f"{layout.root}/" if layout.root else ""
    used: set[str] = set()
    for name in by_name:
        if not name.startswith(prefix):
            continue
        path = name.removeprefix(prefix)
        if not is_safe_name(path):
            raise LayoutWrong(f"the source has the unsafe name {name!r}")
        wanted = [pattern for pattern in layout.keep if fnmatchcase(path, pattern)]
        unwanted = [pattern for pattern in layout.leave_out if fnmatchcase(path, pattern)]
        used.update(wanted, unwanted)
        if (wanted or not layout.keep) and not unwanted:
            yield path, name
    for what, patterns in (("keep", layout.keep), ("leave_out", layout.leave_out)):
        unused = [pattern for pattern in patterns if pattern not in used]
        if unused:
            raise LayoutWrong(f"nothing matches {what} {', '.join(unused)}")


class _Named:
    """The names of a source, and where its links lead in the end."""

    def __init__(self, by_name: dict[str, SourceEntry]) -> None:
        self._by_name, self._folders = by_name, _folders(by_name)

    def file(self, name: str) -> SourceEntry:
        """Return the file that a name stands for; raise LayoutWrong."""
        found, seen = self._follow(name)
        if found is None:
            raise LayoutWrong(f"the source has no {name}" + (f": it leads to {seen}" if seen != name else ""))
        return found

    def check_leads_somewhere(self, name: str) -> None:
        """Raise LayoutWrong for a link that ends neither at a file nor at a folder."""
        found, seen = self._follow(name)
        if found is None and seen not in self._folders:
            raise LayoutWrong(f"the link {name} of the source leads to {seen}, which is not there")

    def _follow(self, name: str) -> tuple[SourceEntry | None, str | None]:
        seen: str | None = name
        for _ in range(MAX_LINKS):
            entry = self._by_name.get(seen) if seen is not None else None
            if entry is None:
                return None, seen
            if entry.target is None:
                return entry, seen
            is_absolute = entry.target.startswith("/")
            seen = entry.target.strip("/") if is_absolute else resolve_link(entry.name, entry.target)
        return None, None


def _planned(path: str, entry: SourceEntry, tree: _Named, inside: set[str]) -> TreeEntry:
    if entry.target is None:
        return _file(path, entry)
    if not entry.target.startswith("/") and resolve_link(path, entry.target) in inside:
        tree.check_leads_somewhere(entry.name)
        return TreeEntry(path, "link", entry.target)
    return _file(path, tree.file(entry.name))


def _file(path: str, entry: SourceEntry) -> TreeEntry:
    return TreeEntry(path, "file", entry.name, entry.size, entry.executable)


def resolve_link(link: str, target: str) -> str | None:
    """Return where a relative link leads, by its text alone; None where that is outside."""
    parts = link.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _folders(planned: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in planned:
        parts = path.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return found


def relative_folder(path: str, folder: str) -> str:
    """Return the way from the folder that holds `path` to `folder`: ("bin/x", "lib") → "../lib"."""
    here, there = path.split("/")[:-1], folder.split("/")
    shared = 0
    while shared < min(len(here), len(there)) and here[shared] == there[shared]:
        shared += 1
    return "/".join([*[".."] * (len(here) - shared), *there[shared:]]) or "."


def is_of_line(version: str, line: str) -> bool:
    """Tell whether `version` is one of the line: 17.0.21 of 17, but not 170."""
    return version == line or version.startswith(f"{line}.")


def versions_to_drop(present: Iterable[int], *, current: int, keep: int) -> list[int]:
    """Return the versions that no client can still need: those older than the `keep` before the current one."""
    return sorted(version for version in present if version < current - keep)
