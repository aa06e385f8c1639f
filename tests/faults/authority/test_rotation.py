"""Both CAs are changed while everything runs: no agent is ever out of reach, whoever dies on the way."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from uuid import UUID

import pytest

from component.api.test_agent_client import Stranger, http
from faults.authority.installation import SETTLED, Installation, open_installation
from zlh_api.agents.client import AgentAddress, AgentClient, AgentUnreachable
from zlh_api.agents.key_folder import KeyFolder
from zlh_api.agents.pins import RowPins
from zlh_api.containers.model import Power
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark, Vmid

pytestmark = pytest.mark.timeout(900)
MOST_WRITES = 60


def keys(made: Installation) -> KeyFolder:
    """Return the folder of the keys."""
    return KeyFolder(made.place.keys, SystemClock())


async def generations(made: Installation) -> list[int]:
    """Return the generations whose keys are there."""
    return sorted(await asyncio.to_thread(keys(made).load))


async def until_removed(made: Installation, newest: int) -> None:
    """Return once the keys of no former generation are there."""
    async with asyncio.timeout(60):
        while await generations(made) != [newest] or len(list(made.place.keys.glob("*-ca*"))) != 4:
            await asyncio.sleep(0.05)


async def two_that_run(made: Installation) -> list[OwnerMark]:
    """Return two containers that are ready."""
    owners = [await made.create() for _ in range(2)]
    for owner in owners:
        await made.wait_online(owner)
    return owners


async def watch_connections(made: Installation) -> None:
    """Let the database keep every container that was not online for a moment."""
    await made.fetch("create table went (vmid int)")
    await made.fetch(
        "create function note_went() returns trigger language plpgsql as $$ begin "
        "if new.connection <> 'online' and new.guest = 'running' then insert into went values (new.vmid); end if; "
        "return null; end $$"
    )
    await made.fetch(
        "create trigger note_went after update of connection on containers for each row execute function note_went()"
    )


async def test_no_agent_is_out_of_reach_while_both_cas_are_changed(dsn: str, tmp_path: Path) -> None:
    """Two API processes, of which one is asked; agents that run and one that does not; and the old keys are gone."""
    async with open_installation(dsn, tmp_path) as made:
        for api in made.apis:
            await api.start()
        owners = await two_that_run(made)
        asleep = await made.create()
        await made.wait_online(asleep)
        await made.switch(asleep, Power.OFF)
        await made.wait_until("select guest = 'stopped' from containers where owner = $1", UUID(asleep))
        await watch_connections(made)
        async with made.asking(owners) as follower:
            for newest in (2, 3):
                assert (await made.desk.rotate(keys(made))).number == newest
                await made.wait_until(SETTLED, newest)
                await until_removed(made, newest)
                assert list(follower.held) == [newest]
        assert made.asked > 40
        assert made.missed == []
        assert await made.fetch("select * from went") == []
        # The one that slept through both gets what it needs as it starts.
        await made.switch(asleep, Power.ON)
        await made.wait_until(
            "select connection = 'online' and guest = 'running' from containers where owner = $1", UUID(asleep)
        )
        rows = await made.fetch("select identity_generation, identity_trusts_from, identity_trusts_to from containers")
        assert {tuple(row) for row in rows} == {(3, 3, 3)}


async def test_a_copied_key_is_dead_within_a_minute_of_its_replacement(dsn: str, tmp_path: Path) -> None:
    """Used from another address: it is the agent's until an operator asks for another, and a stranger's after."""
    async with open_installation(dsn, tmp_path) as made:
        for api in made.apis:
            await api.start()
        (owner, _) = await two_that_run(made)
        context = await asyncio.to_thread(steal, tmp_path / "containers" / "101")
        async with Stranger(context, http("200 OK", b"{}")).running() as thief, made.asking([owner]) as authority:
            there = AgentAddress(owner, "127.0.0.1", thief.port)
            async with AgentClient(await asyncio.to_thread(authority.client_context), RowPins(made.database)) as client:
                assert await client.call(there, "GET", "/status") == b"{}"
                await made.desk.renew(Vmid(101))
                async with asyncio.timeout(60):
                    while await is_answered(client, there):
                        await asyncio.sleep(0.02)
                asked, thief.asked = thief.asked, b""
                assert asked
                assert not await is_answered(client, there)
                assert thief.asked == b""
        assert made.missed == []


def steal(guest: Path) -> ssl.SSLContext:
    """Return what whoever has copied an agent's key can show."""
    (certificate,) = guest.rglob("agent.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("agent.key"))
    return context


async def is_answered(client: AgentClient, agent: AgentAddress) -> bool:
    """Tell whether the API speaks to who is there."""
    try:
        await client.call(agent, "GET", "/status")
    except AgentUnreachable:
        return False
    return True


async def test_killed_after_any_write_it_is_carried_to_its_end(dsn: str, tmp_path: Path) -> None:
    """kill -9 of the one process there is after its first write, then after its second, until it needs no more."""
    async with open_installation(dsn, tmp_path) as made:
        (api, _) = made.apis
        await api.start()
        owner = await made.create()
        await made.wait_online(owner)
        async with made.asking([owner]):
            for number in range(1, MOST_WRITES):
                await api.order(f"kill {number}")
                await made.grow_old()
                if await is_through(made, number):
                    break
        assert number > 15
        assert made.missed == []


async def until_changed(made: Installation, newest: int) -> None:
    """Return once everybody has what is newest, and what was before it is gone."""
    await made.wait_until(SETTLED, newest)
    await until_removed(made, newest)


async def is_through(made: Installation, number: int) -> bool:
    """Wait for the end of a change, and start the process again where it dies; tell whether it did not."""
    (api, _) = made.apis
    waiting = asyncio.create_task(until_changed(made, number + 1))
    was_killed = False
    # It may also die after all was changed, while it removes the former keys.
    while not waiting.done():
        if not api.is_running:
            was_killed = True
            await api.start()
        await asyncio.sleep(0.02)
    await waiting
    # One that was ordered to die after more writes than there were has done all of them.
    if not was_killed:
        return True
    await made.wait_until("select count(*) = 1 from containers where connection = 'online'")
    return False
