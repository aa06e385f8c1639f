"""Names of containers and hosts: what is rendered is found again, and nothing else is taken for ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.names import (
    MAX_VMID,
    MIN_VMID,
    HostName,
    OwnerMark,
    Vmid,
    agent_name,
    container_label,
    is_domain,
    is_label,
    parse_host,
    render_host,
)

DOMAIN = "apps.example.net"
vmids = st.integers(MIN_VMID, MAX_VMID).map(Vmid)
hosts = st.builds(HostName, st.sampled_from(["dev", "game"]), vmids, st.none() | st.integers(1, 65535))


@given(hosts)
def test_host_is_found_again(host: HostName) -> None:
    """Parsing is the inverse of rendering, for every container and every exposure."""
    assert parse_host(render_host(host, DOMAIN), DOMAIN) == host


@given(hosts)
def test_label_fits_into_dns_and_certificates(host: HostName) -> None:
    """A label has at most 20 characters, so neither DNS nor a certificate ever cuts it."""
    assert len(host.label) <= 20
    assert is_label(host.label)


@given(st.text(alphabet="devgam0123456789-.", max_size=24))
def test_what_is_taken_for_ours_is_what_we_would_render(text: str) -> None:
    """No second spelling leads to a container: whatever is parsed renders to the very same text."""
    name = f"{text}.{DOMAIN}"
    host = parse_host(name, DOMAIN)
    assert host is None or render_host(host, DOMAIN) == name


@pytest.mark.parametrize(
    "name",
    [
        "dev-99.apps.example.net",
        "dev-0101.apps.example.net",
        "dev-1000000000.apps.example.net",
        "Dev-101.apps.example.net",
        "dev-101.apps.example.net.",
        "dev-101.apps.example.org",
        "dev-101.evil.apps.example.net",
        "dev-101",
        "dev-101\n.apps.example.net",
        "dev-\u0661\u0660\u0661.apps.example.net",
        "web-101.apps.example.net",
        "0-dev-101.apps.example.net",
        "080-dev-101.apps.example.net",
        "65536-dev-101.apps.example.net",
        "1-2-dev-101.apps.example.net",
        "",
    ],
)
def test_any_other_name_is_nobodys(name: str) -> None:
    """Leading zeros, other digits, upper case, foreign domains and impossible ports lead nowhere."""
    assert parse_host(name, DOMAIN) is None


def test_labels_are_the_promised_ones() -> None:
    """Customers and scripts rely on these spellings."""
    assert container_label("dev", Vmid(101)) == "dev-101"
    assert render_host(HostName("game", Vmid(205), 25565), DOMAIN) == "25565-game-205.apps.example.net"


def test_agent_name_takes_a_mark_alone() -> None:
    """What is no UUID never reaches a certificate."""
    mark = "6f6b3c1e-5d38-4b5e-9a55-0d3f1a2b3c4d"
    assert agent_name(OwnerMark(mark)) == f"{mark}.agent.zlh.internal"
    assert agent_name(OwnerMark(mark.upper())) == f"{mark}.agent.zlh.internal"
    with pytest.raises(ValueError, match="badly formed"):
        agent_name(OwnerMark("*.agent"))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("localhost", True),
        ("apps.example.net", True),
        ("a" * 63 + ".net", True),
        ("a" * 64 + ".net", False),
        ("example.net.", False),
        ("Example.net", False),
        ("-a.net", False),
        ("a..net", False),
        ("a.net\n", False),
        ("", False),
    ],
)
def test_domain(text: str, valid: bool) -> None:
    """A domain is lower case, without a dot at its end, and fits into DNS."""
    assert is_domain(text) is valid
