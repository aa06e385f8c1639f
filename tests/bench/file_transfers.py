"""A large file to an agent and back over mutual TLS, against nginx with the same certificates, and its memory then."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.measure import (
    MB,
    MIB,
    Case,
    Row,
    Run,
    Samples,
    Stopwatch,
    at_most,
    forget_peak_rss,
    ratio_at_least,
    read_peak_rss,
    read_rss,
)
from bench.programs import our_environment, running, wait_port
from bench.real_agent import RealAgent
from guards.ports import free_port
from zlh_common.names import agent_name

BYTES, QUICK_BYTES = 2_000_000_000, 64_000_000
CROWD, CROWD_BYTES, QUICK_CROWD_BYTES = 64, 20_000_000, 2_000_000
NAME = "bench.bin"
# The same as the agent has: one process, TLS 1.3 with certificates on both sides, large blocks.
_NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; client_body_buffer_size 1m;
  output_buffers 2 1m; sendfile off; root {folder}/files;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {keys}/agent.crt; ssl_certificate_key {keys}/agent.key;
    ssl_client_certificate {keys}/api-ca.crt; ssl_verify_client on; ssl_verify_depth 3;
    location / {{ dav_methods PUT; }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """Who takes a file and gives it back: where it listens, the path of the file there, and where it lies then."""

    port: int
    path: str
    file: Path


@dataclass(frozen=True)
class Client:
    """One connection a file, which does as little as can be; over TLS where there is a context."""

    tls: ssl.SSLContext | None
    name: str
    size: int
    token: str = ""

    def upload(self, peer: Peer, *, is_synced_by_us: bool) -> float:
        """Send a file; return MB/s, until the disk has it: a peer that does not wait for that is waited for here."""
        block = memoryview(os.urandom(MIB))
        with Stopwatch() as watch, self._open(peer) as connection:
            connection.sendall(self._head("PUT", peer.path, self.size))
            left = self.size
            while left > 0:
                connection.sendall(block[: min(left, MIB)])
                left -= MIB
            _require(connection.recv(64 * 1024), b" 20")
            if is_synced_by_us:
                _sync(peer.file)
        return self.size / MB / watch.seconds

    def download(self, peer: Peer) -> float:
        """Fetch the file; return MB/s."""
        buffer = bytearray(MIB)
        with Stopwatch() as watch, self._open(peer) as connection:
            connection.sendall(self._head("GET", peer.path, 0))
            first = connection.recv(64 * 1024)
            _require(first, b" 200 ")
            count = len(first.partition(b"\r\n\r\n")[2])
            while received := connection.recv_into(buffer):
                count += received
        if count != self.size:
            raise RuntimeError(f"{count} of {self.size} bytes came")
        return self.size / MB / watch.seconds

    def _open(self, peer: Peer) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", peer.port))
        return plain if self.tls is None else self.tls.wrap_socket(plain, server_hostname=self.name)

    def _head(self, method: str, path: str, length: int) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", "Connection: close", f"Content-Length: {length}"]
        lines += [f"Authorization: Bearer {self.token}"] if self.token else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _require(answer: bytes, status: bytes) -> None:
    if status not in answer.split(b"\r\n", 1)[0]:
        raise RuntimeError(answer[:500].decode("latin-1"))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@asynccontextmanager
async def nginx_with_files(folder: Path, keys: Path) -> AsyncIterator[Peer | None]:
    """Run nginx, where it is installed."""
    if find_nginx() is None:
        yield None
        return
    port = free_port()
    (folder / "files").mkdir()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, keys=keys, port=port, user=nginx_user()))
    async with running_nginx(folder, port):
        yield Peer(port, f"/{NAME}", folder / "files" / NAME)


def find_nginx() -> str | None:
    """Return the program, where it is installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx_user() -> str:
    """Return the line that keeps nginx the user that it is started as."""
    return "user root;" if os.geteuid() == 0 else ""


