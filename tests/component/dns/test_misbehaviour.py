"""Providers that are down, slow, too busy, half-written or lying: no record is lost, doubled or taken from anybody."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.tsig
import pytest

from component.dns.rigs import DOMAIN, SETTING, TARGET, CloudflareRig, KnotRig, TechnitiumRig, open_rig
from component.dns.test_contract import HOST, OWNER, PORT_HOST, STRANGER, Desk
from fakes.tricks import Trick
from real_parts.knot import Knot
from zlh_api.dns import http_calls
from zlh_api.dns.mark import mark_name, render_mark
from zlh_api.dns.model import ProviderSetting
from zlh_api.dns.port import DnsCredentialsRefused, DnsRefused, RecordForeign, RecordsNotWritten
from zlh_api.dns.rules import render_records
from zlh_api.dns.tsig_connection import Address, Nonsense, open_connection
from zlh_api.drivers.port import SystemAway
from zlh_common.names import HostName, Vmid

KEY = dns.tsig.Key("zlh", b"0" * 32, "hmac-sha256")
BOTH = pytest.mark.parametrize("rig", ["cloudflare", "technitium"], indirect=True)
AWAY = {Trick.DROP, Trick.COMMIT_AND_DROP, Trick.BUSY, Trick.TOO_MANY, Trick.FLOOD}
REFUSED = {Trick.JUNK, Trick.CUT, Trick.REDIRECT}


@BOTH
@pytest.mark.parametrize("trick", sorted(AWAY | REFUSED))
@pytest.mark.parametrize("only_changes", [False, True], ids=["looked", "written"])
async def test_whatever_goes_wrong_once_is_right_the_next_time(rig: Any, trick: Trick, only_changes: bool) -> None:
    """An answer that was lost may have been carried out: it is looked up, and nothing is there twice."""
    desk = Desk(rig)
    # A GET whose connection breaks is asked again at once.
    rig.fake.tricks.play(*[trick] * (1 if only_changes else 2), only_changes=only_changes)
    with pytest.raises(SystemAway if trick in AWAY else DnsRefused):
        await desk.write(3000)
    if trick in AWAY:
        asked = len(rig.fake.tricks.requests)
        with pytest.raises(SystemAway):
            await desk.write(3000)
        assert len(rig.fake.tricks.requests) == asked
    rig.fake.tricks.play()
    rig.clock.advance(31)
    await desk.write(3000)
    assert await desk.is_right(3000)
    assert len(rig.fake.records) == 2


@BOTH
async def test_a_provider_that_says_yes_and_does_nothing_is_found_out(rig: Any) -> None:
    """What was written is read back, a bounded number of times."""
    rig.fake.tricks.play(*[Trick.LIE] * 20, only_changes=True)
    with pytest.raises(RecordsNotWritten):
        await Desk(rig).write(3000)
    assert 10 < len(rig.fake.tricks.waiting) < 20
    assert rig.fake.records in ({}, [])


@BOTH
async def test_a_provider_that_never_answers_is_away(rig: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody waits for longer than a call may take."""
    monkeypatch.setattr("component.dns.rigs.TIMEOUT_S", 0.2)
    await rig.provider.close()
    rig.provider = rig.make()
    rig.fake.tricks.play(Trick.HANG)
    with pytest.raises(SystemAway, match="does not answer in time"):
        await Desk(rig).write()


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_a_pause_that_is_asked_for_is_kept(rig: CloudflareRig) -> None:
    """Cloudflare shuts out whoever goes on asking, for five minutes."""
    rig.fake.tricks.retry_after = "120"
    rig.fake.tricks.play(Trick.TOO_MANY)
    with pytest.raises(SystemAway) as away:
        await rig.provider.survey()
    assert away.value.retry_in_s == pytest.approx(120)
    rig.clock.advance(119)
    with pytest.raises(SystemAway):
        await rig.provider.survey()
    rig.clock.advance(2)
    await rig.provider.survey()


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_a_budget_that_is_nearly_spent_is_not_spent(rig: CloudflareRig) -> None:
    """What it says to be left counts, since others of the same user ask too; a change is told to come back."""
    rig.fake.headers = {"Ratelimit": '"default";r=3;t=45', "Ratelimit-Policy": '"default";q=1200;w=300'}
    desk = Desk(rig)
    with pytest.raises(SystemAway, match="rate limit is near") as away:
        await desk.write()
    assert away.value.retry_in_s == pytest.approx(45)
    asked = len(rig.fake.tricks.requests)
    with pytest.raises(SystemAway):
        await desk.write()
    assert len(rig.fake.tricks.requests) == asked
    rig.fake.headers = {}
    rig.clock.advance(46)
    await desk.write()


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_ten_thousand_records_are_surveyed_within_the_budget(rig: CloudflareRig) -> None:
    """Pages are counted as calls, a server that gives small ones is asked less often, and no record is missed."""
    for number in range(10_000):
        rig.fake.put(f"dev-{number + 100}.{DOMAIN}", "A", TARGET, comment=render_mark(OWNER), proxied=True)
    assert len({record.name for record in await rig.provider.survey()}) == 10_000
    asked = len(rig.fake.tricks.requests)
    assert asked <= 12
    # So often in five minutes, with half of Cloudflare's budget left for changes.
    assert asked * 300 / rig.provider.survey_every_s <= 600
    rig.fake.most_per_page = 100
    survey = asyncio.ensure_future(rig.provider.survey())
    while not survey.done():
        await asyncio.sleep(0)
        rig.clock.advance(0.001)
    assert len(await survey) == 10_000
    assert 100 * 300 / rig.provider.survey_every_s <= 600


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_proxied_names_are_those_of_dev_hosts_and_their_time_is_cloudflares(rig: CloudflareRig) -> None:
    """A time to live that the provider sets itself is never compared, or every look would write it anew."""
    setting = ProviderSetting("public", SETTING.zone, (TARGET,), ("192.0.2.9",), ttl=300, is_proxying=True)
    await rig.provider.close()
    rig.provider = rig.make(setting)
    desk = Desk(rig, setting)
    await desk.write(3000)
    told = {(each["proxied"], each["ttl"], each["content"]) for each in rig.fake.records.values()}
    assert told == {(True, 1, TARGET)}
    rig.fake.tricks.requests.clear()
    await desk.write(3000)
    assert all(request.startswith("GET") for request in rig.fake.tricks.requests)
    game = HostName("game", Vmid(101))
    records = render_records(game, (), setting, domain=DOMAIN)
    await desk.dns.write("public", desk.dns.know(OWNER, game, ()), records, lambda: None)
    (record,) = [each for each in rig.fake.records.values() if each["name"].startswith("game")]
    assert (record["proxied"], record["ttl"], record["content"]) == (False, 300, "192.0.2.9")
    # Switched off by hand, it shows where we are.
    next(iter(rig.fake.records.values()))["proxied"] = False
    await desk.write(3000)
    assert all(each["proxied"] for each in rig.fake.records.values() if each["name"].startswith(("dev", "3000")))


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_what_is_more_than_one_transaction_holds_is_written_in_several(rig: CloudflareRig) -> None:
    """At most two hundred changes at a time."""
    setting = ProviderSetting("public", SETTING.zone, tuple(f"192.0.2.{number}" for number in range(1, 9)))
    await rig.provider.close()
    rig.provider = rig.make(setting)
    desk = Desk(rig, setting)
    ports = range(2000, 2060)
    records = render_records(HostName("dev", Vmid(100)), ports, setting, domain=DOMAIN)
    whose = desk.dns.know(OWNER, HostName("dev", Vmid(100)), {record.name for record in records})
    await desk.dns.write("public", whose, records, lambda: None)
    assert len(rig.fake.records) == 61 * 8
    await desk.dns.withdraw("public", whose, lambda: None)
    assert rig.fake.records == {}


