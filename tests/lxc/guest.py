"""A real container and the API's way to its agent: made by the `lxc` driver, unprivileged, with systemd."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from fakes.certificates import Certificates
from fakes.warrant import FakeWarrant
from guards import network
from lxc.own_host import PORT, OwnHost
from zlh_api.drivers.port import GuestPlan, Identity
from zlh_common.names import OwnerMark, agent_name
from zlh_common.schema.console_wire import OFFSET_BYTES, SUBPROTOCOL
from zlh_common.schema.resources import Resources
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode, encode

PATIENCE_S = 60.0


@dataclass
class Guest:
    """One container and the API's way to its agent."""

    folder: Path
    address: str
    owner: OwnerMark
    tls: ssl.SSLContext
    plan: GuestPlan
    warrant: FakeWarrant
    generation: int = 0

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a program as root of the container; return what it prints."""
        inside = ["lxc-attach", "-P", str(self.folder.parent), "-n", self.folder.name, "--clear-env", "--"]
        done = subprocess.run([*inside, *argv], check=False, capture_output=True, text=True, timeout=PATIENCE_S)
        if check and done.returncode:
            raise AssertionError(f"{argv}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout.strip()

    async def inside(self, *argv: str, check: bool = True) -> str:
        """Do the same beside the loop."""
        return await asyncio.to_thread(lambda: self.run(*argv, check=check))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a client that is the API."""
        async with aiohttp.ClientSession(f"https://{self.address}:{PORT}") as session:
            yield session

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return the body of an answer below 300."""
        name = agent_name(self.owner)
        async with (
            self.client() as session,
            session.request(method, path, data=body, ssl=self.tls, server_hostname=name) as answer,
        ):
            said = await answer.read()
            assert answer.status < 300, said
            return said

    async def want(self, **spec: object) -> None:
        """Give the agent its next spec."""
        self.generation += 1
        await self.call("PUT", "/spec", encode(AgentSpec(generation=self.generation, **spec)))  # type: ignore[arg-type]

    async def status(self) -> AgentStatus:
        """Return the agent's report."""
        return decode(await self.call("GET", "/status"), AgentStatus)

    async def wait_online(self) -> AgentStatus:
        """Return the first report that the agent gives."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    return await self.status()
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running_guest(
    host: OwnHost,
    *,
    resources: Resources | None = None,
    address: str | None = None,
    trusted_root: Path | None = None,
) -> AsyncIterator[Guest]:
    """Have the driver make and start a container; it is gone when the block ends."""
    plan = host.new_plan(resources or Resources(memory_mib=1024), address=address)
    guest = await asyncio.to_thread(_made_guest, host, plan)
    identity = await asyncio.to_thread(_identity, host, plan, trusted_root)
    driver = host.driver
    try:
        await driver.ensure_created(plan, guest.warrant)
        await driver.ensure_closed(plan, guest.warrant)
        await driver.ensure_identity(plan, identity, guest.warrant)
        await driver.ensure_started(plan, guest.warrant)
        network.own_test_hosts.add(guest.address)
        yield guest
    finally:
        await driver.ensure_destroyed(plan, guest.warrant)
        network.own_test_hosts.discard(guest.address)


def _certificates(host: OwnHost) -> Certificates:
    return Certificates(host.settings.root.parent / "authority")


def _made_guest(host: OwnHost, plan: GuestPlan) -> Guest:
    assert plan.address is not None
    tls = _certificates(host).api()
    return Guest(host.settings.root / str(plan.vmid), plan.address, plan.owner, tls, plan, FakeWarrant(plan))


def _identity(host: OwnHost, plan: GuestPlan, trusted_root: Path | None) -> Identity:
    authority = _certificates(host).authority
    issued = authority.issue_agent(plan.owner)
    root = b"{}" if trusted_root is None else trusted_root.read_bytes()
    return Identity(issued.certificate, issued.private_key, authority.api_ca, root)


class Follower:
    """A viewer who comes back after every cut, at the byte where he was; whatever is missing or twice is a failure."""

    def __init__(self, guest: Guest, path: str) -> None:
        self._guest = guest
        self._path = path
        self._data = bytearray()
        self._task = asyncio.create_task(self._follow_for_ever())

    def has_failed(self) -> bool:
        """Tell whether it saw what must not be; `until` says what."""
        return self._task.done()

    def text(self) -> str:
        """Return everything that was seen."""
        return self._data.decode()

    async def until(self, offset: int) -> None:
        """Return once all bytes before `offset` were seen, and let go."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(self._data) < offset and not self._task.done():
                    await asyncio.sleep(0.05)
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow_for_ever(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._follow()
            await asyncio.sleep(0.05)

    async def _follow(self) -> None:
        guest = self._guest
        async with (
            guest.client() as session,
            session.ws_connect(
                f"{self._path}?from={len(self._data)}",
                ssl=guest.tls,
                server_hostname=agent_name(guest.owner),
                protocols=(SUBPROTOCOL,),
            ) as socket,
        ):
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    assert int.from_bytes(message.data[:OFFSET_BYTES]) == len(self._data)
                    self._data += message.data[OFFSET_BYTES:]
                else:
                    assert '"gap"' not in message.data
