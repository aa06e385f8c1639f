"""Files of a stopped guest, through a shell on its node: what Proxmox's API has no call for.

`pct mount` shows the guest's root file system on the node, and its customer may have left anything in it: links to
places of the node, or to another guest's files, which the same mapped root owns. So

- nothing of the guest is run: the writer is the node's own Python, whose text comes with the call;
- it runs as the guest's root, in a user namespace, and has no right on the node that a guest has not;
- it begins at the open root folder and goes from folder to folder by descriptor, following no link, so it cannot leave;
- it writes new files only and renames them into place, so it opens nothing that was there.

Contents travel on standard input. The guest does not run, and its lock `mounted` keeps it from starting meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncssh

from zlh_api.drivers.port import GuestFailed, GuestForeign, GuestPlan, SystemAway, Warrant
from zlh_api.drivers.proxmox.mark import parse_mark
from zlh_api.drivers.proxmox.refusals import GuestLocked, find_lock
from zlh_api.ssh_trust import read_trust
from zlh_common.errors import ZlhError
from zlh_common.names import Vmid

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
RETRY_S = 5.0
PROGRAMS = ("pct", "lxc-usernsexec", "/usr/bin/python3")
# How Proxmox maps the users of an unprivileged container.
MAPPING = "b:0:100000:65536"

WRITER = """
import json, os, sys
order = json.load(sys.stdin)
place = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
for part in order["folder"]:
    try:
        os.mkdir(part, 0o755, dir_fd=place)
    except FileExistsError:
        pass
    try:
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
    except OSError as error:
        sys.exit("%s is no folder of the guest: %s" % (part, error.strerror))
    os.close(place)
    place = below
