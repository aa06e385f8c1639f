"""What people decide about builds: which channel a version is in, which one is the default, what is offered no more.

Pure: each function takes the decisions that hold and returns those that hold from now on, or raises a named error that
says what was wrong and the nearest right answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Literal

import msgspec

from zlh_api.artifacts.errors import DefaultNotStable, LastStableVersion, OfferAmbiguous, OfferUnknown
from zlh_api.artifacts.model import BuildRecord, Decisions, Listing, Removal, Waiting
from zlh_api.artifacts.rules import (
    SHORT_LIFE,
    artifacts_of,
    channel_of,
    default_of,
    latest_revisions,
    offers_of,
    render_catalog,
    sort_newest_first,
)
from zlh_common.schema.catalog import Catalog, Channel, OfferKind
from zlh_common.version_order import version_order

# A client believes a catalog for as long as its timestamp holds, and may begin to fetch what it names at the very end.
GRACE = SHORT_LIFE + timedelta(days=1)
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def find_version(
    records: Iterable[BuildRecord], *, name: str, version: str, kind: OfferKind | None = None
) -> BuildRecord:
    """Return a record of the version that is meant; raise OfferUnknown or OfferAmbiguous."""
    known = [record for record in records if kind is None or record.kind == kind]
    named = [record for record in known if record.name == name]
    if not named:
        raise _unknown(name, sorted({record.name for record in known}))
    found = [record for record in named if record.version == version]
    if not found:
        versions = sorted({record.version for record in named}, key=version_order, reverse=True)
        raise _unknown(version, versions, of=name)
    kinds = sorted({record.kind for record in found})
    if len(kinds) > 1:
        raise OfferAmbiguous(name=name, kinds=kinds)
    return found[0]


def _unknown(asked: str, known: list[str], *, of: str | None = None) -> OfferUnknown:
    begins = [entry for entry in known if entry.startswith(f"{asked}.")]
    suggestion = next(iter(begins or get_close_matches(asked, known, n=1, cutoff=0.4)), None)
    return OfferUnknown(asked=asked[:100], of=of, known=known, suggestion=suggestion)


def decide_channel(
    decisions: Decisions, offered: list[BuildRecord], meant: BuildRecord, channel: Channel, *, may_leave_none: bool
) -> Decisions:
    """Put one version into a channel; what was withdrawn is offered again.

    Raises LastStableVersion where the name would be left without any stable version, unless that is meant.
    """
    others = [record for record in offered if record.offer == meant.offer and record.version != meant.version]
    was_stable = channel_of(meant, decisions) == "stable" and meant.offered_version not in decisions.withdrawn
    is_last = not any(channel_of(record, decisions) == "stable" for record in others)
    if channel == "candidate" and was_stable and is_last and not may_leave_none:
        raise LastStableVersion(name=meant.name, version=meant.version)
    return msgspec.structs.replace(
        decisions,
        channels=decisions.channels | {meant.offered_version: channel},
        withdrawn={key: since for key, since in decisions.withdrawn.items() if key != meant.offered_version},
    )


def decide_default(decisions: Decisions, meant: BuildRecord) -> Decisions:
    """Make one version the default of its name; raise DefaultNotStable for a candidate, which most would not see."""
    if channel_of(meant, decisions) != "stable" or meant.offered_version in decisions.withdrawn:
        raise DefaultNotStable(name=meant.name, version=meant.version)
    return msgspec.structs.replace(decisions, defaults=decisions.defaults | {meant.offer: meant.version})


def note_left(decisions: Decisions, held: Catalog | None, following: Catalog, now: datetime) -> Decisions:
    """Write down which archives the next catalog does not name any more, and strike out those that it names again."""
    named = {artifact.sha256 for artifact in artifacts_of(following)}
    left = {sha256: since for sha256, since in decisions.left.items() if sha256 not in named}
    if held is not None:
        left |= {artifact.sha256: now for artifact in artifacts_of(held) if artifact.sha256 not in named}
    return msgspec.structs.replace(decisions, left=left)


def plan_withdrawals(offered: list[BuildRecord], decisions: Decisions, *, keep: int, now: datetime) -> Decisions:
    """Withdraw what is neither a default nor among the newest `keep` versions of its name and channel."""
    kept = _kept_versions(offered, decisions, keep)
    gone = {record.offered_version: now for record in offered if record.offered_version not in kept}
    return msgspec.structs.replace(decisions, withdrawn=gone | decisions.withdrawn)


def plan_removals(
    records: list[BuildRecord], decisions: Decisions, *, named: Collection[str], keep: int, now: datetime
) -> tuple[list[BuildRecord], list[Waiting]]:
    """Return the builds that can go, and the archives that only wait until no client can be fetching them.

    `named` are the hashes in all catalogs that are still there: what one of them names never goes.
    """
    latest = [record for record in latest_revisions(records) if record.offered_version not in decisions.withdrawn]
    kept = _kept_versions(latest, decisions, keep)
    needed = {record.sha256 for record in latest if record.offered_version in kept}
    gone, waiting = [], []
    for record in records:
        since = decisions.left.get(record.sha256)
        if record.sha256 in needed:
            continue
        if since is not None and since + GRACE > now:
            waiting.append(Waiting(record.path, since + GRACE))
        elif record.sha256 not in named:
            gone.append(record)
    return gone, waiting


def removal_of(record: BuildRecord) -> Removal:
    """Return what the removal of one build frees."""
    return Removal(record.path, record.size)


def render_listing(records: list[BuildRecord], decisions: Decisions, published: Catalog | None) -> list[Listing]:
    """Return every build, by name and newest first; `published` is the catalog that clients see, where there is one."""
    shown = published or render_catalog(records, published_at=_ANY_TIME, decisions=decisions)
    defaults = {f"{key}/{default_of(offer)}" for key, offer in offers_of(shown).items()}
    named = {artifact.sha256 for artifact in artifacts_of(published)} if published else set()
    return [
        Listing(
            kind=record.kind,
            name=record.name,
            version=record.version,
            revision=record.revision,
            edition=record.edition,
            platform=record.platform,
            channel=channel_of(record, decisions),
            default=record.offered_version in defaults and (published is None or record.sha256 in named),
            state=_state_of(record, decisions, named),
            size=record.size,
            licence=record.licence,
            source=record.source,
            sha256=record.sha256,
            path=record.path,
        )
        for record in sorted(sort_newest_first(records), key=lambda record: (record.kind, record.name))
    ]


def _state_of(record: BuildRecord, decisions: Decisions, named: set[str]) -> Literal["published", "built", "withdrawn"]:
    if record.sha256 in named:
        return "published"
    return "withdrawn" if record.offered_version in decisions.withdrawn else "built"


def _kept_versions(records: list[BuildRecord], decisions: Decisions, keep: int) -> set[str]:
    catalog = render_catalog(records, published_at=_ANY_TIME, decisions=decisions)
    kept = set()
    for key, offer in offers_of(catalog).items():
        for channel in ("stable", "candidate"):
            of_channel = [entry.version for entry in offer.versions if entry.channel == channel]
            kept |= {f"{key}/{version}" for version in of_channel[:keep]}
        kept.add(f"{key}/{default_of(offer)}")
    return kept
