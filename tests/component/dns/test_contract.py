"""The contract of a DNS provider, held against each of them: what the reconciler and the patrol may rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from component.dns.rigs import DOMAIN, SETTING, TARGET
from zlh_api.dns.diff import diff_records
from zlh_api.dns.model import FoundRecord, ProviderSetting, Record, ServicePort, Whose
from zlh_api.dns.port import DnsCredentialsRefused, DnsSecretUnusable, RecordForeign
from zlh_api.dns.rules import render_records
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import SystemAway
from zlh_api.edge.port import unconditional
from zlh_api.reconcile.model import LeaseLost
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = pytest.mark.parametrize(
    "rig",
    ["cloudflare", "technitium", pytest.param("rfc2136", marks=pytest.mark.real("knot"))],
    indirect=True,
)
OWNER = OwnerMark("11111111-1111-4111-8111-111111111111")
OTHER = OwnerMark("22222222-2222-4222-8222-222222222222")
DEV = HostName("dev", Vmid(100))
HOST, PORT_HOST = f"dev-100.{DOMAIN}", f"3000-dev-100.{DOMAIN}"
STRANGER = "198.51.100.7"
GAME = HostName("game", Vmid(102))
GAME_HOST, GAME_TARGET = f"game-102.{DOMAIN}", SETTING.game_target[0]
SERVICE = f"_minecraft._tcp.{GAME_HOST}"


class Desk:
    """A provider as the reconciler uses it, for one container."""

    def __init__(self, rig: Any, setting: ProviderSetting = SETTING) -> None:
        self.rig = rig
        self.setting = setting
        self.dns = DnsService([rig.provider], domain=DOMAIN, clock=rig.clock)

    def wanted(self, *ports: int) -> tuple[Record, ...]:
        """Return which records there should be."""
        return render_records(DEV, ports, self.setting, domain=DOMAIN)

    def whose(self, owner: OwnerMark = OWNER) -> Whose:
        """Return the container, with every name that it has in these tests."""
        return self.dns.know(owner, DEV, (HOST, PORT_HOST))

    async def write(self, *ports: int, owner: OwnerMark = OWNER, check: Callable[[], None] = unconditional) -> None:
        """Make it so."""
        await self.dns.write("public", self.whose(owner), self.wanted(*ports), check)

    async def withdraw(self) -> None:
        """Take it away."""
        await self.dns.withdraw("public", self.whose(), unconditional)

    async def is_right(self, *ports: int) -> bool:
        """Tell whether a survey shows just what is wanted."""
        found = [record for record in await self.rig.provider.survey() if record.owner is not None]
        return diff_records(self.whose(), self.wanted(*ports), found).is_empty and len(found) == 1 + len(ports)


class GameDesk(Desk):
    """The same for a game container, whose numbers are ports of the one service that it has."""

    def wanted(self, *ports: int) -> tuple[Record, ...]:
        """Return which records there should be."""
        services = [ServicePort("_minecraft._tcp", port) for port in ports]
        return render_records(GAME, (), self.setting, domain=DOMAIN, services=services)

    def whose(self, owner: OwnerMark = OWNER) -> Whose:
        """Return the container, with every name that it has in these tests."""
        return self.dns.know(owner, GAME, (GAME_HOST, SERVICE))


async def test_what_is_written_is_there_with_our_mark(rig: Any) -> None:
    """A look, a survey and the server itself agree; a second time changes nothing."""
    desk = Desk(rig)
    await desk.write(3000)
    assert await rig.records() == {(HOST, "A", TARGET), (PORT_HOST, "A", TARGET)}
    assert await desk.is_right(3000)
    assert {record.owner for record in await rig.provider.find(desk.whose())} == {OWNER}

    def refuse() -> None:
        raise AssertionError("nothing has to be written")

    await desk.write(3000, check=refuse)


async def test_the_port_of_a_service_is_told_at_the_name_that_players_type(rig: Any) -> None:
    """Beside the host's own record, ours by its mark; it follows the port, is healed, and goes like the others."""
    desk = GameDesk(rig)
    await desk.write(25512)
    assert await rig.records() == {(GAME_HOST, "A", GAME_TARGET), (SERVICE, "SRV", f"0 0 25512 {GAME_HOST}")}
    assert await desk.is_right(25512)

    def refuse() -> None:
        raise AssertionError("nothing has to be written")

    await desk.write(25512, check=refuse)
    await desk.write(25513)
    assert await rig.records() == {(GAME_HOST, "A", GAME_TARGET), (SERVICE, "SRV", f"0 0 25513 {GAME_HOST}")}
    await rig.drop(SERVICE, "SRV")
    assert not await desk.is_right(25513)
    await desk.write(25513)
    assert await desk.is_right(25513)
    await desk.write()
    assert await rig.records() == {(GAME_HOST, "A", GAME_TARGET)}
    await desk.write(25513)
    await desk.withdraw()
    assert await rig.records() == set()
    assert await rig.marks() == 0


