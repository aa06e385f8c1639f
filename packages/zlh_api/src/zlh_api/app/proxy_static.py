"""`zlh-api traefik-static`: the proxy's static file as this installation's configuration needs it.

The two must agree on the entry point, the resolver, the pool of game ports and the proxies in front, so one is made of
the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from zlh_api.config.edge_tables import GamePortsSection, parse_ports
from zlh_api.config.model import ApiConfig
from zlh_api.edge.traefik_static import Acme, StaticSetting, WebEntry
from zlh_common.errors import ConfigInvalid
from zlh_common.names import Protocol

# Where Traefik keeps its account with the ACME server and all certificates.
ACME_STORAGE = "/var/lib/traefik/acme.json"
_USUAL_PORT = {"http": 80, "https": 443}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("traefik-static", help="print the static file of the proxy for this configuration")
    parser.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    parser.add_argument(
        "--directory",
        metavar="PATH",
        help="of the route files as Traefik sees it, where that is another one than what the publisher sees by SFTP",
    )
    parser.add_argument("--acme-email", metavar="ADDRESS", help="whom the ACME server tells what goes wrong")
    parser.add_argument("--acme-provider", choices=("cloudflare", "rfc2136"), help="where names are proved: DNS-01")
    parser.add_argument("--acme-server", metavar="URL", help="default: Let's Encrypt")
    parser.add_argument(
        "--acme-ask",
        metavar="ADDRESS:PORT",
        action="append",
        default=[],
        help="a name server that must have the proof before it is shown; may be repeated",
    )
    return parser


def static_setting(config: ApiConfig, acme: Acme | None, directory: str | None) -> StaticSetting:
    """Return what the static file must say; raise ConfigInvalid where certificates have no source."""
    traefik = config.traefik
    wanted = traefik.tls.resolver if traefik.tls is not None else None
    if (wanted is None) != (acme is None):
        raise ConfigInvalid(
            source="traefik.tls.resolver",
            problems=[
                "no resolver is named, so --acme-… would serve nobody"
                if wanted is None
                else f"the resolver {wanted} needs --acme-email and --acme-provider"
            ],
        )
    if traefik.sftp is not None and directory is None:
        raise ConfigInvalid(
            source="traefik.directory",
            problems=[f"{traefik.directory} is what SFTP shows; say with --directory where that is for Traefik"],
        )
    games = traefik.games or GamePortsSection()
    ranges: tuple[tuple[Protocol, str | None], ...] = (("tcp", games.tcp), ("udp", games.udp))
    return StaticSetting(
        directory=directory or str(traefik.directory),
        private_address=_private_address(traefik.api_url),
        web=_web_entries(config),
        games=tuple((protocol, port) for protocol, text in ranges for port in parse_ports(text)),
        acme=acme,
        is_api_open=urlsplit(traefik.api_url).scheme == "http",
    )


def read_acme(arguments: argparse.Namespace, config: ApiConfig) -> Acme | None:
    """Return where certificates come from, or None where nothing was said of it."""
    resolver = config.traefik.tls.resolver if config.traefik.tls is not None else None
    if not (arguments.acme_email and arguments.acme_provider):
        return None
    return Acme(
        resolver=resolver or "",
        email=arguments.acme_email,
        storage=ACME_STORAGE,
        provider=arguments.acme_provider,
        server=arguments.acme_server,
        ask=tuple(arguments.acme_ask),
    )


def _web_entries(config: ApiConfig) -> tuple[WebEntry, ...]:
    traefik = config.traefik
    web = urlsplit(traefik.web_url)
    entry = WebEntry(traefik.entry_point, f":{web.port or _USUAL_PORT[web.scheme]}", trusted=config.trusted_proxies)
    if traefik.tls is None:
        return (entry,)
    return (WebEntry("redirect", f":{_USUAL_PORT['http']}", redirects_to=entry.name), entry)


def _private_address(api_url: str) -> str:
    # It listens where the API finds it and nowhere else.
    found = urlsplit(api_url)
    host = found.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{found.port or _USUAL_PORT[found.scheme]}"
