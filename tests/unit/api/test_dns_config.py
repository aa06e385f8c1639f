"""What may stand in `[[dns]]`: every mistake is named before the API starts, and each section becomes its provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from zlh_api.app.dns import make_provider
from zlh_api.circuit import Circuits
from zlh_api.config.dns_problems import find_dns_problems
from zlh_api.config.edge_tables import CloudflareSection, DnsSection, Rfc2136Section, TechnitiumSection
from zlh_api.dns.cloudflare import Cloudflare
from zlh_api.dns.rfc2136 import Rfc2136
from zlh_api.dns.technitium import Technitium
from zlh_common.toml_config import convert_document

DOMAIN = "apps.example.org"
FILE = Path("secret")


def cloudflare(**changes: Any) -> CloudflareSection:
    """Return a section that is right but for these."""
    return CloudflareSection(
        **{"name": "public", "zone": "example.org", "target": ("192.0.2.1",), "token": FILE, **changes}
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"zone": "Example.org"}, "is no domain"),
        ({"zone": "example.com"}, "does not hold container_domain"),
        ({"zone": "ps.example.org"}, "does not hold container_domain"),
        ({"target": ("192.0.2.1", "edge.example.org")}, "a CNAME record stands by itself"),
        ({"target": ("192.0.2.1", "192.0.2.1")}, "names something twice"),
        ({"target": ("not a host",)}, "neither an address nor a host name"),
        ({"game_target": ("a.example.org", "b.example.org")}, "game_target must be addresses"),
        ({"ask": ("ns.example.org",)}, "is no address of a name server"),
        ({"ask": ("192.0.2.53:0",)}, "is no address of a name server"),
        ({"ask": ("[2001:db8::1]:70000",)}, "is no address of a name server"),
        ({"url": "ftp://x"}, "is no http or https URL"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_is_named_with_its_provider(changes: dict[str, Any], problem: str) -> None:
    """One at a time, so that each is known to be found by itself."""
    (found,) = find_dns_problems((cloudflare(**changes),), domain=DOMAIN)
    assert problem in found
    assert "dns public" in found


def test_what_is_right_is_no_problem_and_names_are_given_once() -> None:
    """The zone may be the domain itself or above it; name servers are written with or without a port."""
    asked = ("192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53")
    right = cloudflare(zone=DOMAIN, target=("192.0.2.1", "2001:db8::1"), game_target=("edge.example.org",), ask=asked)
    assert find_dns_problems((right, cloudflare(name="internal")), domain=DOMAIN) == []
    (twice,) = find_dns_problems((right, cloudflare()), domain=DOMAIN)
    assert "is given twice" in twice


@pytest.mark.parametrize(
    ("document", "made"),
    [
        ({"kind": "cloudflare", "token": "t"}, Cloudflare),
        ({"kind": "technitium", "token": "t", "url": "http://127.0.0.1:5380"}, Technitium),
        ({"kind": "rfc2136", "server": "127.0.0.1", "key_name": "zlh", "key": "k"}, Rfc2136),
    ],
    ids=["cloudflare", "technitium", "rfc2136"],
)
def test_each_kind_becomes_its_provider(document: dict[str, Any], made: type) -> None:
    """As it is called in the file."""
    common = {"name": "public", "zone": "example.org", "target": ["192.0.2.1"]}
    section: DnsSection = convert_document({**common, **document}, DnsSection, source=FILE)  # type: ignore[arg-type]
    assert isinstance(section, CloudflareSection | TechnitiumSection | Rfc2136Section)
    clock = FakeClock()
    provider = make_provider(section, DOMAIN, Circuits(clock), clock)
    assert type(provider) is made
    assert provider.setting.name == "public"
    # Where nothing is said, dev hosts are proxied by the only one that can.
    assert provider.setting.is_proxying is (made is Cloudflare)
