"""Calls to agents that answer whatever they like, over real TLS: each ends in one of three errors, and nowhere else."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from fakes.certificates import Certificates
from zlh_api.agents import client as client_module
from zlh_api.agents.client import (
    MAX_ANSWER_BYTES,
    MAX_CALLS,
    AgentAddress,
    AgentClient,
    AgentNonsense,
    AgentRefused,
    AgentUnreachable,
)
from zlh_common.names import OwnerMark
from zlh_common.request_ids import following
from zlh_common.schema.structs import encode
from zlh_common.schema.terminal import MAX_HISTORY_BYTES, ConsoleHistory

OURS = (AgentUnreachable, AgentRefused, AgentNonsense)
Way = Callable[[AgentClient, AgentAddress], Awaitable[object]]


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def location(url: str) -> bytes:
    """Return a redirect."""
    return http("302 Found", b"", f"Location: {url}")


ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"\x00\xff" * 100,
    "no status": b"HTTP/1.1 \r\n\r\n",
    "status that is none": http("99999 What"),
    "no problem document": http("500 Broken", b"oops"),
    "problem of the wrong shape": http("500 Broken", b'{"code": 5, "detail": []}'),
    "problem without a detail": http("500 Broken", b'{"code": "x"}'),
    "no UTF-8": http("500 Broken", b'{"code":"\xff","detail":"x"}'),
    "deep": http("500 Broken", b"[" * 100_000),
    "deep in an unknown field": http("500 Broken", b'{"x":' + b"[" * 100_000),
    "number beyond every type": http("500 Broken", b'{"code":1' + b"0" * 5000 + b"}"),
    "surrogate": http("500 Broken", b'{"code":"\\ud800","detail":"x"}'),
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 5000,
    "wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx",
    "length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
    "both lengths": b"HTTP/1.1 500 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "more than may be": http("200 OK", b"x" * (MAX_ANSWER_BYTES + 1)),
    "a compressed bomb": http("500 Broken", b"\x1f\x8b" + b"\0" * 1000, "Content-Encoding: gzip"),
    "upgrade without a key": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "redirect to a broken address": location("wss://[::1"),
    "redirect to another scheme": location("file:///etc/passwd"),
    "redirect without an address": http("301 Moved"),
}  # fmt: skip


class Stranger:
    """A TLS server with an agent's certificate that answers with bytes."""

    def __init__(self, context: ssl.SSLContext, answer: bytes, *, for_ever: bytes = b"") -> None:
        self._context = context
        self._answer = answer
        self._for_ever = for_ever
        self.port = 0
        self.calls = 0
        self.asked = b""
        self.sent_bytes = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        try:
            asked = self.asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer.replace(b"ACCEPT", _accept(asked)))
            while self._for_ever:
                writer.write(self._for_ever)
                self.sent_bytes += len(self._for_ever)
                await writer.drain()
                # A TLS connection that has broken takes every byte without ever making us wait.
                await asyncio.sleep(0)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stranger]:
        """Listen on loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


class Meeting:
    """The API's client, and agents with their certificates."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder / "authority")
        self.owner = OwnerMark(str(uuid4()))
        self._folder = folder
        self.renew()

    def renew(self) -> None:
        """Give the agents of this meeting an identity of their owner."""
        self.certificates.write_agent(self._folder / "agent", self.owner)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self._folder / "agent/agent.crt", self._folder / "agent/agent.key")

    def stranger(self, answer: bytes, *, for_ever: bytes = b"") -> Stranger:
        """Return an agent that gives this answer, and goes on with something without reading any more."""
        return Stranger(self._context, answer, for_ever=for_ever)

    def address(self, port: int) -> AgentAddress:
        """Return where the agent is dialled."""
        return AgentAddress(self.owner, "127.0.0.1", port)


@pytest.fixture
async def meeting(tmp_path: Path) -> Meeting:
    """Make certificates."""
    return await asyncio.to_thread(Meeting, tmp_path)


@pytest.fixture
async def client(meeting: Meeting) -> AsyncIterator[AgentClient]:
    """The API's client."""
    context = await asyncio.to_thread(meeting.certificates.api)
    async with AgentClient(context) as made:
        yield made


async def call(client: AgentClient, agent: AgentAddress) -> object:
    """Call it as the reconciler does."""
    return await client.call(agent, "GET", "/status")


async def open_socket(client: AgentClient, agent: AgentAddress) -> object:
    """Open its events as a link does."""
    async with client.open_socket(agent, "/events") as socket:
        return await socket.recv()