async def test_a_service_of_somebody_else_at_a_name_of_ours_is_never_touched(rig: Any) -> None:
    """It is named; the host's own record is written all the same."""
    desk = GameDesk(rig)
    await rig.put(SERVICE, "SRV", "0 0 25565 elsewhere.test")
    with pytest.raises(RecordForeign, match="without our mark") as refused:
        await desk.write(25512)
    assert refused.value.data["name"] == SERVICE
    told = {(GAME_HOST, "A", GAME_TARGET), (SERVICE, "SRV", "0 0 25565 elsewhere.test")}
    assert await rig.records() == told
    await rig.drop(SERVICE, "SRV")
    await desk.write(25512)
    assert await desk.is_right(25512)


async def test_a_service_is_where_the_alias_of_a_game_host_leads(rig: Any) -> None:
    """What a service names may be no alias, so it names what that stands for."""
    setting = replace(SETTING, game_target=("edge.example.test",))
    await rig.provider.close()
    rig.provider = rig.make(setting)
    await GameDesk(rig, setting).write(25512)
    assert await rig.records() == {
        (GAME_HOST, "CNAME", "edge.example.test"),
        (SERVICE, "SRV", "0 0 25512 edge.example.test"),
    }


async def test_a_port_that_is_taken_back_loses_its_name(rig: Any) -> None:
    """And nothing else does; with the container itself all of it goes, marks too."""
    desk = Desk(rig)
    await desk.write(3000)
    await desk.write()
    assert await rig.records() == {(HOST, "A", TARGET)}
    await desk.withdraw()
    assert await rig.records() == set()
    assert await rig.marks() == 0
    await desk.withdraw()


@pytest.mark.parametrize(("kind", "content"), [("A", STRANGER), ("A", TARGET), ("CNAME", "elsewhere.test")])
async def test_a_record_of_somebody_else_is_never_touched(rig: Any, kind: str, content: str) -> None:
    """Not even one that says what ours would: it is named, and what it does not bar is written all the same."""
    desk = Desk(rig)
    await rig.put(HOST, kind, content)
    with pytest.raises(RecordForeign, match="without our mark") as refused:
        await desk.write(3000)
    assert refused.value.data["name"] == HOST
    assert await rig.records() == {(HOST, kind, content), (PORT_HOST, "A", TARGET)}
    await desk.withdraw()
    assert await rig.records() == {(HOST, kind, content)}
    await rig.drop(HOST, kind)
    await desk.write(3000)
    assert await desk.is_right(3000)


async def test_the_records_of_another_container_are_somebody_elses(rig: Any) -> None:
    """A mark of ours that is not this container's, as after a database was restored from an older copy."""
    desk = Desk(rig)
    await desk.write(owner=OTHER)
    with pytest.raises(RecordForeign):
        await desk.write()
    await desk.withdraw()
    assert await rig.records() == {(HOST, "A", TARGET)}
    assert await rig.marks() == 1


async def test_another_target_takes_the_place_of_the_first(rig: Any) -> None:
    """More addresses, then a host name in place of all of them, and back: at no point is there anything else."""
    for targets in [(TARGET, "2001:db8::1"), ("192.0.2.2", "192.0.2.3"), ("edge.example.test",), (TARGET,)]:
        setting = replace(SETTING, target=targets)
        await rig.provider.close()
        rig.provider = rig.make(setting)
        await Desk(rig, setting).write(3000)
        told = {("CNAME" if "edge" in target else "AAAA" if ":" in target else "A", target) for target in targets}
        assert await rig.records() == {(name, *each) for name in (HOST, PORT_HOST) for each in told}
        assert len(await rig.provider.find(Desk(rig).whose())) == 2 * len(targets)


