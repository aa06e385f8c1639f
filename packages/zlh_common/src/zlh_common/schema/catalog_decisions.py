"""What operators decide about published versions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.catalog import Channel, OfferKind
from zlh_common.schema.structs import Report, Request

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z][a-z0-9-]*$")]
Version = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[0-9A-Za-z][0-9A-Za-z.+_-]*$")]


class DecisionAct(StrEnum):
    """What is decided about one version."""

    # It is stable from now on; a candidate; what is taken where nobody names a version.
    PROMOTE = "promote"
    DEMOTE = "demote"
    DEFAULT = "default"


class DecideVersion(Request):
    """One decision. `makeDefault` goes with `promote`."""

    act: DecisionAct
    kind: OfferKind
    name: Name
    version: Version
    make_default: bool = False


class DecidedVersion(Report):
    """How it is now. It was signed and published before this answer."""

    kind: OfferKind
    name: str
    version: str
    channel: Channel
    # Of its name, before and after; empty for none.
    default_before: str
    default: str
    # False where it had been decided so already.
    is_changed: bool


class PublishedVersion(Report):
    """One version in the catalog, in whichever channel."""

    version: str
    channel: Channel
    default: bool


class PublishedOffer(Report):
    """All versions of one name, the newest first."""

    kind: OfferKind
    name: str
    title: str
    versions: tuple[PublishedVersion, ...]
    # The program of a game server, which its template requires and nobody installs by itself.
    for_games: bool = False


class PublishedCatalog(Report):
    """`GET /api/platform/catalog`: what can be decided about, and whether here."""

    offers: tuple[PublishedOffer, ...]
    # Whether this API has the tree and the key that signs what is offered; else decisions are made by a command.
    may_sign: bool
    # What that command has to be told; of this installation as far as the API knows it.
    command_options: str
