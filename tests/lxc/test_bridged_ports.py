"""In a real unprivileged container, a published port of loopback is reached from outside, and stays the customer's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
from contextlib import ExitStack

import pytest

from lxc.guest import PATIENCE_S, Guest
from lxc.own_host import PORT
from zlh_common.schema.ports import PortReach

pytestmark = [pytest.mark.real("root"), pytest.mark.real("lxc"), pytest.mark.timeout(240)]
WEB = 3000
BLOCK = os.urandom(1024 * 1024)
BLOCKS = 100
# Takes IPv6 alone where it is bound to that; `http.server` asks DNS for its own name first, and there is none here.
_PLAIN = """
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.create_server((address, port), family=family) as s:
    while True:
        with s.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
"""
# Listens on loopback and on the network by turns, ten times a second and more; says how often it could not, and stays.
_FLAPS = f"""
import os, socket, time
refused, began = 0, time.monotonic()
for turn in range(100):
    for address in ("127.0.0.1", "0.0.0.0"):
        try:
            with socket.create_server((address, {WEB})):
                time.sleep(0.04)
        except OSError:
            refused += 1
with open("/tmp/flaps.new", "w") as file:
    file.write(f"{{refused}} {{time.monotonic() - began:.0f}}")
os.rename("/tmp/flaps.new", "/tmp/flaps")
{_PLAIN}
"""
# Sends as much as it takes, at once, and then says what that was.
_MIRROR = f"""
import hashlib, socket, threading
s = socket.create_server(("127.0.0.1", {WEB}), backlog=1024)
def serve(client):
    found = hashlib.sha256()
    while said := client.recv(1 << 20):
        found.update(said)
        client.sendall(said)
    client.sendall(found.digest())
    client.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


async def run(guest: Guest, unit: str, *argv: str) -> None:
    """Run a program as the customer's user, with as many threads as it likes."""
    await guest.inside(
        "systemd-run", f"--unit={unit}", "--uid=dev", "-p", "TasksMax=infinity", "-p", "LimitNOFILE=8192",
        "/usr/bin/python3", *argv,
    )  # fmt: skip


async def serve(guest: Guest, port: int, address: str) -> None:
    """Run a server."""
    await run(guest, f"web-{port}", "-c", _PLAIN, address, str(port))


async def stop(guest: Guest, unit: str) -> None:
    """End a program."""
    await guest.inside("systemctl", "stop", unit)


async def wait_reach(guest: Guest, port: int, reach: PortReach) -> None:
    """Return once that is told of a port."""
    async with asyncio.timeout(PATIENCE_S):
        while reach not in [each.reach for each in (await guest.wait_online()).ports if each.port == port]:
            await asyncio.sleep(0.05)


