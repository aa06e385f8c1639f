"""How much of its host a container may use, and how much may be asked for."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zlh_common.schema.structs import Report, Request

# Cores, in parts of one too: 0.5 is half a core.
Cpu = Annotated[float, Meta(ge=0.1, le=1024)]
# A container whose systemd and agent come up needs so much at least.
MemoryMib = Annotated[int, Meta(ge=128, le=16 * 2**20)]
DiskMib = Annotated[int, Meta(ge=512, le=2**30)]
Pids = Annotated[int, Meta(ge=64, le=4_194_304)]


class Resources(Report):
    """The limits of one container: whole figures, none of them missing."""

    cpu: Cpu = 2.0
    memory_mib: MemoryMib = 2048
    disk_mib: DiskMib = 10_240
    pids: Pids = 2048


class Limits(Report):
    """`GET /api/limits`: what a container gets that asks for nothing, and the most that one may ask for."""

    default: Resources
    maximum: Resources
    # The fields of Resources that this driver holds a container to, as they are spelled on the wire; it may be none.
    enforced: tuple[str, ...]
    driver: str


class ResourceWish(Request):
    """Limits as a customer asks for them: what is not named stays as it is, or is the platform's default."""

    cpu: Cpu | None = None
    memory_mib: MemoryMib | None = None
    disk_mib: DiskMib | None = None
    pids: Pids | None = None
