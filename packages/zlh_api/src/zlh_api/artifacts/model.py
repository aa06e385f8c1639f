"""Values of the publisher: what a recipe says, what a build made. None of them crosses a wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import Channel, OfferKind, Sha256
from zlh_common.schema.spec import RuntimeName, RuntimeVersion

# Who signs what of a tree; see `signing`.
ROLES = ("root", "targets", "snapshot", "timestamp")
# A path below a tree: relative, no empty, hidden-by-dots or parent part.
TreePath = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^(?!.*(^|/)\.{0,2}(/|$))[^\\\x00]+$")]
Platform = Annotated[str, Meta(pattern=r"^linux-[a-z0-9_]{1,32}$(?!\n)")]
# What is counted of a file or a tree, as every reader of JSON holds it exactly.
FileSize = Annotated[int, Meta(gt=0, le=2**53 - 1)]

# A Debian package or suite, or a library's package.
DebianName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]*$(?!\n)")]
# The checksum that a vendor publishes.
Fingerprint = Annotated[str, Meta(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$(?!\n)")]


class WheelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wheel of one platform: its tag for pip, and the SHA-256 that its index publishes."""

    tag: Annotated[str, Meta(pattern=r"^[a-z0-9_]+$(?!\n)")]
    sha256: Sha256


class WheelSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wheel, pinned by the recipe; the index is the one that pip is configured for, never named here."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
    version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$(?!\n)")]
    platforms: dict[Platform, WheelFile]

    @property
    def requirement(self) -> str:
        """The wheel as pip names it."""
        return f"{self.name}=={self.version}"


class DebianSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Packages of a Debian suite: which versions is what the suite's signed index says when it is built.

    Debian replaces a package when it mends it, and the old one is gone; so the recipe names the suite, and the record
    keeps name, version and SHA-256 of every package that was used.
    """

    suites: Annotated[tuple[DebianName, ...], Meta(min_length=1)]
    # The first one's version is the artifact's.
    packages: Annotated[tuple[DebianName, ...], Meta(min_length=1)]
    # Their shared libraries go into `layout.libraries`, where the tree needs them.
    libraries: tuple[DebianName, ...] = ()
    platforms: tuple[Platform, ...] = ("linux-x86_64", "linux-aarch64")


class NpmSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An npm package and all that it depends on, installed by npm on a machine of the platform itself.

    `integrity` holds the package; its lock file, in it or beside the recipe, holds everything else.
    """

    package: Annotated[str, Meta(pattern=r"^(@[a-z0-9._-]+/)?[a-z0-9][a-z0-9._-]*$(?!\n)")]
    version: Annotated[str, Meta(pattern=r"^[0-9][A-Za-z0-9.+-]*$(?!\n)")]
    integrity: Annotated[str, Meta(pattern=r"^sha512-[A-Za-z0-9+/]{86}==$(?!\n)")]
    # The recipe whose node runs npm, such as "node-24.19.0".
    node: str
    # File of `recipes/locks` that holds everything else, for a package without a lock file of its own. The package then
    # stands in `node_modules` of an empty one, as it does wherever npm installs it.
    lock: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\.json$(?!\n)")] | None = None
    # Whether what packages want to run when they are installed is run.
    run_scripts: bool = True
    platforms: tuple[Platform, ...] = ("linux-x86_64", "linux-aarch64")
    # What must be on the machine: programs, and libraries with headers as pkg-config names them.
    programs: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


class VendorSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tarball of the vendor's, held by the checksum that the vendor publishes.

    Either the recipe has the checksum (`checksums`), or the vendor's list of releases does (`releases`), in the form
    that .NET publishes; then the version is the newest of the recipe's line.
    """

    # Where the vendor's files begin; `build --mirror` puts another address in its place.
    base_url: Annotated[str, Meta(pattern=r"^https://[^/?#\s]+[^?#\s]*[^/?#\s]$(?!\n)")]
    # Platform → file: below `base_url` with `checksums`, by its name in `releases` else.
    files: dict[Platform, TreePath]
    checksums: dict[Platform, Fingerprint] = msgspec.field(default_factory=dict)
    releases: TreePath | None = None


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the files of a source become a tree.

    In it `{arch}` and `{triplet}` stand for Debian's names of the platform, such as amd64 and x86_64-linux-gnu.
    """

    # Folder of the source that becomes the root of the tree; none where it is the whole.
    root: TreePath | None = None
    # Patterns below that folder; `*` matches any characters, slashes too. `keep`, where given, is what is taken at all.
    keep: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    # Path in the tree → where the link points, relative to the link's own folder.
    links: dict[TreePath, str] = msgspec.field(default_factory=dict)
    # Path in the tree → path in the source, for files outside the root.
    copies: dict[TreePath, TreePath] = msgspec.field(default_factory=dict)
    # Path in the tree → file of `recipes/licences`, for texts that the source should carry and does not.
    texts: dict[TreePath, str] = msgspec.field(default_factory=dict)
    # Path in the tree → text of a program.
    scripts: dict[TreePath, str] = msgspec.field(default_factory=dict)
    # Path in the tree → {old text: new text}; each old text must be there.
    edits: dict[TreePath, dict[str, str]] = msgspec.field(default_factory=dict)
    # Folder in the tree → pattern of the one wheel of the source that is unpacked into it.
    unpack: dict[TreePath, str] = msgspec.field(default_factory=dict)
    # Folder of the tree for shared libraries that Debian's base system lacks.
    libraries: TreePath | None = None
    # Libraries that the tree may go without: what needs them says so when it is used.
    may_lack: tuple[str, ...] = ()
    # Path in the tree → pattern of the certificates of the source that become a Java trust store there.
    trust_stores: dict[TreePath, str] = msgspec.field(default_factory=dict)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of one runtime: where it comes from, and everything the catalog says of it."""

    kind: OfferKind = "runtime"
    # The program of a game server, which templates require; offered to nobody as a toolchain.
    for_games: bool = False
    name: RuntimeName
    title: str
    # Exact; or the line, such as "17", where the source says which version of it is the newest.
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
    # `{version}` stands for the exact version.
    smoke_expect: str
    # One of these.
    wheel: WheelSource | None = None
    debian: DebianSource | None = None
    npm: NpmSource | None = None
    vendor: VendorSource | None = None
    layout: Layout

    @property
    def label(self) -> str:
        """The recipe as people name it."""
        return f"{self.name}-{self.version}"

    @property
    def sources(self) -> list[WheelSource | DebianSource | NpmSource | VendorSource]:
        """The sources that it names; a usable recipe has one."""
        return [source for source in (self.wheel, self.debian, self.npm, self.vendor) if source is not None]

    @property
    def platforms(self) -> list[str]:
        """What it can be built for."""
        source = self.sources[0]
        return sorted(source.files if isinstance(source, VendorSource) else source.platforms)

    @property
    def is_line(self) -> bool:
        """Tell whether the source decides which version is built."""
        return self.debian is not None or (self.vendor is not None and self.vendor.releases is not None)


def render_stem(name: str, version: str, revision: int, platform: str) -> str:
    """Return an archive's name without its suffix."""
    return f"{name}-{version}{'' if revision == 1 else f'-r{revision}'}-{platform}"


class SourcePackage(msgspec.Struct, frozen=True, kw_only=True):
    """One of the packages that an archive was made of."""

    name: str
    version: str
    sha256: str


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a build made, kept as JSON beside the archive: all that publishing needs, so old versions stay offered."""

    kind: OfferKind
    name: RuntimeName
    title: str
    version: RuntimeVersion
    revision: Annotated[int, Meta(ge=1, le=2**31)]
    edition: str | None
    default: bool
    channel: Channel
    upstream: str
    licence: str
    bin: tuple[str, ...]
    environment: dict[str, str]
    smoke_test: tuple[str, ...]
    smoke_expect: str
    platform: Platform
    # Below the tree's root: "archives/node/node-24.19.0-linux-x86_64.tar.zst".
    path: TreePath
    size: FileSize
    unpacked_size: FileSize
    # Files, folders and links of the tree.
    entries: FileSize
    sha256: Sha256
    source: str
    source_sha256: str
    # SHA-256 of the recipe that made it: a changed recipe is built again, an unchanged one is not.
    recipe_sha256: str
    # Every package that went in, where there are several; records of before have none.
    packages: tuple[SourcePackage, ...] = ()
    for_games: bool = False

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
class Missing:
    """An archive that could not be made: which, and why. `is_absent` where its source cannot be had here.

    Otherwise something is wrong with it, and somebody has to look.
    """

    label: str
    platform: str
    error: ZlhError
    is_absent: bool


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
