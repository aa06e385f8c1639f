"""Frames that a bridge keeps for itself, and errors about the connections of others: nothing comes of them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost
from zlh_api.drivers.lxc.model import bridge_mac, mac_of

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PYTHON = "/usr/bin/python3"
WORDS = """
import socket, struct, sys
def mac(text): return bytes.fromhex(text.replace(":", ""))
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
def ip(source, target, protocol, words):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(words), 0, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + words
def udp(port, words): return struct.pack("!HHHH", 5, port, 8 + len(words), 0) + words
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
"""
# To each address that bridges keep for themselves, plain and with each kind of tag; the port is where somebody listens.
TO_BRIDGES = (
    WORDS
    + """
own, own_mac, other_mac, port, *targets = sys.argv[1:]
tags = [bytes.fromhex(words) for words in ("", "81000000", "81000001", "88a80001", "88a8000181000001")]
for last in range(16):
    to = mac("01:80:c2:00:00:%02x" % last)
    for source in (own_mac, other_mac):
        for tag in tags:
            for target in targets:
                packet = ip(own, target, 17, udp(int(port), b"zlh %d" % last))
                s.send(to + mac(source) + tag + b"\\x08\\x00" + packet)
        s.send(to + mac(source) + b"\\x88\\xcc" + bytes(60))
        for n in range(8):
            ask = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac(source) + socket.inet_aton("10.9.%d.%d" % (last, n))
            s.send(to + mac(source) + b"\\x08\\x06" + ask + bytes(6) + socket.inet_aton(targets[0]))
"""
)
# Says that a connection of somebody else has failed.
ERRORS = (
    WORDS
    + """
own, own_mac, gateway_mac, to, quoted_from, from_port, quoted_to, to_port = sys.argv[1:]
quoted = ip(quoted_from, quoted_to, 6, struct.pack("!HHIIHHHH", int(from_port), int(to_port), 1, 1, 0x5010, 100, 0, 0))
for kind, code in ((3, 3), (3, 4), (3, 1), (11, 0), (4, 0), (5, 1)):
    words = struct.pack("!BBHHH", kind, code, 0, 0, 576) + quoted
    words = words[:2] + struct.pack("!H", checksum(words)) + words[4:]
    s.send(mac(gateway_mac) + mac(own_mac) + b"\\x08\\x00" + ip(own, to, 1, words))
"""
)
# Keeps a connection to the host, says from which port, and writes down each ICMP message that comes.
CONNECTED = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
open("/run/port", "w").write(str(c.getsockname()[1]))
while True:
    packet, peer = s.recvfrom(2000)
    with open("/run/heard", "a") as f: f.write("%s %d\\n" % (peer[0], packet[20]))
"""


@contextmanager
def ear(kind: socket.SocketKind, protocol: int, port: int = 0) -> Iterator[socket.socket]:
    """Lend a socket that hears what comes to any address of this host."""
    with socket.socket(socket.AF_INET, kind, protocol) as heard:
        heard.bind(("0.0.0.0", port))
        heard.settimeout(1)
        yield heard


def drain(heard: socket.socket, of: str) -> set[bytes]:
    """Return all that came from an address."""
    told = set()
    try:
        while True:
            words, (peer, *_) = heard.recvfrom(2000)
            if peer == of:
                told.add(words)
    except TimeoutError:
        return told


def show(*command: str) -> str:
    """Return what a program of the host prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_what_bridges_keep_for_themselves_leads_nowhere(host: OwnHost) -> None:
    """Neither to a port of this host, nor into its tables of neighbours, nor in another's place at the bridge."""
    settings = host.settings
    port = (settings.artifacts_port or 0) + 2
    async with running_guest(host) as mine, running_guest(host) as other:
        await other.wait_online()
        veth = settings.veth(mine.plan.vmid)
        # As on a host that nobody has told to look where packets come from.
        await asyncio.to_thread(Path(f"/proc/sys/net/ipv4/conf/{veth}/rp_filter").write_text, "0")
        with ear(socket.SOCK_DGRAM, 0, port) as heard:
            words = (mine.address, mac_of(mine.owner), mac_of(other.owner), str(port), settings.gateway, other.address)
            await mine.inside(PYTHON, "-c", TO_BRIDGES, *words)
            assert await asyncio.to_thread(drain, heard, mine.address) == set()
        known = await asyncio.to_thread(show, "bridge", "fdb", "show", "dev", veth)
        assert mac_of(other.owner) not in known
        assert "10.9." not in await asyncio.to_thread(show, "ip", "-4", "neigh", "show")
        await other.status()


async def test_errors_about_the_connections_of_others_are_not_heard(host: OwnHost) -> None:
    """Neither by the other, nor by this host: whose connection it is is known, and it is not theirs."""
    settings = host.settings
    port = settings.artifacts_port or 0
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((settings.gateway, port)))
        async with running_guest(host) as mine, running_guest(host) as other:
            await asyncio.to_thread(Path(f"/proc/sys/net/ipv4/conf/{settings.bridge}/forwarding").write_text, "1")
            await other.wait_online()
            start = ["systemd-run", "--quiet", "--unit=connected", "--", PYTHON, "-c", CONNECTED]
            await other.inside(*start, settings.gateway, str(port))
            kept, _peer = await asyncio.to_thread(server.accept)
            stack.enter_context(kept)
            from_port = await wait_for_file(other, "/run/port")
            addresses = (mine.address, mac_of(mine.owner), bridge_mac(settings.bridge))
            theirs = (other.address, from_port, settings.gateway, str(port))
            ours = (settings.gateway, str(port), other.address, from_port)
            with ear(socket.SOCK_RAW, socket.IPPROTO_ICMP) as heard:
                await mine.inside(PYTHON, "-c", ERRORS, *addresses, other.address, *theirs)
                await mine.inside(PYTHON, "-c", ERRORS, *addresses, settings.gateway, *ours)
                assert await asyncio.to_thread(drain, heard, mine.address) == set()
            assert await other.inside("cat", "/run/heard", check=False) == ""


async def wait_for_file(guest: Guest, path: str) -> str:
    """Return what stands in a file of a container, once something does."""
    async with asyncio.timeout(20):
        while not (text := await guest.inside("cat", path, check=False)):
            await asyncio.sleep(0.05)
    return text
