"""Pure decisions of the publisher: the catalog from the records, and what is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from zlh_api.artifacts.model import BuildRecord, Decisions
from zlh_api.artifacts.template_model import TemplateRecord
from zlh_api.artifacts.template_offers import render_templates
from zlh_common.schema.catalog import (
    CATALOG_FORMAT,
    Artifact,
    Catalog,
    CatalogAddon,
    CatalogAgent,
    CatalogRuntime,
    CatalogVersion,
    Channel,
    OfferKind,
)
from zlh_common.version_order import version_order

ROOT_LIFE = timedelta(days=3650)
TARGETS_LIFE = timedelta(days=365)
# Long enough that an artifact server may be down over a holiday, short enough that a frozen catalog is noticed.
SHORT_LIFE = timedelta(days=14)
REFRESH_EVERY = timedelta(days=1)
# The yearly signature is renewed by the daily run well before clients would refuse it.
TARGETS_RENEWAL = timedelta(days=60)

O = TypeVar("O", CatalogRuntime, CatalogAddon, CatalogAgent)  # noqa: E741
CatalogOffer = CatalogRuntime | CatalogAddon | CatalogAgent


def render_catalog(
    records: Iterable[BuildRecord],
    *,
    published_at: datetime,
    decisions: Decisions | None = None,
    templates: Iterable[TemplateRecord] = (),
) -> Catalog:
    """Return the catalog of all built archives: runtimes by name, versions newest first, one default per runtime.

    Game servers are offered in the versions whose runtimes are offered too.
    """
    decided = decisions or Decisions()
    latest = [
        msgspec.structs.replace(record, channel=channel_of(record, decided))
        for record in latest_revisions(records)
        if record.offered_version not in decided.withdrawn
    ]
    runtimes = _render_kind("runtime", latest, CatalogRuntime, decided)
    return Catalog(
        format=CATALOG_FORMAT,
        published_at=published_at,
        runtimes=runtimes,
        addons=_render_kind("addon", latest, CatalogAddon, decided),
        agents=_render_kind("agent", latest, CatalogAgent, decided),
        game_templates=render_templates(templates, runtimes),
    )


def channel_of(record: BuildRecord, decisions: Decisions) -> Channel:
    """Return the channel that was decided for a version, else the one of its recipe."""
    return decisions.channels.get(record.offered_version, record.channel)


def offers_of(catalog: Catalog) -> dict[str, CatalogOffer]:
    """Return all that a catalog offers, by kind and name: `runtime/node`."""
    kinds: dict[OfferKind, tuple[CatalogOffer, ...]] = {
        "runtime": catalog.runtimes,
        "addon": catalog.addons,
        "agent": catalog.agents,
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
    offer: dict[str, Any] = {"title": newest_first[0].title, "versions": versions}
    return offer | ({"for_games": True} if newest_first[0].for_games else {})


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
    return (one.format, one.runtimes, one.addons, one.agents, one.game_templates) == (
        other.format,
        other.runtimes,
        other.addons,
        other.agents,
        other.game_templates,
    )


def is_refresh_due(last: datetime | None, now: datetime) -> bool:
    """Tell whether the short-lived signatures must be renewed; a clock that went backwards counts as due."""
    return last is None or now - last >= REFRESH_EVERY or now < last


def is_of_line(version: str, line: str) -> bool:
    """Tell whether `version` is one of the line: 17.0.21 of 17, but not 170."""
    return version == line or version.startswith(f"{line}.")


def versions_to_drop(present: Iterable[int], *, current: int, keep: int) -> list[int]:
    """Return the versions that no client can still need: those older than the `keep` before the current one."""
    return sorted(version for version in present if version < current - keep)
