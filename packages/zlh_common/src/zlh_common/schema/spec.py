"""What the API wants of one agent (`PUT /spec`), and what a customer may ask of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from zlh_common.schema.customers import CustomerId
from zlh_common.schema.process import MAX_PROCESSES, Port, WantedProcess
from zlh_common.schema.resources import ResourceWish
from zlh_common.schema.structs import Report, Request

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
    """A toolchain version that must be there; `version` is exact. What a spec does not name is removed."""

    name: RuntimeName
    version: RuntimeVersion
    # The one that PATH leads to; each runtime has exactly one.
    default: bool = True
    # Was the default before, and is kept to go back to; never installed anew for that.
    previous: bool = False
    # Raised to have it unpacked anew from the archive.
    attempt: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class AgentSpec(Report):
    """What one agent must make true. A lower generation than the one it holds is refused."""

    # As many as every reader of JSON and the database can hold.
    generation: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    runtimes: Annotated[tuple[WantedRuntime, ...], Meta(max_length=MAX_RUNTIMES)] = ()
    processes: Annotated[tuple[WantedProcess, ...], Meta(max_length=MAX_PROCESSES)] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot all be true: two defaults of one runtime, or none, and two processes of one name."""
        if twice := _find_twice([f"{runtime.name} {runtime.version}" for runtime in self.runtimes]):
            raise ValueError(f"more than once {', '.join(twice)}")
        if twice := _find_twice([runtime.name for runtime in self.runtimes if runtime.default]):
            raise ValueError(f"more than one default of {', '.join(twice)}")
        if twice := _find_twice([runtime.name for runtime in self.runtimes if runtime.previous]):
            raise ValueError(f"more than one previous version of {', '.join(twice)}")
        if both := [runtime.name for runtime in self.runtimes if runtime.default and runtime.previous]:
            raise ValueError(f"default and previous at once is {', '.join(both)}")
        names = {runtime.name for runtime in self.runtimes}
        if lost := sorted(names - {runtime.name for runtime in self.runtimes if runtime.default}):
            raise ValueError(f"no default of {', '.join(lost)}")
        if twice := _find_twice([process.name for process in self.processes]):
            raise ValueError(f"more than one process {', '.join(twice)}")


def _find_twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


class CreateContainer(Request):
    """`POST /api/containers`."""

    kind: Literal["dev", "game"]
    name: ContainerName | None = None
    # dev: a runtime of the catalog and a version, or the leading part of one ("24"); the newest match is taken.
    runtime: RuntimeName | None = None
    version: RuntimeVersion | None = None
    enable_code_server: bool = False
    # game: a template of the catalog.
    template: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
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
