"""The agent's calls about terminals, through a real server and real shims."""

from __future__ import annotations

import asyncio
import base64

import aiohttp
import pytest

from component.console.harness import PATIENCE_S
from component.console.server import client, closing, read_until, watch
from zlh_common.schema.console_wire import MAX_INPUT_BYTES, SUBPROTOCOL

__all__ = ["client"]


async def test_console_says_hello_and_shows_output_with_offsets(client: aiohttp.ClientSession) -> None:
    """Hello first; each frame begins where the last one ended; a resume gets exactly the rest."""
    async with watch(client) as socket:
        hello = await socket.receive_json()
        assert hello == {"type": "hello", "stream": hello["stream"], "from": 0, "to": hello["to"], "state": "running"}
        await socket.send_json({"type": "resize", "cols": 77, "rows": 22})
        await socket.send_bytes(b"stty size; echo do''ne\n")
        data, _ = await read_until(socket, b"done\r\n")
        assert b"22 77" in data
    at = hello["from"] + data.index(b"22 77")
    async with watch(client, f"/terminals/main?from={at}") as socket:
        again = await socket.receive_json()
        assert (again["stream"], again["from"]) == (hello["stream"], at)
        rest, _ = await read_until(socket, b"done\r\n")
        assert rest.startswith(b"22 77")


@pytest.mark.parametrize("text", ["x", "-2", "1.0", "99999999999999999999"])
async def test_bad_from_is_a_problem_before_the_upgrade(client: aiohttp.ClientSession, text: str) -> None:
    """A code for programs, and no shell was started for it."""
    async with client.get(f"/terminals/main?from={text}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "offset_invalid")
    async with client.get("/terminals") as answer:
        assert await answer.json() == {"items": []}


async def test_socket_without_the_subprotocol_is_refused(client: aiohttp.ClientSession) -> None:
    """Before the upgrade, with a code."""
    async with client.get("/terminals/main", headers={"Sec-WebSocket-Protocol": "other"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "subprotocol_missing")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"type":"resize"}', '{"type":"resize","cols":1,"rows":1,"x":1}', "x" * 9999]
)
async def test_text_that_is_no_resize_closes_the_socket_with_a_reason(client: aiohttp.ClientSession, text: str) -> None:
    """1008; the shell goes on."""
    async with watch(client) as socket:
        await socket.send_str(text)
        assert await closing(socket) == 1008
    async with client.get("/terminals") as answer:
        assert (await answer.json())["items"][0]["state"] == "running"


async def test_input_up_to_the_limit_passes_and_beyond_it_closes_the_socket(client: aiohttp.ClientSession) -> None:
    """64 KiB are taken whole; one byte more is 1009."""
    async with watch(client) as socket:
        await socket.send_bytes(b"stty raw -echo; echo re''ady; head -c 65536 | wc -c\n")
        await read_until(socket, b"ready")
        await socket.send_bytes(b"x" * MAX_INPUT_BYTES)
        await read_until(socket, b"65536")
        await socket.send_bytes(b"x" * (MAX_INPUT_BYTES + 1))
        assert await closing(socket) == 1009


async def test_absurd_size_is_clamped(client: aiohttp.ClientSession) -> None:
    """Whatever a client says, the terminal has a size that programs bear."""
    async with watch(client) as socket:
        await socket.send_json({"type": "resize", "cols": 10**9, "rows": -1})
        await socket.send_bytes(b"stty size; echo do''ne\n")
        data, _ = await read_until(socket, b"done\r\n")
        assert b"1 1000" in data


async def test_end_of_the_shell_is_told_and_closes_the_socket(client: aiohttp.ClientSession) -> None:
    """State, exit, then a normal close."""
    async with watch(client) as socket:
        await socket.send_bytes(b"exit 5\n")
        async with asyncio.timeout(PATIENCE_S):
            messages = [one.json() async for one in socket if one.type is aiohttp.WSMsgType.TEXT]
        assert messages[1:] == [{"type": "state", "state": "exited"}, {"type": "exit", "code": 5, "signal": None}]
        assert socket.close_code == 1000


async def test_terminals_are_opened_listed_and_closed(client: aiohttp.ClientSession) -> None:
    """And what was closed is not found."""
    async with client.post("/terminals", json={"cols": 100, "rows": 40}) as answer:
        assert answer.status == 201
        id_ = (await answer.json())["id"]
    async with watch(client, f"/terminals/{id_}") as socket:
        await socket.send_bytes(b"stty size\n")
        await read_until(socket, b"40 100")
        async with client.get("/terminals") as answer:
            (row,) = (await answer.json())["items"]
            assert (row["id"], row["state"]) == (id_, "running")
            assert row["startedAt"]
        async with client.delete(f"/terminals/{id_}") as answer:
            assert answer.status == 204
        assert await closing(socket) == 1000
    for method, path in (("DELETE", ""), ("GET", "/history"), ("GET", "")):
        headers = {"Sec-WebSocket-Protocol": SUBPROTOCOL}
        async with client.request(method, f"/terminals/{id_}{path}", headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "terminal_not_found")


async def test_history_is_read_and_searched_without_a_socket(client: aiohttp.ClientSession) -> None:
    """Text, the same bytes in base64, and the offsets of what was searched for."""
    async with watch(client) as socket:
        await socket.send_bytes(b"printf 'needle \\303\\244 needle\\377'; echo do''ne\n")
        await read_until(socket, b"done\r\n")
    async with client.get("/terminals/main/history?q=needle") as answer:
        found = await answer.json()
    data = base64.b64decode(found["data"])
    assert len(data) == found["end"] - found["start"]
    assert found["text"] == data.decode("utf-8", "replace")
    assert [data[at - found["start"] :][:6] for at in found["matches"]] == [b"needle"] * 4
    async with client.get(f"/terminals/main/history?from={found['matches'][2]}&limit=6") as answer:
        assert (await answer.json())["text"] == "needle"


@pytest.mark.parametrize("query", ["from=-1", "limit=-1", "limit=1048577", "from=x"])
async def test_bad_history_query_is_a_problem(client: aiohttp.ClientSession, query: str) -> None:
    """The field is named."""
    async with client.get(f"/terminals/main/history?{query}") as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (400, "offset_invalid", query.partition("=")[0])


@pytest.mark.parametrize("body", [b"[]", b'{"cols":0}', b'{"cols":80,"evil":1}', b"\xff", b" " * 5000])
async def test_bad_body_opens_nothing(client: aiohttp.ClientSession, body: bytes) -> None:
    """400 with a code."""
    async with client.post("/terminals", data=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")
