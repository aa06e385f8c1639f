"""A large file to an agent and back over mutual TLS, against nginx with the same certificates, and its memory then."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import MB, MIB, Case, Row, Run, Samples, Stopwatch, at_most, ratio_at_least, read_peak_rss, read_rss
from bench.programs import our_environment, running, wait_port
from bench.real_agent import RealAgent
from guards.ports import free_port
from zlh_common.names import agent_name

BYTES, QUICK_BYTES = 2_000_000_000, 64_000_000
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
    """One connection a file, which does as little as can be."""

    tls: ssl.SSLContext
    name: str
    size: int

    def upload(self, peer: Peer, *, is_synced_by_us: bool) -> float:
        """Send a file; return MB/s, until the disk has it: a peer that does not wait for that is waited for here."""
        block = memoryview(os.urandom(MIB))
        with Stopwatch() as watch, self._open(peer) as connection:
            connection.sendall(_head("PUT", peer.path, self.size))
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
            connection.sendall(_head("GET", peer.path, 0))
            first = connection.recv(64 * 1024)
            _require(first, b" 200 ")
            count = len(first.partition(b"\r\n\r\n")[2])
            while received := connection.recv_into(buffer):
                count += received
        if count != self.size:
            raise RuntimeError(f"{count} of {self.size} bytes came")
        return self.size / MB / watch.seconds

    def _open(self, peer: Peer) -> ssl.SSLSocket:
        return self.tls.wrap_socket(socket.create_connection(("127.0.0.1", peer.port)), server_hostname=self.name)


def _head(method: str, path: str, length: int) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n".encode()


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
async def _nginx(folder: Path, keys: Path) -> AsyncIterator[Peer | None]:
    """Run nginx, where it is installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    port, log = free_port(), folder / "nginx.log"
    (folder / "files").mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, keys=keys, port=port, user=user))
    argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    async with running(argv, log=log, env=our_environment()) as child:
        await wait_port(port, child, log)
        yield Peer(port, f"/{NAME}", folder / "files" / NAME)


async def transfers(run: Run) -> list[Row]:
    """MB/s up, until the disk has it, and down; and how much more the agent holds, at most and after it."""
    agent, held = RealAgent.make(run), Samples()
    workspace = agent.folder / "home/dev/workspace"
    client = Client(agent.tls, agent_name(agent.owner), run.choose(BYTES, QUICK_BYTES))
    async with agent.started(), _nginx(run.fresh_folder("nginx"), agent.config.parent) as theirs:
        while not workspace.is_dir():
            await asyncio.sleep(0.01)
        ours = Peer(agent.port, f"/files/content?path={NAME}", workspace / NAME)
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


CASES = (Case("files.transfers", "a large file to an agent and back", transfers),)
