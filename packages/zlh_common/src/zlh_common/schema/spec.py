"""What the API wants of one agent (`PUT /spec`), and what a customer may ask of the API."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from zlh_common.schema.process import MAX_PROCESSES, Port, WantedProcess
from zlh_common.schema.structs import Report, Request

# The first character is a letter or digit, so that a name never reads as an option or a hidden file.
# `$` alone would let a line break follow, and `\Z` is unknown to the readers of our JSON Schema.
ContainerName = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$(?!\n)")]
RuntimeName = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
RuntimeVersion = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$(?!\n)")]


class WantedRuntime(Report):
    """A toolchain version that must be installed; `version` is exact."""

    name: RuntimeName
    version: RuntimeVersion


class AgentSpec(Report):
    """What one agent must make true. A lower generation than the one it holds is refused."""

    # As many as every reader of JSON and the database can hold.
    generation: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    runtimes: tuple[WantedRuntime, ...] = ()
    processes: Annotated[tuple[WantedProcess, ...], Meta(max_length=MAX_PROCESSES)] = ()

    def __post_init__(self) -> None:
        """Refuse two versions of one runtime, since only one can be the current one, and two processes of one name."""
        if twice := _find_twice([runtime.name for runtime in self.runtimes]):
            raise ValueError(f"more than one version of {', '.join(twice)}")
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


class PatchContainer(Request):
    """`PATCH /api/containers/{vmid}`: only what is named changes."""

    name: ContainerName | None = None
    power: Literal["on", "off"] | None = None


class CreateExposure(Request):
    """`POST …/exposures`: publish one port of a container."""

    port: Port
    visibility: Literal["private", "customer", "public"]
    expires_in_s: Annotated[int, Meta(ge=60, le=31_536_000)] | None = None


class Exposure(Report):
    """One published port and the address at which it is reached."""

    id: str
    port: int
    visibility: str
    url: str
    # The exposure that also answers on the container's own host.
    default: bool
