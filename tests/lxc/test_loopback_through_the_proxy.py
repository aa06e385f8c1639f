"""What a customer starts is listed and opens at its public name, on loopback as well; a cut ends that too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from component.api.conftest import dsn, postgres
from e2e.visitors import is_open, join
from lxc.guest import PATIENCE_S
from lxc.own_host import OwnHost
from lxc.platform import LxcPlatform, running_platform
from lxc.test_cuts_through_the_proxy import SERVER, publish, watch

__all__ = ["dsn", "postgres"]
pytestmark = [pytest.mark.real("lxc", "traefik"), pytest.mark.timeout(300)]
# The server that everybody has, as it starts by itself and on each loopback; and one that keeps WebSockets.
SERVERS = {
    "network": (8000, "network", ()),
    "loopback": (8001, "bridged", ("--bind", "127.0.0.1")),
    "ipv6": (8002, "bridged", ("--bind", "::1")),
}
SOCKETS = 4100


async def test_what_is_started_opens_at_its_public_name(host: OwnHost, dsn: str, tmp_path: Path) -> None:
    """On whatever address it listens; and whoever is connected to one of loopback loses it with the right to it."""
    async with running_platform(host, dsn, tmp_path) as platform:
        report = await platform.create_ready()
        vmid: int = report["vmid"]
        for name, (port, _, bind) in SERVERS.items():
            await run(platform, vmid, name, ["/usr/bin/python3", "-m", "http.server", str(port), *bind])
        on_loopback = SERVER.replace('("::", port), family=socket.AF_INET6, dualstack_ipv6=True', '("127.0.0.1", port)')
        assert on_loopback != SERVER
        await run(platform, vmid, "sockets", ["/usr/bin/python3", "-c", on_loopback])
        ann = await join(platform, report["customerId"], "ann", "member")
        for port, reach, _ in SERVERS.values():
            status, made = await platform.call(
                "POST", f"/api/containers/{vmid}/exposures", {"port": port, "visibility": "public"}
            )
            assert status == 201, made
            await wait_reach(platform, vmid, port, reach)
            async with asyncio.timeout(PATIENCE_S):
                while (answer := await ann.fetch(made["url"]))[0] != 200:
                    await asyncio.sleep(0.05)
            assert "Directory listing" in answer[3]
        exposure, url = await publish(ann, vmid, SOCKETS)
        await wait_reach(platform, vmid, SOCKETS, "bridged")
        async with await watch(ann, url) as kept:
            assert await is_open(kept)
            status, said = await platform.call("DELETE", f"/api/containers/{vmid}/exposures/{exposure}")
            assert status == 204, said
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(PATIENCE_S):
                    await kept.recv()
        await wait_reach(platform, vmid, SOCKETS, "loopback")


async def run(platform: LxcPlatform, vmid: int, name: str, argv: list[str]) -> None:
    """Have the container run a program."""
    status, said = await platform.call("PUT", f"/api/containers/{vmid}/processes/{name}", {"argv": argv})
    assert status == 201, said


async def wait_reach(platform: LxcPlatform, vmid: int, port: int, reach: str) -> None:
    """Return once the API's list says how a port is reached."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, listed = await platform.call("GET", f"/api/containers/{vmid}/ports")
            if reach in [each["reach"] for each in listed["ports"] if each["port"] == port]:
                return
            await asyncio.sleep(0.05)
