"""What the proof knows of a container, and of each link of its chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from zlh_common.names import HostName, Kind, OwnerMark, Vmid
from zlh_common.schema.edge import Certificate, EdgeOutage, EdgeProxy, ShownCertificate

ROUTE, NAME, AGENT, DNS = "route", "name", "agent", "dns:"


@dataclass(frozen=True, slots=True)
class Provable:
    """A container as its row says, as far as the proof has to know it."""

    owner: OwnerMark
    vmid: Vmid
    kind: Kind
    # Digest of the file that the proxy was seen to use.
    confirmed: str | None
    faults: tuple[str, ...]
    # It was ready once and should be reachable: it is on, runs, and nobody suspends or deletes it.
    is_due_to_answer: bool
    # The reconciler works on it at this moment, so what is seen may be halfway.
    is_in_work: bool
    # A person asked, and nobody has looked since.
    is_asked: bool
    # The public port at which its game server answers players' question while its agent calls it ready; else None.
    played_at: int | None = None

    @property
    def host(self) -> HostName:
        """The container's own host."""
        return HostName(self.kind, self.vmid)


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """One link as one look has shown it."""

    link: str
    is_good: bool
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class LinkMemory:
    """One link as it was seen last, and what that is worth."""

    link: str
    at: datetime
    # Since when it is as it is.
    since: datetime
    is_good: bool
    is_broken: bool = False
    code: str | None = None
    message: str | None = None
    # In a row.
    failures: int = 0
    successes: int = 0
    # When it was called broken, as far back as that matters.
    broken_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownAt:
    """A certificate, and when it was shown."""

    certificate: Certificate
    at: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of one container."""

    links: tuple[LinkMemory, ...] = ()
    checked_at: datetime | None = None
    certificate: ShownAt | None = None

    def find(self, link: str) -> LinkMemory | None:
        """Return one link, or None where it was never looked at."""
        return next((each for each in self.links if each.link == link), None)


@dataclass(frozen=True, slots=True)
class Change:
    """A link that is called broken from now on, or no more."""

    link: str
    is_broken: bool
    code: str | None
    message: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class EdgeLook:
    """One look at the edge as a whole."""

    looked_at: datetime
    took_s: float
    # Those that should answer, and those of them that were asked for by name.
    containers: int
    asked: int
    proxy: EdgeProxy
    outages: tuple[EdgeOutage, ...] = ()
    # What the portal's own name shows.
    portal: ShownCertificate | None = None
