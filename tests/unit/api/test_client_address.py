"""From where a request comes: what is believed, and of whom."""

from __future__ import annotations

import pytest

from zlh_api.web.client_address import UNKNOWN, address_group, find_client, parse_proxies

PROXIES = parse_proxies(["10.0.0.1", "2001:db8::/64"])


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        # Nobody but a proxy is asked.
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("192.0.2.7", ["10.0.0.1", "10.0.0.1"], "192.0.2.7"),
        # A proxy tells its own peer last; what stands before was written by that one.
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        # A proxy before a proxy of ours is passed by.
        ("10.0.0.1", ["198.51.100.1", "2001:db8::5"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1", "10.0.0.1"], "198.51.100.1"),
        # What is no address ends the walk at the last one that was.
        ("10.0.0.1", ["198.51.100.1", "nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1", ""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:443"], "10.0.0.1"),
        ("10.0.0.1", ["1" * 5000], "10.0.0.1"),
        # One address has one spelling.
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["::FFFF:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["2001:DB8:1:0:0:0:0:1"], "2001:db8:1::1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["198.51.100.1"], UNKNOWN),
        (UNKNOWN, ["198.51.100.1"], UNKNOWN),
        ("/run/zlh.sock", ["198.51.100.1"], UNKNOWN),
    ],
)
def test_the_nearest_that_is_no_proxy_of_ours(peer: str, hops: list[str], client: str) -> None:
    """Whatever a client writes, it is counted by the address that one of ours has seen."""
    assert find_client(peer, hops, PROXIES) == client


def test_without_trusted_proxies_no_header_counts() -> None:
    """The default believes nobody."""
    assert find_client("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        (UNKNOWN, UNKNOWN),
    ],
)
def test_who_has_many_addresses_counts_once(address: str, group: str) -> None:
    """A client of IPv6 has a /64 to change its address in."""
    assert address_group(address) == group
