"""What operators ask of the CAs, on a real database and a real folder: shown, begun, ended, put right after a loss."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from component.api.test_reconciler import settled
from fakes.api_world import World
from fakes.wishes import want_container
from zlh_api.agents.authority import Authority
from zlh_api.agents.key_folder import KeyFolder
from zlh_api.agents.standing import Standing
from zlh_api.authority import commands, store
from zlh_api.authority.command_line import add_parser
from zlh_api.authority.desk import (
    AuthorityDesk,
    AuthorityInUse,
    AuthorityUnknown,
    NothingToRetire,
    RotationUnderWay,
)
from zlh_api.authority.generations import AuthorityKeysMissing
from zlh_api.authority.model import Reason
from zlh_api.authority.service import AuthorityService
from zlh_api.database.pool import Database
from zlh_common.clock import SystemClock
from zlh_common.errors import NotFound
from zlh_common.names import OwnerMark, Vmid

Say = Callable[[], str]


class Desk:
    """The commands, and API processes that look when they are told to."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.keys = KeyFolder(folder, SystemClock())
        self.desk = AuthorityDesk(database)

    async def process(self, folder: Path | None = None) -> AuthorityService:
        """Return an API process that has started, and has done nothing since."""
        authority = await asyncio.to_thread(Authority, folder or self.keys.folder, SystemClock())
        made = AuthorityService(self.database, authority, SystemClock())
        await made.start()
        return made

    async def look(self, *processes: AuthorityService) -> None:
        """Let all of them look and move until nothing moves any more."""
        for _ in range(3):
            for process in processes:
                while await process._look():
                    pass

    async def standing(self) -> Standing | None:
        """Return how far it is."""
        async with self.database.connection() as connection:
            return await store.fetch_standing(connection)

    async def add(self, generation: int, *, connection: str = "online", protocol: int = 4) -> OwnerMark:
        """Return a container that runs, with an identity of this generation."""
        async with self.database.transaction() as database:
            customer = uuid4()
            await database.execute("insert into customers values ($1, $2)", customer, str(customer))
            owner = await want_container(database, customer)
            await database.execute(
                "update containers set guest = 'running', connection = $2, agent_status = $3, identity_known = 'k', "
                "identity_generation = $4, identity_trusts_from = $4, identity_trusts_to = $4 where owner = $1",
                UUID(owner),
                connection,
                {"protocolVersion": protocol},
                generation,
            )
            return owner

    async def generations(self) -> list[int]:
        """Return the generations whose keys are in the folder."""
        return sorted(await asyncio.to_thread(self.keys.load))

    async def run(self, *arguments: str) -> int:
        """Run `zlh-api authority` with these arguments; return its exit code."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple[AuthorityDesk, KeyFolder]]:
            yield self.desk, self.keys

        return await commands.run(await asyncio.to_thread(_parse, arguments), opened)


def _modes(folder: Path) -> set[int]:
    return {file.stat().st_mode & 0o777 for file in folder.iterdir()}


def _copy(source: Path, target: Path, pattern: str = "*") -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    for file in source.glob(pattern):
        (target / file.name).write_bytes(file.read_bytes())


def _parse(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["authority", *arguments])


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    """A database without CAs, and an empty folder."""
    return Desk(database, tmp_path / "keys")


async def test_before_the_first_start_there_is_nothing(desk: Desk) -> None:
    """No command makes keys for an API that has none."""
    for ask in (desk.desk.fetch_scene(), desk.desk.rotate(desk.keys), desk.desk.retire(force=True)):
        with pytest.raises(AuthorityUnknown):
            await ask
    with pytest.raises(AuthorityKeysMissing):
        await desk.desk.adopt(desk.keys)
    assert not await asyncio.to_thread(desk.keys.folder.exists)


async def test_an_installation_without_containers_changes_at_once(desk: Desk) -> None:
    """The old keys are gone from the folder, and the contexts are made anew; all of it is told."""
    process = await desk.process()
    contexts: list[object] = []
    process.on_context = contexts.append
    with pytest.raises(NothingToRetire):
        await desk.desk.retire(force=False)
    await desk.desk.rotate(desk.keys)
    with pytest.raises(RotationUnderWay):
        await desk.desk.rotate(desk.keys)
    assert await desk.generations() == [1, 2]
    await desk.look(process)
    assert await desk.standing() == Standing(2, 2, 2)
    assert await desk.generations() == [2]
    assert await asyncio.to_thread(_modes, desk.keys.folder) == {0o600}
    assert len(contexts) == 3
    facts = process.facts()
    assert (facts["generation"], facts["rotation"], facts["waitingFor"]) == (2, "settled", 0)
    assert isinstance(facts["expiresAt"], datetime)
    assert facts["expiresAt"] > datetime.now(UTC)


async def test_what_is_commanded_stands_in_the_audit_log(desk: Desk) -> None:
    """Whoever gave the command on the machine, and how it ended; what only looks does not."""
    process = await desk.process()
    with pytest.raises(NothingToRetire):
        await desk.run("retire", "--force")
    assert await desk.run("rotate") == 0
    await desk.look(process)
    assert await desk.run("unpin", "--all") == 0
    assert await desk.run("adopt") == 0
    assert await desk.run() == 0
    async with desk.database.connection() as connection:
        entries = await connection.fetch("select act, outcome, code, details from audit_entries order by number")
    assert [(entry["act"], entry["outcome"], entry["code"]) for entry in entries] == [
        ("authority.retire", "refused", "nothing_to_retire"),
        ("authority.rotate", "done", None),
        ("authority.unpin", "done", None),
        ("authority.adopt", "done", None),
    ]
    assert entries[0]["details"]["force"] == "true"
    assert {entry["details"]["account"] for entry in entries} == {getpass.getuser()}


async def test_a_process_that_does_not_follow_is_waited_for(desk: Desk) -> None:
    """Both must have the keys, then issue by them, then show them; and one that has died is waited for no more."""
    fast, slow = await desk.process(), await desk.process()
    await desk.desk.rotate(desk.keys)
    await desk.look(fast)
    assert await desk.standing() == Standing(1, 1, 1)
    await slow._look()
    await desk.look(fast)
    assert await desk.standing() == Standing(2, 1, 1)
    await slow._look()
    await desk.look(fast)
    assert await desk.standing() == Standing(2, 2, 1)
    with pytest.raises(AuthorityInUse, match="0 containers and 1 API"):
        await desk.desk.retire(force=False)
    async with desk.database.connection() as connection:
        await connection.execute("update authority_holders set until = now() where holder = $1", slow._holder)
    await desk.look(fast)
    assert await desk.standing() == Standing(2, 2, 2)


async def test_a_container_that_depends_on_the_old_is_named_and_kept(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why each is waited for; nothing is taken from any; `--force` says whom it has cut off."""
    process = await desk.process()
    await desk.add(1, connection="offline")
    await desk.add(1, protocol=3)
    await desk.add(1)
    await desk.desk.rotate(desk.keys)
    await desk.look(process)
    assert await desk.standing() == Standing(2, 1, 1)
    assert process.facts()["waitingFor"] == 3
    scene, dependents, _ = await desk.desk.fetch_scene()
    assert [each.reason for each in dependents] == [Reason.OFFLINE, Reason.OLD_AGENT, Reason.WAITING]
    with pytest.raises(AuthorityInUse, match="3 containers"):
        await desk.desk.retire(force=False)
    assert await desk.run() == 0
    shown = capsys.readouterr().out
    assert "spreading, 1 API processes" in shown
    assert all(f"depends on the old: dev-{each.vmid}, since {each.reason}" in shown for each in dependents)
    assert await desk.run("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["phase"], told["issuing"], told["presented"], len(told["dependents"])) == ("spreading", 2, 1, 3)
    assert await desk.generations() == [1, 2]
    assert scene.dependents == 3
    assert await desk.run("retire", "--force") == 0
    cut_off = capsys.readouterr().out
    assert all(f"cut off until it is started again: dev-{each.vmid}" in cut_off for each in dependents)
    await desk.look(process)
    assert await desk.generations() == [2]


@pytest.mark.parametrize(
    ("state", "depends"),
    [
        ("guest = 'stopped'", False),
        ("guest = 'stopped', lease_until = now()", False),
        ("deleting_at = now()", False),
        ("identity_generation = 2", True),
        ("identity_trusts_to = 2", True),
        ("identity_generation = 2, identity_trusts_to = 2", False),
    ],
)
async def test_who_depends_on_the_old(desk: Desk, state: str, depends: bool) -> None:
    """Whoever runs and lacks any of both; one that is off gets the new as it starts."""
    process = await desk.process()
    owner = await desk.add(1)
    async with desk.database.connection() as connection:
        await connection.execute(f"update containers set {state} where owner = $1", UUID(owner))
    await desk.desk.rotate(desk.keys)
    await desk.look(process)
    assert await desk.standing() == (Standing(2, 1, 1) if depends else Standing(2, 2, 2))


async def test_one_that_is_being_started_is_counted(desk: Desk) -> None:
    """It was given the old keys before, and nobody has seen it run yet; not even where its worker has died."""
    process = await desk.process()
    owner = await desk.add(1)
    async with desk.database.connection() as connection:
        await connection.execute(
            "update containers set guest = 'stopped', lease_until = now() - interval '1 hour' where owner = $1",
            UUID(owner),
        )
        await connection.execute(
            "update steps set state = 'running' where owner = $1 and name = 'start-guest'", UUID(owner)
        )
    await desk.desk.rotate(desk.keys)
    await desk.look(process)
    assert await desk.standing() == Standing(2, 1, 1)


async def test_a_folder_of_its_own_must_be_given_the_new_keys(desk: Desk, tmp_path: Path) -> None:
    """Another host: it is waited for, says what it lacks, and goes on once somebody has copied the files."""
    here = await desk.process()
    copy = tmp_path / "copy"
    await asyncio.to_thread(_copy, desk.keys.folder, copy)
    there = await desk.process(copy)
    await desk.desk.rotate(desk.keys)
    await desk.look(here, there)
    assert await desk.standing() == Standing(1, 1, 1)
    assert there.trouble is not None
    assert "generation 2" in there.trouble
    assert here.trouble is None
    # Other keys under the same number are no help, and are not taken for those.
    other = await asyncio.to_thread(KeyFolder(copy, SystemClock()).ensure, 2)
    await desk.look(here, there)
    assert await desk.standing() == Standing(1, 1, 1)
    assert other.digest != (await asyncio.to_thread(desk.keys.load))[2].digest
    await asyncio.to_thread(_copy, desk.keys.folder, copy, "*-2.*")
    await desk.look(here, there)
    assert await desk.standing() == Standing(2, 2, 2)
    assert there.trouble is None
    assert sorted(await asyncio.to_thread(KeyFolder(copy, SystemClock()).load)) == [2]


async def test_keys_that_the_database_does_not_know_are_not_served_with(desk: Desk, tmp_path: Path) -> None:
    """Lost, or another installation's: the start says so instead of leaving all agents; an operator may decide."""
    await desk.process()
    owner = await desk.add(1)
    with pytest.raises(AuthorityKeysMissing, match="generation 1"):
        await desk.process(tmp_path / "lost")
    lost = Desk(desk.database, tmp_path / "lost")
    with pytest.raises(AuthorityKeysMissing):
        await lost.desk.rotate(lost.keys)
    assert await lost.desk.adopt(lost.keys) == 1
    await desk.process(tmp_path / "lost")
    async with desk.database.connection() as connection:
        row = await connection.fetchrow("select * from containers where owner = $1", UUID(owner))
    assert row is not None
    assert (row["identity_known"], row["identity_generation"], row["identity_trusts_to"]) == (None, 0, 0)


async def test_a_database_from_before_a_change_takes_up_what_is_in_the_folder(desk: Desk) -> None:
    """Keys that a crash or a restore has left without a row are the next generation, and are not made over."""
    await desk.process()
    left = await asyncio.to_thread(desk.keys.ensure, 2)
    made = await desk.desk.rotate(desk.keys)
    assert (made.number, made.digest) == (2, left.digest)


async def test_one_agent_gets_another_key_at_once(world: World) -> None:
    """By the command, or by the route; each wish is one renewal, also where two come before the first is done."""
    world.agents.protocol_version = 4
    await settled(world)
    desk = Desk(world.database, world.folder / "keys")
    before = await world.fetch("select identity_known, identity_issued_until from containers")
    async with world.reconciler(), world.client() as client:
        for ask in (desk.run("renew", "101"), _post(client, world.people.operator)):
            world.agents.identities.clear()
            assert await ask in {0, 202}
            await world.wait_until("select identity_done = identity_asked and lease_until is null from containers")
            assert len(world.agents.identities) == 1
        assert await _post(client, world.people.owner) == 403
        assert await _post(client, world.people.stranger) == 404
    (now,) = await world.fetch("select identity_known, identity_issued_until, identity_wanted from containers")
    assert now["identity_known"] != before[0]["identity_known"]
    assert now["identity_issued_until"] > before[0]["identity_issued_until"]
    assert now["identity_wanted"] == []
    with pytest.raises(NotFound):
        await desk.desk.renew(Vmid(999))
    assert await desk.desk.renew(Vmid(101))
    await world.fetch("update containers set connection = 'offline' returning 1")
    assert not await desk.desk.renew(Vmid(101))


async def _post(client: object, token: str) -> int:
    post = client.post  # type: ignore[attr-defined] # a client of the test server
    async with post("/api/containers/101/identity", headers={"Authorization": f"Bearer {token}"}) as response:
        status: int = response.status
        return status


async def test_what_is_not_known_is_given_anew(world: World) -> None:
    """After `unpin`, each running agent has another identity, and that one alone counts."""
    world.agents.protocol_version = 4
    await settled(world)
    desk = Desk(world.database, world.folder / "keys")
    assert await desk.desk.unpin([Vmid(102)]) == 0
    assert await desk.desk.unpin(None) == 1
    assert (await world.fetch("select identity_known from containers"))[0]["identity_known"] is None
    async with world.reconciler():
        await world.wait_until("select identity_known is not null and lease_until is null from containers")
    assert world.agents.calls == [("POST", "/identity")]


@pytest.mark.parametrize(("protocol", "tells"), [(4, True), (3, False)])
async def test_an_older_agent_is_told_what_it_knows(world: World, protocol: int, tells: bool) -> None:
    """A change of the CAs: one of version 3 gets an identity of it, and believes the old one till its next start."""
    world.agents.protocol_version = protocol
    await settled(world)
    await asyncio.to_thread(world.authority.keys.ensure, 2)
    world.authority.follow(await asyncio.to_thread(world.authority.keys.load), Standing(2, 1, 1))
    await world.fetch("update containers set wake_at = now() returning 1")
    async with world.reconciler():
        await world.wait_until(
            "select identity_generation = 2 and lease_until is null and wake_at > now() from containers"
        )
        (told,) = world.agents.identities
        (row,) = await world.fetch("select identity_trusts_from, identity_trusts_to from containers")
        assert (told.client_ca is not None) is tells
        assert tuple(row) == ((1, 2) if tells else (1, 1))
        await world.fetch("update containers set restart_wanted = restart_wanted + 1, wake_at = now() returning 1")
        await world.wait_until(
            "select restart_done = restart_wanted and guest = 'running' and identity_trusts_to = 2 from containers"
        )


async def test_a_guest_does_not_start_with_keys_of_before(world: World) -> None:
    """The CAs have changed between the put-in and the start, and this process has not heard of it."""
    async with world.database.transaction() as connection:
        await connection.execute("insert into authority values (true, 2, 2, 2)")
        await want_container(connection)
    async with world.reconciler():
        await world.wait_until("select bool_or(code = 'identity_outdated') from steps")
        assert not world.driver.guests[Vmid(101)].is_running
        await asyncio.to_thread(world.authority.keys.ensure, 2)
        world.authority.follow(await asyncio.to_thread(world.authority.keys.load), Standing(2, 2, 2))
        await world.wait_until("select guest = 'running' and identity_generation = 2 from containers")
