"""Pure decisions of the publisher: the order of versions, the catalog from the records, the tree, what is due."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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

ROOT_LIFE = timedelta(days=3650)
TARGETS_LIFE = timedelta(days=365)
# Long enough that an artifact server may be down over a holiday, short enough that a frozen catalog is noticed.
SHORT_LIFE = timedelta(days=14)
REFRESH_EVERY = timedelta(days=1)
# The yearly signature is renewed by the daily run well before clients would refuse it.
TARGETS_RENEWAL = timedelta(days=60)

O = TypeVar("O", CatalogRuntime, CatalogAddon, CatalogTemplate)  # noqa: E741
CatalogOffer = CatalogRuntime | CatalogAddon | CatalogTemplate
_PART = re.compile(r"\d+|[a-z]+")


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which 24.19.0 > 24.9.0 > 24.9.0-rc1."""
    key = tuple((1, int(part), "") if part.isdigit() else (-1, 0, part) for part in _PART.findall(version.lower()))
    # The end of a version ranks above a pre-release word and below a further number.
    return (*key, (0, 0, ""))


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


def _render_offer(records: list[BuildRecord], decided: str | None) -> dict[str, Any]:
    newest_first = sorted(records, key=lambda record: (version_order(record.version), record.revision), reverse=True)
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
class WheelEntry:
    """One file of a wheel."""

    name: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of the tree to be made; `origin` is a name in the wheel, a text's name, or where a link points."""

    path: str
    kind: Literal["folder", "file", "text", "link"]
    origin: str = ""
    size: int = 0
    executable: bool = False


class LayoutWrong(ValueError):
    """The layout names something that the wheel does not have."""


def plan_tree(entries: Iterable[WheelEntry], layout: Layout) -> list[TreeEntry]:
    """Return the tree that `layout` makes of a wheel, sorted, each folder before what it holds.

    Raises LayoutWrong where the layout asks for what is not there: a recipe never silently makes less than it says.
    """
    by_name = {entry.name: entry for entry in entries}
    planned = {entry.path: entry for entry in _kept(by_name, layout)}
    for path, origin in layout.copies.items():
        if origin not in by_name:
            raise LayoutWrong(f"the wheel has no {origin}")
        planned[path] = _file(path, by_name[origin])
    for path, text in layout.texts.items():
        planned[path] = TreeEntry(path, "text", text)
    for path, target in layout.links.items():
        if _resolve(path, target) not in planned:
            raise LayoutWrong(f"the link {path} leads to {target}, which is not in the tree")
        planned[path] = TreeEntry(path, "link", target)
    if not planned:
        raise LayoutWrong(f"the wheel has nothing below {layout.root}")
    return sorted([*_folders(planned), *planned.values()], key=lambda entry: entry.path.split("/"))


def _kept(by_name: dict[str, WheelEntry], layout: Layout) -> Iterable[TreeEntry]:
    prefix = f"{layout.root}/"
    used: set[str] = set()
    for name, entry in by_name.items():
        if not name.startswith(prefix):
            continue
        path = name.removeprefix(prefix)
        if any(part in {"", ".", ".."} for part in path.split("/")) or "\\" in path:
            raise LayoutWrong(f"the wheel has the unsafe name {name!r}")
        pattern = next((pattern for pattern in layout.leave_out if fnmatchcase(path, pattern)), None)
        if pattern is None:
            yield _file(path, entry)
        else:
            used.add(pattern)
    unused = [pattern for pattern in layout.leave_out if pattern not in used]
    if unused:
        raise LayoutWrong(f"nothing matches leave_out {', '.join(unused)}")


def _file(path: str, entry: WheelEntry) -> TreeEntry:
    return TreeEntry(path, "file", entry.name, entry.size, entry.executable)


def _resolve(link: str, target: str) -> str | None:
    parts = link.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _folders(planned: Iterable[str]) -> list[TreeEntry]:
    found: set[str] = set()
    for path in planned:
        parts = path.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return [TreeEntry(path, "folder") for path in found]


def versions_to_drop(present: Iterable[int], *, current: int, keep: int) -> list[int]:
    """Return the versions that no client can still need: those older than the `keep` before the current one."""
    return sorted(version for version in present if version < current - keep)
