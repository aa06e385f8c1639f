"""What is told of the way from a public name to its container: link by link, and of the edge as a whole."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from zlh_common.schema.structs import Report


class LinkState(StrEnum):
    """How one link of a container's chain is."""

    HOLDS = "holds"
    # It has failed once, or holds again for too short a time to be believed.
    DOUBTFUL = "doubtful"
    BROKEN = "broken"
    # Nobody has looked, or could.
    UNKNOWN = "unknown"
    # It is not configured, or there is nothing to look at while the container is off.
    SKIPPED = "skipped"


class ProofLink(Report):
    """One link: `agent`, `route`, `dns:<provider>` and `name`, in the order in which a request depends on them."""

    link: str
    state: LinkState
    # When it was looked at last, and since when it is as it is.
    at: datetime | None = None
    since: datetime | None = None
    code: str | None = None
    message: str | None = None


class Certificate(Report):
    """What is shown for a name when a browser opens it."""

    names: tuple[str, ...]
    issuer: str
    not_after: datetime


class EdgeOutage(Report):
    """Something that all containers need and that is away; none of them is blamed for it."""

    code: str
    message: str
    since: datetime


class Proof(Report):
    """`GET /api/containers/{vmid}/proof`: the chain as it was seen last."""

    vmid: int
    checked_at: datetime | None
    # When a person asked for a look; until `checked_at` is later, it has not been taken.
    asked_at: datetime | None
    links: tuple[ProofLink, ...]
    # None where names are not served by TLS, or nobody has looked.
    certificate: Certificate | None
    outages: tuple[EdgeOutage, ...] = ()


class EdgeProxy(Report):
    """The proxy as its own API shows it; null is what could not be asked."""

    is_reachable: bool
    version: str | None = None
    # How many routers it has loaded, and how many of them it refuses to use.
    routers: int | None = None
    refused: int | None = None
    trouble: str | None = None


class QuarantinedFile(Report):
    """A foreign file that kept the proxy from loading any, and where it lies now."""

    name: str
    where: str
    reason: str
    moved_at: datetime


class EdgeFiles(Report):
    """The directory of route files."""

    count: int | None
    quarantined: tuple[QuarantinedFile, ...]
    trouble: str | None = None


class EdgeProvider(Report):
    """One DNS provider."""

    name: str
    kind: str
    zone: str
    is_reachable: bool
    surveyed_at: datetime | None = None
    records: int | None = None
    trouble: str | None = None


class ShownCertificate(Report):
    """A certificate, by how many hosts it is shown, and one of these."""

    certificate: Certificate
    hosts: int
    example: str
    seen_at: datetime
    # It ends so soon that somebody should have renewed it.
    is_due: bool


class EdgeFault(Report):
    """A container whose name does not lead to it, though it did."""

    vmid: int
    name: str
    customer_id: str
    faults: tuple[str, ...]


class EdgeStatus(Report):
    """`GET /api/platform/edge`. What is null is not configured, or was never looked at."""

    # Whether somebody looks, and how often.
    is_alive: bool
    every_s: float
    looked_at: datetime | None
    took_s: float | None
    # How many containers should be reachable, and how many of them were asked for by name in the last look.
    containers: int
    asked: int
    proxy: EdgeProxy | None
    outages: tuple[EdgeOutage, ...]
    # Those with faults, the lowest numbers first; `faults_left_out` says how many more there are.
    faults: tuple[EdgeFault, ...]
    faults_left_out: int
    # How many containers have each fault.
    fault_counts: dict[str, int]
    # Those that end first.
    certificates: tuple[ShownCertificate, ...]
    files: EdgeFiles | None
    providers: tuple[EdgeProvider, ...] | None