@asynccontextmanager
async def running_nginx(folder: Path, port: int) -> AsyncIterator[None]:
    """Run nginx by the `nginx.conf` of a folder for the length of the block, once it listens."""
    log = folder / "nginx.log"
    argv = [find_nginx() or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    async with running(argv, log=log, env=our_environment()) as child:
        await wait_port(port, child, log)
        yield


async def transfers(run: Run) -> list[Row]:
    """MB/s up, until the disk has it, and down; and how much more the agent holds, at most and after it."""
    agent, held = RealAgent.make(run), Samples()
    workspace = agent.folder / "home/dev/workspace"
    client = Client(agent.tls, agent_name(agent.owner), run.choose(BYTES, QUICK_BYTES))
    async with agent.started(), nginx_with_files(run.fresh_folder("nginx"), agent.config.parent) as theirs:
        while not workspace.is_dir():
            await asyncio.sleep(0.01)
        ours = Peer(agent.port, f"/files/content?path={NAME}", workspace / NAME)
        forget_peak_rss(agent.pid)
        before = read_rss(agent.pid)

        async def upload() -> float:
            return await asyncio.to_thread(client.upload, ours, is_synced_by_us=False)

        async def their_upload() -> float:
            assert theirs is not None
            return await asyncio.to_thread(client.upload, theirs, is_synced_by_us=True)

        async def download() -> float:
            return await asyncio.to_thread(client.download, ours)

        async def their_download() -> float:
            assert theirs is not None
            return await asyncio.to_thread(client.download, theirs)

        up = await run.side_by_side("files.upload", {"ours": upload, **({"nginx": their_upload} if theirs else {})})
        down = await run.side_by_side(
            "files.download", {"ours": download, **({"nginx": their_download} if theirs else {})}
        )
        held.add("peak", read_peak_rss(agent.pid) - before)
        held.add("after", read_rss(agent.pid) - before)
    peer_name, floor = "nginx, http_dav_module", ratio_at_least(0.8)
    note = "nginx's file is synced by the client, in its time"
    return [
        up.row("files.upload", "MB/s", peer="nginx", peer_name=peer_name, budget=floor, note=note),
        down.row("files.download", "MB/s", peer="nginx", peer_name="nginx", budget=floor),
        held.alone("files.transfer.growth.peak", "MB", side="peak", budget=at_most(8)),
        held.alone("files.transfer.growth.after", "MB", side="after"),
    ]


async def crowd(run: Run) -> list[Row]:
    """How much more the agent holds at most while 64 files come at once, and while they go; each turn a fresh agent."""
    held, size = Samples(), run.choose(CROWD_BYTES, QUICK_CROWD_BYTES)
    for turn in range(1, run.repeat + 1):
        agent = RealAgent.make(run)
        workspace, client = agent.folder / "home/dev/workspace", Client(agent.tls, agent_name(agent.owner), size)
        peers = [Peer(agent.port, f"/files/content?path={each}", workspace / f"{each}") for each in range(CROWD)]
        async with agent.started():
            while not workspace.is_dir():
                await asyncio.sleep(0.01)
            before = read_rss(agent.pid)
            with ThreadPoolExecutor(CROWD) as threads:
                send = partial(client.upload, is_synced_by_us=False)
                for way, move in (("up", send), ("down", client.download)):
                    forget_peak_rss(agent.pid)
                    await asyncio.to_thread(list, threads.map(move, peers))
                    held.add(way, read_peak_rss(agent.pid) - before)
        run.show(f"files.crowd {turn}/{run.repeat}: {held.figures['up'][-1]:.3g}, {held.figures['down'][-1]:.3g}")
    note = f"{CROWD} at once, {size / MB:g} MB each"
    return [
        held.alone(f"files.crowd.growth.{way}", "MB", side=way, budget=at_most(32), note=note) for way in ("up", "down")
    ]


CASES = (
    Case("files.transfers", "a large file to an agent and back", transfers),
    Case("files.crowd", "many files to an agent at once, and back", crowd),
)
