"""In a real unprivileged container, the agent ends connections from outside, and leaves its own programs alone."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import msgspec
import pytest

from lxc.guest import PATIENCE_S, Guest

pytestmark = [pytest.mark.real("root"), pytest.mark.real("lxc")]
PORT = 3000
# Takes connections of both families; a client within the container stays connected and says how that ended.
_SERVER = f"""
import socket, threading
s = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
own = socket.create_connection(("127.0.0.1", {PORT}))
kept = []
def follow():
    try:
        said = own.recv(1) or b"closed"
    except OSError as error:
        said = repr(error).encode()
    open("/root/own-end", "wb").write(said)
threading.Thread(target=follow, daemon=True).start()
while True:
    kept.append(s.accept()[0])
"""


async def test_a_cut_ends_what_comes_from_outside(guest: Guest) -> None:
    """For IPv4 through a socket of IPv6, as most servers have; the listener and the container's own programs go on."""
    await guest.inside("systemd-run", "--unit=probe", "/usr/bin/python3", "-c", _SERVER)
    with ExitStack() as stack:
        clients = [stack.enter_context(await connect(guest.address)) for _ in range(3)]
        cut = msgspec.json.decode(await guest.call("POST", f"/ports/{PORT}/cut"))
        assert cut == {"cut": 3}
        for client in clients:
            assert await asyncio.to_thread(is_over, client)
        assert await guest.inside("sh", "-c", "cat /root/own-end 2>/dev/null || echo open") == "open"
        again = stack.enter_context(await connect(guest.address))
        again.settimeout(0.2)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(again.recv, 1)


async def connect(address: str) -> socket.socket:
    """Return a connection once the server is up."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.to_thread(socket.create_connection, (address, PORT))
            except OSError:
                await asyncio.sleep(0.05)


def is_over(client: socket.socket) -> bool:
    """Tell whether the other end is gone, as soon as that is seen."""
    client.settimeout(5)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