async def test_what_was_deleted_by_hand_is_written_again(rig: Any) -> None:
    """The survey shows that it is gone."""
    desk = Desk(rig)
    await desk.write(3000)
    await rig.drop(PORT_HOST, "A")
    assert not await desk.is_right(3000)
    await desk.write(3000)
    assert await desk.is_right(3000)


async def test_another_time_to_live_is_written(rig: Any) -> None:
    """Also where nothing else differs."""
    await Desk(rig).write(3000)
    setting = replace(SETTING, ttl=600)
    await rig.provider.close()
    rig.provider = rig.make(setting)
    desk = Desk(rig, setting)
    await desk.write(3000)
    assert {record.ttl for record in await rig.provider.find(desk.whose())} == {600}


async def test_a_provider_that_is_down_is_away_and_comes_back(rig: Any) -> None:
    """No storm meets it meanwhile: nothing goes out before its time."""
    desk = Desk(rig)
    await desk.write()
    await rig.stop()
    for call in (desk.write(3000), rig.provider.survey(), desk.withdraw()):
        with pytest.raises(SystemAway, match="the DNS provider public is away"):
            await call
    await rig.start()
    with pytest.raises(SystemAway):
        await desk.write(3000)
    rig.clock.advance(31)
    await desk.write(3000)
    assert await desk.is_right(3000)


async def test_a_token_that_does_not_hold_is_told_and_its_next_one_read_without_a_restart(rig: Any) -> None:
    """The message names no secret."""
    desk = Desk(rig)
    await desk.write()
    rig.revoke()
    with pytest.raises(DnsCredentialsRefused, match="make another") as refused:
        await desk.write(3000)
    assert "token-1" not in str(refused.value)
    rig.grant()
    await desk.write(3000)
    assert await desk.is_right(3000)


async def test_a_file_that_others_may_read_is_no_secret(rig: Any, tmp_path: Path) -> None:
    """Nor is one that is not there; neither message names the file to whoever sees the step."""
    file = next(each for each in (tmp_path / "token", tmp_path / "key") if each.exists())
    file.chmod(0o644)
    with pytest.raises(DnsSecretUnusable, match="others may read"):
        await Desk(rig).write()
    file.unlink()
    with pytest.raises(DnsSecretUnusable, match="No such file") as refused:
        await Desk(rig).write()
    assert str(tmp_path) not in str(refused.value)


async def test_stopped_before_any_write_and_taken_up_again_ends_the_same(rig: Any) -> None:
    """Whoever has lost its right writes nothing more; the next one finds whatever is there and goes on."""
    for allowed in count():
        desk = Desk(rig)
        left = count(allowed, -1)

        def check(left: Any = left) -> None:
            if next(left) <= 0:
                raise LeaseLost(Vmid(100))

        await desk.write(3000)
        await rig.drop(HOST, "A")
        await rig.put(f"3001-dev-100.{DOMAIN}", "A", STRANGER)
        before = await rig.records()
        try:
            await desk.write(check=check)
            is_through = True
        except LeaseLost:
            is_through = False
        if allowed == 0:
            assert await rig.records() == before
        await desk.write()
        assert await rig.records() == {(HOST, "A", TARGET), (f"3001-dev-100.{DOMAIN}", "A", STRANGER)}
        await desk.withdraw()
        await rig.drop(f"3001-dev-100.{DOMAIN}", "A")
        assert (await rig.records(), await rig.marks()) == (set(), 0)
        if is_through:
            assert allowed > 0
            return


async def test_strangers_of_the_zone_are_seen_and_no_mark_is_theirs(rig: Any) -> None:
    """What leads anywhere below our domain is told, and a wildcard is no record of any name that it answers for."""
    await rig.put(f"www.{DOMAIN}", "A", STRANGER)
    await rig.put(f"*.{DOMAIN}", "A", STRANGER)
    desk = Desk(rig)
    assert await rig.provider.find(desk.whose()) == []
    await desk.write()
    told: Sequence[FoundRecord] = await rig.provider.survey()
    assert {(record.name, record.owner) for record in told} == {
        (f"www.{DOMAIN}", None),
        (f"*.{DOMAIN}", None),
        (HOST, OWNER),
    }
    await desk.withdraw()
    assert await rig.records() == {(f"www.{DOMAIN}", "A", STRANGER), (f"*.{DOMAIN}", "A", STRANGER)}
