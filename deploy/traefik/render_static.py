"""Prints Traefik's static file for the machine of the proxy, so that it fits what the API is told.

    render_static.py --config /etc/zlh/api.toml --private 10.0.0.2:8443 --email ops@example.org > traefik.yml

The entry points, the pool of game ports and the resolver are those of the API's configuration; run it on the API's
machine, and again when one of them changes. Nothing secret stands in what it prints.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from zlh_api.config.edge_tables import GamePortsSection, parse_ports
from zlh_api.config.load import load_config
from zlh_api.config.model import ApiConfig
from zlh_api.edge.traefik_static import Acme, StaticSetting, WebEntry, render_static_file
from zlh_common.names import Protocol

# https://www.cloudflare.com/ips/: who stands in front of the dev hosts. What they say of a client is believed.
CLOUDFLARE = (
    "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18",
    "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13",
    "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32",
    "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32",
)  # fmt: skip


def make_setting(config: ApiConfig, arguments: argparse.Namespace) -> StaticSetting:
    """Return the proxy that fits the configuration."""
    traefik = config.traefik
    games = traefik.games or GamePortsSection()
    pools: tuple[tuple[Protocol, str | None], ...] = (("tcp", games.tcp), ("udp", games.udp))
    trusted = tuple(arguments.trust) if arguments.trust else CLOUDFLARE
    entry = traefik.entry_point
    if traefik.tls is None:
        web: tuple[WebEntry, ...] = (WebEntry(entry, f"{arguments.listen}:80", trusted),)
    else:
        plain = WebEntry("web" if entry != "web" else "plain", f"{arguments.listen}:80", redirects_to=entry)
        web = (WebEntry(entry, f"{arguments.listen}:443", trusted), plain)
    acme = None
    if traefik.tls is not None and traefik.tls.resolver is not None:
        acme = Acme(traefik.tls.resolver, arguments.email, arguments.storage, arguments.provider)
    return StaticSetting(
        directory=arguments.directory,
        private_address=arguments.private,
        web=web,
        games=tuple((protocol, port) for protocol, text in pools for port in parse_ports(text)),
        acme=acme,
        is_api_guarded=True,
    )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="the API's configuration")
    parser.add_argument("--private", required=True, help="address:port of Traefik's own API, reached by ours alone")
    parser.add_argument("--directory", default="/srv/zlh-routes/dynamic", help="as Traefik sees it")
    parser.add_argument("--listen", default="", help="the public address (default: all)")
    parser.add_argument("--trust", action="append", help="a proxy in front (default: Cloudflare's blocks)")
    parser.add_argument("--email", default="", help="of the account with which certificates are asked for")
    parser.add_argument("--storage", default="/var/lib/traefik/acme.json", help="where Traefik keeps certificates")
    parser.add_argument(
        "--provider", choices=("cloudflare", "rfc2136"), default="cloudflare", help="of the DNS-01 proof"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Print the file."""
    arguments = parse_arguments(argv)
    print(render_static_file(make_setting(load_config(arguments.config), arguments)), end="")


if __name__ == "__main__":
    main()
