"""What an agent says of the ports of its container."""

from __future__ import annotations

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


class SeenPort(ListeningPort):
    """A port that is listened on, and how it is published where it is."""

    exposure: Exposure | None


class PortCut(Report):
    """`POST /ports/{port}/cut` of an agent, from protocol 5 on: so many connections were ended."""

    cut: Annotated[int, Meta(ge=0, le=2**31 - 1)]
