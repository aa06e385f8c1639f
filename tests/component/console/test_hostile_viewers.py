"""Viewers that flood, storm and never read: each is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

import aiohttp
import pytest

from component.console.harness import PATIENCE_S
from component.console.server import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    RawViewer,
    client,
    closing,
    echo_s,
    frame,
    read_until,
    resident_bytes,
    watch,
)
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.terminal import MAX_VIEWERS, MAX_VIEWERS_OF_ONE

__all__ = ["client"]

# What another viewer may feel of it at most, in work of the loop; and usually, by the clock: so long, or so many times
# as long as without it where the machine is busy (alone it is some milliseconds).
BEARABLE_S = 0.4
USUAL_S, USUAL_TIMES = 0.2, 30.0
MIB = 1024 * 1024


async def test_five_hundred_viewers_are_refused_beyond_the_limit_and_a_seat_is_given_again(
    client: aiohttp.ClientSession,
) -> None:
    """Before the upgrade, with a code; those who look go on."""
    sockets: list[aiohttp.ClientWebSocketResponse] = []
    refused = set()
    headers = {"Sec-WebSocket-Protocol": SUBPROTOCOL}
    for _ in range(500):
        if len(sockets) < MAX_VIEWERS_OF_ONE:
            sockets.append(await watch(client))
            continue
        async with client.get("/terminals/main", headers=headers) as answer:
            refused.add((answer.status, (await answer.json())["code"]))
    assert refused == {(429, "viewer_limit")}
    await sockets[0].send_bytes(b"echo st''ill\n")
    await read_until(sockets[-1], b"still")
    await sockets.pop().close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                sockets.append(await watch(client))
                break
            except aiohttp.WSServerHandshakeError:
                await asyncio.sleep(0.01)
    for socket in sockets:
        await socket.close()


async def test_all_consoles_together_have_a_limit_too(client: aiohttp.ClientSession) -> None:
    """However many terminals there are."""
    ids = []
    for _ in range(3):
        async with client.post("/terminals") as answer:
            ids.append((await answer.json())["id"])
    sockets = [await watch(client, f"/terminals/{ids[number % 3]}") for number in range(MAX_VIEWERS)]
    headers = {"Sec-WebSocket-Protocol": SUBPROTOCOL}
    async with client.get("/terminals/main", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (429, "viewer_limit")
    async with client.get("/terminals") as answer:
        # Nothing was started for one who was not let in.
        assert "main" not in [row["id"] for row in (await answer.json())["items"]]
    for socket in sockets:
        await socket.close()


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(BINARY, b"x") * 10_000, id="keys"),
        pytest.param(frame(BINARY) * 10_000, id="empty"),
        pytest.param(frame(BINARY, b"x" * 65536) * 8, id="pastes"),
        pytest.param(frame(PING) * 10_000, id="pings"),
        pytest.param(frame(PING, b"p" * 125) * 10_000, id="large-pings"),
        pytest.param(frame(10) * 10_000, id="pongs"),
        pytest.param(
            b"".join(
                frame(TEXT, b'{"type":"resize","cols":%d,"rows":%d}' % (number % 300, number % 90))
                for number in range(10_000)
            ),
            id="resizes",
        ),
        pytest.param(
            (frame(BINARY, is_last=False) + frame(CONTINUATION, is_last=False) * 100_000 + frame(CONTINUATION, b"x")),
            id="fragments",
        ),
    ],
)
async def test_a_flood_of_one_viewer_is_not_felt_by_another(
    client: aiohttp.ClientSession, data: bytes, reads: bool
) -> None:
    """Whatever it sends and whether it reads or not: the echo of others stays quick, and memory bounded."""
    async with watch(client) as first:
        # A program that takes whatever comes, and shows nothing of it.
        await first.send_bytes(b"stty raw -echo; echo re''ady; cat > /dev/null\n")
        await read_until(first, b"ready")
    async with client.post("/terminals") as answer:
        other = (await answer.json())["id"]
    attacker = RawViewer(client)
    await asyncio.to_thread(attacker.connect)
    peaceful_s, _ = await echo_s(client, f"/terminals/{other}", partial(asyncio.sleep, 0.5))
    before = resident_bytes()
    usual_s, most_work_s = await echo_s(
        client, f"/terminals/{other}", partial(asyncio.to_thread, attacker.flood, data, 2.0, reads=reads)
    )
    grown = resident_bytes() - before
    attacker.close()
    assert usual_s < max(USUAL_S, USUAL_TIMES * peaceful_s)
    assert most_work_s < BEARABLE_S
    assert grown < 8 * MIB


async def test_input_that_comes_faster_than_the_pace_waits_and_none_of_it_is_lost(
    client: aiohttp.ClientSession,
) -> None:
    """Five thousand messages sent at once arrive whole and in order; they take their time."""
    count = 5000
    async with watch(client) as socket:
        await socket.send_bytes(b"stty raw -echo; echo re''ady; head -c %d | md5sum\n" % (5 * count))
        await read_until(socket, b"ready")
        began = asyncio.get_running_loop().time()
        for number in range(count):
            await socket.send_bytes(b"%05d" % number)
        data, _ = await read_until(socket, b"  -")
    wanted = hashlib.md5(b"".join(b"%05d" % number for number in range(count))).hexdigest()
    assert wanted.encode() in data
    # A quarter of a second is in hand; the rest comes at 4,000 a second.
    assert asyncio.get_running_loop().time() - began >= count / 4000 - 0.25


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bytes([0x82, 0xFF]) + (64 * MIB).to_bytes(8, "big") + bytes(4) + b"x" * 100, 1009),
        (frame(BINARY, b"x" * 60_000, is_last=False) + frame(CONTINUATION, b"x" * 60_000), 1009),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(3, b"x"), 1002),
        (bytes([0x89, 0xFE, 0, 200]) + bytes(204), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (bytes([0xC2, 0x81]) + bytes(4) + b"x", 1002),
    ],
    ids=["64-mib", "sum-of-fragments", "stray-fragment", "unknown-opcode", "long-ping", "no-utf-8", "compressed"],
)
async def test_frames_that_may_not_be_close_the_socket(client: aiohttp.ClientSession, data: bytes, code: int) -> None:
    """With the code of the protocol, before anything of it is held; the shell goes on."""
    attacker = RawViewer(client)
    await asyncio.to_thread(attacker.connect)
    await asyncio.to_thread(attacker.socket.sendall, data)
    assert await asyncio.to_thread(attacker.close_code) == code
    attacker.close()
    async with watch(client) as socket:
        await socket.send_bytes(b"echo st''ill\n")
        await read_until(socket, b"still")


@pytest.mark.parametrize(
    "size",
    ['"cols":80.5,"rows":24', '"cols":null,"rows":24', '"rows":24', '"cols":1e400,"rows":1', '"cols":true,"rows":1'],
)
async def test_a_size_that_is_no_whole_number_closes_the_socket(client: aiohttp.ClientSession, size: str) -> None:
    """1008: it is nothing to guess at."""
    async with watch(client) as socket:
        await socket.send_str('{"type":"resize",' + size + "}")
        assert await closing(socket) == 1008


async def test_a_storm_of_sizes_ends_at_the_last_one_and_few_reach_the_program(client: aiohttp.ClientSession) -> None:
    """Whoever drags a window sees the program follow; what is typed behind the last size finds it."""
    async with watch(client) as socket:
        await socket.send_bytes(b"n=0; trap 'n=$((n+1))' WINCH; echo re''ady\n")
        await read_until(socket, b"ready\r\n")
        for number in range(2000):
            await socket.send_json({"type": "resize", "cols": 20 + number % 200, "rows": 10 + number % 50})
        await socket.send_json({"type": "resize", "cols": 123, "rows": 45})
        await socket.send_bytes(b"stty size; echo count=$n; echo do''ne\n")
        data, _ = await read_until(socket, b"done\r\n")
    assert b"45 123" in data
    count = int(data.split(b"count=")[-1].split()[0])
    assert 1 <= count < 100


async def test_pings_are_answered(client: aiohttp.ClientSession) -> None:
    """With what they carry: it is how the API knows that the agent is there."""
    viewer = RawViewer(client)
    await asyncio.to_thread(viewer.connect)
    await asyncio.to_thread(viewer.socket.sendall, frame(PING, b"are you there"))
    data = b""
    while b"\x8a\x0dare you there" not in data:
        data += await asyncio.to_thread(viewer.socket.recv, 4096)
    viewer.close()
