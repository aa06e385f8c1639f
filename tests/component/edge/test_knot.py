"""The real Knot DNS that other tests use: its key is needed, and a restart loses nothing."""

from __future__ import annotations

from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import dns.xfr
import dns.zone
import pytest

from real_parts.knot import Knot, running_knot

pytestmark = [pytest.mark.real("knot")]


@pytest.fixture
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    """Run a server with one record of its own."""
    with running_knot(tmp_path_factory.mktemp("knot"), "example.test", "www A 127.0.0.9") as running:
        yield running


def names(knot: Knot) -> set[str]:
    """Return what a transfer shows."""
    keyring = dns.tsigkeyring.from_text({knot.key_name: knot.secret})
    zone = dns.zone.Zone(knot.zone)
    query, _ = dns.xfr.make_query(zone, keyring=keyring)
    dns.query.inbound_xfr(knot.address, zone, query, port=knot.port, timeout=5)
    return {str(name) for name in zone.nodes}


def test_an_update_with_the_key_outlives_a_restart(knot: Knot) -> None:
    """And it is what a transfer shows."""
    keyring = dns.tsigkeyring.from_text({knot.key_name: knot.secret})
    update = dns.update.UpdateMessage(knot.zone, keyring=keyring)
    update.add("dev-101", 60, "A", "127.0.0.10")
    assert dns.query.tcp(update, knot.address, port=knot.port, timeout=5).rcode() == dns.rcode.NOERROR
    knot.program.stop()
    knot.program.start()
    assert names(knot) == {"@", "ns", "www", "dev-101"}


def test_nobody_without_the_key_changes_or_lists_anything(knot: Knot) -> None:
    """Neither by an update nor by a transfer; the names are answered all the same."""
    update = dns.update.UpdateMessage(knot.zone)
    update.add("dev-101", 60, "A", "127.0.0.10")
    assert dns.query.tcp(update, knot.address, port=knot.port, timeout=5).rcode() == dns.rcode.NOTAUTH
    zone = dns.zone.Zone(knot.zone)
    query, _ = dns.xfr.make_query(zone)
    with pytest.raises(dns.xfr.TransferError):
        dns.query.inbound_xfr(knot.address, zone, query, port=knot.port, timeout=5)
    asked = dns.message.make_query("www.example.test", "A")
    assert dns.query.udp(asked, knot.address, port=knot.port, timeout=5).answer[0][0].to_text() == "127.0.0.9"
