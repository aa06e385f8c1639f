"""An agent is known by the one certificate that it was given: any other of its name is a stranger's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from websockets.exceptions import ConnectionClosed

from component.api.test_agent_client import UPGRADED, Stranger, _accept, http
from fakes.certificates import Certificates, sign
from fakes.wishes import want_container
from zlh_api.agents.certificates import Issued
from zlh_api.agents.client import AgentAddress, AgentClient, AgentUnreachable, was_superseded
from zlh_api.agents.pins import RowPins
from zlh_api.agents.superseded import SupersededSockets
from zlh_api.containers import store
from zlh_api.containers.status import find_degradations
from zlh_api.database.pool import Database
from zlh_common.identity_memory import load_identity
from zlh_common.names import OwnerMark, agent_name

OK = http("200 OK", b"{}")


def shows(issued: Issued, *, tickets: int = 0) -> ssl.SSLContext:
    """Return the context of whoever has this identity; it may offer to resume sessions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = tickets
    load_identity(context, issued.certificate + issued.private_key)
    return context


class Patient(Stranger):
    """Keeps open what it has answered."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer.replace(b"ACCEPT", _accept(asked)))
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()


class Scene:
    """The API's client, the rows of two containers, and whoever answers at an address."""

    def __init__(self, database: Database, certificates: Certificates, client: AgentClient) -> None:
        self.database = database
        self.certificates = certificates
        self.client = client

    def issue(self, owner: OwnerMark) -> Issued:
        """Return an identity for an agent."""
        return self.certificates.authority.issue_agent(owner)

    async def add(self) -> OwnerMark:
        """Return the mark of a new container."""
        async with self.database.transaction() as connection:
            customer = uuid4()
            await connection.execute("insert into customers values ($1, $2)", customer, str(customer))
            return await want_container(connection, customer)

    async def pin(self, owner: OwnerMark, known: bytes | None, *wanted: bytes) -> None:
        """Write which identity an agent has, and which are on their way."""
        await self.write("identity_known = $2, identity_wanted = $3", owner, known, list(wanted))

    async def write(self, assignment: str, owner: OwnerMark, *values: Any) -> None:
        """Write into the row of a container."""
        async with self.database.connection() as connection:
            await connection.execute(f"update containers set {assignment} where owner = $1", UUID(owner), *values)

    async def degraded(self, owner: OwnerMark) -> tuple[str, ...]:
        """Return what people are told is wrong with a container."""
        async with self.database.connection() as connection:
            container = await store.find_by_owner(connection, owner)
        assert container is not None
        return find_degradations(container)

    @asynccontextmanager
    async def answering(self, issued: Issued, answer: bytes = OK) -> AsyncIterator[Stranger]:
        """Answer with this identity at an address."""
        context = await asyncio.to_thread(shows, issued)
        async with Stranger(context, answer).running() as stranger:
            yield stranger

    async def call(self, owner: OwnerMark, stranger: Stranger) -> bytes:
        """Ask it as the reconciler does."""
        return await self.client.call(AgentAddress(owner, "127.0.0.1", stranger.port), "POST", "/x", body=b"secret")

    async def talk(self, owner: OwnerMark, stranger: Stranger) -> object:
        """Open a stream as a link does."""
        async with self.client.open_socket(AgentAddress(owner, "127.0.0.1", stranger.port), "/events") as socket:
            return await socket.recv()


@pytest.fixture
async def scene(database: Database, tmp_path: Path) -> AsyncIterator[Scene]:
    """A client that goes by the rows."""
    certificates = await asyncio.to_thread(Certificates, tmp_path / "keys")
    context = await asyncio.to_thread(certificates.api)
    async with AgentClient(context, RowPins(database)) as client:
        yield Scene(database, certificates, client)


@pytest.mark.parametrize("way", [Scene.call, Scene.talk])
async def test_the_identity_that_was_put_in_is_the_only_one_that_counts(way: Any, scene: Scene) -> None:
    """Known or on its way is good; an older one of the same name is a stranger's, and is told of no request."""
    owner = await scene.add()
    old, now = scene.issue(owner), scene.issue(owner)
    hello = UPGRADED + b"\x81\x02ok" if way is Scene.talk else OK
    for known, wanted in ((now.sha256, ()), (old.sha256, (now.sha256,)), (None, ()), (b"x" * 32, (b"y", now.sha256))):
        await scene.pin(owner, known, *wanted)
        async with scene.answering(now, hello) as agent:
            assert await way(scene, owner, agent) in {b"{}", "ok"}
    for known, wanted in ((now.sha256, ()), (b"", ()), (now.sha256, (b"z" * 32,))):
        await scene.pin(owner, known, *wanted)
        async with scene.answering(old, hello) as thief:
            with pytest.raises(AgentUnreachable, match="was not given"):
                await way(scene, owner, thief)
            if way is Scene.call:
                assert thief.asked == b""
    assert "agent_identity_unknown" in await scene.degraded(owner)


async def test_a_container_that_is_gone_has_no_agent(scene: Scene) -> None:
    """Its key opens nothing to anybody, though it names it rightly and has not run out."""
    owner = OwnerMark(str(uuid4()))
    async with scene.answering(scene.issue(owner)) as thief:
        with pytest.raises(AgentUnreachable):
            await scene.call(owner, thief)
        assert thief.asked == b""


