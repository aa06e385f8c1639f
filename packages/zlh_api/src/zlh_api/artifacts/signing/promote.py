"""Promote, demote and the default: one decision, written down and signed at once, and undone by its opposite.

Only what is published already changes its channel. What was built since then waits for `publish`: a promotion that
brought a fresh build along would be a surprise.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from zlh_api.artifacts.model import BuildRecord, Decided, Decisions
from zlh_api.artifacts.rules import artifacts_of, channel_of, default_of, offers_of, render_catalog
from zlh_api.artifacts.signing.decisions import decide_channel, decide_default, find_version
from zlh_api.artifacts.signing.keys import KeyFolders
from zlh_api.artifacts.signing.metadata_chain import Signing
from zlh_api.artifacts.signing.publish import sign_offer
from zlh_api.artifacts.tree import Tree
from zlh_common.schema.catalog import Catalog, Channel, OfferKind

_Decide = Callable[[Decisions, list[BuildRecord], BuildRecord], Decisions]


class Publisher:
    """Decides about what one tree offers; each call takes the tree's lock and leaves old or new."""

    def __init__(self, folder: Path, keys: Path, *, now: datetime, offline: Path | None = None) -> None:
        self._tree, self._folders, self._now = Tree(folder), KeyFolders(keys, offline), now

    def set_channel(
        self,
        name: str,
        version: str,
        channel: Channel,
        *,
        kind: OfferKind | None = None,
        make_default: bool = False,
        may_leave_none: bool = False,
    ) -> Decided:
        """Put a version into a channel, and make it the default where that is asked for.

        Raises OfferUnknown, OfferAmbiguous or LastStableVersion before anything is changed.
        """

        def decide(decisions: Decisions, offered: list[BuildRecord], meant: BuildRecord) -> Decisions:
            decided = decide_channel(decisions, offered, meant, channel, may_leave_none=may_leave_none)
            return decide_default(decided, meant) if make_default else decided

        return self._decide(name, version, kind, decide)

    def set_default(self, name: str, version: str, *, kind: OfferKind | None = None) -> Decided:
        """Make a stable version the default of its name; raise OfferUnknown, OfferAmbiguous or DefaultNotStable."""
        return self._decide(name, version, kind, lambda decisions, _offered, meant: decide_default(decisions, meant))

    def _decide(self, name: str, version: str, kind: OfferKind | None, decide: _Decide) -> Decided:
        with self._tree.changing():
            signing = Signing(self._tree, self._folders, self._now)
            held = signing.read_current()
            decisions = self._tree.read_decisions()
            named = {artifact.sha256 for artifact in artifacts_of(held.catalog)}
            records = self._tree.records()
            offered = [record for record in records if record.sha256 in named]
            known = [*offered, *(record for record in records if record.offered_version in decisions.withdrawn)]
            meant = find_version(known, name=name, version=version, kind=kind)
            decided = decide(decisions, offered, meant)
            published = sign_offer(self._tree, signing, held, known, decided, now=self._now)
            following = render_catalog(known, published_at=self._now, decisions=decided)
        return Decided(
            kind=meant.kind,
            name=meant.name,
            version=meant.version,
            channel=channel_of(meant, decided),
            default_before=_default_in(held.catalog, meant),
            default=_default_in(following, meant),
            published=published,
        )


def _default_in(catalog: Catalog, meant: BuildRecord) -> str:
    offer = offers_of(catalog).get(meant.offer)
    return default_of(offer) if offer is not None else ""
