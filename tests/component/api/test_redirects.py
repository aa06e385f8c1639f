"""A hostile agent that answers whatever it is asked with a redirect: nobody is led anywhere, and it is told of."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from component.api.test_agent_client import Meeting, http
from fakes.wishes import want_container
from zlh_api.agents.client import AgentAddress, AgentClient, AgentNonsense
from zlh_api.agents.pins import RowPins
from zlh_api.console.upstream import open_upstream
from zlh_api.containers import store
from zlh_api.containers.status import find_degradations
from zlh_api.database.pool import Database
from zlh_common.schema.spec import AgentSpec

STATUSES = ("300 Choose", "301 Moved", "302 Found", "303 See Other", "304 Same", "307 Again", "308 For Ever")
PATH = "/processes/web/console"


async def open_events(client: AgentClient, agent: AgentAddress) -> None:
    """Open its events, as a link does."""
    async with client.open_socket(agent, "/events", query={"take": "metrics"}, has_heartbeat=True):
        pass


async def open_console(client: AgentClient, agent: AgentAddress) -> None:
    """Open a console, as a viewer has it opened."""
    async with open_upstream(client, agent, PATH, 0):
        pass


async def transfer(client: AgentClient, agent: AgentAddress) -> None:
    """Read a file, as somebody has it read."""
    async with client.open_transfer(agent, "GET", "/files/content", headers={}):
        pass


def call(method: str, body: bytes | None = None) -> Callable[[AgentClient, AgentAddress], Awaitable[object]]:
    """Return a call of one method."""
    return lambda client, agent: client.call(agent, method, "/x", body=body)


# Every way in which the API speaks to an agent, by the method of the client that it goes through.
WAYS: dict[str, tuple[str, Callable[[AgentClient, AgentAddress], Awaitable[object]]]] = {
    "status": ("call", call("GET")),
    "restart": ("call", call("POST")),
    "terminal": ("call", call("POST", b'{"cols":80,"rows":24}')),
    "identity": ("call", call("POST", b'{"certificate":"c","privateKey":"k"}')),
    "write": ("call", call("PUT", b"{}")),
    "close": ("call", call("DELETE")),
    "spec": ("put_spec", lambda client, agent: client.put_spec(agent, AgentSpec(generation=1))),
    "files": ("exchange", lambda client, agent: client.exchange(agent, "GET", "/files/roots")),
    "bytes": ("open_transfer", transfer),
    "events": ("open_socket", open_events),
    "console": ("open_socket", open_console),
}
# What is no call to an agent.
OTHERS = {"use", "end_superseded"}


def test_every_way_to_an_agent_is_tried() -> None:
    """A method that is added to the client is added here."""
    methods = {name for name, _ in inspect.getmembers(AgentClient, inspect.isfunction) if not name.startswith("_")}
    assert methods - OTHERS == {method for method, _ in WAYS.values()}


@pytest.fixture
async def meeting(tmp_path: Path, database: Database) -> Meeting:
    """Certificates, and the row of the container that is asked."""
    made = await asyncio.to_thread(Meeting, tmp_path)
    async with database.transaction() as connection:
        customer = uuid4()
        await connection.execute("insert into customers values ($1, $2)", customer, str(customer))
        made.owner = await want_container(connection, customer)
        await connection.execute("update containers set identity_known = null where owner = $1", UUID(made.owner))
    await asyncio.to_thread(made.renew)
    return made


@pytest.fixture
async def client(meeting: Meeting, database: Database) -> AsyncIterator[AgentClient]:
    """The API's client."""
    async with AgentClient(await asyncio.to_thread(meeting.certificates.api), RowPins(database)) as made:
        yield made


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", WAYS)
async def test_no_redirect_is_followed_whatever_was_asked(
    name: str, status: str, meeting: Meeting, client: AgentClient, database: Database
) -> None:
    """To another agent, to the API itself, to the cloud's own address, to nowhere: nobody is dialled but once."""
    _, way = WAYS[name]
    # Nobody may be asked there, and the guard of the network fails whoever tries the last ones.
    async with meeting.stranger(http("200 OK", b"{}")).running() as victim:
        places = [
            f"https://127.0.0.1:{victim.port}/status",
            f"wss://127.0.0.1:{victim.port}/",
            f"//127.0.0.1:{victim.port}/",
        ]
        places += ["http://127.0.0.1:8400/api/containers", "http://169.254.169.254/latest/meta-data/", "/status", ""]
        for place in places:
            answer = http(status, b"", f"Location: {place}")
            with capture_logs() as logs:
                async with meeting.stranger(answer).running() as stranger:
                    with pytest.raises(AgentNonsense, match="redirects"):
                        await way(client, meeting.address(stranger.port))
                    assert stranger.calls == 1
            told = [line for line in logs if line["event"] == "agent.redirects"]
            assert [(line["owner"], line["status"]) for line in told] == [(meeting.owner, int(status[:3]))]
            assert place == "" or place not in str(logs)
        assert victim.calls == 0
    async with database.connection() as connection:
        container = await store.find_by_owner(connection, meeting.owner)
    assert container is not None
    assert find_degradations(container) == ("agent_redirects",)
