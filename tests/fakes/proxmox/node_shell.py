"""The shells of the nodes: an SSH server in this process with a `pct` that works on the cluster's state.

What the driver has run on a stopped guest's files is really run here, on a folder of this machine, without the user
namespace that a node puts around it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncssh

from fakes.proxmox.misbehaviour import Killer
from fakes.proxmox.state import Cluster, Guest, Refusal

NAMESPACE = "lxc-usernsexec -m b:0:100000:65536 -- /usr/bin/python3"


class FakeNodeShells:
    """One server that is every node, told apart by the address that is called."""

    def __init__(
        self,
        cluster: Cluster,
        killer: Killer,
        *,
        mount_root: Path,
        host_key: asyncssh.SSHKey,
        user_key: asyncssh.SSHKey,
    ) -> None:
        self.cluster = cluster
        self.killer = killer
        self.mount_root = mount_root
        self.host_key = host_key
        self._user_key = user_key
        self.hosts = {name: f"127.0.0.{number}" for number, name in enumerate(cluster.nodes, 11)}
        self.port = 0
        self.commands: list[str] = []
        # What can be called on every node.
        self.programs = {"pct", "lxc-usernsexec", "/usr/bin/python3"}

    @property
    def known_hosts(self) -> str:
        """The line by which a client knows every node."""
        public = self.host_key.export_public_key().decode().strip()
        return "".join(f"[{host}]:{self.port} {public}\n" for host in self.hosts.values())

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Answer for the length of the block."""
        authorized = asyncssh.import_authorized_keys(self._user_key.export_public_key().decode())
        acceptors = []
        try:
            for host in self.hosts.values():
                acceptor = await asyncssh.listen(
                    host,
                    self.port,
                    server_host_keys=[self.host_key],
                    authorized_client_keys=authorized,
                    process_factory=self._serve,
                    encoding=None,
                    allow_scp=False,
                )
                self.port = acceptor.get_port()
                acceptors.append(acceptor)
            yield
        finally:
            for acceptor in acceptors:
                acceptor.close()
                await acceptor.wait_closed()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        address = process.get_extra_info("sockname")[0]
        node = next(name for name, host in self.hosts.items() if host == address)
        command = process.command or ""
        stdin = await process.stdin.read() if command.startswith("cd ") else b""
        try:
            output = await self._run(node, command, stdin)
        except Refusal as refusal:
            process.stderr.write(f"{refusal.reason}\n".encode())
            process.exit(255)
            return
        self.commands.append(command)
        if not command.startswith("pct config") and self.killer.note(command[:40]):
            process.channel.get_connection().abort()
            return
        process.stdout.write(output)
        process.exit(0)

    async def _run(self, node: str, command: str, stdin: bytes) -> bytes:
        if not self.cluster.nodes[node].is_up:
            raise Refusal("node is down")
        match command.split(" ", 2):
            case ["pct", verb, vmid] if vmid.isdecimal():
                return await asyncio.to_thread(self._pct, node, verb, int(vmid))
            case ["for", "each", rest]:
                asked = rest.removeprefix("in ").partition(";")[0].split()
                return "".join(f"{name}\n" for name in asked if name not in self.programs).encode()
            case ["cd", *_]:
                return await self._write(command, stdin)
            case _:
                raise Refusal(f"unknown command '{command}'")

    def _pct(self, node: str, verb: str, vmid: int) -> bytes:
        guest = self.cluster.guest(node, vmid)
        match verb:
            case "config":
                return _render(guest.config).encode()
            case "unlock":
                guest.config.pop("lock", None)
            case "mount":
                self._mount(guest)
                return f"mounted CT {vmid} in '{self.mount_root / str(vmid) / 'rootfs'}'\n".encode()
            case "unmount":
                guest.config.pop("lock", None)
                (self.mount_root / str(vmid) / "rootfs").unlink(missing_ok=True)
            case _:
                raise Refusal(f"ERROR: unknown command 'pct {verb}'")
        return b""

    def _mount(self, guest: Guest) -> None:
        guest.check_lock()
        if guest.is_running:
            raise Refusal("can't mount running container")
        root = self.root_of(guest.vmid)
        guest.config["lock"] = "mounted"
        place = self.mount_root / str(guest.vmid)
        place.mkdir(parents=True, exist_ok=True)
        (place / "rootfs").symlink_to(root)

    def root_of(self, vmid: int) -> Path:
        """Return where a guest keeps its files, a bare system's folders among them."""
        root = self.cluster.roots / str(vmid)
        (root / "etc").mkdir(parents=True, exist_ok=True)
        return root

    async def _write(self, command: str, stdin: bytes) -> bytes:
        assert NAMESPACE in command
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command.replace(NAMESPACE, sys.executable),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await child.communicate(stdin)
        if child.returncode:
            raise Refusal(errors.decode().strip())
        return output


def _render(config: dict[str, Any]) -> str:
    """Return a configuration as `pct config` prints it."""
    lines = []
    for name, value in sorted(config.items()):
        text = quote(str(value), safe=" !\"#$&'()*+,-./;<=>?@[]^_`{|}~") if name == "description" else str(value)
        lines.append(f"{name}: {text}\n")
    return "".join(lines)
