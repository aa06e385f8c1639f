"""A real agent process with its own folder and certificate, without an API: what the API would do is done here."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from uuid import uuid4

import aiohttp
import msgspec

from bench.measure import Run
from bench.programs import START_S, our_environment, running
from bench.sockets import Address
from guards.ports import free_port
from zlh_api.agents.authority import Authority
from zlh_api.drivers.agent_config import AgentPlace, AgentSettings, render_agent_files
from zlh_api.drivers.port import Identity
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark, Vmid, agent_name

SHUTDOWN_S = 10.0


@dataclass
class RealAgent:
    """The folder of one agent, which outlives the lives of its process."""

    folder: Path
    keys: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    owner: OwnerMark = field(default_factory=lambda: OwnerMark(str(uuid4())))
    tls: ssl.SSLContext = field(init=False)
    pid: int = 0

    def __post_init__(self) -> None:
        authority = Authority(self.keys, SystemClock())
        issued = authority.issue_agent(self.owner)
        self.tls = authority.client_context()
        config = self.folder / "etc/zlh"
        config.mkdir(parents=True)
        settings = AgentSettings("http://127.0.0.1:9", self.port, ["stable"])
        place = AgentPlace(Vmid(101), self.owner, self.folder, self.host)
        identity = Identity(issued.certificate, issued.private_key, authority.api_ca, b"{}")
        for name, content in render_agent_files(settings, place, identity).items():
            (config / name).write_bytes(content)

    @classmethod
    def make(cls, run: Run) -> RealAgent:
        """Return an agent that has never been started."""
        folder = run.fresh_folder("agent")
        return cls(folder / "root", folder / "keys")

    @property
    def config(self) -> Path:
        """The file that it is started with."""
        return self.folder / "etc/zlh/agent.toml"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "agent.log"

    @asynccontextmanager
    async def started(self) -> AsyncIterator[float]:
        """Run it for the length of the block; yields the seconds from exec to READY. Its terminals outlive it."""
        # In the abstract namespace, since the path of a temporary folder may be too long.
        notified = f"zlh-bench-{uuid4()}"
        with socket(AF_UNIX, SOCK_DGRAM) as inbox:
            inbox.bind(f"\0{notified}")
            inbox.setblocking(False)
            argv = [sys.executable, "-m", "zlh_agent", "--config", str(self.config)]
            began = time.perf_counter()
            async with running(argv, log=self.log, env=our_environment(NOTIFY_SOCKET=f"@{notified}")) as child:
                await self._wait_ready(inbox, child)
                self.pid = child.pid
                yield time.perf_counter() - began

    async def _wait_ready(self, inbox: socket, child: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(START_S):
            while True:
                hearing = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(inbox, 4096))
                done, _ = await asyncio.wait({hearing}, timeout=1)
                if done and b"READY=1" in hearing.result():
                    return
                hearing.cancel()
                if child.poll() is not None:
                    raise RuntimeError(f"the agent ended: {self.log.read_text()[-2000:]}")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a client with the API's certificate."""
        async with aiohttp.ClientSession(f"https://{self.host}:{self.port}") as session:
            yield session

    async def call(self, session: aiohttp.ClientSession, method: str, path: str, *, body: bytes | None = None) -> bytes:
        """Return the body of an answer."""
        name = agent_name(self.owner)
        async with session.request(method, path, data=body, ssl=self.tls, server_hostname=name) as answer:
            body = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {body[:500]!r}")
            return body

    async def open_terminal(self, session: aiohttp.ClientSession) -> str:
        """Open a terminal and return its id."""
        opened: dict[str, str] = msgspec.json.decode(await self.call(session, "POST", "/terminals"))
        return opened["id"]

    async def close_terminals(self) -> None:
        """End every terminal; for the end of a case, while the agent runs."""
        async with self.client() as session:
            listed = msgspec.json.decode(await self.call(session, "GET", "/terminals"))
            for row in listed["items"]:
                await self.call(session, "DELETE", f"/terminals/{row['id']}")

    def address(self) -> Address:
        """Return where it is reached."""
        return Address(self.host, self.port, "", tls=self.tls, name=agent_name(self.owner))

    def shims(self) -> list[int]:
        """Return the processes of its shims."""
        return find_shims(self.folder, but=(self.pid,))


def find_shims(folder: Path, *, but: tuple[int, ...]) -> list[int]:
    """Return who keeps a ring below `folder` open, the agent left out."""
    return [pid for pid in _pids() if pid not in but and _holds_ring(pid, str(folder))]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _holds_ring(pid: int, folder: str) -> bool:
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(link.startswith(folder) and link.endswith("/ring") for link in links)
