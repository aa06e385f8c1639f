"""The catalog: the signed list of what can be installed, and the answers that are built from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from zlh_common.schema.structs import Report, Request
from zlh_common.schema.template import (
    CatalogTemplate,
    Eula,
    GameVersion,
    TemplateName,
    TemplatePort,
    Title,
    Variable,
)

# The TUF target that holds the catalog.
CATALOG_TARGET = "catalog.json"
CATALOG_FORMAT = 2
# Readers take no more.
MAX_CATALOG_BYTES = 5_000_000
# Servers of one signed tree beside the first.
MAX_MIRRORS = 8
# So many origins with private addresses may files of game servers come from besides.
MAX_PRIVATE_ORIGINS = 16

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Channel = Literal["stable", "candidate"]
# What an archive is offered as: a toolchain or a game server's program, a service of the platform in dev containers,
# the agent itself.
OfferKind = Literal["runtime", "addon", "agent"]


class Artifact(Report):
    """One hashed archive of one runtime version for one platform."""

    # Such as "linux-x86_64".
    platform: str
    # Below the artifact server's base URL, no leading slash: "archives/node/node-24.19.0-linux-x86_64.tar.zst".
    path: str
    # Bytes of the archive, and of the tree that it unpacks to.
    size: Annotated[int, Meta(gt=0)]
    unpacked_size: Annotated[int, Meta(gt=0)]
    sha256: Sha256
    # Files, folders and links of that tree; an archive that holds more is refused.
    entries: Annotated[int, Meta(gt=0)]
    # What upstream published of the file that this was made of: its name and its SHA-256.
    source: str
    source_sha256: Sha256


class CatalogVersion(Report):
    """One version of a runtime."""

    version: str
    channel: Channel
    default: bool
    # SPDX expression, and where the licence text stands in the tree.
    licence: str
    artifacts: tuple[Artifact, ...]
    # Where versions of one name differ in what they hold, such as "JDK" and "JRE"; told wherever the version is.
    edition: str | None = None
    # Folders of the tree that go on PATH, relative to its root.
    bin: tuple[str, ...] = ("bin",)
    # Variables; `{root}` stands for the folder that the tree is unpacked to.
    environment: dict[str, str] = field(default_factory=dict)
    # Argument list, run in the unpacked tree (first word relative to its root), and the text its output must hold.
    smoke_test: tuple[str, ...] = ()
    smoke_expect: str = ""


class CatalogRuntime(Report):
    """One runtime with its versions, newest first."""

    name: str
    title: str
    versions: tuple[CatalogVersion, ...]
    # The program of a game server, which templates require; offered to nobody as a toolchain.
    for_games: bool = False


class CatalogAddon(Report):
    """One service that the platform offers inside dev containers, with its versions, newest first."""

    name: str
    title: str
    versions: tuple[CatalogVersion, ...]


class CatalogAgent(Report):
    """The bundle of the agent with its versions, newest first; there is one, by the name AGENT_OFFER."""

    name: str
    title: str
    versions: tuple[CatalogVersion, ...]


class Catalog(Report):
    """The whole catalog document, as it is signed."""

    format: int
    published_at: datetime
    runtimes: tuple[CatalogRuntime, ...] = ()
    addons: tuple[CatalogAddon, ...] = ()
    agents: tuple[CatalogAgent, ...] = ()
    game_templates: tuple[CatalogTemplate, ...] = ()


class RuntimeVersionOffer(Report):
    """One row of a version drop-down."""

    version: str
    channel: Channel
    platforms: tuple[str, ...]
    default: bool
    # SPDX expression.
    licence: str
    # Such as "JDK" and "JRE".
    edition: str | None = None
    # Of the archive for the platform of this installation: bytes to fetch and on disk; null where there is none.
    size: int | None = None
    unpacked_size: int | None = None
    sha256: str | None = None
    # What upstream published and this was made of.
    source: str | None = None


class RuntimeOffer(Report):
    """One row of a runtime drop-down."""

    name: str
    title: str
    versions: tuple[RuntimeVersionOffer, ...]


class RuntimeOffers(Report):
    """`GET /api/catalog/runtimes`."""

    runtimes: tuple[RuntimeOffer, ...]
    published_at: datetime
    # Until when the catalog holds if nobody signs it again.
    expires_at: datetime | None = None


class CatalogSummary(Report):
    """`GET /api/catalog`: which catalog this API process has, and how that goes."""

    published_at: datetime | None
    expires_at: datetime | None
    # When it was last read and believed.
    read_at: datetime | None
    runtimes: int
    addons: int
    templates: int
    # Which server gave it, and what is wrong; told to operators alone.
    url: str | None = None
    trouble: str | None = None


# As long as no name and no version in any catalog.
AskedText = Annotated[str, Meta(max_length=256)]


class ValidateRuntime(Request):
    """`POST /api/catalog/validate`: any of runtime, addon and template; the version is that of the first of them."""

    runtime: AskedText | None = None
    version: AskedText | None = None
    platform: AskedText | None = None
    addon: AskedText | UnsetType | None = UNSET
    template: AskedText | UnsetType | None = UNSET


class CatalogProblem(Report):
    """One reason why something cannot be installed, and the nearest right answer."""

    code: str
    field: str
    message: str
    suggestion: str | None = None


class Validation(Report):
    """The answer of validate: `ok`, or what is wrong."""

    ok: bool
    problems: tuple[CatalogProblem, ...]
    # The exact version that an install would take.
    version: str | None = None


class Offer(Report):
    """An addon that is offered."""

    name: str
    title: str
    versions: tuple[RuntimeVersionOffer, ...]


class NamedOffers(Report):
    """`GET /api/catalog/addons`."""

    items: tuple[Offer, ...]


class TemplateVersionOffer(Report):
    """One row of the drop-down of a game server's versions."""

    version: GameVersion
    channel: Channel
    default: bool
    released_at: datetime | None = None
    # The game's own version, where the server's is another: a proxy has none, a build of Paper is of one.
    game_version: GameVersion | None = None


class TemplateOffer(Report):
    """A game server that can be created, and what is asked of whoever creates it."""

    name: TemplateName
    title: Title
    # Which game, such as "minecraft".
    game: str
    summary: str
    # What must be agreed to; null where nothing must.
    eula: Eula | None
    variables: tuple[Variable, ...]
    ports: tuple[TemplatePort, ...]
    # A container with less memory cannot be created.
    memory_minimum_mb: int
    # What additions are called, such as "mods" or "plugins"; null where it takes none.
    mods_title: Title | None
    # Newest first.
    versions: tuple[TemplateVersionOffer, ...]


class TemplateOffers(Report):
    """`GET /api/catalog/templates`."""

    items: tuple[TemplateOffer, ...]


class CatalogEvent(Report):
    """`catalog` on `GET /api/events`: what is offered has changed."""

    published_at: datetime
