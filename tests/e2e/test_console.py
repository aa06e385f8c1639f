"""The console through the API: real shells behind real agents, seen by viewers that are slow, late, or not allowed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import statistics
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from playwright.async_api import Page, WebSocket, expect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from component.console.server import CONTINUATION, PING, TEXT, RawViewer, frame
from e2e.browser import sign_in
from e2e.stack import WAIT_S, Stack
from guards.leaks import is_gone
from zlh_api.customers.secret import token_digest
from zlh_api.database.embedded.server import EmbeddedPostgres
from zlh_common.schema.console_wire import (
    MAX_INPUT_BYTES,
    SUBPROTOCOL,
    Exit,
    Gap,
    Hello,
    InputDone,
    Resize,
    parse_output,
    parse_server_message,
    render_message,
)
from zlh_common.schema.terminal import MAX_TERMINALS

UNTIL_S = 30
# Counts until somebody presses the key, however long it takes to kill a program and to have it back. The key is waited
# for without a time: bash 5.2 loses one that comes just when the time of its `read -t` is over.
COUNT = "{ i=0; while sleep 0.1; do i=$((i+1)); echo line-$i-; done; } & read; kill $!; wait $!; echo al''l"
# A hundred numbered lines each second until somebody presses the key; fewer in all than a page scrolls back.
ROWS = (
    "{ i=0; while sleep 0.02; do i=$((i+2)); echo row-$((i-1))-; echo row-$i-; done; } & read; kill $!; wait $!; "
    "echo al''l"
)
# Prints every byte that is typed, as it is typed.
COPY = "stty raw -echo; echo rea''dy; exec cat"
# More than every buffer between a shell and a viewer holds.
FLOOD_BYTES = 60_000_000
NOTHING_DONE = InputDone(taken=0, refused=0)
KEY_BYTES = 7


class Viewer:
    """One viewer: what it has been told, and every byte at its place in the stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.said: list[object] = []
        self.data = bytearray()
        self.next_offset: int | None = None

    async def read(self) -> None:
        """Take one frame; the bytes follow on one another, but for gaps that are announced."""
        frame = await self.socket.recv()
        if isinstance(frame, str):
            message = parse_server_message(frame)
            self.said.append(message)
            if isinstance(message, Gap):
                self.next_offset = message.to
            return
        offset, data = parse_output(frame)
        assert self.next_offset in {None, offset}, "bytes are missing, or come twice"
        self.data += data
        self.next_offset = offset + len(data)

    async def until(self, wanted: bytes) -> None:
        """Return once these bytes were shown."""
        searched = 0
        try:
            async with asyncio.timeout(UNTIL_S):
                while self.data.find(wanted, searched) < 0:
                    searched = max(0, len(self.data) - len(wanted) + 1)
                    await self.read()
        except TimeoutError:
            shown = f"{len(self.data)} bytes, up to {self.next_offset}, the last {bytes(self.data[-200:])!r}"
            raise AssertionError(f"{wanted!r} never came: {shown}, told {self.said[-5:]}") from None

    async def to_end(self) -> int:
        """Read to the end of the socket; return its close code."""
        async with asyncio.timeout(UNTIL_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.read()
        assert self.socket.close_code is not None
        return self.socket.close_code

    @property
    def done(self) -> InputDone:
        """What was told last of what has become of the input."""
        return next((message for message in reversed(self.said) if isinstance(message, InputDone)), NOTHING_DONE)

    async def run(self, command: str) -> None:
        """Type a command."""
        await self.socket.send(command.encode() + b"\n")


@contextlib.asynccontextmanager
async def view(
    stack: Stack, vmid: int, *, start: int | None = None, path: str = "console", confirm: bool = False
) -> AsyncIterator[Viewer]:
    """Open a console as the operator, who may be told what becomes of what he types."""
    url = f"{stack.dev['apiUrl'].replace('http', 'ws', 1)}/api/containers/{vmid}/{path}"
    query = urlencode({"from": start} if start is not None else {}) + ("&confirm=input" if confirm else "")
    headers = {"Authorization": f"Bearer {stack.dev['adminToken']}"}
    async with connect(
        f"{url}?{query}", subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=headers, max_queue=4
    ) as socket:
        yield Viewer(socket)


async def test_a_viewer_types_resizes_and_sees(stack: Stack, vmid: int) -> None:
    """Input, the window's size and output go through both programs; the end of the shell is told with its code."""
    async with view(stack, vmid) as viewer:
        await viewer.socket.send(render_message(Resize(cols=111, rows=33)))
        await viewer.run('stty size; printf "gr\\303\\274\\303\\237e"; node --version')
        await viewer.until(b"33 111")
        await viewer.until("grüße".encode())
        await viewer.until(b"v24.19.0")
        await viewer.run("exit 7")
        assert await viewer.to_end() in {1000, 1001}
    assert isinstance(viewer.said[0], Hello)
    assert Exit(code=7, signal=None) in viewer.said


async def test_the_largest_message_is_typed_and_a_larger_one_ends_the_socket(stack: Stack, vmid: int) -> None:
    """The limit is the same at the API as at the agent."""
    async with view(stack, vmid) as viewer:
        await viewer.run(f"stty raw -echo; echo rea''dy; head -c {MAX_INPUT_BYTES} | wc -c; stty sane")
        await viewer.until(b"ready")
        await viewer.socket.send(b"x" * MAX_INPUT_BYTES)
        await viewer.until(str(MAX_INPUT_BYTES).encode() + b"\n")
        await viewer.socket.send(b"x" * (MAX_INPUT_BYTES + 1))
        assert await viewer.to_end() == 1009


@pytest.mark.parametrize("program", ["api", "agent"])
async def test_a_viewer_goes_on_at_the_byte_where_a_killed_program_cut_it_off(
    stack: Stack, vmid: int, program: str
) -> None:
    """The shell counts on meanwhile, and nothing of it is lost or shown twice."""
    async with view(stack, vmid) as viewer:
        await viewer.run(COUNT)
        await viewer.until(b"line-10-")
        stack.kill(program)
        await viewer.to_end()
    seen, resumed_at = viewer.data, viewer.next_offset
    assert resumed_at is not None
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                async with view(stack, vmid, start=resumed_at) as again:
                    await again.run("")
                    await again.until(b"all\r\n")
                    break
            await asyncio.sleep(0.2)
    numbers = [int(number) for number in re.findall(rb"line-(\d+)-", seen + again.data)]
    assert len(numbers) > 10
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("program", ["api", "agent"])
async def test_what_was_told_as_taken_was_typed_once_and_in_order_whoever_is_killed(
    stack: Stack, vmid: int, program: str
) -> None:
    """Numbered keys while a program is killed at random moments; those that nobody spoke of may be missing."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    async with view(stack, vmid) as viewer:
        await viewer.run(COPY)
        await viewer.until(b"ready")
        began_at = viewer.next_offset
    lives: list[tuple[int, int, int]] = []
    number = 0
    for _ in range(3):
        async with contextlib.AsyncExitStack() as scope:
            viewer = await _view_again(stack, vmid, scope)
            typing = asyncio.create_task(_type_numbers(viewer, number))
            killing = asyncio.create_task(_kill_later(stack, program, chance.uniform(0.05, 1.0)))
            await asyncio.gather(viewer.to_end(), killing)
            lives.append((number, number + viewer.done.taken // KEY_BYTES, await typing))
            number = await typing
            assert viewer.done.refused == 0
    async with contextlib.AsyncExitStack() as scope:
        viewer = await _view_again(stack, vmid, scope, start=began_at)
        await viewer.socket.send(_key(number))
        await viewer.until(_key(number))
    printed = [int(found) for found in re.findall(rb"(\d+),", viewer.data)]
    wanted: list[int] = []
    for first, told, end in lives:
        here = [key for key in printed if first <= key < end]
        assert here == list(range(first, first + len(here))), (seed, lives)
        assert len(here) >= told - first, (seed, lives)
        wanted += here
    assert printed == [*wanted, number], (seed, lives)
    assert sum(told - first for first, told, _ in lives) > 10, (seed, lives)


def _key(number: int) -> bytes:
    return b"%06d," % number


async def _type_numbers(viewer: Viewer, number: int) -> int:
    """Type one number after the other until the connection is cut; return the first that was not typed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await viewer.socket.send(_key(number))
            number += 1
            await asyncio.sleep(0.001)
    return number


async def _kill_later(stack: Stack, program: str, after_s: float) -> None:
    await asyncio.sleep(after_s)
    stack.kill(program)


async def _view_again(stack: Stack, vmid: int, scope: contextlib.AsyncExitStack, *, start: int | None = -1) -> Viewer:
    """Attach, once what was killed is back, as one who is told what becomes of what he types."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                viewer = await scope.enter_async_context(view(stack, vmid, start=start, confirm=True))
                await viewer.read()
                (hello,) = viewer.said
                assert isinstance(hello, Hello)
                assert hello.confirms
                return viewer
            await asyncio.sleep(0.2)


async def test_a_viewer_that_does_not_read_costs_no_memory_and_is_told_its_gap(stack: Stack, vmid: int) -> None:
    """The flood goes on, the API and the agent hold little of it, and the viewer catches up with the newest."""
    (api,), agents = stack.programs("api"), stack.programs("agent")
    before = [process.memory_info().rss for process in (api, *agents)]
    async with view(stack, vmid) as viewer, view(stack, vmid) as reader:
        await viewer.run(f"head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x | fold -w 100; echo en''d")
        await reader.until(b"end\r\n")
        grown = [process.memory_info().rss - was for process, was in zip((api, *agents), before, strict=True)]
        assert max(grown) < 40_000_000, grown
        await viewer.until(b"end\r\n")
        assert any(isinstance(message, Gap) for message in viewer.said)
        assert len(viewer.data) < FLOOD_BYTES


async def test_ten_viewers_share_one_connection_and_each_sees_every_byte_once_across_a_killed_agent(
    stack: Stack, vmid: int
) -> None:
    """They go on at their own bytes, and share one connection again; the counting shell goes on meanwhile."""
    async with contextlib.AsyncExitStack() as scope:
        viewers = [await scope.enter_async_context(view(stack, vmid)) for _ in range(10)]
        # One that catches up has a connection of its own until it has.
        async with asyncio.timeout(UNTIL_S):
            while _connections(stack) >= 10:
                await asyncio.sleep(0.05)
        await viewers[0].run(COUNT)
        await asyncio.gather(*(viewer.until(b"line-10-") for viewer in viewers))
        stack.kill("agent")
        await asyncio.gather(*(viewer.to_end() for viewer in viewers))
    again = await asyncio.gather(*(_go_on(stack, vmid, viewer) for viewer in viewers))
    seen = [[int(number) for number in re.findall(rb"line-(\d+)-", data)] for data in again]
    assert len(seen[0]) > 10
    assert seen == [list(range(1, len(seen[0]) + 1))] * len(viewers)


def _connections(stack: Stack) -> int:
    """Return how many connections the agents hold: those of consoles, links and calls."""
    agents = stack.programs("agent")
    return sum(len([one for one in agent.net_connections("tcp") if one.status == "ESTABLISHED"]) for agent in agents)


async def _go_on(stack: Stack, vmid: int, viewer: Viewer) -> bytes:
    """Attach again where a viewer was cut off, once the agent is back; return all that it has seen of the count."""
    assert viewer.next_offset is not None
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                async with view(stack, vmid, start=viewer.next_offset) as again:
                    await again.run("")
                    await again.until(b"all\r\n")
                    return bytes(viewer.data + again.data)
            await asyncio.sleep(0.2)


async def test_ctrl_c_reaches_a_program_that_floods(stack: Stack, vmid: int) -> None:
    """Input has its own way: output that nobody can keep up with never holds it up."""
    async with view(stack, vmid) as viewer:
        await viewer.run("yes flood")
        await viewer.until(b"flood\r\nflood")
        await viewer.socket.send(b"\x03")
        await viewer.run("echo stop''ped")
        await viewer.until(b"stopped\r\n")


async def test_deleting_the_container_ends_its_consoles(stack: Stack) -> None:
    """The viewer is told; no socket hangs on a container that is gone."""
    vmid = await stack.create_ready()
    async with view(stack, vmid) as viewer:
        await viewer.run("echo he''re")
        await viewer.until(b"here\r\n")
        await stack.delete(vmid)
        assert await viewer.to_end() != 1006
    with pytest.raises(InvalidStatus) as refused:
        async with view(stack, vmid):
            pass
    assert refused.value.response.status_code == 404


async def test_a_terminal_of_ones_own_is_opened_and_ended(stack: Stack, vmid: int) -> None:
    """Beside the main one; its shell and what that has started go with it."""
    status, opened = await stack.call("POST", f"/api/containers/{vmid}/terminals", {"cols": 80, "rows": 24})
    assert status == 201
    path = f"terminals/{opened['id']}"
    async with view(stack, vmid, path=path) as viewer:
        await viewer.run("sleep 4321 & echo pid=${!}=o''k")
        await viewer.until(b"=ok\r\n")
        pid = int(re.findall(rb"pid=(\d+)=ok", viewer.data)[0])
        assert (await stack.call("DELETE", f"/api/containers/{vmid}/{path}"))[0] == 204
        await viewer.to_end()
    assert is_gone(pid)
    assert (await stack.call("DELETE", f"/api/containers/{vmid}/{path}"))[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer nonsense"}, 401), ({"Cookie": "zlh_session=nonsense"}, 403)],
)
async def test_a_stranger_opens_no_console(stack: Stack, vmid: int, headers: dict[str, str], status: int) -> None:
    """Refused before the upgrade; a cookie is not even looked at where no page of ours has sent it."""
    url = f"{stack.dev['apiUrl'].replace('http', 'ws', 1)}/api/containers/{vmid}/console"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=headers)
    assert refused.value.response.status_code == status


async def test_a_shell_that_is_killed_is_told_by_its_signal(stack: Stack, vmid: int) -> None:
    """Whoever looks learns how it ended."""
    async with view(stack, vmid) as viewer:
        await viewer.run("kill -9 $$")
        await viewer.to_end()
    assert Exit(code=None, signal=signal.SIGKILL.name) in viewer.said


async def test_signing_out_ends_the_consoles_of_the_session(stack: Stack, vmid: int) -> None:
    """A browser left open somewhere types no more, and the shell itself goes on."""
    portal, api = stack.dev["portalUrl"], stack.dev["apiUrl"]
    headers = {"Origin": portal}
    async with aiohttp.ClientSession(headers=headers) as browser:
        login = {"email": stack.dev["adminEmail"], "password": stack.dev["adminPassword"]}
        async with browser.post(f"{api}/api/auth/login", json=login) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        socket = await connect(
            f"{api.replace('http', 'ws', 1)}/api/containers/{vmid}/console",
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={**headers, "Cookie": cookie},
        )
        async with socket:
            viewer = Viewer(socket)
            await viewer.run("echo he''re")
            await viewer.until(b"here\r\n")
            async with browser.post(f"{api}/api/auth/logout", headers={"Cookie": cookie}) as answer:
                assert answer.status == 204
            assert await viewer.to_end() == 1008
    async with view(stack, vmid) as again:
        await again.until(b"here\r\n")


async def test_a_role_that_is_taken_ends_the_console_at_once(stack: Stack, vmid: int) -> None:
    """In the very process that serves it, because the database tells of it, and long before it would look by itself."""
    address = await EmbeddedPostgres(stack.home / "postgres").ensure_started()
    database = await asyncpg.connect(address.dsn)
    user, token = uuid4(), f"token-{uuid4()}"
    try:
        await database.execute(
            "insert into users (id, email, password_hash) values ($1, $1::uuid::text || '@example.org', 'none')", user
        )
        await database.execute(
            "insert into memberships (customer_id, user_id, role) select customer_id, $1, 'member' from containers "
            "where vmid = $2",
            user,
            vmid,
        )
        await database.execute(
            "insert into api_tokens (id, token_sha256, user_id, name) values (gen_random_uuid(), $1, $2, 'x')",
            token_digest(token),
            user,
        )
        socket = await connect(
            f"{stack.dev['apiUrl'].replace('http', 'ws', 1)}/api/containers/{vmid}/console",
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"},
        )
        async with socket, view(stack, vmid) as bystander:
            viewer = Viewer(socket)
            await viewer.run("echo he''re")
            await viewer.until(b"here\r\n")
            await database.execute("update memberships set role = 'viewer' where user_id = $1", user)
            assert await viewer.to_end() == 1008
            assert socket.close_reason == "role_missing"
            await bystander.run("echo st''ill")
            await bystander.until(b"still\r\n")
        await database.execute("delete from users where id = $1", user)
    finally:
        await database.close()
    logs = [file.read_text("utf-8", "replace") for file in stack.home.rglob("*.log")]
    ended = [line for text in logs for line in text.splitlines() if "access.ended" in line and "role_missing" in line]
    assert len(ended) == 1
    assert "rue" in ended[0].partition("told")[2]


async def test_a_ticket_opens_a_console_once(stack: Stack, vmid: int) -> None:
    """For clients that can set neither header nor cookie; the platform writes it into no log."""
    status, issued = await stack.call("POST", f"/api/containers/{vmid}/tickets")
    assert status == 201
    url = f"{stack.dev['apiUrl'].replace('http', 'ws', 1)}/api/containers/{vmid}/console"
    protocols = [Subprotocol(SUBPROTOCOL), Subprotocol(f"zlh.ticket.{issued['ticket']}")]
    async with connect(url, subprotocols=protocols) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        viewer = Viewer(socket)
        await viewer.run("echo he''re")
        await viewer.until(b"here\r\n")
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, subprotocols=protocols)
    assert refused.value.response.status_code == 401
    _, another = await stack.call("POST", f"/api/containers/{vmid}/tickets")
    async with connect(f"{url}?ticket={another['ticket']}", subprotocols=protocols[:1]) as socket:
        await Viewer(socket).until(b"here\r\n")
    logs = [file.read_text("utf-8", "replace") for file in stack.home.rglob("*.log")]
    assert not any(each["ticket"] in text for each in (issued, another) for text in logs)


STORMS = {
    "pings": frame(PING, b"p" * 100) * 10_000,
    "resizes": frame(TEXT, b'{"type":"resize","cols":90,"rows":30}') * 10_000,
    "fragments": frame(CONTINUATION, is_last=False) * 10_000,
}


async def test_a_storm_of_one_viewer_is_not_felt_by_others(stack: Stack, vmid: int) -> None:
    """The API answers everybody else meanwhile, and the storm ends with its viewer."""
    for name, data in STORMS.items():
        _, issued = await stack.call("POST", f"/api/containers/{vmid}/tickets")
        async with aiohttp.ClientSession(stack.dev["apiUrl"]) as session:
            attacker = RawViewer(session, f"/api/containers/{vmid}/console?ticket={issued['ticket']}")
            await asyncio.to_thread(attacker.connect)
            storm = asyncio.create_task(asyncio.to_thread(attacker.flood_until_cut, data, 2.0))
            answers_s = []
            while not storm.done():
                began = asyncio.get_running_loop().time()
                async with session.get("/api/version") as answer:
                    assert answer.status == 200
                answers_s.append(asyncio.get_running_loop().time() - began)
                await asyncio.sleep(0.01)
            await storm
            attacker.close()
        # Some milliseconds. A single slow one may be the machine's; a loop that is held shows in all of them.
        assert statistics.median(answers_s) < 0.2, name


async def test_one_terminal_too_many_is_refused_by_its_code(stack: Stack, vmid: int) -> None:
    """What the agent refuses reaches the customer as what it is."""
    answers = [await stack.call("POST", f"/api/containers/{vmid}/terminals", {}) for _ in range(MAX_TERMINALS + 1)]
    refused = [(status, answer["code"]) for status, answer in answers if status != 201]
    assert set(refused) == {(409, "terminal_limit")}


class Seen:
    """What has come to a page over its connections to one console, by the place of each byte in the stream."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[list[tuple[int, bytes]]] = []
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        if "/console" not in socket.url:
            return
        frames: list[tuple[int, bytes]] = []
        self.sockets.append(frames)
        socket.on("framereceived", lambda data: frames.append(parse_output(data)) if isinstance(data, bytes) else None)

    def rows_of(self, socket: int) -> list[int]:
        """Return the numbers that one connection has brought."""
        return numbers_in(b"".join(data for _, data in self.sockets[socket]))

    def begin_again(self) -> Callable[[], bool]:
        """Return what tells whether lines have come over a connection that is opened from now on."""
        before = len(self.sockets)
        return lambda: len(self.sockets) > before and len(self.rows_of(-1)) > 20

    def joined(self) -> bytes:
        """Return all of it; each byte follows on the one before, over the ends of connections too."""
        data = bytearray()
        first = next_offset = self.sockets[0][0][0]
        for frames in self.sockets:
            for offset, part in frames:
                assert offset == next_offset, f"{next_offset - first} bytes came, and then those at {offset - first}"
                data += part
                next_offset = offset + len(part)
        return bytes(data)


def numbers_in(text: bytes) -> list[int]:
    """Return the numbers of lines, in their order; not that of the command, which has none."""
    return [int(number) for number in re.findall(rb"row-(\d+)-", text)]


async def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never {what}") from None


@pytest.mark.real("chromium", "portal")
async def test_a_browser_has_every_line_once_over_the_death_of_the_api_and_of_the_agent(
    page: Page, stack: Stack, vmid: int, tmp_path: Path
) -> None:
    """Lines come all the while: over the connections, on the screen and in the saved file each is there once."""
    seen = Seen(page)
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/terminal")
    state = page.get_by_test_id("terminal-state")
    await expect(state).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await page.keyboard.type(ROWS + "\n")
    await wait_until("lines came", lambda: len(seen.rows_of(-1)) > 20)
    for program in ("api", "agent"):
        gone_on = seen.begin_again()
        stack.kill(program)
        await wait_until(f"lines came after the {program}", gone_on)
        await expect(state).to_have_attribute("data-kind", "attached")
    await page.keyboard.press("Enter")
    await expect(page.locator(".xterm-rows")).to_contain_text("all")
    came = numbers_in(seen.joined())
    wanted = list(range(1, len(came) + 1))
    assert came == wanted
    await expect(page.get_by_test_id("terminal-missed")).to_have_count(0)
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="Download").click()
    saved = tmp_path / "saved.log"
    await (await saving.value).save_as(saved)
    assert numbers_in(await asyncio.to_thread(saved.read_bytes)) == wanted
    assert await _rows_on_screen(page) == wanted


async def _rows_on_screen(page: Page) -> list[int]:
    """Return the numbers on the screen and above it, as somebody finds them who pages up to the first."""
    rows = page.locator(".xterm-rows")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    found: list[int] = []
    while 1 not in found:
        above = [number for number in numbers_in((await rows.inner_text()).encode()) if number not in found[:200]]
        assert above, "paging up shows nothing new"
        found = above + found
        if 1 in found:
            break
        top = await rows.locator("> div").first.inner_text()
        await page.keyboard.press("Shift+PageUp")
        await expect(rows.locator("> div").first).not_to_have_text(top)
    return found
