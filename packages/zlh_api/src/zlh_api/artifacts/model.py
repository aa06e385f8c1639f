"""Values of the publisher: what a recipe says, what a build made. None of them crosses a wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlh_common.schema.catalog import Channel, OfferKind, Sha256
from zlh_common.schema.spec import RuntimeName, RuntimeVersion

# A path below a tree: relative, no empty, hidden-by-dots or parent part.
TreePath = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^(?!.*(^|/)\.{0,2}(/|$))[^\\\x00]+$")]
Platform = Annotated[str, Meta(pattern=r"^linux-[a-z0-9_]{1,32}$(?!\n)")]


class WheelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wheel of one platform: its tag for pip, and the SHA-256 that its index publishes."""

    tag: Annotated[str, Meta(pattern=r"^[a-z0-9_]+$(?!\n)")]
    sha256: Sha256


class WheelSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the files come from; the index is the one that pip is configured for, never named here."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
    version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$(?!\n)")]
    platforms: dict[Platform, WheelFile]

    @property
    def requirement(self) -> str:
        """The wheel as pip names it."""
        return f"{self.name}=={self.version}"


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the files of a wheel become a tree."""

    # Folder of the wheel that becomes the root of the tree.
    root: TreePath
    # Patterns below that folder; `*` matches any characters, slashes too.
    leave_out: tuple[str, ...] = ()
    # Path in the tree → where the link points, relative to the link's own folder.
    links: dict[TreePath, str] = msgspec.field(default_factory=dict)
    # Path in the tree → path in the wheel, for files outside the root.
    copies: dict[TreePath, TreePath] = msgspec.field(default_factory=dict)
    # Path in the tree → file of `recipes/licences`, for texts that the wheel should carry and does not.
    texts: dict[TreePath, str] = msgspec.field(default_factory=dict)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of one runtime: where it comes from, and everything the catalog says of it."""

    kind: OfferKind = "runtime"
    name: RuntimeName
    title: str
    version: RuntimeVersion
    # Raised when the same version must be made anew with other contents.
    revision: Annotated[int, Meta(ge=1)] = 1
    default: bool = False
    channel: Channel = "stable"
    edition: str | None = None
    upstream: str
    # SPDX expression; the texts are in the tree, the main one is `LICENSE`.
    licence: str
    bin: tuple[TreePath, ...]
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    smoke_test: tuple[str, ...]
    smoke_expect: str
    wheel: WheelSource
    layout: Layout

    @property
    def source(self) -> str:
        """The origin as the catalog states it."""
        return f"wheel:{self.wheel.requirement}"

    def stem(self, platform: str) -> str:
        """Return the archive's name without its suffix."""
        revision = "" if self.revision == 1 else f"-r{self.revision}"
        return f"{self.name}-{self.version}{revision}-{platform}"


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a build made, kept as JSON beside the archive: all that publishing needs, so old versions stay offered."""

    kind: OfferKind
    name: str
    title: str
    version: str
    revision: int
    edition: str | None
    default: bool
    channel: Channel
    upstream: str
    licence: str
    bin: tuple[str, ...]
    environment: dict[str, str]
    smoke_test: tuple[str, ...]
    smoke_expect: str
    platform: str
    # Below the tree's root: "archives/node/node-24.19.0-linux-x86_64.tar.zst".
    path: str
    size: int
    unpacked_size: int
    # Files, folders and links of the tree.
    entries: int
    sha256: str
    source: str
    source_sha256: str
    # SHA-256 of the recipe that made it: a changed recipe is built again, an unchanged one is not.
    recipe_sha256: str

    @property
    def offer(self) -> str:
        """What is offered under one name, as decisions name it: `runtime/node`."""
        return f"{self.kind}/{self.name}"

    @property
    def offered_version(self) -> str:
        """One version of it, as decisions name it: `runtime/node/24.19.0`."""
        return f"{self.offer}/{self.version}"


class Decisions(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the publisher's people decided, apart from what builds recorded, so that no build undoes it."""

    format: Literal[1] = 1
    # `runtime/node/24.19.0` → its channel, where it is not the one of its recipe.
    channels: dict[str, Channel] = msgspec.field(default_factory=dict)
    # `runtime/node` → the version that is the default as long as it is stable.
    defaults: dict[str, str] = msgspec.field(default_factory=dict)
    # Versions that are not offered any more, and since when.
    withdrawn: dict[str, datetime] = msgspec.field(default_factory=dict)
    # SHA-256 of archives that the catalog named once, and until when: clients may still be fetching them.
    left: dict[str, datetime] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one build is; `done` and `total` count bytes of the tree, `total` is 0 while it is unknown."""

    archive: str
    phase: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Built:
    """The outcome for one archive: its record, and whether it was made now or was already there."""

    record: BuildRecord
    reused: bool
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Published:
    """The state of the tree after a publish or a refresh."""

    catalog_sha256: str
    targets_version: int
    snapshot_version: int
    expires: str
    changed: bool
    # Until when the yearly signature holds, and whether it runs out soon and its key was not here to renew it.
    targets_expires: str
    needs_targets_key: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One file that is not what was signed."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What verify found: how many files were read, and what is wrong with which."""

    files: int
    bytes: int
    faults: tuple[Fault, ...] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Tell whether everything is as signed."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Decided:
    """What promote, demote or a new default has changed."""

    kind: OfferKind
    name: str
    version: str
    channel: Channel
    # The default before and after.
    default_before: str
    default: str
    published: Published


@dataclass(frozen=True, slots=True)
class Removal:
    """One archive that goes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One archive that nobody is offered any more, and from when on nobody can be fetching it."""

    path: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune has done, or would do."""

    withdrawn: tuple[str, ...]
    removed: tuple[Removal, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Rotated:
    """The root that names the new keys, and whose they are."""

    root_version: int
    roles: tuple[str, ...]


class Listing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One built archive and what is decided about it: a line of `list`."""

    kind: OfferKind
    name: str
    version: str
    revision: int
    edition: str | None
    platform: str
    channel: Channel
    default: bool
    state: Literal["published", "built", "withdrawn"]
    size: int
    licence: str
    source: str
    sha256: str
    path: str
