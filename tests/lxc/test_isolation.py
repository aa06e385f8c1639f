"""What a container reaches: of a neighbour nothing, of this host one port, under no other's name, whatever it sends."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guards import network
from lxc.guest import PATIENCE_S, Guest, running_guest
from lxc.own_host import OwnHost
from zlh_api.containers.model import Guest as State
from zlh_api.drivers.lxc.model import mac_of

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
TCP, UDP = 9000, 9001
PYTHON = "/usr/bin/python3"
# Answers whatever it is asked with its name, and keeps every frame that comes in from a stranger's address.
LISTENER = """
import json, socket, sys, threading
name, own, gateway = sys.argv[1:]
seen = set()
def tcp():
    server = socket.create_server(("0.0.0.0", 9000))
    while True:
        c, _ = server.accept(); c.sendall(name.encode()); c.close()
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9001))
    while True:
        _, peer = s.recvfrom(100); s.sendto(name.encode(), peer)
threading.Thread(target=tcp, daemon=True).start()
threading.Thread(target=udp, daemon=True).start()
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
while True:
    frame = raw.recv(2000)
    source = frame[6:12].hex(":")
    if source not in {own, gateway, "00:00:00:00:00:00"} and source not in seen:
        seen.add(source)
        open("/run/strangers", "a").write(source + "\\n")
"""
# Asks a neighbour in every way, and says which were answered.
PROBE = """
import json, os, socket, struct, sys, time
target, target_mac, own, own_mac, gateway = sys.argv[1:]
told = {}
def mac(text): return bytes.fromhex(text.replace(":", ""))
def tcp(address, port):
    try: s = socket.create_connection((address, port), timeout=0.4)
    except OSError: return None
    try: return s.recv(100).decode()
    except OSError: return "open"
def udp(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.4)
    try:
        s.sendto(b"?", (address, port)); return s.recv(100).decode()
    except OSError: return None
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
def ping(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(0.4)
    head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
    try:
        s.sendto(struct.pack("!BBHHH", 8, 0, checksum(head), 77, 1), (address, 0))
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            packet, peer = s.recvfrom(200)
            if peer[0] == address and packet[20] == 0: return "pong"
    except OSError: return None
def arp(address):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    s.bind(("eth0", 0x0806))
    s.settimeout(0.4)
    ask = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac(own_mac) + socket.inet_aton(own)
    ask += bytes(6) + socket.inet_aton(address)
    s.send(b"\\xff" * 6 + mac(own_mac) + b"\\x08\\x06" + ask)
    try:
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            frame = s.recv(100)
            if frame[28:32] == socket.inet_aton(address): return frame[22:28].hex(":")
    except OSError: return None
def frames(*payloads):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
    for destination, kind, payload in payloads: s.send(mac(destination) + mac(own_mac) + kind + payload)
def link_local(of_mac):
    m = bytearray(mac(of_mac)); m[0] ^= 2
    return "fe80::%02x%02x:%02xff:fe%02x:%02x%02x" % tuple(m)
def tcp6(address):
    try:
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); s.settimeout(0.4)
        s.connect((address, 9000, 0, socket.if_nametoindex("eth0"))); return "open"
    except OSError: return None
told["tcp"] = tcp(target, 9000)
told["agent"] = tcp(target, 7443)
told["udp"] = udp(target, 9001)
told["ping"] = ping(target)
told["arp"] = arp(target)
told["ipv6"] = tcp6(link_local(target_mac))
# By the neighbour's hardware address past all routes, to everybody, to every group, and of no known kind.
frames((target_mac, b"\\x08\\x00", b"E" + bytes(60)), ("ff:ff:ff:ff:ff:ff", b"\\x08\\x00", b"E" + bytes(60)),
       ("01:00:5e:00:00:fb", b"\\x08\\x00", b"E" + bytes(60)), ("33:33:00:00:00:01", b"\\x86\\xdd", bytes(60)),
       (target_mac, b"\\x88\\xb5", bytes(60)), (target_mac, b"\\x81\\x00\\x00\\x01\\x08\\x00", bytes(60)))
