"""A WebSocket into a real container, through the proxy and past the API's guard, ends with the right to it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from component.api.conftest import dsn, postgres
from e2e.visitors import Person, is_open, join
from lxc.guest import PATIENCE_S
from lxc.own_host import OwnHost
from lxc.platform import LxcPlatform, running_platform

__all__ = ["dsn", "postgres"]
pytestmark = [pytest.mark.real("lxc", "traefik"), pytest.mark.timeout(240)]
log = structlog.get_logger()
# One for each way to lose it, so that what is cut for one is not what ended another.
PORTS = (4100, 4101, 4102)
# Much more than it takes; a connection that is not cut stays for ever.
SOON_S = 10.0
# Takes every upgrade, and never says a word again.
SERVER = f"""
import base64, hashlib, re, socket, threading
kept = []
def serve(port):
    listening = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        client = listening.accept()[0]
        key = re.search(rb"(?i)sec-websocket-key: (\\S+)", client.recv(65536))
        if key is None:
            client.close()
            continue
        proof = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
                 b"Sec-WebSocket-Accept: " + proof, b"", b""]
        client.sendall(b"\\r\\n".join(lines))
        kept.append(client)
for port in {PORTS}:
    threading.Thread(target=serve, args=(port,)).start()
"""


async def test_who_loses_the_right_loses_the_connection(host: OwnHost, dsn: str, tmp_path: Path) -> None:
    """Taken back, expired, deleted: each ends what leads to its own port, at once, and nothing else before it."""
    async with running_platform(host, dsn, tmp_path) as platform:
        report = await platform.create_ready()
        vmid: int = report["vmid"]
        process = {"argv": ["/usr/bin/python3", "-c", SERVER]}
        status, said = await platform.call("PUT", f"/api/containers/{vmid}/processes/web", process)
        assert status == 201, said
        ann = await join(platform, report["customerId"], "ann", "member")
        exposures = [await publish(ann, vmid, port) for port in PORTS]
        sockets = [await watch(ann, url) for _, url in exposures]
        took: dict[str, float] = {}
        for lose, (exposure, _) in zip((taken_back, expired, deleted), exposures, strict=True):
            assert all(await asyncio.gather(*map(is_open, sockets)))
            began = time.monotonic()
            await lose(platform, vmid, exposure)
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(SOON_S):
                    await sockets[0].recv()
            took[lose.__name__] = round(time.monotonic() - began, 3)
            await sockets.pop(0).close()
        log.info("connections.ended", seconds=took)
        await platform.wait_gone(vmid)


async def publish(person: Person, vmid: int, port: int) -> tuple[str, str]:
    """Publish a port for one person alone; return the exposure's id and its address."""
    wish = {"port": port, "visibility": "private"}
    status, made = await person.call("POST", f"/api/containers/{vmid}/exposures", wish)
    assert status == 201, made
    return made["id"], made["url"]


async def watch(person: Person, url: str) -> ClientConnection:
    """Sign in at the host and open a WebSocket there, once the proxy has its route and the server listens."""
    async with asyncio.timeout(PATIENCE_S):
        while (await person.fetch(url))[0] != 302:
            await asyncio.sleep(0.05)
        await person.enter(url)
        while (await person.fetch(url, f"zlh_access={person.access}"))[0] in {404, 503}:
            await asyncio.sleep(0.05)
    return await person.watch(url)


async def taken_back(platform: LxcPlatform, vmid: int, exposure: str) -> None:
    """Nobody may open the port any more."""
    status, said = await platform.call("DELETE", f"/api/containers/{vmid}/exposures/{exposure}")
    assert status == 204, said


async def expired(platform: LxcPlatform, vmid: int, exposure: str) -> None:
    """Its time is over, by the clock of the database; a customer's least is a minute."""
    connection = await asyncpg.connect(platform.dsn)
    try:
        await connection.execute(
            "update exposures set expires_at = clock_timestamp() + interval '0.3 s' where id = $1", exposure
        )
    finally:
        await connection.close()


async def deleted(platform: LxcPlatform, vmid: int, exposure: str) -> None:
    """The container is on its way out."""
    status, said = await platform.call("DELETE", f"/api/containers/{vmid}")
    assert status == 202, said