async def wait_answer(guest: Guest, port: int) -> None:
    """Return once a server answers from outside."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(is_answered, guest.address, port):
            await asyncio.sleep(0.05)


def is_answered(address: str, port: int) -> bool:
    """Tell whether a server of HTTP answers there."""
    try:
        with socket.create_connection((address, port), timeout=PATIENCE_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(15) == b"HTTP/1.0 200 OK"
    except ConnectionError:
        return False


def is_refused(address: str, port: int) -> bool:
    """Tell whether nobody takes a connection there."""
    try:
        socket.create_connection((address, port), timeout=PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    return False


async def rules(guest: Guest) -> list[int]:
    """Return the ports that the kernel leads somewhere else, as often as it does."""
    said = await guest.inside("nft", "list", "ruleset")
    assert said.count("table ") <= 1, said
    return [int(port) for port in re.findall(r"tcp dport (\d+) redirect", said)]


async def forwarders(guest: Guest) -> list[int]:
    """Return the processes that pass on."""
    said = await guest.inside("pgrep", "-f", "zlh[-]ports", check=False)
    return [int(pid) for pid in said.split()]


async def test_loopback_and_ipv6_are_reached_while_they_are_published(guest: Guest) -> None:
    """Nothing else is; the port stays free for the program; what is taken back ends at once, and nothing is left."""
    await serve(guest, WEB, "127.0.0.1")
    await serve(guest, WEB + 1, "::1")
    await serve(guest, WEB + 2, "::")
    await serve(guest, WEB + 3, "127.0.0.1")
    await guest.want(published=(WEB, WEB + 1, WEB + 2))
    for port in (WEB, WEB + 1, WEB + 2):
        await wait_reach(guest, port, PortReach.BRIDGED)
        assert await asyncio.to_thread(is_answered, guest.address, port)
    assert await asyncio.to_thread(is_refused, guest.address, WEB + 3)
    await wait_reach(guest, WEB + 3, PortReach.LOOPBACK)
    assert await rules(guest) == [WEB, WEB + 1, WEB + 2]
    # Neither the agent nor the forwarder is told of.
    assert {each.port for each in (await guest.status()).ports} == {WEB, WEB + 1, WEB + 2, WEB + 3}
    # Its next program takes the whole port, though it is led on at that moment.
    await stop(guest, f"web-{WEB}")
    await serve(guest, WEB, "0.0.0.0")
    await wait_reach(guest, WEB, PortReach.NETWORK)
    await wait_answer(guest, WEB)
    async with asyncio.timeout(PATIENCE_S):
        while await rules(guest) != [WEB + 1, WEB + 2]:
            await asyncio.sleep(0.05)
    client = await asyncio.to_thread(socket.create_connection, (guest.address, WEB + 1), PATIENCE_S)
    with client:
        await guest.want(published=())
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(client.recv, 1)
    async with asyncio.timeout(PATIENCE_S):
        while await forwarders(guest) or await rules(guest):
            await asyncio.sleep(0.05)
    assert await asyncio.to_thread(is_refused, guest.address, WEB + 1)


async def test_nobody_comes_in_by_the_entrance_itself(guest: Guest) -> None:
    """What listens for the rules leads to a port that was published for some, and may have the number of another."""
    await serve(guest, WEB, "127.0.0.1")
    await guest.want(published=(WEB,))
    await wait_answer(guest, WEB)
    found = re.search(r"redirect to :(\d+)", await guest.inside("nft", "list", "ruleset"))
    assert found is not None
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(socket.create_connection, (guest.address, int(found[1])), 2.0)
    assert await asyncio.to_thread(is_answered, guest.address, WEB)


async def test_it_comes_back_whatever_ends(guest: Guest) -> None:
    """The forwarder, the agent without a warning, and the rules at the next change; none of them is there twice."""
    await serve(guest, WEB, "127.0.0.1")
    await guest.want(published=(WEB,))
    await wait_answer(guest, WEB)
    (forwarder,) = await forwarders(guest)
    await guest.inside("kill", "-9", str(forwarder))
    await wait_answer(guest, WEB)
    (again,) = await forwarders(guest)
    assert again != forwarder
    agent = await guest.inside("systemctl", "show", "-p", "MainPID", "--value", "zlh-agent")
    await guest.inside("kill", "-9", agent)
    async with asyncio.timeout(PATIENCE_S):
        while again in await forwarders(guest):
            await asyncio.sleep(0.05)
    await wait_answer(guest, WEB)
    assert len(await forwarders(guest)) == 1
    assert await rules(guest) == [WEB]
    await guest.inside("nft", "flush", "ruleset")
    assert await asyncio.to_thread(is_refused, guest.address, WEB)
    await serve(guest, WEB + 1, "127.0.0.1")
    await guest.want(published=(WEB, WEB + 1))
    await wait_answer(guest, WEB)
    await wait_answer(guest, WEB + 1)
    assert await rules(guest) == [WEB, WEB + 1]


async def test_a_program_that_flaps_never_meets_the_platform(guest: Guest) -> None:
    """Whatever it binds is free; the work for it is bounded, and where it comes to rest is where it is reached."""
    await guest.want(published=(WEB,))
    await run(guest, "flaps", "-c", _FLAPS, "127.0.0.1", str(WEB))
    async with asyncio.timeout(PATIENCE_S):
        while not (told := await guest.inside("sh", "-c", "cat /tmp/flaps 2>/dev/null || true")):
            await asyncio.sleep(0.1)
    refused, took_s = map(int, told.split())
    assert refused == 0
    await wait_reach(guest, WEB, PortReach.BRIDGED)
    await wait_answer(guest, WEB)
    said = await guest.inside("journalctl", "-u", "zlh-agent", "--no-pager")
    # It is two hundred changes, in eight seconds or more; a look sees one of them at most, and there is one a second.
    assert said.count('"port.bridged"') <= 2 * took_s + 4
    assert len(await forwarders(guest)) == 1


async def test_every_byte_comes_through(guest: Guest) -> None:
    """A hundred megabytes both ways at once, and a thousand connections; a cut ends them all, both halves of each."""
    await guest.want(published=(WEB,))
    await run(guest, "mirror", "-c", _MIRROR)
    await wait_reach(guest, WEB, PortReach.BRIDGED)
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(guest.address, WEB)
        sending = asyncio.create_task(send(writer))
        came, said = hashlib.sha256(), b""
        for _ in range(BLOCKS):
            came.update(await reader.readexactly(len(BLOCK)))
        said = await reader.read()
        await sending
        writer.close()
        assert came.digest() == said == whole()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(await asyncio.to_thread(socket.create_connection, (guest.address, WEB), PATIENCE_S))
            for _ in range(1000)
        ]
        for client in clients:
            client.sendall(b"hello")
            assert await asyncio.to_thread(client.recv, 5) == b"hello"
        assert await guest.call("POST", f"/ports/{WEB}/cut") == b'{"cut":1000}'
        for client in clients:
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(client.recv, 1)
        # The agent itself may be asking the server what it speaks.
        async with asyncio.timeout(PATIENCE_S):
            while await guest.inside("ss", "-Htn", "state", "established", f"( sport = :{WEB} or dport = :{WEB} )"):
                await asyncio.sleep(0.1)


async def send(writer: asyncio.StreamWriter) -> None:
    """Send all blocks, and that there are no more."""
    for _ in range(BLOCKS):
        writer.write(BLOCK)
        await writer.drain()
    writer.write_eof()


def whole() -> bytes:
    """Return the digest of what is sent."""
    found = hashlib.sha256()
    for _ in range(BLOCKS):
        found.update(BLOCK)
    return found.digest()


async def test_the_agents_own_port_is_led_nowhere(guest: Guest) -> None:
    """Whatever is published, it is the agent that answers there, and who it lets in is its own matter."""
    await serve(guest, WEB, "127.0.0.1")
    await guest.want(published=(WEB, PORT))
    await wait_answer(guest, WEB)
    assert await rules(guest) == [WEB]
    assert (await guest.status()).spec_generation == guest.generation
