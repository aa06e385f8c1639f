"""In a real unprivileged container, what programs listen on is seen, with who it is and what it speaks."""

from __future__ import annotations

import asyncio

import pytest

from lxc.guest import PATIENCE_S, Guest
from lxc.own_host import PORT
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach

pytestmark = [pytest.mark.real("root"), pytest.mark.real("lxc")]


async def wait_port(guest: Guest, port: int) -> ListeningPort:
    """Return what the agent tells of a port once it has asked it what it speaks."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for found in (await guest.wait_online()).ports:
                if found.port == port and found.kind is not PortKind.UNKNOWN:
                    return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("port", "address", "reach"),
    [(8101, "0.0.0.0", PortReach.NETWORK), (8102, "::", PortReach.NETWORK), (8103, "127.0.0.1", PortReach.LOOPBACK)],
    ids=["IPv4", "IPv6", "loopback"],
)
async def test_a_server_of_the_customer_is_listed(guest: Guest, port: int, address: str, reach: PortReach) -> None:
    """Whoever runs it, in whatever unit; the agent's own port is none of its."""
    await guest.inside(
        "systemd-run", f"--unit=web-{port}", "--uid=dev", "--working-directory=/home/dev",
        "/usr/bin/python3", "-m", "http.server", str(port), "--bind", address,
    )  # fmt: skip
    found = await wait_port(guest, port)
    assert (found.kind, found.reach, found.directory) == (PortKind.HTTP, reach, "/home/dev")
    assert found.process.startswith("python3")
    assert found.command == f"/usr/bin/python3 -m http.server {port} --bind {address}"
    status = await guest.wait_online()
    assert PORT not in {each.port for each in status.ports}
    await guest.inside("systemctl", "stop", f"web-{port}")
    async with asyncio.timeout(PATIENCE_S):
        while port in {each.port for each in (await guest.wait_online()).ports}:
            await asyncio.sleep(0.05)