print(json.dumps(told))
"""
# Sends under other addresses than its own; each frame says in itself what it pretends.
PRETEND = """
import socket, struct, sys
own, own_mac, other, other_mac, gateway, gateway_mac = sys.argv[1:]
def mac(text): return bytes.fromhex(text.replace(":", ""))
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data)); total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
def ip(source, words):
    udp = struct.pack("!HHHH", 5, 9001, 8 + len(words), 0) + words
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(gateway)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp
def send(source_mac, kind, payload): s.send(mac(gateway_mac) + mac(source_mac) + kind + payload)
def arp(words_mac, words_ip):
    words = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac(words_mac) + socket.inet_aton(words_ip)
    return words + mac(gateway_mac) + socket.inet_aton(gateway)
for _ in range(3):
    send(own_mac, b"\\x08\\x00", ip(own, b"zlh-honest"))
    send(own_mac, b"\\x08\\x00", ip(other, b"zlh-other-address"))
    send(other_mac, b"\\x08\\x00", ip(own, b"zlh-other-hardware"))
    send(other_mac, b"\\x08\\x00", ip(other, b"zlh-both"))
    send("02:00:00:00:00:99", b"\\x08\\x00", ip("10.9.9.9", b"zlh-nobody"))
    send(own_mac, b"\\x86\\xdd", b"\\x60" + bytes(39) + b"zlh-ipv6")
    send(own_mac, b"\\x88\\xb5", b"zlh-strange-kind")
    send(own_mac, b"\\x81\\x00\\x00\\x01\\x08\\x00", ip(own, b"zlh-vlan"))
    send(own_mac, b"\\x08\\x06", arp(own_mac, other) + b"zlh-arp-address")
    send(own_mac, b"\\x08\\x06", arp(other_mac, own) + b"zlh-arp-hardware")
    send(other_mac, b"\\x08\\x06", arp(other_mac, other) + b"zlh-arp-both")
"""


@dataclass
class Neighbours:
    """Two containers of two customers, and the host between them."""

    host: OwnHost
    mine: Guest
    other: Guest

    @property
    def gateway_mac(self) -> str:
        """The bridge's own."""
        return read_mac(self.host.settings.bridge)

    async def listen(self, guest: Guest, name: str) -> None:
        """Have a container answer with a name."""
        start = ["systemd-run", "--quiet", "--unit=listener", "--", PYTHON, "-c", LISTENER]
        await guest.inside(*start, name, mac_of(guest.owner), self.gateway_mac)
        async with asyncio.timeout(20):
            while await ask(guest.address) != name:
                await asyncio.sleep(0.05)

    async def probe(self) -> dict[str, Any]:
        """Ask the other from mine, in every way."""
        mine, other = self.mine, self.other
        words = (other.address, mac_of(other.owner), mine.address, mac_of(mine.owner), self.host.settings.gateway)
        told: dict[str, Any] = json.loads(await mine.inside(PYTHON, "-c", PROBE, *words))
        return told

    async def strangers(self, guest: Guest) -> set[str]:
        """Return the hardware addresses of others that a container has heard of; its own cable's end is none."""
        port = await asyncio.to_thread(read_mac, self.host.settings.veth(guest.plan.vmid))
        return set((await guest.inside("cat", "/run/strangers", check=False)).split()) - {port}


def read_mac(interface: str) -> str:
    """Return the hardware address of an interface of this host."""
    return Path(f"/sys/class/net/{interface}/address").read_text().strip()


async def ask(address: str, port: int = TCP) -> str | None:
    """Ask from this host who is there."""

    def connect() -> str | None:
        try:
            with socket.create_connection((address, port), timeout=1) as connection:
                return connection.recv(100).decode()
        except OSError:
            return None

    return await asyncio.to_thread(connect)


@pytest.fixture
async def neighbours(host: OwnHost) -> AsyncIterator[Neighbours]:
    """Both of them up, each with its listener."""
    async with AsyncExitStack() as stack:
        mine, other = [await stack.enter_async_context(running_guest(host)) for _ in range(2)]
        made = Neighbours(host, mine, other)
        for guest, name in ((mine, "mine"), (other, "other")):
            await guest.wait_online()
            await made.listen(guest, name)
        yield made


