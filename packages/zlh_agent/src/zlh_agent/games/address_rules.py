"""Which addresses files may be fetched from: pure. What is pinned by hash can still be used to knock at doors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

MAX_HOPS = 5
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All that the internet has of IPv6; what lies elsewhere leads into a network of somebody's own, such as `fec0::/10`,
# addresses of IPv4 behind `::` and translators of a local network (`64:ff9b:1::/48`). Source: RFC 4291, 8215, 9637.
_GLOBAL_UNICAST, _DOCUMENTATION = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("3fff::/20")
_PORTS = {"http": 80, "https": 443}


def is_public(address: str) -> bool:
    """Tell whether an address is one of the internet, whatever it is wrapped in."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if found not in _GLOBAL_UNICAST or found in _DOCUMENTATION:
            return False
    return found.is_global and not found.is_multicast


def place_of(url: str) -> tuple[str, int] | None:
    """Return host and port of an http or https address; None of everything else."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None


def places_of(urls: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Return hosts and ports that may be asked although they are private: those of our own configuration."""
    return frozenset(place for url in urls if (place := place_of(url)) is not None)


def find_url_fault(url: str, *, before: str | None = None) -> str | None:
    """Return what is wrong with an address, or with being led there from `before`; None where nothing is."""
    if place_of(url) is None:
        return "it is no http or https address"
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return "it names a user"
    if before is not None and urlsplit(before).scheme == "https" and parts.scheme != "https":
        return "it leads from https to http"
    return None


def resolve_urls(urls: Iterable[str], artifacts_urls: Iterable[str]) -> tuple[str, ...]:
    """Return what is asked, in order: a path without a scheme is one of each artifact server."""
    servers = tuple(artifacts_urls)
    resolved: list[str] = []
    for url in urls:
        if "://" in url:
            resolved.append(url)
        else:
            resolved += [f"{server.rstrip('/')}/{url.lstrip('/')}" for server in servers]
    return tuple(resolved)
