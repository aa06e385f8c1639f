"""Which addresses files may come from, whatever they are wrapped in, and where a redirect may lead."""

from __future__ import annotations

import pytest

from zlh_agent.games.address_rules import find_url_fault, is_public, place_of, places_of, resolve_urls

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::1",
    "2002:a00:1::", "64:ff9b:1::a00:1", "::127.0.0.1", "::a00:1", "fec0::1", "5f00::1", "3fff::1",
    "no address", "", "1.2.3", "2130706433",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_none_of_the_internet(address: str) -> None:
    """Neither is what is no address at all."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are(address: str) -> None:
    """Also where they are wrapped."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "before", "is_fine"),
    [
        ("https://a.example/x", None, True),
        ("http://a.example/x", None, True),
        ("http://b.example/x", "http://a.example/", True),
        ("https://b.example/x", "http://a.example/", True),
        ("http://b.example/x", "https://a.example/", False),
        ("file:///etc/passwd", None, False),
        ("ftp://a.example/x", None, False),
        ("gopher://a.example/x", "http://a.example/", False),
        ("https://user:word@a.example/x", None, False),
        ("https:///x", None, False),
        ("http://a.example:99999/", None, False),
        ("http://[::1", None, False),
    ],
)
def test_addresses_and_where_they_lead(url: str, before: str | None, *, is_fine: bool) -> None:
    """Never from https to http, never to another protocol, never with a user."""
    assert (find_url_fault(url, before=before) is None) == is_fine


def test_places_are_host_and_port() -> None:
    """As a connection is made to them, whatever the spelling."""
    assert place_of("HTTP://A.Example/x") == ("a.example", 80)
    assert place_of("https://[::1]:8443/") == ("::1", 8443)
    assert places_of(["http://10.0.0.1:8480/tree", "nonsense"]) == {("10.0.0.1", 8480)}


def test_a_path_is_one_of_each_artifact_server() -> None:
    """In the order of both; whole addresses stay."""
    urls = resolve_urls(("files/a", "https://b.example/b"), ("http://one/t/", "http://two"))
    assert urls == ("http://one/t/files/a", "http://two/files/a", "https://b.example/b")