async def test_nothing_of_a_neighbour_answers(neighbours: Neighbours) -> None:
    """Neither by TCP, UDP, ping, ARP nor IPv6, and no frame of one comes to the other, flooded ones included."""
    told = await neighbours.probe()
    assert told == dict.fromkeys(told)
    assert set(told) == {"tcp", "agent", "udp", "ping", "arp", "ipv6"}
    # What this host sends to one is not seen by the other, though the bridge has forgotten where everybody is.
    for guest in (neighbours.mine, neighbours.other):
        port = neighbours.host.settings.veth(guest.plan.vmid)
        forget = ["bridge", "fdb", "del", mac_of(guest.owner), "dev", port, "master"]
        await asyncio.to_thread(subprocess.run, forget, check=True)
    assert await ask(neighbours.other.address) == "other"
    assert await ask(neighbours.mine.address) == "mine"
    assert await neighbours.strangers(neighbours.other) == set()
    assert await neighbours.strangers(neighbours.mine) == set()


async def test_the_same_probe_is_answered_where_nothing_is_closed(neighbours: Neighbours) -> None:
    """What shows that the silence above is ours; and that it comes back."""
    settings = neighbours.host.settings
    commands = [["nft", "flush", "table", family, settings.table] for family in ("bridge", "inet")]
    ports = [settings.veth(guest.plan.vmid) for guest in (neighbours.mine, neighbours.other)]
    commands += [["bridge", "link", "set", "dev", port, "isolated", "off"] for port in ports]
    for command in commands:
        await asyncio.to_thread(subprocess.run, command, check=True)
    told = await neighbours.probe()
    assert {name for name, answer in told.items() if answer} >= {"tcp", "agent", "udp", "ping", "arp"}
    assert mac_of(neighbours.mine.owner) in await neighbours.strangers(neighbours.other)
    for guest in (neighbours.mine, neighbours.other):
        assert not (await neighbours.host.driver.observe(guest.plan)).is_closed
    await neighbours.host.driver.ensure_closed(neighbours.mine.plan, neighbours.mine.warrant)
    assert (await neighbours.host.driver.observe(neighbours.mine.plan)).is_closed
    await neighbours.host.driver.ensure_closed(neighbours.other.plan, neighbours.other.warrant)
    told = await neighbours.probe()
    assert told == dict.fromkeys(told)


