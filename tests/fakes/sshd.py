"""A real sshd of OpenSSH on loopback, for one user and one key, that gives SFTP and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncssh

from guards.ports import free_port
from zlh_api.edge.sftp_connection import SftpAccess

# Where Debian puts it, which is not on everybody's PATH.
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
START_S = 10.0


@dataclass
class Sshd:
    """One server; `start` and `stop` may be repeated, and the port stays."""

    folder: Path
    user: str = field(default_factory=getpass.getuser)
    # Further lines of its configuration.
    extra: str = "ForceCommand internal-sftp -u 0077"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Make keys and configuration."""
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self.folder / "key", self.key.export_private_key())
        (self.folder / "authorized").write_bytes(self.key.export_public_key())
        self.change_host_key()
        self.configure(self.extra)

    def change_host_key(self, kind: str = "ssh-ed25519", *, is_known: bool = True) -> None:
        """Give the machine another key, as a new machine has it."""
        host_key = asyncssh.generate_private_key(kind)
        write_private(self.folder / "host_key", host_key.export_private_key())
        if is_known:
            public = host_key.export_public_key().decode()
            (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")

    def configure(self, extra: str) -> None:
        """Write what it does beside the usual; it is read at the next start."""
        (self.folder / "config").write_text(
            f"""ListenAddress 127.0.0.1:{self.port}
HostKey {self.folder}/host_key
AuthorizedKeysFile {self.folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
{extra}
"""
        )

    def access(self, **changes: object) -> SftpAccess:
        """Return how it is reached."""
        known = {"key": self.folder / "key", "known_hosts": self.folder / "known_hosts"}
        fields = {"host": "127.0.0.1", "port": self.port, "user": self.user, **known, **changes}
        return SftpAccess(**fields)  # type: ignore[arg-type]

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "config")], stderr=log)
        wait_listening(self.port, self.folder / "log")

    def stop(self) -> None:
        """End it; what it serves at the moment goes on until its connection ends."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """Return what it has said."""
        return (self.folder / "log").read_text()


def write_private(path: Path, content: bytes) -> None:
    """Write what nobody else may read."""
    path.write_bytes(content)
    path.chmod(0o600)


def wait_listening(port: int, log: Path) -> None:
    """Return when somebody listens there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens: {log.read_text()}")


class CutProxy:
    """Hands bytes on between a client and the server, and cuts the line after so many of them in one direction."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        # From the moment that `arm` was called.
        self.limit: int | None = None
        self.is_upward = True
        self.passed = {True: 0, False: 0}
        self.is_hanging = False
        # How often somebody has come.
        self.lines = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Cut every line."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def arm(self, limit: int | None, *, is_upward: bool = True) -> None:
        """Cut after so many more bytes to the server, or to the client; None: never."""
        self.limit, self.is_upward = limit, is_upward
        self.passed = {True: 0, False: 0}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.lines += 1
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            self._tasks.discard(task)
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, is_upward=True))
                group.create_task(self._pump(up_reader, writer, is_upward=False))
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, up_writer):
                end.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_upward: bool) -> None:
        while data := await reader.read(65536):
            while self.is_hanging:
                await asyncio.sleep(0.01)
            if self.limit is not None and is_upward is self.is_upward:
                data = data[: max(0, self.limit - self.passed[is_upward])]
            self.passed[is_upward] += len(data)
            writer.write(data)
            await writer.drain()
            if self.limit is not None and is_upward is self.is_upward and self.passed[is_upward] >= self.limit:
                self.limit = None
                # What was handed on shall arrive before the line is gone.
                await asyncio.sleep(0.005)
                raise ConnectionAbortedError
        raise ConnectionAbortedError
