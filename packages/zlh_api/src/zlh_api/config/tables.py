"""The tables of the file that every installation has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from zlh_api.config.section import Section
from zlh_api.containers.rules import round_cpu
from zlh_api.reconcile.pace import DRIFT_S, LEASE_S
from zlh_common.schema.catalog import MAX_MIRRORS, MAX_PRIVATE_ORIGINS
from zlh_common.schema.customers import Count, Quota, QuotaCpu, QuotaMib
from zlh_common.schema.resources import Cpu, DiskMib, MemoryMib, Pids, Resources


class DatabaseSection(Section):
    """Where PostgreSQL is."""

    dsn: str
    max_connections: Annotated[int, Meta(ge=2, le=200)] = 16


class ArtifactsSection(Section):
    """Where the artifact server is, and what its catalog is believed by."""

    url: str
    trusted_root: Path
    # Other servers of the same signed tree, asked in this order when the first gives nothing that can be believed.
    mirrors: Annotated[tuple[str, ...], Meta(max_length=MAX_MIRRORS)] = ()
    # As `scheme://host[:port]`: where containers may fetch pinned files of game servers from although the address is
    # none of the internet.
    private_origins: Annotated[tuple[str, ...], Meta(max_length=MAX_PRIVATE_ORIGINS)] = ()
    # The tree that this API serves below /artifacts/, and the keys with which it renews the signatures.
    folder: Path | None = None
    keys: Path | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """All servers, in the order in which they are asked."""
        return (self.url, *self.mirrors)


class ReconcilerSection(Section):
    """How one process works on containers."""

    # At a time, not counting those whose step merely takes its time; of these there are up to seven times as many.
    workers: Annotated[int, Meta(ge=1, le=256)] = 16
    # How often a container is looked at of which nobody says that anything has changed.
    drift_s: Annotated[float, Meta(ge=1, le=3600)] = DRIFT_S
    # How long the containers of a process that died rest before another takes them over.
    lease_s: Annotated[float, Meta(ge=1, le=120)] = LEASE_S


class HistorySection(Section):
    """How much is kept of what agents tell, for each container."""

    entries: Annotated[int, Meta(ge=10, le=100_000)] = 1000
    samples_h: Annotated[int, Meta(ge=1, le=24 * 90)] = 24


class SizeSection(Section):
    """How much one container uses of its host."""

    cpu: Cpu = Resources().cpu
    memory_mib: MemoryMib = Resources().memory_mib
    disk_mib: DiskMib = Resources().disk_mib
    pids: Pids = Resources().pids

    @property
    def limits(self) -> Resources:
        """The same in the words of the platform."""
        return Resources(cpu=round_cpu(self.cpu), memory_mib=self.memory_mib, disk_mib=self.disk_mib, pids=self.pids)


class ResourcesSection(Section):
    """What a container gets that asks for nothing, and the most that one may ask for."""

    default: SizeSection = SizeSection()
    maximum: SizeSection = SizeSection(cpu=8.0, memory_mib=16_384, disk_mib=102_400, pids=8192)


# Calls that stay open are connections (`web.connections` has 8,192), and others must find some left.
MAX_OPEN_CALLS = 8192 - 512


class RateSection(Section):
    """So many calls a second for long, and so many at once."""

    per_s: Annotated[float, Meta(gt=0, le=1_000_000)]
    burst: Annotated[int, Meta(ge=1, le=1_000_000)]


class RateLimitsSection(Section):
    """How often anybody may call one API process, and how many calls may stay open there."""

    # For one session or token.
    reads: RateSection = RateSection(per_s=500, burst=1000)
    changes: RateSection = RateSection(per_s=50, burst=250)
    # For all sessions and tokens of one customer.
    customer_reads: RateSection = RateSection(per_s=1000, burst=2000)
    customer_changes: RateSection = RateSection(per_s=100, burst=500)
    # For one address, of whoever is not signed in.
    address_reads: RateSection = RateSection(per_s=500, burst=1000)
    address_changes: RateSection = RateSection(per_s=20, burst=100)
    # Of requests for guarded ports: of one browser at one host, of all that are signed in at one container, and of all
    # that are not.
    access_sign_in: RateSection = RateSection(per_s=300, burst=5000)
    access_container: RateSection = RateSection(per_s=600, burst=10_000)
    access_strangers: RateSection = RateSection(per_s=100, burst=1000)
    event_streams_per_user: Annotated[int, Meta(ge=1, le=100_000)] = 20
    event_streams: Annotated[int, Meta(ge=1, le=100_000)] = 2000
    sockets_per_user: Annotated[int, Meta(ge=1, le=100_000)] = 300
    sockets: Annotated[int, Meta(ge=1, le=100_000)] = 5000
    transfers_per_user: Annotated[int, Meta(ge=1, le=100_000)] = 32
    # At all containers of one customer, whoever calls.
    transfers_per_customer: Annotated[int, Meta(ge=1, le=100_000)] = 128
    transfers: Annotated[int, Meta(ge=1, le=100_000)] = 500


class QuotaSection(Section):
    """What a customer may have for whom an operator has set nothing else; what is absent has no limit."""

    containers: Count | None = None
    cpu: QuotaCpu | None = None
    memory_mib: QuotaMib | None = None
    disk_mib: QuotaMib | None = None
    exposures: Count | None = None
    members: Count | None = None

    @property
    def quota(self) -> Quota:
        """The same in the words of the platform."""
        return Quota(**msgspec.structs.asdict(self))


class ModsSection(Section, kw_only=True):
    """Where mods are looked for; without this table nobody is asked."""

    # Whom Modrinth writes to when we are a nuisance: an address of mail, or of a page.
    contact: Annotated[str, Meta(min_length=3, max_length=128, pattern=r"^[\x21-\x7e]+$")]
    url: str = "https://api.modrinth.com/v2"
    # From where agents may be sent for files, as `scheme://host[:port]`.
    file_origins: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)] = ("https://cdn.modrinth.com",)