@pytest.mark.parametrize("kind", ["of-another", "for-clients", "of-the-api", "self-made"])
async def test_no_other_key_passes_as_an_agents(kind: str, scene: Scene, tmp_path: Path) -> None:
    """Another container's, the right name for another use, the API's own, that of another installation."""
    owner, other = await scene.add(), await scene.add()
    foreign = await asyncio.to_thread(Certificates, tmp_path / "other")
    name, held = agent_name(owner), scene.certificates
    issued = {
        "of-another": lambda: scene.issue(other),
        "for-clients": lambda: sign(held.agents_ca, name, ExtendedKeyUsageOID.CLIENT_AUTH),
        "of-the-api": lambda: sign(held.client_ca, name, ExtendedKeyUsageOID.SERVER_AUTH),
        "self-made": lambda: foreign.authority.issue_agent(owner),
    }[kind]()
    # Not even where the row would have it.
    await scene.pin(owner, issued.sha256)
    async with scene.answering(issued) as thief:
        for way in (scene.call, scene.talk):
            with pytest.raises(AgentUnreachable):
                await way(owner, thief)
        assert thief.asked == b""


async def test_tls_below_1_3_is_not_spoken(scene: Scene) -> None:
    """Older TLS is refused, whatever is shown."""
    owner = await scene.add()
    issued = scene.issue(owner)
    await scene.pin(owner, issued.sha256)
    context = await asyncio.to_thread(shows, issued)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Stranger(context, OK).running() as agent:
        for way in (scene.call, scene.talk):
            with pytest.raises(AgentUnreachable):
                await way(owner, agent)
        assert agent.asked == b""


async def test_an_address_that_another_container_has_now_shares_nothing(scene: Scene) -> None:
    """A connection that was kept open to the one before is not used for the next one, nor is its session."""
    first, second = await scene.add(), await scene.add()
    (one, two) = (scene.issue(first), scene.issue(second))
    await scene.pin(first, one.sha256)
    await scene.pin(second, two.sha256)
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    seen: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object").session_reused)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(len(b"secret"))
                writer.write(kept)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    door = await asyncio.to_thread(partial(shows, one, tickets=2))
    second_door = await asyncio.to_thread(partial(shows, two, tickets=2))
    now = {"context": door}
    door.sni_callback = lambda connection, _name, _door: setattr(connection, "context", now["context"])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=door)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for _ in range(2):
            await scene.client.call(AgentAddress(first, "127.0.0.1", port), "POST", "/x", body=b"secret")
        assert len(seen) == 1
        now["context"] = second_door
        # The first one's connection is open still, and for the second one another is made.
        for _ in range(2):
            await scene.client.call(AgentAddress(second, "127.0.0.1", port), "POST", "/x", body=b"secret")
        assert seen == [False, False]
        # What was kept open is looked at again, too.
        await scene.pin(second, one.sha256)
        with pytest.raises(AgentUnreachable):
            await scene.client.call(AgentAddress(second, "127.0.0.1", port), "POST", "/x", body=b"secret")
        assert not any(seen)


@pytest.fixture
async def closing(scene: Scene, database: Database) -> AsyncIterator[None]:
    """Close what is open with a former identity, as an API process does."""
    superseded = SupersededSockets(scene.client)
    tasks = [
        asyncio.create_task(superseded.run()),
        asyncio.create_task(database.listen({"identity_changed": superseded.note}, on_connect=superseded.note)),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.usefixtures("closing")
async def test_what_is_open_with_a_former_key_is_closed_at_once(scene: Scene) -> None:
    """The key of another container is none of its business, and one on its way closes nothing yet."""
    owner, other = await scene.add(), await scene.add()
    held = {each: scene.issue(each) for each in (owner, other)}
    async with AsyncExitStack() as stack:
        sockets = {}
        for each, issued in held.items():
            await scene.pin(each, issued.sha256)
            door = Patient(await asyncio.to_thread(shows, issued), UPGRADED)
            agent = await stack.enter_async_context(door.running())
            sockets[each] = await stack.enter_async_context(
                scene.client.open_socket(AgentAddress(each, "127.0.0.1", agent.port), "/events")
            )
        await scene.pin(owner, held[owner].sha256, b"w" * 32)
        await asyncio.sleep(0.2)
        assert not was_superseded(sockets[owner])
        await scene.pin(owner, b"w" * 32)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed):
                await sockets[owner].recv()
        assert was_superseded(sockets[owner])
        assert not was_superseded(sockets[other])


async def test_an_identity_that_changes_under_a_call_costs_nothing(scene: Scene) -> None:
    """What was shown is looked up after the handshake, and met once more where it was that of a moment ago."""
    owner = await scene.add()
    old, now = scene.issue(owner), scene.issue(owner)
    await scene.pin(owner, now.sha256)
    doors = [await asyncio.to_thread(shows, each) for each in (old, now)]
    met: list[ssl.SSLObject] = []
    door = await asyncio.to_thread(shows, old)

    def enter(connection: ssl.SSLObject, _name: str, _door: ssl.SSLContext) -> None:
        connection.context = doors[min(len(met), 1)]
        met.append(connection)

    door.sni_callback = enter
    async with Stranger(door, OK).running() as agent:
        assert await scene.call(owner, agent) == b"{}"
    assert len(met) == 2


def test_the_fingerprint_is_that_of_the_certificate(tmp_path: Path) -> None:
    """It is what a handshake shows."""
    issued = Certificates(tmp_path).authority.issue_agent(OwnerMark(str(uuid4())))
    assert issued.sha256 == hashlib.sha256(ssl.PEM_cert_to_DER_cert(issued.certificate.decode())).digest()