os.fchmod(place, 0o700)
for name, text in order["files"]:
    fresh = "." + name + ".new"
    try:
        os.unlink(fresh, dir_fd=place)
    except FileNotFoundError:
        pass
    made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=place)
    with os.fdopen(made, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(made)
    os.rename(fresh, name, src_dir_fd=place, dst_dir_fd=place)
os.fsync(place)
"""


class NodeShellFailed(ZlhError):
    """The shell on a node of Proxmox cannot be used."""

    code, status, retryable = "node_shell_failed", 502, True

    def __init__(self, *, node: str, reason: str) -> None:
        super().__init__(f"The shell on Proxmox node {node} cannot be used: {reason}.", node=node)


@dataclass(frozen=True, slots=True)
class ShellAccess:
    """How the nodes are reached, and by what they are known."""

    user: str
    key: Path
    known_hosts: Path
    port: int = 22
    # Where a node is reached under another name than its own.
    hosts: Mapping[str, str] = field(default_factory=dict)
    mount_root: Path = Path("/var/lib/lxc")


class NodeShell:
    """Runs `pct` and our writer on a node."""

    def __init__(self, access: ShellAccess) -> None:
        self._access = access
        self._trust: tuple[asyncssh.SSHKey, asyncssh.SSHKnownHosts] | None = None

    async def open(self) -> None:
        """Read key and known hosts; raise ConfigInvalid where they cannot be used."""
        if self._trust is None:
            # It tells of every channel and every command.
            asyncssh.set_log_level(logging.WARNING)
            self._trust = await asyncio.to_thread(read_trust, self._access.key, self._access.known_hosts)

    async def find_missing_programs(self, node: str) -> list[str]:
        """Return which programs that are used here the node does not have; nothing is changed."""
        async with self._connect(node) as connection:
            asked = f"for each in {' '.join(PROGRAMS)}; do command -v $each > /dev/null || echo $each; done"
            return (await _run(connection, node, "looking for programs", asked, b"")).split()

    async def unlock(self, plan: GuestPlan, node: str, warrant: Warrant) -> None:
        """Take the lock away that a crash has left; the caller has seen that nobody is at work."""
        async with self._connect(node) as connection:
            warrant.check()
            await _pct(connection, node, "unlock", plan.vmid)

    async def unmount(self, plan: GuestPlan, node: str, warrant: Warrant) -> None:
        """Take a mount back that a crash has left."""
        async with self._connect(node) as connection:
            warrant.check()
            await _pct(connection, node, "unmount", plan.vmid)

    async def put(self, plan: GuestPlan, node: str, files: Sequence[tuple[str, str]], warrant: Warrant) -> None:
        """Write files into `/etc/zlh` of the stopped guest, one after the other, for its root alone."""
        async with self._connect(node) as connection:
            await _refuse_foreign(connection, node, plan)
            warrant.check()
            await _pct(connection, node, "mount", plan.vmid)
            try:
                warrant.check()
                await self._write(connection, node, plan.vmid, files)
            finally:
                await _pct(connection, node, "unmount", plan.vmid)

    async def _write(
        self, connection: asyncssh.SSHClientConnection, node: str, vmid: Vmid, files: Sequence[tuple[str, str]]
    ) -> None:
        root = self._access.mount_root / str(vmid) / "rootfs"
        writer = ["lxc-usernsexec", "-m", MAPPING, "--", "/usr/bin/python3", "-I", "-S", "-c", WRITER]
        # The folder is entered with the node's own right; the namespace inherits it as its place.
        command = f"cd {shlex.quote(str(root))} && exec {shlex.join(writer)}"
        order = json.dumps({"folder": ["etc", "zlh"], "files": files})
        await _run(connection, node, "writing into the guest", command, order.encode())

    @asynccontextmanager
    async def _connect(self, node: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
        await self.open()
        assert self._trust is not None
        key, known = self._trust
        try:
            connection = await asyncssh.connect(
                self._access.hosts.get(node, node),
                port=self._access.port,
                username=self._access.user,
                client_keys=[key],
                known_hosts=known,
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                connect_timeout=CONNECT_TIMEOUT_S,
                login_timeout=CONNECT_TIMEOUT_S,
                keepalive_interval=CONNECT_TIMEOUT_S,
            )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied) as exc:
            raise NodeShellFailed(node=node, reason=str(exc) or type(exc).__name__) from exc
        except (asyncssh.Error, OSError, TimeoutError) as exc:
            raise SystemAway(
                system=f"SSH of Proxmox node {node}", reason=str(exc) or type(exc).__name__, retry_in_s=RETRY_S
            ) from exc
        async with connection:
            yield connection


async def _refuse_foreign(connection: asyncssh.SSHClientConnection, node: str, plan: GuestPlan) -> None:
    """Ask the node itself whose guest this is: the number alone proves nothing."""
    text = await _pct(connection, node, "config", plan.vmid)
    lines = [line.partition(": ") for line in text.splitlines()]
    config = {name: unquote(value) for name, _colon, value in lines}
    if parse_mark(config) != plan.owner:
        raise GuestForeign(vmid=plan.vmid, where=f"CT {plan.vmid} on node {node}")


async def _pct(connection: asyncssh.SSHClientConnection, node: str, verb: str, vmid: Vmid) -> str:
    return await _run(connection, node, f"pct {verb}", shlex.join(["pct", verb, str(vmid)]), b"")


async def _run(connection: asyncssh.SSHClientConnection, node: str, what: str, command: str, stdin: bytes) -> str:
    try:
        # Without any input the other side would wait for its end for ever.
        source: dict[str, Any] = {"input": stdin} if stdin else {"stdin": asyncssh.DEVNULL}
        done = await connection.run(command, **source, encoding=None, check=False, timeout=COMMAND_TIMEOUT_S)
    except (asyncssh.Error, OSError, TimeoutError) as exc:
        raise SystemAway(
            system=f"SSH of Proxmox node {node}", reason=f"{what}: {str(exc) or type(exc).__name__}", retry_in_s=RETRY_S
        ) from exc
    said = _text(done.stderr).strip()
    if done.exit_status == 0:
        return _text(done.stdout)
    if (lock := find_lock(said)) is not None:
        raise GuestLocked(lock=lock)
    raise GuestFailed(what=f"{what} on node {node}", reason=said or f"it ended with {done.exit_status}")


def _text(output: object) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else str(output or "")
