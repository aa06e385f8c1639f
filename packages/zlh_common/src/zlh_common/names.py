"""The one place where names are made: labels of containers, hosts, and what stands in the agents' certificates.

    container   dev-<vmid>   game-<vmid>
    host        <container label>.<domain>
    exposure    <port>-<container label>.<domain>
    game port   game-tcp-<port>   game-udp-<port>     (entry points of the proxy's pool)
    service     _<service>._<protocol>.<host>         (a record that tells the port of a host's service)

Render and parse are inverse: `parse_host(render_host(x, d), d) == x` for every container and exposure, and `parse_host`
returns None for whatever `render_host` would not have made (upper case, leading zeros, a foreign domain).
A label has at most 63 characters; the longest here has 5 + 1 + 4 + 1 + 9 = 20.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NewType
from uuid import UUID

Vmid = NewType("Vmid", int)
# A UUID of the container row; guests, records and files that carry it are ours.
OwnerMark = NewType("OwnerMark", str)
Kind = Literal["dev", "game"]
Protocol = Literal["tcp", "udp"]

MIN_VMID, MAX_VMID = 100, 999_999_999
MAX_PORT = 65_535
# Below every container host, this path belongs to the API, never to the container.
PLATFORM_PATH = "/.zlh/"
# Of the API: what the proxy asks before each request to a guarded port.
ACCESS_PATH = f"{PLATFORM_PATH}access"
# In which a route of a container's own host says which port it leads to.
ACCESS_PORT = "X-Zlh-Port"
# In the environment of everything that runs in a container under the process driver, with the owner mark as value.
CONTAINER_MARK = "ZLH_CONTAINER"
API_NAME = "api.zlh.internal"
# How an owner mark is written, as part of a pattern.
MARK = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# The first label of every host that is ours, as a pattern for whoever has no parser: ports above 65535 pass it.
HOST_LABEL = r"(?:[1-9][0-9]{0,4}-)?(?:dev|game)-[1-9][0-9]{2,8}"

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HOST = re.compile(rf"(?:(?P<port>{_PORT.pattern})-)?(?P<kind>dev|game)-(?P<vmid>[1-9][0-9]{{2,8}})")
# What stands before a host where a record says at which port one of its services is (RFC 2782).
_SERVICE = re.compile(r"_[a-z0-9][a-z0-9-]{0,14}\._(?:tcp|udp)\.")
_DOMAIN = re.compile(r"(?=.{1,200}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class HostName:
    """What a host leads to: a container, or one published port of it."""

    kind: Kind
    vmid: Vmid
    port: int | None = None

    @property
    def label(self) -> str:
        """The first label of the host."""
        container = container_label(self.kind, self.vmid)
        return container if self.port is None else f"{self.port}-{container}"


def container_label(kind: Kind, vmid: Vmid) -> str:
    """Return `dev-<vmid>` or `game-<vmid>`."""
    return f"{kind}-{vmid}"


def render_host(host: HostName, domain: str) -> str:
    """Return the full host name below `domain`."""
    return f"{host.label}.{domain}"


def parse_host(name: str, domain: str) -> HostName | None:
    """Return what `name` (without a port) leads to, or None where it is not one of ours."""
    label, dot, rest = name.partition(".")
    return parse_label(label) if dot and rest == domain else None


def render_service(service: str, host: str) -> str:
    """Return the name of the record that tells the port of a service, such as `_minecraft._tcp`."""
    return f"{service}.{host}"


def find_serving_host(name: str) -> str:
    """Return the host that a record at this name is about: that behind the service, or the name itself."""
    found = _SERVICE.match(name)
    return name[found.end() :] if found is not None else name


def parse_record_name(name: str, domain: str) -> HostName | None:
    """Return which container a record at this name is about, at its host or at a service; None where it is none."""
    return parse_host(find_serving_host(name), domain)


def read_host(authority: str, domain: str) -> HostName | None:
    """Return what the host of a request leads to: in any case, with or without a port and the dot of the root.

    The proxy finds a name in each of these spellings, so we do too.
    """
    name, colon, port = authority.partition(":")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    return parse_host(name.lower().removesuffix("."), domain) if name.isascii() else None


def parse_label(label: str) -> HostName | None:
    """Return what the first label of a host leads to, or None where it is none of ours."""
    match = _HOST.fullmatch(label)
    if match is None:
        return None
    port = parse_port(match["port"]) if match["port"] else None
    if match["port"] and port is None:
        return None
    return HostName("dev" if match["kind"] == "dev" else "game", Vmid(int(match["vmid"])), port)


def parse_port(text: str) -> int | None:
    """Return the number of a port as names spell it, or None where it is none."""
    return int(text) if _PORT.fullmatch(text) and int(text) <= MAX_PORT else None


def game_entry_point(protocol: Protocol, port: int) -> str:
    """Return the name of the proxy's entry point for a port of the pool of game ports."""
    return f"game-{protocol}-{port}"


def is_label(text: str) -> bool:
    """Tell whether `text` has the form of a container's or an exposure's label."""
    return _HOST.fullmatch(text) is not None


def is_mark(text: str) -> bool:
    """Tell whether `text` has the form of an owner mark."""
    return re.fullmatch(MARK, text) is not None


def is_domain(text: str) -> bool:
    """Tell whether `text` can stand as the domain of container hosts: lower case, no trailing dot."""
    return _DOMAIN.fullmatch(text) is not None


_AGENT_SUFFIX = ".agent.zlh.internal"


def agent_name(owner: OwnerMark) -> str:
    """Return the DNS name in the certificate of the agent whose container has this owner mark."""
    return f"{UUID(owner)}{_AGENT_SUFFIX}"


def parse_agent_name(name: str) -> OwnerMark | None:
    """Return the owner mark in such a name; None for any other."""
    mark = name.removesuffix(_AGENT_SUFFIX)
    return OwnerMark(mark) if mark != name and is_mark(mark) else None
