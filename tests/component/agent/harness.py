"""A whole agent of its own process, spoken to over mutual TLS, and the small things that every test of it needs."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil

from fakes.certificates import Certificates
from guards.ports import free_port
from zlh_common.names import OwnerMark, agent_name
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import AgentStatus, Step
from zlh_common.schema.structs import decode, encode

OWNER = OwnerMark("6f6b3c1e-0d2f-4c51-9d3c-0b6f4f7f2a11")
# Generous, since the machine may be busy; nothing waits this long when all is well.
PATIENCE_S = 120.0
# Every agent loads what is named here as it starts, and none in a container has it or needs it: the log's pictures of
# errors are drawn with a library of the API's, and no agent of a test speaks to servers with certificates of the world.
ABSENT = Path(__file__).parent / "absent"
BARE = {"SSL_CERT_FILE": str(ABSENT / "authorities.pem")}


def write_config(
    folder: Path, *, root: Path, port: int, url: str, trusted_root: Path, address: str = "127.0.0.1"
) -> Path:
    """Write agent.toml beside the certificates."""
    (folder / "root.json").write_bytes(trusted_root.read_bytes())
    path = folder / "agent.toml"
    path.write_text(
        f'vmid = 101\nowner = "{OWNER}"\nroot = "{root}"\nbind_address = "{address}"\nport = {port}\n'
        f'artifacts_url = "{url}"\n[tls]\ncertificate = "agent.crt"\nprivate_key = "agent.key"\n'
        'client_ca = "api-ca.crt"\n[trust]\nroot = "root.json"\n'
    )
    return path


@dataclass
class AgentProcess:
    """One container's agent; it can be started, killed and started again."""

    folder: Path
    config: Path
    port: int
    certificates: Certificates
    context: ssl.SSLContext
    process: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)
    generation: int = 0
    address: str = "127.0.0.1"

    @property
    def root(self) -> Path:
        """The container's file system."""
        return self.folder / "root"

    @property
    def runtimes(self) -> Path:
        """Where runtimes are installed."""
        return self.root / "opt/zlh/runtimes"

    @property
    def log(self) -> Path:
        """What the agent says."""
        return self.folder / "agent.log"

    async def start(self) -> None:
        """Start it and wait until it serves."""
        await self.launch()
        await self.served()

    async def served(self) -> None:
        """Wait until it serves."""
        await eventually(self._serves, explain=self.log.read_text)

    async def launch(self) -> None:
        """Start it and wait for nothing."""
        environment = {**os.environ, **BARE, **self.environment}
        environment["PYTHONPATH"] = os.pathsep.join([str(ABSENT), *filter(None, sys.path)])
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zlh_agent", "--config", str(self.config),
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, env=environment,
            )  # fmt: skip

    async def stop(self) -> int:
        """End it as systemd does; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def kill(self) -> None:
        """End it without a warning, and see its children gone."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        await self.process.wait()
        await eventually(lambda: not any(map(is_alive, children)))

    def children(self) -> list[psutil.Process]:
        """Return what runs below the agent."""
        if self.process is None or self.process.returncode is not None:
            return []
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def install_children(self) -> list[psutil.Process]:
        """Return the install children that run."""
        return [child for child in self.children() if any("install_child" in word for word in command_of(child))]

    async def call(
        self, method: str, path: str, *, context: ssl.SSLContext | None = None, **options: Any
    ) -> tuple[int, bytes]:
        """Call the agent as the API does, or as whoever `context` is; return status and body."""
        connector = aiohttp.TCPConnector(ssl=context or self.context)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session,
            session.request(
                method, f"https://{self.address}:{self.port}{path}", server_hostname=agent_name(OWNER), **options
            ) as response,
        ):
            return response.status, await response.read()

    async def status(self) -> AgentStatus:
        """Return the agent's report."""
        code, body = await self.call("GET", "/status")
        assert code == 200, body
        return decode(body, AgentStatus)

    async def want(
        self, *runtimes: tuple[str, str], generation: int | None = None, processes: Sequence[WantedProcess] = ()
    ) -> AgentStatus:
        """Put a spec with the next generation; return the answer."""
        wanted = [WantedRuntime(name=name, version=version) for name, version in runtimes]
        return await self.want_versions(*wanted, generation=generation, processes=processes)

    async def want_versions(
        self, *runtimes: WantedRuntime, generation: int | None = None, processes: Sequence[WantedProcess] = ()
    ) -> AgentStatus:
        """Put a spec that says which version is what; return the answer."""
        self.generation = generation or self.generation + 1
        code, body = await self.put_spec(self.generation, *runtimes, processes=processes)
        assert code == 202, body
        return decode(body, AgentStatus)

    async def put_spec(
        self, generation: int, *runtimes: WantedRuntime, processes: Sequence[WantedProcess] = ()
    ) -> tuple[int, bytes]:
        """Put a spec of this very generation; return status and body."""
        spec = AgentSpec(generation=generation, runtimes=runtimes, processes=tuple(processes))
        return await self.call("PUT", "/spec", data=encode(spec))

    async def want_spec(self, **spec: Any) -> AgentStatus:
        """Put a spec of these fields with the next generation; return the answer."""
        self.generation += 1
        wanted = AgentSpec(generation=self.generation, **spec)
        code, body = await self.call("PUT", "/spec", data=encode(wanted))
        assert code == 202, body
        return decode(body, AgentStatus)

    async def until(self, is_so: Callable[[AgentStatus], bool]) -> AgentStatus:
        """Wait until a report says so, and return it."""
        seen: list[AgentStatus] = []

        async def look() -> bool:
            seen[:] = [await self.status()]
            return is_so(seen[0])

        await eventually(look, explain=lambda: repr(seen))
        return seen[0]

    async def settled(self) -> AgentStatus:
        """Wait until the newest generation was reached or has failed for good."""
        return await self.until(lambda status: status.observed_generation == self.generation)

    def names(self, name: str = "tiny") -> list[str]:
        """Return what stands in the folder of a runtime, hidden things too."""
        return sorted(path.name for path in (self.runtimes / name).iterdir())

    def leftovers(self) -> list[str]:
        """Return what an install has left besides trees, records and links."""
        return self.leftovers_but_downloads() + [str(path) for path in (self.root / "var/lib/zlh/downloads").glob("*")]

    def leftovers_but_downloads(self) -> list[str]:
        """Return what an install has left besides trees, records, links and what it has downloaded."""
        return [str(path) for path in self.runtimes.glob("*/.staging-*")]

    def current(self, name: str = "tiny") -> str | None:
        """Return the version that `current` leads to, where it really runs."""
        link = self.runtimes / name / "current"
        return str(link.readlink()) if link.is_symlink() and (link / "bin" / name).is_file() else None

    async def smoke_test_begun(self) -> Path:
        """Wait for a smoke test that touches `$HOME/begun`; return that folder, the only one where it sees us."""
        found: list[Path] = []

        def look() -> bool:
            found[:] = [path.parent for path in self.runtimes.glob("*/.staging-*/scratch/begun")]
            return bool(found)

        await eventually(look)
        return found[0]

    async def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()
        try:
            return (await self.call("GET", "/healthz"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False


def make_agent(
    folder: Path, certificates: Certificates, *, url: str, trusted_root: Path, address: str = "127.0.0.1"
) -> AgentProcess:
    """Lay out an agent's folder; nothing runs yet."""
    port = free_port()
    certificates.write_agent(folder, OWNER)
    (folder / "root").mkdir(exist_ok=True)
    config = write_config(folder, root=folder / "root", port=port, url=url, trusted_root=trusted_root, address=address)
    return AgentProcess(folder, config, port, certificates, certificates.api(), address=address)


async def end(agent: AgentProcess) -> None:
    """End an agent in whatever state a test has left it, and what runs below it."""
    children = agent.children()
    if agent.process is not None and agent.process.returncode is None:
        agent.process.send_signal(signal.SIGCONT)
        agent.process.kill()
        await agent.process.wait()
    await eventually(lambda: not any(map(is_alive, children)))


async def eventually(
    is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait until it is so."""
    due = time.monotonic() + PATIENCE_S
    while True:
        answer = is_so()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < due, f"it never came to be so: {explain()}"
        await asyncio.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> Sequence[str]:
    """Return the words of a process, none where it has gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def step(status: AgentStatus, name: str = "tiny") -> Step:
    """Return the step that installs `name`."""
    (found,) = [entry for entry in status.steps if entry.name == f"install-{name}"]
    return found


def code_of(body: bytes) -> str:
    """Return the code of a problem document."""
    return str(msgspec.json.decode(body)["code"])
