"""From which address a request comes: the peer's own, or what a proxy of ours says of its peer.

A header is believed from the proxies that the configuration names and from nobody else, so whoever reaches this process
directly is counted by the address that they connect from, whatever they write.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aiohttp import web

Proxies = tuple[IPv4Network | IPv6Network, ...]
TRUSTED_PROXIES = web.AppKey("trusted_proxies", tuple)
HEADER = "X-Forwarded-For"
# A peer on a socket that has no addresses.
UNKNOWN = "unknown"
# One household or machine is given so much of IPv6, and would otherwise count as 2^64 clients.
_IPV6_PREFIX = 64


def client_address(request: web.Request) -> str:
    """Return the address of who sends a request, as far as we can know."""
    trusted: Proxies = request.app.get(TRUSTED_PROXIES, ())
    hops = [hop.strip() for value in request.headers.getall(HEADER, []) for hop in value.split(",")]
    return find_client(request.remote or UNKNOWN, hops, trusted)


def find_client(peer: str, hops: Sequence[str], trusted: Proxies) -> str:
    """Return the nearest address that is no proxy of ours; `hops` are told by the peer, its own peer last."""
    found = _parse(peer)
    if found is None:
        return UNKNOWN
    for hop in reversed(hops):
        further = _parse(hop)
        if further is None or not _is_within(found, trusted):
            break
        found = further
    return str(found)


def visitor_address(request: web.Request) -> str | None:
    """Return from where a proxy of ours was asked; None where it does not say, or was asked by another proxy of ours.

    What stands before the proxy speaks for all of its clients, so its address tells none of them apart.
    """
    trusted: Proxies = request.app.get(TRUSTED_PROXIES, ())
    peer, found = _parse(request.remote or UNKNOWN), _parse(client_address(request))
    if peer is None or found is None or not _is_within(peer, trusted) or _is_within(found, trusted):
        return None
    return str(found)


def address_group(address: str) -> str:
    """Return what counts as one client in limits: an IPv4 address, or the /64 of an IPv6 address."""
    found = _parse(address)
    return str(IPv6Network((found, _IPV6_PREFIX), strict=False)) if isinstance(found, IPv6Address) else address


def parse_proxies(texts: Sequence[str]) -> Proxies:
    """Return addresses and blocks as networks; raise ValueError for what is neither."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # What connects by IPv4 to a socket of both kinds is shown as ::ffff:192.0.2.1.
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_within(address: IPv4Address | IPv6Address, networks: Proxies) -> bool:
    return any(address in network for network in networks)