@pytest.mark.parametrize("way", [call, open_socket])
@pytest.mark.parametrize("name", ANSWERS)
async def test_whatever_an_agent_answers_is_one_of_our_errors(
    name: str, way: Way, meeting: Meeting, client: AgentClient
) -> None:
    """Nothing that a stranger sends ends the program that has asked."""
    async with meeting.stranger(ANSWERS[name]).running() as stranger, asyncio.timeout(10):
        with pytest.raises(OURS):
            await way(client, meeting.address(stranger.port))


@pytest.mark.parametrize("way", [call, open_socket])
@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 100),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    ],
)  # fmt: skip
async def test_what_never_ends_is_cut_off(
    begins: bytes, goes_on: bytes, way: Way, meeting: Meeting, client: AgentClient
) -> None:
    """An agent cannot keep us busy with an answer that has no end."""
    async with meeting.stranger(begins, for_ever=goes_on).running() as stranger, asyncio.timeout(10):
        with pytest.raises(OURS):
            await way(client, meeting.address(stranger.port))
        assert stranger.sent_bytes < 30_000_000


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def read_file(client: AgentClient, agent: AgentAddress) -> int:
    """Read a file as a download does; return how much came."""
    async with client.open_transfer(agent, "GET", "/files/archive", headers={}) as transfer:
        return sum([len(block) async for block in transfer.blocks()])


@pytest.mark.parametrize("way", [call, read_file])
async def test_an_answer_in_crumbs_is_ended(way: Way, meeting: Meeting, client: AgentClient) -> None:
    """Chunks of a byte would hold the loop for half a second each time that something came."""
    crumbs = meeting.stranger(CHUNKED, for_ever=b"1\r\nx\r\n" * 10_000)
    async with crumbs.running() as stranger, asyncio.timeout(60):
        with pytest.raises(AgentUnreachable):
            await way(client, meeting.address(stranger.port))


async def test_an_answer_in_small_chunks_is_read(meeting: Meeting, client: AgentClient) -> None:
    """Whole, where they are as small as an honest agent may send them."""
    body = (b"80\r\n" + b"x" * 128 + b"\r\n") * 8000 + b"0\r\n\r\n"
    async with meeting.stranger(CHUNKED + body).running() as stranger, asyncio.timeout(60):
        assert await read_file(client, meeting.address(stranger.port)) == 128 * 8000


UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ACCEPT\r\n\r\n"
)


def _accept(asked: bytes) -> bytes:
    """Return what proves to a client that its request for a WebSocket was read."""
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", asked)
    return accept_key(key[1].decode()).encode() if key else b""


async def test_pings_that_nobody_reads_the_answers_of_cost_no_memory(meeting: Meeting, client: AgentClient) -> None:
    """A socket on which only our pongs pile up is ended."""
    pings = (b"\x89\x7d" + b"x" * 125) * 100
    async with meeting.stranger(UPGRADED, for_ever=pings).running() as stranger, asyncio.timeout(20):
        with pytest.raises(ConnectionClosed):
            await open_socket(client, meeting.address(stranger.port))
        assert stranger.sent_bytes < 50_000_000


@pytest.mark.parametrize("frame", [b"\x89\x00", b"\x8a\x00"], ids=["pings", "pongs"])
async def test_a_flood_of_control_frames_ends_the_socket_before_all_of_it_was_taken(
    frame: bytes, meeting: Meeting, client: AgentClient
) -> None:
    """A hundred thousand of the shortest frames fit into one read; they keep nobody else waiting."""
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            # The processor's time, since a busy machine holds the loop up as well.
            began = time.thread_time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.thread_time() - began)

    async with meeting.stranger(UPGRADED, for_ever=frame * 131_072).running() as stranger, asyncio.timeout(20):
        watching = asyncio.create_task(watch())
        try:
            with pytest.raises(ConnectionClosed):
                await open_socket(client, meeting.address(stranger.port))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    assert longest_s < 0.4


async def test_a_few_pings_are_answered(meeting: Meeting, client: AgentClient) -> None:
    """As many as an honest agent may have sent while nobody looked, in one read."""
    answer = UPGRADED + b"\x89\x00" * 40 + b"\x81\x02ok"
    async with meeting.stranger(answer).running() as stranger, asyncio.timeout(10):
        assert await open_socket(client, meeting.address(stranger.port)) == "ok"


