"""What the API wants of one agent (`PUT /spec`), and what a customer may ask of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from zlh_common.schema.customers import CustomerId
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.process import MAX_PROCESSES, Port, WantedProcess
from zlh_common.schema.resources import ResourceWish
from zlh_common.schema.structs import Report, Request
from zlh_common.schema.template import Value

# The first character is a letter or digit, so that a name never reads as an option or a hidden file.
# `$` alone would let a line break follow, and `\Z` is unknown to the readers of our JSON Schema.
ContainerName = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$(?!\n)")]
RuntimeName = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
# A version is a folder beside the link `current`, whose name is taken.
RuntimeVersion = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^(?!current$)[0-9A-Za-z][0-9A-Za-z.+_-]*$(?!\n)")
]

# Versions of all runtimes together that one container may have.
MAX_RUNTIMES = 32


class WantedRuntime(Report):
    """A version of a toolchain or of an addon that must be there; it is exact. What a spec does not name is removed."""

    name: RuntimeName
    version: RuntimeVersion
    # The one that PATH leads to, or that runs; each runtime and addon has exactly one.
    default: bool = True
    # Was the default before, and is kept to go back to; never installed anew for that.
    previous: bool = False
    # Raised to have it unpacked anew from the archive.
    attempt: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


# A public host as browsers name it in `Origin`, without its scheme: `dev-101.example.com:8443`.
PublicHost = Annotated[str, Meta(min_length=1, max_length=261, pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?$(?!\n)")]
MAX_ADDONS = 16
MAX_START_SCRIPT_CHARS = 65_536
# Of one container; what is published beyond is reached where its program listens on the network.
MAX_PUBLISHED = 4096


class Repository(Report):
    """A Git repository that becomes the workspace of a new container: it is cloned once, while that is empty."""

    # https, http or git; without a user and a password, which would be shown to everybody who sees the container.
    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    # A branch or a tag; the repository's own default where none is named.
    branch: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class WantedWorkspace(Report):
    """What the customer's user may do in the container, and what happens once in its workspace."""

    # Whether `dev` becomes root of the container by `sudo`, without a password.
    sudo: bool = False
    repository: Repository | None = None
    # Run once, as `dev` in the workspace, when the runtimes and the repository are there.
    start_script: Annotated[str, Meta(min_length=1, max_length=MAX_START_SCRIPT_CHARS)] | None = None
    # Raised to have a clone that has failed tried again, and the script run once more.
    attempt: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class AgentSpec(Report, omit_defaults=True):
    """What one agent must make true. A lower generation than the one it holds is refused.

    What has its default is left out: an agent of an earlier protocol is told nothing that it does not know.
    """

    # As many as every reader of JSON and the database can hold.
    generation: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    runtimes: Annotated[tuple[WantedRuntime, ...], Meta(max_length=MAX_RUNTIMES)] = ()
    processes: Annotated[tuple[WantedProcess, ...], Meta(max_length=MAX_PROCESSES)] = ()
    # From protocol 7 on. The default version of each addon runs; its name is also that of its process.
    addons: Annotated[tuple[WantedRuntime, ...], Meta(max_length=MAX_ADDONS)] = ()
    # From protocol 7 on: the container's own public hosts, which alone an addon takes requests of.
    origins: Annotated[tuple[PublicHost, ...], Meta(max_length=16)] = ()
    # From protocol 7 on: what the customer has published, so that a server of loopback alone is reached there.
    published: Annotated[tuple[Port, ...], Meta(max_length=MAX_PUBLISHED)] = ()
    # From protocol 7 on.
    workspace: WantedWorkspace = WantedWorkspace()
    # From protocol 9 on: of a game container, whose process `server` it is.
    game: WantedGame | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot all be true: two defaults of one runtime, or none, and two processes of one name."""
        for kind in (self.runtimes, self.addons):
            _check_versions(kind)
        if both := sorted({runtime.name for runtime in self.runtimes} & {addon.name for addon in self.addons}):
            raise ValueError(f"runtime and addon at once is {', '.join(both)}")
        if both := sorted({process.name for process in self.processes} & {addon.name for addon in self.addons}):
            raise ValueError(f"process and addon at once is {', '.join(both)}")
        if self.game is not None and SERVER in {one.name for one in self.processes}:
            raise ValueError(f"{SERVER} is the game's own process")
        if twice := _find_twice([process.name for process in self.processes]):
            raise ValueError(f"more than one process {', '.join(twice)}")


def _check_versions(wanted: tuple[WantedRuntime, ...]) -> None:
    if twice := _find_twice([f"{runtime.name} {runtime.version}" for runtime in wanted]):
        raise ValueError(f"more than once {', '.join(twice)}")
    if twice := _find_twice([runtime.name for runtime in wanted if runtime.default]):
        raise ValueError(f"more than one default of {', '.join(twice)}")
    if twice := _find_twice([runtime.name for runtime in wanted if runtime.previous]):
        raise ValueError(f"more than one previous version of {', '.join(twice)}")
    if both := [runtime.name for runtime in wanted if runtime.default and runtime.previous]:
        raise ValueError(f"default and previous at once is {', '.join(both)}")
    names = {runtime.name for runtime in wanted}
    if lost := sorted(names - {runtime.name for runtime in wanted if runtime.default}):
        raise ValueError(f"no default of {', '.join(lost)}")


def _find_twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


class RepositoryWish(Request):
    """`repository` of a new container: see Repository."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    branch: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class CreateContainer(Request):
    """`POST /api/containers`."""

    kind: Literal["dev", "game"]
    name: ContainerName | None = None
    # dev: a runtime of the catalog. A version of it, or of the template, or the leading part of one ("24"); the newest
    # match is taken.
    runtime: RuntimeName | None = None
    version: RuntimeVersion | None = None
    enable_code_server: bool = False
    # dev: whether `dev` may become root of the container, what becomes its workspace, and what is run there once.
    sudo: bool = False
    repository: RepositoryWish | None = None
    start_script: Annotated[str, Meta(min_length=1, max_length=MAX_START_SCRIPT_CHARS)] | None = None
    # game: a template of the catalog, values of its variables, and whether its agreement was read and is agreed to.
    template: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    variables: Annotated[dict[str, Value], Meta(max_length=64)] = field(default_factory=dict)
    accept_eula: bool = False
    # What is not named is the platform's default.
    resources: ResourceWish | None = None
    # Whose it will be; the first customer that the caller may create containers for where none is named.
    customer_id: CustomerId | None = None


class PatchContainer(Request):
    """`PATCH /api/containers/{vmid}`: only what is named changes, all of it or nothing."""

    name: ContainerName | None = None
    power: Literal["on", "off"] | None = None
    resources: ResourceWish | None = None
    enable_code_server: bool | None = None
    sudo: bool | None = None


# Who may open a published port: whoever published it, everybody of its customer, everybody.
Visibility = Literal["private", "customer", "public"]


class CreateExposure(Request):
    """`POST …/exposures`: publish one port of a container."""

    port: Port
    visibility: Visibility
    expires_in_s: Annotated[int, Meta(ge=60, le=31_536_000)] | None = None
    # What listens there. Of an https server the certificate is not checked: it is reached at the container's address.
    kind: Literal["http", "https"] = "http"


class Exposure(Report):
    """One published port and the address at which it is reached."""

    id: str
    port: int
    visibility: Visibility
    kind: Literal["http", "https"]
    url: str
    # When it is taken back by itself.
    expires_at: datetime | None
    # The id of the user who published it; null where they are gone.
    published_by: str | None
    # The exposure that also answers on the container's own host.
    default: bool
    # The addon that this is the port of; it opens for owners and who enabled it, and goes with the addon. Else null.
    addon: str | None = None
