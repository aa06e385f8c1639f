"""What the edge makes true, as values: whose name leads where, and what the proxy has to know for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from zlh_common.names import HostName, OwnerMark, Protocol
from zlh_common.schema.spec import Visibility

# What belongs to the platform itself carries this mark, which no container can have.
PLATFORM_OWNER = OwnerMark(str(UUID(int=0)))


@dataclass(frozen=True, slots=True)
class ExposedPort:
    """One published port of a container."""

    port: int
    # Whether the API is asked before each request: nobody but those who may see it gets through.
    is_guarded: bool = False
    # What listens there. The certificate of an https server is not checked: it is reached at the container's address.
    kind: Literal["http", "https"] = "http"


def expose(port: int, visibility: Visibility, kind: Literal["http", "https"]) -> ExposedPort:
    """Return what the proxy is told of an exposure."""
    return ExposedPort(port, is_guarded=visibility != "public", kind=kind)


@dataclass(frozen=True, slots=True)
class GamePort:
    """A port of a game server, and the port of the proxy's pool that leads there."""

    protocol: Protocol
    # Of the proxy: one of the ports that its static file declares.
    public_port: int
    # Of the container.
    port: int


@dataclass(frozen=True, slots=True)
class RouteWish:
    """What the proxy should do for one container; the first exposed port is the default one."""

    owner: OwnerMark
    host: HostName
    address: str
    exposed: tuple[ExposedPort, ...] = ()
    games: tuple[GamePort, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsSetting:
    """By which certificates the proxy speaks for container hosts."""

    # A certificate resolver of the proxy's static file; None where its default certificate serves every host.
    resolver: str | None = None
    # One certificate for all hosts of the domain in place of one for each.
    is_wildcard: bool = True


@dataclass(frozen=True, slots=True)
class ProxySetting:
    """What all files have in common."""

    domain: str
    # Of the proxy: where requests for container hosts come in.
    entry_point: str
    # Where the proxy reaches the API.
    api_url: str
    # None where the entry point speaks plain HTTP.
    tls: TlsSetting | None = None


@dataclass(frozen=True, slots=True)
class RouteFile:
    """A file of the directory that is ours alone; `routers` are the names that the proxy must list, with services."""

    name: str
    text: str
    digest: str
    routers: tuple[tuple[str, str], ...]
    # The routers of game ports, which the proxy lists elsewhere: protocol, name, service.
    game_routers: tuple[tuple[Protocol, str, str], ...] = ()

    @property
    def all_routers(self) -> tuple[tuple[str, str, str], ...]:
        """Every router, with its protocol and its service."""
        return (*(("http", name, service) for name, service in self.routers), *self.game_routers)

    @property
    def sha256(self) -> str:
        """Of the text, by which a file of a survey is compared with this one."""
        return text_sha256(self.text.encode())


@dataclass(frozen=True, slots=True)
class Router:
    """One router as the proxy lists it."""

    service: str
    # `enabled`, or what the proxy says instead.
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """What the proxy says of itself in one look."""

    version: str
    # By protocol and name, as far as they come from files.
    routers: Mapping[tuple[str, str], Router]


def text_sha256(text: bytes) -> str:
    """Return what stands for the text of a file."""
    return hashlib.sha256(text).hexdigest()
