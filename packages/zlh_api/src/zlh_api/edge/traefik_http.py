"""The web side of a container's file, as Traefik's HTTP section: pure.

    router <label>            Host(<label>.<domain>)                 → the default exposure, else the API
    router <label>-platform   Host(<label>.<domain>) && /.zlh/       → the API
    router <port>-<label>     Host(<port>-<label>.<domain>)          → that port
    router <port>-<label>-platform, below a guarded port: sign-in belongs to the host that is signed in to

A guarded port asks the API before each request (`<port>-<label>-guard`). It says which port the request would reach,
since a file that is behind may lead the container's own host to another one than is meant by now. The answer's Cookie
header takes the place of the request's, so what tells us who asks never reaches the container; what a client writes
into X-Zlh-… does not either.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from zlh_api.edge.model import ExposedPort, ProxySetting, RouteWish
from zlh_common.names import ACCESS_PATH, ACCESS_PORT, PLATFORM_PATH, HostName, render_host

# Above whatever a container's own host can match.
PLATFORM_PRIORITY = 10_000
# In which the API tells the container who asks.
USER_HEADER = "X-Zlh-User"
# What the API decides by. Anything else, such as the container's own Authorization, is none of its business.
ASKED_WITH = (
    "Accept", "Cookie", "Origin", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-WebSocket-Key",
    "User-Agent",
)  # fmt: skip
# Of an answer that refuses, a page at most.
MAX_ANSWER_BYTES = 65_536


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
    def label(self) -> str:
        """Of the container: the beginning or the end of every name in the file."""
        return self.wish.host.label

    @property
    def api(self) -> str:
        """The service that is us."""
        return f"api-{self.label}-{self.digest}"

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
    http.services[http.api] = _to(setting.api_url)
    http.middlewares.update(_middlewares(http))
    _add_own_host(http)
    for exposed in wish.exposed:
        _add_port(http, exposed)
    return http.section


def router_names(host: HostName, ports: Iterable[int]) -> tuple[str, ...]:
    """Return every router that the section may have for these ports, whoever may open them."""
    labels = (host.label, *(replace(host, port=port).label for port in ports))
    return tuple(name for label in labels for name in (label, f"{label}-platform"))


def render_tls(host: str, setting: ProxySetting) -> dict[str, Any]:
    """Return what a router of this host says of certificates: nothing where its entry point speaks plain HTTP."""
    if setting.tls is None:
        return {}
    if setting.tls.resolver is None:
        return {"tls": {}}
    wildcard = f"*.{setting.domain}"
    # A wildcard covers one label; any other host has a certificate of its own, which the rule names.
    if setting.tls.is_wildcard and host.partition(".")[2] == setting.domain:
        return {"tls": {"certResolver": setting.tls.resolver, "domains": [{"main": wildcard}]}}
    return {"tls": {"certResolver": setting.tls.resolver}}


def _add_own_host(http: Http) -> None:
    _add_platform(http, http.wish.host)
    if http.wish.exposed:
        default = http.wish.exposed[0]
        _add_router(http, http.wish.host, _service(http, default), _chain(http, default))
    else:
        _add_router(http, http.wish.host, http.api, [f"{http.label}-home", f"{http.label}-headers"])


def _add_port(http: Http, exposed: ExposedPort) -> None:
    host = replace(http.wish.host, port=exposed.port)
    _add_router(http, host, _service(http, exposed), _chain(http, exposed))
    if exposed.is_guarded:
        _add_platform(http, host)
    service = _to(f"{exposed.kind}://{_url_host(http.wish.address)}:{exposed.port}")
    if exposed.kind == "https":
        # A container's certificate is its own matter; what is reached is its address, which no other has.
        transport = f"{http.label}-unverified"
        http.transports[transport] = {"insecureSkipVerify": True}
        service["loadBalancer"]["serversTransport"] = transport
    http.services[_service(http, exposed)] = service


def _add_platform(http: Http, host: HostName) -> None:
    rule = f"{_host_rule(host, http.setting)} && PathPrefix(`{PLATFORM_PATH}`)"
    http.routers[f"{host.label}-platform"] = {
        "rule": rule,
        "entryPoints": [http.setting.entry_point],
        "service": http.api,
        "middlewares": [f"{http.label}-headers"],
        "priority": PLATFORM_PRIORITY,
        **render_tls(render_host(host, http.setting.domain), http.setting),
    }


def _add_router(http: Http, host: HostName, service: str, middlewares: list[str]) -> None:
    http.routers[host.label] = {
        "rule": _host_rule(host, http.setting),
        "entryPoints": [http.setting.entry_point],
        "service": service,
        "middlewares": middlewares,
        **render_tls(render_host(host, http.setting.domain), http.setting),
    }


def _chain(http: Http, exposed: ExposedPort) -> list[str]:
    """Who asks is settled first; only who may see the port is told that nobody listens there."""
    first = _guard_name(http, exposed) if exposed.is_guarded else f"{http.label}-open"
    return [first, f"{http.label}-silent"]


def _middlewares(http: Http) -> dict[str, Any]:
    found: dict[str, Any] = {
        # These pages are ours. What a container sends is not, and has the headers that it gave itself.
        f"{http.label}-headers": {
            "headers": {
                "contentTypeNosniff": True,
                "frameDeny": True,
                "referrerPolicy": "no-referrer",
                # A guard alone says to us who asks.
                "customRequestHeaders": {USER_HEADER: ""},
            }
        },
    }
    if not http.wish.exposed:
        return found | {f"{http.label}-home": {"replacePath": {"path": f"{PLATFORM_PATH}home"}}}
    found[f"{http.label}-silent"] = {
        "errors": {"status": ["502", "504"], "service": http.api, "query": f"{PLATFORM_PATH}silent"}
    }
    for exposed in http.wish.exposed:
        if exposed.is_guarded:
            found[_guard_name(http, exposed)] = {"forwardAuth": _guard(http.setting, exposed.port)}
    if not all(exposed.is_guarded for exposed in http.wish.exposed):
        found[f"{http.label}-open"] = {"headers": {"customRequestHeaders": {USER_HEADER: ""}}}
    return found


def _guard_name(http: Http, exposed: ExposedPort) -> str:
    return f"{exposed.port}-{http.label}-guard"


def _guard(setting: ProxySetting, port: int) -> dict[str, Any]:
    return {
        "address": f"{setting.api_url.rstrip('/')}{ACCESS_PATH}?{ACCESS_PORT}={port}",
        "authRequestHeaders": list(ASKED_WITH),
        # Taken from the answer, and from nowhere else: what the request had of them is removed.
        "authResponseHeaders": ["Cookie", USER_HEADER],
        "authResponseHeadersRegex": "(?i)^x[-_]zlh[-_]",
        "maxResponseBodySize": MAX_ANSWER_BYTES,
        "trustForwardHeader": False,
    }


def _host_rule(host: HostName, setting: ProxySetting) -> str:
    return f"Host(`{render_host(host, setting.domain)}`)"


def _service(http: Http, exposed: ExposedPort) -> str:
    return f"{exposed.port}-{http.label}-{http.digest}"


def _url_host(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address


def _to(url: str) -> dict[str, Any]:
    return {"loadBalancer": {"servers": [{"url": url}]}}