@pytest.mark.parametrize("rig", ["cloudflare"], indirect=True)
async def test_a_zone_that_the_token_may_not_read_is_told(rig: CloudflareRig) -> None:
    """Or that is not there."""
    rig.fake.zone = "another.test"
    with pytest.raises(DnsCredentialsRefused, match=r"may not read the zone example\.test"):
        await Desk(rig).write()


@pytest.mark.parametrize("rig", ["technitium"], indirect=True)
async def test_a_token_that_ends_between_look_and_write_is_told(rig: TechnitiumRig) -> None:
    """With what is to be done about it; and so is a user without the rights."""
    desk = Desk(rig)
    rig.fake.may_modify = False
    with pytest.raises(DnsCredentialsRefused, match="Access was denied"):
        await desk.write()
    rig.fake.may_modify = True

    def revoke() -> None:
        rig.fake.token = "another"

    with pytest.raises(DnsCredentialsRefused, match=r"Invalid token.*make another"):
        await desk.write(check=revoke)


@pytest.mark.parametrize("rig", ["technitium"], indirect=True)
async def test_a_record_that_is_switched_off_is_switched_on_and_keeps_its_settings(rig: TechnitiumRig) -> None:
    """What an update leaves out is set to a default, so it leaves out nothing."""
    desk = Desk(rig)
    await desk.write()
    rig.fake.records[0]["disabled"] = True
    rig.fake.serial += 1
    await desk.write()
    (record,) = rig.fake.records
    assert (record["disabled"], record["ttl"], record["comments"]) == (False, SETTING.ttl, render_mark(OWNER))


@BOTH
async def test_a_stranger_who_comes_between_look_and_write_loses_nothing(rig: Any) -> None:
    """The write says what was found, and is refused where that is not so any more."""
    desk = Desk(rig)

    def come_between() -> None:
        if (HOST, "CNAME") not in _keys(rig):
            rig.fake.put(HOST, "CNAME", "elsewhere.test")

    with pytest.raises(RecordForeign):
        await desk.write(check=come_between)
    assert _keys(rig) == {(HOST, "CNAME")}


