"""What name servers answer: a real Knot DNS that is asked for what it holds, and one on loopback that lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from component.dns.rigs import DOMAIN, SETTING, open_rig
from component.dns.test_contract import DEV, GAME, GAME_HOST, HOST, OWNER, SERVICE, STRANGER, Desk, GameDesk
from fakes.clock import FakeClock
from real_parts.knot import Knot
from zlh_api.circuit import Circuit
from zlh_api.dns.model import Record, ServicePort
from zlh_api.dns.name_servers import NameServers
from zlh_api.dns.port import DnsNotAnswering
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import SystemAway
from zlh_api.edge.port import unconditional

WANTED = (Record(HOST, "A", "192.0.2.1", 300),)
Answer = Callable[[dns.message.Message], bytes | None]


def servers(clock: FakeClock) -> NameServers:
    """Return who asks."""
    return NameServers(lambda system: Circuit(system, clock=clock))


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the way back."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, if at all."""
        answer = self.answer(dns.message.from_wire(data))
        if answer is not None:
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Run a server over UDP that answers so; yields where."""
    made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Server(answer), ("127.0.0.1", 0))
    transport = made[0]
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


def _read(line: str) -> dns.rrset.RRset:
    name, ttl, _, kind, content = line.split()
    return dns.rrset.from_text(name, int(ttl), "IN", kind, content)


def say(*lines: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Answer:
    """Answer every question with those of these records that it asks for."""

    def answer(question: dns.message.Message) -> bytes:
        response = dns.message.make_response(question)
        response.set_rcode(rcode)
        kind = question.question[0].rdtype
        response.answer = [each for line in lines if (each := _read(line)).rdtype == kind]
        return response.to_wire()

    return answer


@pytest.mark.real("knot")
async def test_a_real_server_is_asked_for_every_name(tmp_path: Path, knot: Knot | None) -> None:
    """Written, answered, taken away by hand, and told which name has which answer in place of which."""
    assert knot is not None
    async with open_rig("rfc2136", tmp_path, knot) as rig:
        setting = replace(SETTING, ask=(f"{knot.address}:{knot.port}",))
        rig.provider = rig.make(setting)
        service = DnsService([rig.provider], domain=DOMAIN, clock=rig.clock, servers=servers(rig.clock), patience_s=0.0)
        whose, wanted = Desk(rig).whose(), service.want(DEV, (3000,))
        with pytest.raises(DnsNotAnswering, match="A is nothing and should be"):
            await service.wait_answered(whose, wanted)
        await service.write("public", whose, wanted["public"], unconditional)
        await service.wait_answered(whose, wanted)
        await rig.put(HOST, "A", STRANGER)
        with pytest.raises(DnsNotAnswering, match=STRANGER) as wrong:
            await service.wait_answered(whose, wanted)
        assert wrong.value.data["name"] == HOST


@pytest.mark.real("knot")
async def test_a_real_server_tells_the_port_of_a_service(tmp_path: Path, knot: Knot | None) -> None:
    """It is asked for that too, and another port than ours is told as it is."""
    assert knot is not None
    async with open_rig("rfc2136", tmp_path, knot) as rig:
        setting = replace(SETTING, ask=(f"{knot.address}:{knot.port}",))
        rig.provider = rig.make(setting)
        service = DnsService([rig.provider], domain=DOMAIN, clock=rig.clock, servers=servers(rig.clock), patience_s=0.0)
        whose = GameDesk(rig).whose()
        wanted = service.want(GAME, (), [ServicePort("_minecraft._tcp", 25512)])
        await service.write("public", whose, wanted["public"], unconditional)
        await service.wait_answered(whose, wanted)
        await rig.put(SERVICE, "SRV", f"0 0 25599 {GAME_HOST}")
        with pytest.raises(DnsNotAnswering, match="25599") as wrong:
            await service.wait_answered(whose, wanted)
        assert wrong.value.data["name"] == SERVICE


@pytest.mark.parametrize("name", ["cloudflare", "technitium"])
async def test_without_name_servers_the_providers_word_is_the_proof(tmp_path: Path, name: str) -> None:
    """It is asked for what it holds, once more."""
    async with open_rig(name, tmp_path, None) as rig:
        service = DnsService([rig.provider], domain=DOMAIN, clock=rig.clock, patience_s=0.0)
        whose, wanted = service.know(OWNER, DEV, ()), service.want(DEV, ())
        with pytest.raises(DnsNotAnswering, match="not those that were written"):
            await service.wait_answered(whose, wanted)
        await service.write("public", whose, wanted["public"], unconditional)
        await service.wait_answered(whose, wanted)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say(f"{HOST}. 60 IN A 192.0.2.2"), "A is 192.0.2.2"),
        (say(f"{HOST}. 60 IN A 192.0.2.1", f"{HOST}. 60 IN AAAA 2001:db8::1"), "AAAA is 2001:db8::1"),
        (say(f"other.{DOMAIN}. 60 IN A 192.0.2.1"), "A is nothing"),
        (say(rcode=dns.rcode.NXDOMAIN), "A is nothing"),
        (say(rcode=dns.rcode.SERVFAIL), "it says SERVFAIL"),
        (say(rcode=dns.rcode.REFUSED), "it says REFUSED"),
    ],
    ids=["other", "more", "other-name", "nxdomain", "servfail", "refused"],
)
async def test_a_wrong_answer_is_told_as_it_is(answer: Answer, reason: str) -> None:
    """With the name server, so that people know whom to ask."""
    async with serving(answer) as server:
        wrong = await servers(FakeClock()).find_wrong(server, WANTED)
    assert wrong is not None
    assert reason in wrong.detail
    assert server in wrong.detail


async def test_a_right_answer_of_a_secondary_that_was_behind_is_waited_for() -> None:
    """For a moment, and within the step."""
    answers = [say(rcode=dns.rcode.NXDOMAIN)] * 3
    right = say(f"{HOST}. 60 IN A 192.0.2.1")

    def catch_up(question: dns.message.Message) -> bytes | None:
        return (answers.pop() if answers else right)(question)

    async with serving(catch_up) as server:
        clock = FakeClock()
        provider = _Holder(replace(SETTING, ask=(server,)))
        service = DnsService([provider], domain=DOMAIN, clock=clock, servers=servers(clock))  # type: ignore[list-item]
        waiting = asyncio.ensure_future(service.wait_answered(service.know(OWNER, DEV, ()), {"public": WANTED}))
        while not waiting.done():
            await asyncio.sleep(0.01)
            clock.advance(0.1)
        await waiting
    assert answers == []


class _Holder:
    def __init__(self, setting: object) -> None:
        self.setting = setting


async def test_a_server_that_says_nothing_is_away_and_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every container would wait for it otherwise."""
    monkeypatch.setattr("zlh_api.dns.name_servers.ANSWER_TIMEOUT_S", 0.2)
    asked: list[dns.message.Message] = []
    async with serving(asked.append) as server:
        asking = servers(FakeClock())
        for _ in range(2):
            with pytest.raises(SystemAway, match="the name server"):
                await asking.find_wrong(server, WANTED)
    assert len(asked) == 1


async def test_an_answer_that_is_none_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither junk nor an answer to somebody else's question."""
    monkeypatch.setattr("zlh_api.dns.name_servers.ANSWER_TIMEOUT_S", 0.3)
    for junk in (b"", b"\0" * 5, b"\xff" * 600):

        def answer(question: dns.message.Message, junk: bytes = junk) -> bytes:
            return question.id.to_bytes(2, "big") + junk

        async with serving(answer) as server:
            try:
                assert await servers(FakeClock()).find_wrong(server, WANTED) is not None
            except SystemAway:
                continue
