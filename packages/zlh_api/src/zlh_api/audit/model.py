"""Two lists that should agree: what our books say, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from zlh_api.containers.model import Power
from zlh_api.dns.model import FoundRecord, Record
from zlh_api.drivers.port import FoundGuest
from zlh_api.edge.port import FoundRoute
from zlh_common.names import HostName, Kind, OwnerMark, Vmid
from zlh_common.schema.audit import Finding
from zlh_common.schema.resources import Resources

# What the parts of a report are called; each provider has a part of its own.
GUESTS, ROUTES, RECORDS = "guests", "routes", "records"


def records_part(provider: str) -> str:
    """Return what the part of a report is called that tells of the records at one provider."""
    return f"{RECORDS}:{provider}"


@dataclass(frozen=True, slots=True)
class Row:
    """One container as the database has it."""

    owner: OwnerMark
    vmid: Vmid
    kind: Kind
    # Whether its guest should run: off as well while its customer is suspended.
    power: Power
    address: str | None
    resources: Resources
    # Whether its guest and its route were whole once.
    is_established: bool
    # Nobody works on it, nobody is about to, and nobody did while we looked.
    is_settled: bool
    # Of the file that the proxy should have; None where it need not have one.
    route_sha256: str | None
    # At each provider, by its name; None where it need not have any.
    records: Mapping[str, tuple[Record, ...]] | None = None
    # Grows with everybody who works on it.
    fence: int = 0

    @property
    def host(self) -> HostName:
        """The container's own host."""
        return HostName(self.kind, self.vmid)


@dataclass(frozen=True, slots=True)
class Departed:
    """A container that we have deleted."""

    vmid: Vmid
    departed_at: datetime


@dataclass(frozen=True, slots=True)
class LeftAt:
    """What may be left at a DNS provider that is configured no more."""

    provider: str
    names: int
    example: str


@dataclass(frozen=True, slots=True)
class Books:
    """What the database says."""

    rows: tuple[Row, ...]
    # Of the marks that were seen and that no row has.
    departed: Mapping[OwnerMark, Departed]
    # The highest number that was given to a container.
    last_number: int
    # Addresses of ours are taken from this block.
    address_block: str
    domain: str
    # Names of files of the platform itself, and the mark that they carry.
    platform_files: frozenset[str]
    platform_owner: OwnerMark
    left: tuple[LeftAt, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordSurvey:
    """What one DNS provider holds, as it was seen from `began` on, when the containers had these fences."""

    provider: str
    began: datetime
    fences: Mapping[UUID, int]
    found: tuple[FoundRecord, ...]


@dataclass(frozen=True, slots=True)
class Sightings:
    """What was seen, from `began` on by the database's clock; None is what could not be looked at."""

    began: datetime
    guests: tuple[FoundGuest, ...] | None
    routes: tuple[FoundRoute, ...] | None
    # Of those providers that could be looked at.
    records: tuple[RecordSurvey, ...] = ()


class Certainty(Enum):
    """What a difference is worth after one look."""

    # It concerns a container at which nobody works.
    SURE = auto()
    # Work may have been under way; it counts when the next look shows it too.
    ONCE = auto()
    # The container is being worked on, which may be why; it is told as work.
    IN_WORK = auto()


@dataclass(frozen=True, slots=True)
class Difference:
    """One finding as one look has shown it."""

    finding: Finding
    certainty: Certainty
    # The container whose reconciler should look: it puts this right, or tells its customer what stands in its way.
    wakes: OwnerMark | None = None
    # At which provider its records are not what our books say, and at which names it was seen to have some.
    doubts: tuple[str, frozenset[str]] | None = None


@dataclass(frozen=True, slots=True)
class Occupied:
    """What unknown guests hold, so that no container of ours gets it."""

    vmids: frozenset[Vmid] = field(default_factory=frozenset)
    addresses: frozenset[str] = field(default_factory=frozenset)
