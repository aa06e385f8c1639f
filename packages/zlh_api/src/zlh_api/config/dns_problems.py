"""What is wrong with the DNS providers of a configuration: pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator

from zlh_api.config.edge_tables import CloudflareSection, DnsSection, TechnitiumSection
from zlh_common.names import is_domain
from zlh_common.toml_config import is_http_url


def find_dns_problems(sections: tuple[DnsSection, ...], *, domain: str) -> list[str]:
    """Return what is wrong with each provider, and with all of them together."""
    twice = [name for name, count in Counter(section.name for section in sections).items() if count > 1]
    problems = [f"dns.name {name!r} is given twice; each provider has a name of its own" for name in twice]
    for section in sections:
        problems += [f"dns {section.name}: {problem}" for problem in _find_provider_problems(section, domain)]
    return problems


def _find_provider_problems(section: DnsSection, domain: str) -> Iterator[str]:
    if not is_domain(section.zone):
        yield f"zone {section.zone!r} is no domain (lower case, no trailing dot)"
    elif domain != section.zone and not domain.endswith(f".{section.zone}"):
        yield f"zone {section.zone!r} does not hold container_domain {domain!r}"
    for name, targets in (("target", section.target), ("game_target", section.game_target)):
        yield from _find_target_problems(name, targets)
    yield from (f"ask {text!r} is no address of a name server" for text in section.ask if not _is_server(text))
    if isinstance(section, CloudflareSection | TechnitiumSection) and not is_http_url(section.url):
        yield f"url {section.url!r} is no http or https URL"


def _find_target_problems(name: str, targets: tuple[str, ...]) -> Iterator[str]:
    hosts = [target for target in targets if not _is_address(target)]
    yield from (f"{name} {host!r} is neither an address nor a host name" for host in hosts if not is_domain(host))
    if hosts and len(targets) > 1:
        yield f"{name} must be addresses, or one host name alone: a CNAME record stands by itself"
    if len(set(targets)) < len(targets):
        yield f"{name} names something twice"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_server(text: str) -> bool:
    address, port = text, "53"
    if text.startswith("["):
        address, _, behind = text[1:].partition("]")
        port = behind.removeprefix(":") or "53"
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    return _is_address(address) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
