"""What a customer's programs can want all of: the agent goes on, opens a terminal, and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from lxc.guest import PATIENCE_S, Guest, running_guest
from lxc.own_host import OwnHost
from zlh_common.names import agent_name
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.resources import Resources
from zlh_common.schema.structs import decode
from zlh_common.schema.terminal import TerminalOpened

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
SMALL = Resources(cpu=1.0, memory_mib=384, disk_mib=512, pids=300)
PYTHON = "/usr/bin/python3"
# Each goes on for as long as its process does, and says `full` once it has all that it gets.
FORKS = """
import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(1000); os._exit(0)
    except OSError: open("full", "w").close(); time.sleep(0.01)
"""
MEMORY = """
import os
for _ in range(5): os.fork()
held = []
while True: held.append(b"x" * (1 << 20)); open("full", "w").close()
"""
FILES = """
import os, resource, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
# A hundred thousand of them, however many of them one process may have.
for _ in range(-(-100_000 // (hard - 20)) - 1):
    if os.fork() == 0: break
held, path = [], os.path.abspath("full")
try:
    while len(held) < 100_000: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
os.close(held.pop())
os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
time.sleep(1000)
"""
DISK = """
import os, time
open("almost", "w").close()
with open("filler", "ab", 0) as file:
    while True:
        try: file.write(b"x" * (1 << 20))
        except OSError:
            if os.path.exists("almost"): os.rename("almost", "full")
            time.sleep(0.05)
"""
BURN = """
import os, time
for _ in range(100):
    if os.fork() == 0:
        while True: pass
open("full", "w").close()
time.sleep(1000)
"""


@pytest.fixture
async def small(host: OwnHost) -> AsyncIterator[Guest]:
    """A small container whose agent is online."""
    async with running_guest(host, resources=SMALL) as guest:
        await guest.wait_online()
        yield guest


async def agent_pid(guest: Guest) -> str:
    """Return which process the agent is."""
    return await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent")


async def run_in_terminal(guest: Guest, line: bytes, awaited: bytes) -> None:
    """Open a terminal, type a line into it, and wait for what it brings; then close the terminal."""
    opened = decode(await guest.call("POST", "/terminals"), TerminalOpened).id
    path = f"/terminals/{opened}"
    async with (
        asyncio.timeout(PATIENCE_S),
        guest.client() as session,
        session.ws_connect(path, ssl=guest.tls, server_hostname=agent_name(guest.owner), protocols=[SUBPROTOCOL]) as ws,
    ):
        await ws.send_bytes(line)
        seen = b""
        while awaited not in seen:
            message = await ws.receive()
            assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, message
            seen += message.data if message.type is aiohttp.WSMsgType.BINARY else b""
    await guest.call("DELETE", f"/terminals/{opened}")


@pytest.mark.parametrize(
    "greed", [pytest.param(text, id=name) for name, text in
              (("forks", FORKS), ("memory", MEMORY), ("files", FILES), ("disk", DISK), ("processors", BURN))]
)  # fmt: skip
async def test_the_agent_outlives_who_wants_everything(small: Guest, greed: str) -> None:
    """It is the same agent before and after, answers meanwhile, gives a terminal, and ends the process when asked."""
    before = await agent_pid(small)
    web = WantedProcess(name="web", argv=(PYTHON, "-c", greed))
    await small.want(processes=(web,))
    async with asyncio.timeout(PATIENCE_S):
        while await small.inside("ls", "/home/dev/workspace/full", check=False) == "":
            await asyncio.sleep(0.2)
    for _ in range(5):
        await small.status()
        await run_in_terminal(small, b"echo al''ive\n", b"alive")
    off = msgspec.structs.replace(web, power="off")
    if greed is DISK:
        await small.inside("rm", "/home/dev/workspace/filler")
    await small.want(processes=(off,))
    async with asyncio.timeout(PATIENCE_S):
        while (await small.status()).processes[0].state != "stopped":
            await asyncio.sleep(0.1)
    # Who was killed is there until init has taken its leave of it.
    async with asyncio.timeout(PATIENCE_S):
        while await small.inside("pgrep", "-u", "dev", "-c", "-f", PYTHON, check=False) != "0":
            await asyncio.sleep(0.1)
    assert await agent_pid(small) == before