async def test_an_agent_that_never_answers_keeps_a_bounded_number_of_calls(
    meeting: Meeting, client: AgentClient
) -> None:
    """Whoever asks one time more is told at once; when the others are over, it is asked again."""
    async with meeting.stranger(b"HTTP/1.1 200 ", for_ever=b"x").running() as stranger:
        agent = meeting.address(stranger.port)
        calls = [asyncio.create_task(call(client, agent)) for _ in range(MAX_CALLS)]
        await asyncio.sleep(0)
        with pytest.raises(AgentUnreachable, match=f"{MAX_CALLS} calls"):
            await call(client, agent)
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert stranger.calls <= MAX_CALLS
        with pytest.raises(OURS, match=r"^(?!.*calls wait)"):
            await call(client, meeting.address(stranger.port))
    assert not client._calls


async def test_an_agent_that_hangs_is_told_in_words(
    meeting: Meeting, client: AgentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People read how long it was waited for, and no name of an exception."""
    monkeypatch.setattr(client_module, "OPEN_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        agent = meeting.address(silent.getsockname()[1])
        with pytest.raises(AgentUnreachable, match=r"no answer within 0\.2 s"):
            await client.call(agent, "GET", "/status", timeout_s=0.2)
        with pytest.raises(AgentUnreachable, match=r"no answer within 0\.3 s"):
            await open_socket(client, agent)


@pytest.mark.parametrize("way", [call, open_socket])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 For Ever"])
async def test_a_redirect_leads_nowhere(status: str, way: Way, meeting: Meeting, client: AgentClient) -> None:
    """An agent cannot have us dial another address, not even with the right certificate."""
    async with meeting.stranger(b"").running() as victim:
        scheme = "https" if way is call else "wss"
        answer = http(status, b"", f"Location: {scheme}://127.0.0.1:{victim.port}/")
        async with meeting.stranger(answer).running() as stranger:
            with pytest.raises(AgentNonsense, match="redirects"):
                await way(client, meeting.address(stranger.port))
        assert victim.calls == 0


@pytest.mark.parametrize("way", [call, open_socket])
async def test_an_agent_with_the_name_of_another_is_not_spoken_to(
    way: Way, meeting: Meeting, client: AgentClient
) -> None:
    """A container that has taken another's address learns nothing."""
    async with meeting.stranger(http("200 OK", b"{}")).running() as stranger:
        other = AgentAddress(OwnerMark(str(uuid4())), "127.0.0.1", stranger.port)
        with pytest.raises(AgentUnreachable, match="certificate"):
            await way(client, other)


async def test_the_reason_of_a_refusal_is_handed_on_in_bounds(meeting: Meeting, client: AgentClient) -> None:
    """The code and the words of an agent are kept, as far as they are short."""
    body = b'{"code": "' + b"c" * 500 + b'", "detail": "' + b"d" * 5000 + b'", "more": {"any": [1]}}'
    async with meeting.stranger(http("409 Conflict", body)).running() as stranger:
        with pytest.raises(AgentRefused) as caught:
            await call(client, meeting.address(stranger.port))
    assert (caught.value.agent_status, caught.value.agent_code) == (409, "c" * 64)
    assert len(caught.value.detail) < 1100


def test_the_longest_history_fits_into_an_answer() -> None:
    """What a customer may ask for is never refused as too long, whatever a program has printed."""
    longest = ConsoleHistory(
        stream="x" * 100, start=2**53, end=2**53, written=2**53, text="\x1b" * MAX_HISTORY_BYTES,
        data=b64encode(bytes(MAX_HISTORY_BYTES)).decode(), matches=(2**53,) * 1000,
    )  # fmt: skip
    assert len(encode(longest)) < MAX_ANSWER_BYTES


@pytest.mark.parametrize("way", [call, open_socket])
async def test_an_agent_is_told_on_behalf_of_which_request_it_is_called(
    way: Way, meeting: Meeting, client: AgentClient
) -> None:
    """On calls and on sockets, so that both logs name the same id; what is on nobody's behalf names none."""
    async with meeting.stranger(http("404 Not Found")).running() as stranger:
        with following("request-of-a-test"), pytest.raises(OURS):
            await way(client, meeting.address(stranger.port))
        assert b"X-Request-Id: request-of-a-test\r\n" in stranger.asked
        with pytest.raises(OURS):
            await way(client, meeting.address(stranger.port))
        assert b"x-request-id" not in stranger.asked.lower()
