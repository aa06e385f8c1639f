"""Each provider with a server behind it: two fakes that speak HTTP on loopback, and a real Knot DNS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import dns.query
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
from aiohttp.test_utils import TestServer

from fakes.clock import FakeClock
from fakes.cloudflare import FakeCloudflare
from fakes.forwarder import Forwarder
from fakes.technitium import FakeTechnitium, content_of
from real_parts.knot import Knot
from zlh_api.circuit import Circuit
from zlh_api.dns.cloudflare import Cloudflare
from zlh_api.dns.mark import MARK_LABEL
from zlh_api.dns.model import ProviderSetting
from zlh_api.dns.port import DnsProvider
from zlh_api.dns.rfc2136 import Rfc2136
from zlh_api.dns.technitium import Technitium
from zlh_api.dns.tsig_connection import Address

ZONE, DOMAIN = "example.test", "apps.example.test"
TARGET = "192.0.2.1"
SETTING = ProviderSetting("public", ZONE, (TARGET,), ("192.0.2.9",), ttl=300)
TIMEOUT_S = 3.0
# A record by name, type and content.
Line = tuple[str, str, str]


class Rig(Protocol):
    """A provider, and what a person can do at its server."""

    clock: FakeClock
    provider: DnsProvider

    async def put(self, name: str, kind: str, content: str) -> None:
        """Put a record there without a mark, or beside ours."""
        ...

    async def drop(self, name: str, kind: str) -> None:
        """Take records away by hand; a mark beside them stays where it is one."""
        ...

    async def records(self) -> set[Line]:
        """Return what leads anywhere below our domain, as the server has it; marks beside it are told apart."""
        ...

    async def marks(self) -> int:
        """Return how many marks there are."""
        ...

    async def stop(self) -> None:
        """Let nobody reach it."""
        ...

    async def start(self) -> None:
        """Let it be reached again."""
        ...

    def revoke(self) -> None:
        """Make our token or key a wrong one."""
        ...

    def grant(self) -> None:
        """Put one that holds into its file."""
        ...


class HttpRig:
    """What both fakes have in common."""

    def __init__(self, fake: Any, folder: Path) -> None:
        self.fake = fake
        self.clock = FakeClock()
        self.token = folder / "token"
        self.server: TestServer = fake.serve()
        self.provider: DnsProvider
        self._port = 0
        self.grant()

    async def stop(self) -> None:
        """Close its port."""
        self._port = self.server.port or 0
        await self.server.close()

    async def start(self) -> None:
        """Open the same port again."""
        self.server = self.fake.serve()
        self.server.port = self._port
        await self.server.start_server()

    def revoke(self) -> None:
        """Let the server know another token."""
        self.fake.token += "x"

    def grant(self) -> None:
        """Put the token that the server knows into the file."""
        self.token.write_text(f"{self.fake.token}\n")
        self.token.chmod(0o600)


class CloudflareRig(HttpRig):
    """Cloudflare."""

    fake: FakeCloudflare

    def __init__(self, folder: Path) -> None:
        super().__init__(FakeCloudflare(ZONE), folder)

    def make(self, setting: ProviderSetting = SETTING) -> Cloudflare:
        """Return a provider of this server."""
        url = str(self.server.make_url("/client/v4"))
        circuit = Circuit("the DNS provider public", clock=self.clock)
        return Cloudflare(
            setting, domain=DOMAIN, url=url, token=self.token, circuit=circuit, clock=self.clock, timeout_s=TIMEOUT_S
        )

    async def put(self, name: str, kind: str, content: str) -> None:
        """Put a record there."""
        self.fake.put(name, kind, content)

    async def drop(self, name: str, kind: str) -> None:
        """Take records away."""
        kept = {key: each for key, each in self.fake.records.items() if (each["name"], each["type"]) != (name, kind)}
        self.fake.records = kept

    async def records(self) -> set[Line]:
        """Return what is there."""
        return {(each["name"], each["type"], _told(each)) for each in self.fake.records.values()}

    async def marks(self) -> int:
        """Count comments."""
        return sum(1 for each in self.fake.records.values() if each["comment"])


def _told(record: dict[str, Any]) -> str:
    """Return what a record of Cloudflare says, with the priority that its text leaves out."""
    return f"{record['priority']} {record['content']}" if record["type"] == "SRV" else str(record["content"])


class TechnitiumRig(HttpRig):
    """Technitium."""

    fake: FakeTechnitium

    def __init__(self, folder: Path) -> None:
        super().__init__(FakeTechnitium(ZONE), folder)

    def make(self, setting: ProviderSetting = SETTING) -> Technitium:
        """Return a provider of this server."""
        url = str(self.server.make_url(""))
        circuit = Circuit("the DNS provider public", clock=self.clock)
        return Technitium(
            setting, domain=DOMAIN, url=url, token=self.token, circuit=circuit, clock=self.clock, timeout_s=TIMEOUT_S
        )

    async def put(self, name: str, kind: str, content: str) -> None:
        """Put a record there."""
        self.fake.put(name, kind, content)

    async def drop(self, name: str, kind: str) -> None:
        """Take records away."""
        self.fake.records = [each for each in self.fake.records if (each["name"], each["type"]) != (name, kind)]
        self.fake.serial += 1

    async def records(self) -> set[Line]:
        """Return what is there."""
        return {(each["name"], each["type"], content_of(each)) for each in self.fake.records}

    async def marks(self) -> int:
        """Count comments."""
        return sum(1 for each in self.fake.records if each.get("comments"))


class KnotRig:
    """A real Knot DNS; what is left by a test before is taken away at the start."""

    def __init__(self, knot: Knot, folder: Path) -> None:
        self.knot = knot
        self.forwarder = Forwarder(knot.port)
        self.clock = FakeClock()
        self.key_file = folder / "key"
        self.provider: DnsProvider
        self.grant()

    @property
    def key(self) -> dns.tsig.Key:
        """The key that the server knows."""
        return dns.tsig.Key(self.knot.key_name, self.knot.secret, self.knot.algorithm)

    def make(self, setting: ProviderSetting = SETTING) -> Rfc2136:
        """Return a provider of this server."""
        return Rfc2136(
            setting,
            domain=DOMAIN,
            address=Address(self.knot.address, self.forwarder.port),
            key_name=self.knot.key_name,
            key=self.key_file,
            algorithm=self.knot.algorithm,
            circuit=Circuit("the DNS provider public", clock=self.clock),
            clock=self.clock,
        )

    async def put(self, name: str, kind: str, content: str) -> None:
        """Put a record there."""
        update = dns.update.UpdateMessage(ZONE, keyring=self.key)
        update.add(f"{name}.", 300, kind, f"{content}." if kind in {"CNAME", "SRV"} else content)
        await self._send(update)

    async def drop(self, name: str, kind: str) -> None:
        """Take records away."""
        update = dns.update.UpdateMessage(ZONE, keyring=self.key)
        update.delete(f"{name}.", kind)
        await self._send(update)

    async def records(self) -> set[Line]:
        """Return what is there."""
        return {line for line in await asyncio.to_thread(self._lines) if line[1] != "TXT"}

    async def marks(self) -> int:
        """Count the TXT records beside."""
        return sum(1 for name, kind, _ in await asyncio.to_thread(self._lines) if kind == "TXT" and MARK_LABEL in name)

    async def clear(self) -> None:
        """Take everything away that a test may have left."""
        update = dns.update.UpdateMessage(ZONE, keyring=self.key)
        for name, _, _ in await asyncio.to_thread(self._lines):
            update.delete(f"{name}.")
        await self._send(update)

    async def stop(self) -> None:
        """Let nobody through to it."""
        await self.forwarder.stop()

    async def start(self) -> None:
        """Let it be reached again."""
        await self.forwarder.start()

    def revoke(self) -> None:
        """Write another key into our file, since the server's is its own."""
        self.key_file.write_text("b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=\n")

    def grant(self) -> None:
        """Write the right one."""
        self.key_file.write_text(f"{self.knot.secret}\n")
        self.key_file.chmod(0o600)

    async def _send(self, update: dns.update.UpdateMessage) -> None:
        answer = await asyncio.to_thread(dns.query.tcp, update, self.knot.address, 10.0, self.knot.port)
        assert answer.rcode() == 0, answer

    def _lines(self) -> set[Line]:
        zone = dns.zone.Zone(ZONE, relativize=False)
        query, _ = dns.xfr.make_query(zone, keyring=self.key)
        dns.query.inbound_xfr(self.knot.address, zone, query, port=self.knot.port, timeout=10)
        return {
            (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(data.rdtype), data.to_text().rstrip("."))
            for name, _, data in zone.iterate_rdatas()
            if name.to_text(omit_final_dot=True).endswith(f".{DOMAIN}")
        }


@asynccontextmanager
async def open_rig(name: str, folder: Path, knot: Knot | None) -> AsyncIterator[Any]:
    """Lend a rig by the name of its provider."""
    rig: Any
    if name == "rfc2136":
        assert knot is not None
        rig = KnotRig(knot, folder)
        await rig.clear()
        await rig.forwarder.start()
    else:
        rig = (CloudflareRig if name == "cloudflare" else TechnitiumRig)(folder)
        await rig.server.start_server()
    rig.provider = rig.make()
    try:
        yield rig
    finally:
        await rig.provider.close()
        await (rig.forwarder.stop() if name == "rfc2136" else rig.server.close())
