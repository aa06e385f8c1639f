"""What an agent says of the ports of its container."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from zlh_common.schema.spec import Exposure
from zlh_common.schema.structs import Report


class PortKind(StrEnum):
    """What a port was found to speak, when it was asked once."""

    # Nobody has asked yet, or nothing could be told: it did not take a connection.
    UNKNOWN = "unknown"
    HTTP = "http"
    HTTPS = "https"
    # It takes connections and speaks neither: a database, a game, a debugger.
    TCP = "tcp"


class PortReach(StrEnum):
    """From where a port can be reached, by the addresses that its program has bound."""

    NETWORK = "network"
    # Loopback or IPv6 alone: a published address does not get through to it.
    LOOPBACK = "loopback"
    # Loopback or IPv6 alone, and the agent passes on what comes from outside, since the port is published.
    BRIDGED = "bridged"
    # Under the process driver: it is bound to every address of a machine that others share.
    SHARED = "shared"


class ListeningPort(Report):
    """One TCP port that a program of the container listens on, from protocol 6 on."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    # As they were bound: `0.0.0.0` and `::` are all of a family.
    addresses: tuple[str, ...]
    reach: PortReach
    kind: PortKind
    # Who listens; null and empty where no process could be found that holds it.
    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None
    process: str
    command: str
    directory: str | None
    # When it was first seen.
    since: datetime


class PortFamily(StrEnum):
    """By which of the two protocols a port takes connections, by the addresses that its program has bound."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    BOTH = "both"


class SeenPort(ListeningPort):
    """A port that is listened on, and how it is published where it is."""

    family: PortFamily
    # The first of its addresses.
    address: str
    exposure: Exposure | None


class SeenPorts(Report):
    """`GET …/ports`: the ports that are listened on, 64 at most."""

    ports: tuple[SeenPort, ...]


def family_of(addresses: Sequence[str]) -> PortFamily:
    """Return by which protocols a port with these addresses takes connections."""
    colons = {":" in address for address in addresses}
    if len(colons) == 2:
        return PortFamily.BOTH
    return PortFamily.IPV6 if True in colons else PortFamily.IPV4


class PortCut(Report):
    """`POST /ports/{port}/cut` of an agent, from protocol 5 on: so many connections were ended."""

    cut: Annotated[int, Meta(ge=0, le=2**31 - 1)]