@contextmanager
def answering(*places: tuple[str, int]) -> Iterator[None]:
    """Answer with `host` at ports of this host."""
    servers = [socket.create_server(place) for place in places]

    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.sendall(b"host")
            connection.close()

    threads = [threading.Thread(target=answer, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        for thread in threads:
            thread.join()


async def test_of_this_host_the_artifact_port_alone_answers(host: OwnHost) -> None:
    """Neither another port of the bridge's address, nor the same one of another address, nor ping."""
    gateway, port = host.settings.gateway, host.settings.artifacts_port or 0
    connect = (
        "import socket, sys\n"
        "for place in sys.argv[1:]:\n"
        "    address, port = place.split(':')\n"
        "    try: print(socket.create_connection((address, int(port)), timeout=0.5).recv(9).decode())\n"
        "    except OSError as e: print(type(e).__name__)\n"
    )
    own = await asyncio.to_thread(find_own_addresses, host.settings.bridge)
    with answering(("0.0.0.0", port), ("0.0.0.0", port + 1)):
        async with running_guest(host) as guest:
            places = [f"{gateway}:{port}", f"{gateway}:{port + 1}"]
            places += [f"{address}:{port}" for address in own]
            told = (await guest.inside(PYTHON, "-c", connect, *places)).split()
    assert told == ["host", *["TimeoutError"] * (len(places) - 1)]
    assert len(places) > 2


def find_own_addresses(but: str) -> list[str]:
    """Return this host's other addresses; one is made where it has none."""
    shown = json.loads(subprocess.run(["ip", "-j", "-4", "address"], check=True, capture_output=True).stdout)
    return [
        entry["local"]
        for interface in shown
        if interface["ifname"] not in {"lo", but}
        for entry in interface["addr_info"]
    ]


async def test_who_pretends_to_be_another_is_not_heard(neighbours: Neighbours) -> None:
    """Of all that it sends, only what bears its own addresses reaches the bridge."""
    mine, other, settings = neighbours.mine, neighbours.other, neighbours.host.settings
    words = (
        mine.address, mac_of(mine.owner), other.address, mac_of(other.owner), settings.gateway, neighbours.gateway_mac,
    )  # fmt: skip
    heard: set[bytes] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as ear:
        ear.bind((settings.bridge, 0))
        ear.settimeout(1)
        await mine.inside(PYTHON, "-c", PRETEND, *words)

        def listen() -> None:
            try:
                while True:
                    frame = ear.recv(2000)
                    if b"zlh-" in frame:
                        heard.add(frame[frame.index(b"zlh-") :])
            except TimeoutError:
                return

        await asyncio.to_thread(listen)
    assert heard == {b"zlh-honest"}


async def test_another_s_address_brings_nothing(neighbours: Neighbours) -> None:
    """Not by taking it, not by announcing it, not with the hardware address too; the other is reached all the while."""
    mine, other = neighbours.mine, neighbours.other
    announce = (
        f"ip address add {other.address}/24 dev eth0; ip -s neigh flush all >/dev/null 2>&1; "
        f"ip address del {mine.address}/24 dev eth0; "
    )
    await mine.inside("sh", "-c", announce)
    for _ in range(5):
        assert await ask(other.address) == "other"
    assert await ask(mine.address) is None
    await mine.inside(
        "sh", "-c", f"ip link set eth0 down; ip link set eth0 address {mac_of(other.owner)}; ip link set eth0 up"
    )
    for _ in range(5):
        assert await ask(other.address) == "other"
    told = await neighbours.probe()
    assert told["tcp"] != "other"


async def test_an_address_that_is_given_again_is_the_new_one_s(host: OwnHost) -> None:
    """Nothing of the old one answers, and who took it meanwhile is not heard."""
    async with running_guest(host) as thief, AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_guest(host))
        await first.wait_online()
        await stack.aclose()
        network.own_test_hosts.add(first.address)
        assert await ask(first.address, 7443) is None
        await thief.inside("sh", "-c", f"ip address add {first.address}/24 dev eth0")
        start = ["systemd-run", "--quiet", "--unit=listener", "--", PYTHON, "-c", LISTENER]
        await thief.wait_online()
        await thief.inside(*start, "thief", mac_of(thief.owner), "00:00:00:00:00:00")
        await asyncio.sleep(0.5)
        assert await ask(first.address) is None
        async with running_guest(host, address=first.address) as second:
            assert second.address == first.address
            report = await second.wait_online()
            assert report.owner == second.owner != first.owner
            assert await ask(second.address) is None
            assert await ask(thief.address) == "thief"


async def test_a_start_by_hand_is_refused_where_no_rule_is_in_force(host: OwnHost) -> None:
    """LXC itself asks before a container has its network."""
    async with running_guest(host) as guest:
        await host.driver.ensure_stopped(guest.plan, guest.warrant, at_once=True)
        start = ["lxc-start", "-P", str(host.settings.root), "-n", str(guest.plan.vmid)]
        await asyncio.to_thread(subprocess.run, ["nft", "delete", "table", "bridge", host.settings.table], check=True)
        done = await asyncio.to_thread(subprocess.run, start, check=False, capture_output=True)
        assert done.returncode != 0
        # What had begun to start takes a moment to be gone, and counts as running until then.
        async with asyncio.timeout(PATIENCE_S):
            while (seen := await host.driver.observe(guest.plan)).state is State.RUNNING:
                await asyncio.sleep(0.05)
        assert not seen.is_closed
        await host.driver.ensure_closed(guest.plan, guest.warrant)
