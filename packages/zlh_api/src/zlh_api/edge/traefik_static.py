"""Traefik's static file as text: where it listens, what it watches, and who gives it certificates. Pure.

What stands here takes a restart to change, so the ports of games are a pool: each is an entry point from the beginning,
and a route file gives it to a container. Secrets never stand here nor in the environment: the DNS provider of the
resolver reads them from files that variables name (`deploy/traefik/acme.env`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zlh_common.names import Protocol, game_entry_point

# A published file is seen after this time; Traefik's default of two seconds is felt by whoever waits for a container.
THROTTLE_MS = 100
# What asks for TLS and credentials before Traefik's own API; the set-up of its machine puts it into the directory.
PRIVATE_API_FILE = "private-api.yml"
# Players who stand still send little; after this time without a packet they would be others to the game server.
UDP_IDLE_S = 120
# A header that only looks like one of the proxy's own (X_Forwarded_For) must not reach what trusts it.
_SANE_HEADERS: dict[str, Any] = {"aliasHeadersStrategy": "delete"}


@dataclass(frozen=True, slots=True)
class WebEntry:
    """An entry point for browsers."""

    name: str
    # Such as ":443".
    address: str
    # Of the proxies in front: what they say of their clients is believed, what anybody else says is removed.
    trusted: tuple[str, ...] = ()
    # The entry point that every request is sent on to, as plain HTTP is to HTTPS.
    redirects_to: str | None = None


@dataclass(frozen=True, slots=True)
class Acme:
    """Where certificates come from: DNS-01 alone, since nothing else gives a wildcard."""

    resolver: str
    email: str
    # Written by Traefik: the account's key and all certificates.
    storage: str
    provider: Literal["cloudflare", "rfc2136"]
    # None for Let's Encrypt.
    server: str | None = None
    # Name servers, as `address:port`, that are asked whether the proof is there before it is shown. Without any, those
    # are asked that the zone itself names, which a machine behind a firewall may not reach.
    ask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StaticSetting:
    """One Traefik."""

    # Where the route files are.
    directory: str
    # Of its own API and ping.
    private_address: str
    web: tuple[WebEntry, ...]
    games: tuple[tuple[Protocol, int], ...] = ()
    # Where the game ports are open; everywhere where empty.
    games_host: str = ""
    acme: Acme | None = None
    # Whether its own API asks for no credentials, so that nobody but the API may reach the address. Where it does ask,
    # a file of the directory leads there (`deploy/traefik/private-api.yml`).
    is_api_open: bool = True


def render_static_file(setting: StaticSetting) -> str:
    """Return the file, as YAML."""
    config: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN", "format": "json"},
        "entryPoints": {
            **{entry.name: _web_entry(entry) for entry in setting.web},
            # The name `traefik` is the one that `api.insecure`, `ping` and the private route attach to.
            "traefik": {"address": setting.private_address, "http": _SANE_HEADERS},
            **{
                game_entry_point(protocol, port): _game_entry(setting.games_host, protocol, port)
                for protocol, port in setting.games
            },
        },
        "api": {"insecure": setting.is_api_open, "dashboard": False},
        "ping": {"entryPoint": "traefik"},
        "providers": {
            "providersThrottleDuration": f"{THROTTLE_MS}ms",
            "file": {"directory": setting.directory, "watch": True},
        },
    }
    if setting.acme is not None:
        config["certificatesResolvers"] = {setting.acme.resolver: {"acme": _acme(setting.acme)}}
    return "\n".join(_render_yaml(config)) + "\n"


def _web_entry(entry: WebEntry) -> dict[str, Any]:
    http: dict[str, Any] = {**_SANE_HEADERS}
    if entry.redirects_to is not None:
        http["redirections"] = {"entryPoint": {"to": entry.redirects_to, "scheme": "https", "permanent": True}}
    found: dict[str, Any] = {"address": entry.address, "http": http}
    if entry.redirects_to is None:
        # The default of 60 s ends every upload that takes longer.
        timeouts = {"readTimeout": "0s", "writeTimeout": "0s", "idleTimeout": "180s"}
        found["transport"] = {"respondingTimeouts": timeouts}
    if entry.trusted:
        found["forwardedHeaders"] = {"trustedIPs": list(entry.trusted)}
    return found


def _game_entry(host: str, protocol: Protocol, port: int) -> dict[str, Any]:
    found: dict[str, Any] = {"address": f"{host}:{port}/{protocol}"}
    if protocol == "udp":
        found["udp"] = {"timeout": f"{UDP_IDLE_S}s"}
    else:
        found["transport"] = {"respondingTimeouts": {"readTimeout": "0s"}}
        found["http"] = _SANE_HEADERS
    return found


def _acme(acme: Acme) -> dict[str, Any]:
    challenge: dict[str, Any] = {"provider": acme.provider}
    if acme.ask:
        challenge["resolvers"] = list(acme.ask)
        challenge["propagation"] = {"disableANSChecks": True, "requireAllRNS": True}
    found: dict[str, Any] = {"email": acme.email, "storage": acme.storage, "dnsChallenge": challenge}
    if acme.server is not None:
        found["caServer"] = acme.server
    return found


def _render_yaml(value: Mapping[str, Any], indent: int = 0) -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [f"{'  ' * indent}{key}:", *_render_yaml(item, indent + 1)]
        else:
            # JSON is YAML, whatever stands in a path.
            lines.append(f"{'  ' * indent}{key}: {json.dumps(item)}")
    return lines
