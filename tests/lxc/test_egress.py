"""The internet, played by a namespace: reached where it is wished, nothing private with it, never the other way."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from guards import remains
from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost
from zlh_api.drivers.lxc.model import LxcSettings, mac_of
from zlh_api.drivers.lxc.network_rules import Pin, render_tables

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PYTHON = "/usr/bin/python3"
PUBLIC, PRIVATE, METADATA, PORT = "9.9.9.2", "10.250.77.2", "169.254.169.254", 9000
# Tells whoever asks under which address he is seen.
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 9000))
print("ready", flush=True)
while True:
    connection, peer = server.accept(); connection.sendall(peer[0].encode()); connection.close()
"""
ASK = """
import socket, sys
for address in sys.argv[1:]:
    try: print(socket.create_connection((address, 9000), timeout=0.7).recv(99).decode())
    except OSError as error: print(type(error).__name__)
"""


@contextmanager
def internet(settings: LxcSettings) -> Iterator[str]:
    """Make a namespace with a public, a private and a metadata address behind this host; yields its name."""
    name, ours, theirs = remains.namespace_of(os.getpid()), f"{settings.bridge}u0", f"{settings.bridge}u1"
    inside = ["ip", "netns", "exec", name]
    try:
        for command in (
            ["ip", "netns", "add", name],
            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs],
            ["ip", "link", "set", theirs, "netns", name],
            ["ip", "address", "add", "9.9.9.1/24", "dev", ours],
            ["ip", "address", "add", "10.250.77.1/24", "dev", ours],
            ["ip", "link", "set", ours, "up"],
            ["ip", "route", "add", METADATA, "dev", ours],
            [*inside, "ip", "link", "set", theirs, "up"],
            *([*inside, "ip", "address", "add", f"{own}/24", "dev", theirs] for own in (PUBLIC, PRIVATE, METADATA)),
            [*inside, "ip", "route", "add", str(settings.block), "via", "9.9.9.1"],
        ):
            subprocess.run(command, check=True)
        for interface in (ours, settings.bridge):
            Path(f"/proc/sys/net/ipv4/conf/{interface}/forwarding").write_text("1")
        with subprocess.Popen([*inside, PYTHON, "-c", SERVER], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            yield name
            server.kill()
    finally:
        subprocess.run(["ip", "link", "delete", ours], check=False)
        subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.fixture
async def outside(host: OwnHost) -> AsyncIterator[str]:
    """The namespace, in a thread's time."""
    made = internet(host.settings)
    name = await asyncio.to_thread(made.__enter__)
    yield name
    await asyncio.to_thread(made.__exit__, None, None, None)


async def ask(guest: Guest) -> list[str]:
    """Return what the three addresses say to a container."""
    return (await guest.inside(PYTHON, "-c", ASK, PUBLIC, PRIVATE, METADATA)).split()


async def test_the_internet_alone_is_reached_and_only_where_it_is_wished(host: OwnHost, outside: str) -> None:
    """Under this host's address; private networks and metadata services stay out of reach, and containers too."""
    nothing = "TimeoutError"
    async with running_guest(host) as guest:
        await guest.wait_online()
        assert await ask(guest) == [nothing] * 3
        settings = replace(host.settings, egress="internet")
        pin = Pin(settings.veth(guest.plan.vmid), mac_of(guest.owner), guest.address)
        rules = render_tables(settings, [pin]).encode()
        await asyncio.to_thread(subprocess.run, ["nft", "-f", "-"], input=rules, check=True)
        assert await ask(guest) == ["9.9.9.1", nothing, nothing]
        # Of a private network, the one port that the settings name: from there files may be fetched.
        named = render_tables(replace(settings, private_places=((PRIVATE, PORT),)), [pin]).encode()
        await asyncio.to_thread(subprocess.run, ["nft", "-f", "-"], input=named, check=True)
        assert await ask(guest) == ["9.9.9.1", "10.250.77.1", nothing]
        await asyncio.to_thread(subprocess.run, ["nft", "-f", "-"], input=rules, check=True)
        start = ["systemd-run", "--quiet", "--unit=server", "--", PYTHON, "-c", SERVER]
        await guest.inside(*start)
        inward = ["ip", "netns", "exec", outside, PYTHON, "-c", ASK, guest.address]
        done = await asyncio.to_thread(subprocess.run, inward, check=True, capture_output=True, text=True)
        assert done.stdout.split() == [nothing]
        # Other rules than its own are no closed network to the driver.
        assert not (await host.driver.observe(guest.plan)).is_closed