def _keys(rig: Any) -> set[tuple[str, str]]:
    records = rig.fake.records.values() if isinstance(rig.fake.records, dict) else rig.fake.records
    return {(each["name"], each["type"]) for each in records}


@pytest.fixture
async def knot_rig(tmp_path: Path, knot: Knot | None) -> AsyncIterator[KnotRig]:
    """Lend a real server."""
    async with open_rig("rfc2136", tmp_path, knot) as made:
        yield made


@pytest.mark.real("knot")
async def test_an_update_whose_answer_is_lost_is_looked_up(knot_rig: KnotRig) -> None:
    """It was carried out, mark and records at once, and a second one would be refused by its prerequisites."""
    desk = Desk(knot_rig)

    def lose_what_follows() -> None:
        knot_rig.forwarder.lost_answers = 1

    with pytest.raises(SystemAway, match="closed the connection"):
        await desk.write(3000, check=lose_what_follows)
    async with asyncio.timeout(5):
        while await knot_rig.marks() < 2:
            await asyncio.sleep(0.02)
    knot_rig.clock.advance(31)

    def refuse() -> None:
        raise AssertionError("it is there")

    await desk.write(3000, check=refuse)


@pytest.mark.real("knot")
async def test_half_of_an_answer_is_none(knot_rig: KnotRig) -> None:
    """Of a transfer, of a look: whatever breaks off is asked for again."""
    desk = Desk(knot_rig)
    await desk.write()
    knot_rig.forwarder.cut_after = 9
    with pytest.raises(SystemAway):
        await knot_rig.provider.survey()
    knot_rig.clock.advance(31)
    assert len(await knot_rig.provider.survey()) == 1


@pytest.mark.real("knot")
async def test_a_stranger_who_comes_between_is_found_by_the_server_itself(
    knot_rig: KnotRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prerequisites hold at the moment of the update: a record that was put there after our look stays."""
    desk = Desk(knot_rig)
    look_up = knot_rig.provider._look_up  # type: ignore[attr-defined]

    async def look_up_and_be_late(connection: Any, name: str, kind: str) -> Any:
        found = await look_up(connection, name, kind)
        if name == mark_name(HOST) and not [line for line in await knot_rig.records() if line[0] == HOST]:
            await knot_rig.put(HOST, "A", STRANGER)
        return found

    monkeypatch.setattr(knot_rig.provider, "_look_up", look_up_and_be_late)
    with pytest.raises(RecordForeign):
        await desk.write(3000)
    assert await knot_rig.records() == {(HOST, "A", STRANGER), (PORT_HOST, "A", TARGET)}


@pytest.mark.real("knot")
async def test_a_mark_without_records_and_records_with_two_marks(knot_rig: KnotRig) -> None:
    """What is left of a hand's work: the first is ours to use or to take away, the second is nobody's we know."""
    desk = Desk(knot_rig)
    await desk.write()
    await knot_rig.drop(HOST, "A")
    assert [record.type for record in await knot_rig.provider.survey()] == ["mark"]
    await desk.withdraw()
    assert await knot_rig.marks() == 0
    await desk.write()
    await knot_rig.put(mark_name(HOST), "TXT", '"zlh:another"')
    with pytest.raises(RecordForeign):
        await desk.write()
    await desk.withdraw()
    assert await knot_rig.records() == {(HOST, "A", TARGET)}


@pytest.mark.real("knot")
async def test_a_zone_that_has_not_changed_is_not_transferred_again(knot_rig: KnotRig) -> None:
    """Its serial tells; but not for ever, since a serial may be set back."""
    desk = Desk(knot_rig)
    await desk.write()
    first = await knot_rig.provider.survey()
    assert await knot_rig.provider.survey() is first
    await desk.write(3000)
    assert len(await knot_rig.provider.survey()) == 2
    second = await knot_rig.provider.survey()
    knot_rig.clock.advance(301)
    assert await knot_rig.provider.survey() is not second


async def test_an_answer_without_an_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's server cannot fill our memory."""
    monkeypatch.setattr(http_calls, "MAX_ANSWER_BYTES", 1000)
    async with open_rig("technitium", tmp_path, None) as rig:
        rig.fake.put(f"www.{DOMAIN}", "TXT", "x" * 2000)
        with pytest.raises(SystemAway, match="ClientPayloadError"):
            await rig.provider.survey()


@pytest.mark.parametrize(("is_ours", "words"), [(True, "nothing in it"), (False, "not to our question")])
async def test_a_transfer_of_nothing_is_no_empty_zone(is_ours: bool, words: str) -> None:
    """Whoever sends that, signed or not, does not make the platform believe that all of its records are gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = dns.message.from_wire(
            await reader.readexactly(*struct.unpack("!H", await reader.readexactly(2))), keyring=KEY
        )
        reply = dns.message.make_response(question)
        reply.id = question.id if is_ours else question.id ^ 1
        wire = reply.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        _, port = server.sockets[0].getsockname()
        async with open_connection(Address("127.0.0.1", port), KEY) as connection:
            with pytest.raises(Nonsense, match=words):
                await connection.transfer(dns.name.from_text(DOMAIN))
