"""The web side of a container's file, as Traefik's HTTP section: pure.

    router <port>-<label>   Host(<port>-<label>.<domain>)                            → that port
                            … || Host(<label>.<domain>)                              the default port
    router <label>          Host(<label>.<domain>), where nothing is published       → the API's page

What all containers have in common stands once, in `traefik_hosts.py`: who is asked before a guarded port, what is ours
below `/.zlh/`, and the page for a port on which nobody listens. The proxy builds every router anew after each change of
any file, so a container has as few of them as it can.

Where the default port is guarded, its route says which one it is (`<label>-port`): a file that is behind may lead the
container's own host to another port than is meant by now.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from zlh_api.edge import traefik_hosts as shared
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish
from zlh_api.edge.traefik_text import render_tls, service_to
from zlh_common.names import ACCESS_PORT, HostName, render_host


@dataclass(frozen=True, slots=True)
class Http:
    """The section while it is put together for one container."""

    wish: RouteWish
    setting: ProxySetting
    digest: str
    routers: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    middlewares: dict[str, Any] = field(default_factory=dict)
    transports: dict[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> dict[str, Any]:
        """Return the section, without what is empty."""
        parts = {
            "routers": self.routers,
            "services": self.services,
            "middlewares": self.middlewares,
            "serversTransports": self.transports,
        }
        return {key: value for key, value in parts.items() if value}


def render_http(wish: RouteWish, setting: ProxySetting, digest: str) -> dict[str, Any]:
    """Return the section for the container's own host and for each of its ports."""
    http = Http(wish, setting, digest)
    if wish.exposed:
        default, *others = wish.exposed
        _add_port(http, default, wish.host)
        for exposed in others:
            _add_port(http, exposed)
    else:
        service = f"{wish.host.label}-{digest}"
        http.services[service] = service_to(setting.api_url)
        _add_router(http, [wish.host], service, [shared.HOME, shared.PAGES])
    return http.section


def router_names(host: HostName, ports: Iterable[int]) -> tuple[str, ...]:
    """Return every router that the section may have, whichever of these ports are published."""
    return (host.label, *(replace(host, port=port).label for port in ports))


def _add_port(http: Http, exposed: ExposedPort, *also: HostName) -> None:
    host = replace(http.wish.host, port=exposed.port)
    service = service_to(f"{exposed.kind}://{_url_host(http.wish.address)}:{exposed.port}")
    if exposed.kind == "https":
        # A container's certificate is its own matter; what is reached is its address, which no other has.
        transport = f"{http.wish.host.label}-unverified"
        http.transports[transport] = {"insecureSkipVerify": True}
        service["loadBalancer"]["serversTransport"] = transport
    name = f"{host.label}-{http.digest}"
    http.services[name] = service
    # Who asks is settled first; only who may see the port is told that nobody listens there.
    first = [shared.GUARD if exposed.is_guarded else shared.OPEN]
    if exposed.is_guarded and also:
        told = f"{http.wish.host.label}-port"
        http.middlewares[told] = {"headers": {"customRequestHeaders": {ACCESS_PORT: str(exposed.port)}}}
        first = [told, *first]
    _add_router(http, [host, *also], name, [*first, shared.SILENT])


def _add_router(http: Http, labels: list[HostName], service: str, middlewares: list[str]) -> None:
    hosts = [render_host(label, http.setting.domain) for label in labels]
    http.routers[labels[0].label] = {
        "rule": " || ".join(f"Host(`{host}`)" for host in hosts),
        "entryPoints": [http.setting.entry_point],
        "service": service,
        "middlewares": middlewares,
        **render_tls(hosts, http.setting),
    }


def _url_host(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
