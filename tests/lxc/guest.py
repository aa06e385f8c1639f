"""A real container: unprivileged, with systemd, on a bridge of its own, cloned from our template by an overlay."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp

from fakes.certificates import Certificates
from zlh_api.drivers.agent_config import AgentPlace, AgentSettings, render_agent_config
from zlh_common.names import OwnerMark, Vmid, agent_name
from zlh_common.schema.console_wire import OFFSET_BYTES, SUBPROTOCOL
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode, encode

ROOT = Path(__file__).parents[2]
# The first uid of the container outside of it, as in `root:100000:65536` of /etc/subuid.
SHIFT = 100_000
PORT = 7443
PATIENCE_S = 60.0
CONFIG = """
lxc.uts.name = {name}
lxc.rootfs.path = overlay:{template}:{delta}
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.ipv4.address = {address}/24
lxc.cgroup.memory.limit_in_bytes = {memory}
lxc.cgroup2.memory.max = {memory}
lxc.signal.halt = SIGRTMIN+3
lxc.autodev = 1
"""


@functools.cache
def ensure_template() -> Path:
    """Return the template, shifted to the container's uids, with the agent of this checkout, renewed once a run."""
    folder = Path(os.environ.get("ZLH_TEST_TEMPLATE", "/var/cache/zlh-test-template"))
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    root = folder / "root"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = [sys.executable, str(ROOT / "deploy/container/build_template.py")]
        if not (folder / "ready").exists():
            shutil.rmtree(root, ignore_errors=True)
            subprocess.run([*builder, str(root), "--shift", str(SHIFT)], check=True, capture_output=True)
            (folder / "ready").touch()
        renew = [*builder, str(root), "--agent-alone", "--shift", str(SHIFT)]
        subprocess.run(renew, check=True, capture_output=True)
    return root


def passable_folder() -> Path:
    """Make a folder that the container's users may pass, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="zlh-lxc-"))
    folder.chmod(0o711)
    for above in folder.parents[:-2]:
        above.chmod(above.stat().st_mode | 0o011)
    return folder


def shift(root: Path) -> None:
    """Give everything below to the container's own users, setuid programs as such."""
    for folder, names, files in os.walk(root):
        for name in (*names, *files, "."):
            path = Path(folder, name)
            status = path.lstat()
            if status.st_uid < SHIFT:
                os.chown(path, status.st_uid + SHIFT, status.st_gid + SHIFT, follow_symlinks=False)
                if not path.is_symlink():
                    path.chmod(status.st_mode & 0o7777)


@dataclass(frozen=True)
class Bridge:
    """A network of the test's own: the bridge, and the first three numbers of the addresses on it."""

    name: str
    net: str


@contextmanager
def made_bridge() -> Iterator[Bridge]:
    """Make a bridge that leads nowhere."""
    name, net = f"zlh{os.getpid() % 100_000}", "10.213.77"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{net}.1/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield Bridge(name, net)
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


@dataclass
class Guest:
    """One container and the API's way to its agent."""

    name: str
    folder: Path
    address: str
    owner: OwnerMark
    tls: ssl.SSLContext
    generation: int = 0

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a program as root of the container; return what it prints."""
        inside = ["lxc-attach", "-P", str(self.folder.parent), "-n", self.name, "--clear-env", "--"]
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
    template: Path,
    folder: Path,
    bridge: Bridge,
    *,
    memory: str = "1G",
    url: str = "http://127.0.0.1:9",
    trusted_root: Path | None = None,
) -> AsyncIterator[Guest]:
    """Clone, configure and start a container that installs from `url`; it is gone when the block ends."""
    name = f"dev-{os.getpid()}"
    guest = await asyncio.to_thread(_prepare, name, template, folder, bridge, memory)
    config = guest.folder / "delta/etc/zlh"
    await asyncio.to_thread(_write_config, config, guest, url, trusted_root)
    start = ["lxc-start", "-P", str(folder), "-n", name, "-o", str(folder / "lxc.log"), "-l", "INFO"]
    await asyncio.to_thread(subprocess.run, start, check=True, timeout=PATIENCE_S)
    try:
        yield guest
    finally:
        stop = ["lxc-stop", "-P", str(folder), "-n", name, "--kill"]
        await asyncio.to_thread(subprocess.run, stop, check=False, capture_output=True, timeout=PATIENCE_S)


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


def _prepare(name: str, template: Path, folder: Path, bridge: Bridge, memory: str) -> Guest:
    """Write what the container is, and what its driver puts in before the first start."""
    certificates = Certificates(folder / "authority")
    guest = Guest(name, folder / name, f"{bridge.net}.10", OwnerMark(str(uuid4())), certificates.api())
    delta = guest.folder / "delta"
    config = delta / "etc/zlh"
    certificates.write_agent(config, guest.owner)
    (config / "agent.key").chmod(0o600)
    shift(delta)
    guest.folder.chmod(0o711)
    os.chown(guest.folder, SHIFT, SHIFT)
    (guest.folder / "config").write_text(
        CONFIG.format(
            name=name, template=template, delta=delta, bridge=bridge.name, address=guest.address, memory=memory
        )
    )
    return guest


def _write_config(folder: Path, guest: Guest, url: str, trusted_root: Path | None) -> None:
    (folder / "root.json").write_bytes(b"{}" if trusted_root is None else trusted_root.read_bytes())
    settings = AgentSettings(url, PORT, ["stable"])
    place = AgentPlace(
        Vmid(101), guest.owner, Path("/"), "0.0.0.0", terminal_user="dev", install_user="zlh-install", has_systemd=True
    )
    (folder / "agent.toml").write_text(render_agent_config(settings, place))
    shift(folder)
