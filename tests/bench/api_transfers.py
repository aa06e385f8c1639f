"""A large file through the API to an agent and back, against two of nginx in their places, and the memory of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.file_transfers import (
    NAME,
    Client,
    Peer,
    find_nginx,
    nginx_user,
    nginx_with_files,
    running_nginx,
)
from bench.measure import Case, Row, Run, Samples, at_most, forget_peak_rss, ratio_at_least, read_peak_rss, read_rss
from bench.real_agent import RealAgent
from bench.real_api import TOKEN, RealApi, make_report
from guards.ports import free_port
from zlh_api.agents.authority import Authority
from zlh_api.agents.certificates import issue
from zlh_common.clock import SystemClock
from zlh_common.names import API_NAME, agent_name
from zlh_common.schema.status import PROTOCOL_VERSION
from zlh_common.schema.structs import encode

BYTES, QUICK_BYTES = 2_000_000_000, 32_000_000
# What the API would have heard from the agent, whose link is held by nobody here.
_SEEN = "update containers set agent_status = $2::jsonb, observed_at = now() where vmid = $1"
# As the API does it: nothing is kept on disk, and the other side is met over TLS 1.3 with certificates on both sides.
_FRONT = """
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass https://127.0.0.1:{behind}; proxy_http_version 1.1;
      proxy_request_buffering off; proxy_buffering on; proxy_max_temp_file_size 0; proxy_buffers 8 64k;
      client_body_buffer_size 256k; proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse off;
      proxy_ssl_certificate {folder}/api.crt; proxy_ssl_certificate_key {folder}/api.key;
      proxy_ssl_trusted_certificate {keys}/agents-ca.crt; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
      proxy_ssl_server_name on; proxy_ssl_name {name};
    }}
  }}
}}
"""


@dataclass(frozen=True)
class _Grown:
    """What a process held before."""

    pid: int
    before: float

    @classmethod
    def of(cls, pid: int) -> _Grown:
        # The hash of a password, before the API listens, takes more than any file.
        forget_peak_rss(pid)
        return cls(pid, read_rss(pid))

    def most(self) -> float:
        return read_peak_rss(self.pid) - self.before


@asynccontextmanager
async def _nginx_pair(run: Run, agent: RealAgent) -> AsyncIterator[Peer | None]:
    """Run nginx in front of nginx, where it is installed."""
    async with nginx_with_files(run.fresh_folder("nginx"), agent.config.parent) as behind:
        if behind is None or find_nginx() is None:
            yield None
            return
        folder, port = run.fresh_folder("front"), free_port()
        await asyncio.to_thread(_write_front, folder, port, behind, agent)
        async with running_nginx(folder, port):
            yield Peer(port, behind.path, behind.file)


def _write_front(folder: Path, port: int, behind: Peer, agent: RealAgent) -> None:
    authority = Authority(agent.keys, SystemClock())
    ca = authority.held[authority.standing.presented].api
    issued = issue(ca, API_NAME, ExtendedKeyUsageOID.CLIENT_AUTH, now=SystemClock().now())
    (folder / "api.crt").write_bytes(issued.certificate)
    (folder / "api.key").write_bytes(issued.private_key)
    settings = {"user": nginx_user(), "keys": agent.keys, "name": agent_name(agent.owner)}
    (folder / "nginx.conf").write_text(_FRONT.format(folder=folder, port=port, behind=behind.port, **settings))


async def transfers(run: Run) -> list[Row]:
    """MB/s up, until the disk has it, and down; and how much more the API and the agent hold at most."""
    agent = RealAgent.make(run)
    api = RealApi.make(run, agent)
    workspace, size = agent.folder / "home/dev/workspace", run.choose(BYTES, QUICK_BYTES)
    held = Samples()
    async with agent.started(), api.database() as connection, _nginx_pair(run, agent) as theirs:
        vmid = await api.add_agent(connection, agent)
        report = msgspec.structs.replace(make_report(agent.owner), protocol_version=PROTOCOL_VERSION)
        await connection.execute(_SEEN, vmid, encode(report).decode())
        async with api.started():
            while not workspace.is_dir():
                await asyncio.sleep(0.01)
            ours = Peer(api.port, f"/api/containers/{vmid}/files/content?path={NAME}", workspace / NAME)
            client, their_client = Client(None, "", size, TOKEN), Client(None, "", size)
            await asyncio.to_thread(Client(None, "", 1000, TOKEN).upload, ours, is_synced_by_us=False)
            growth = {"api": _Grown.of(api.pid), "agent": _Grown.of(agent.pid)}

            async def upload() -> float:
                return await asyncio.to_thread(client.upload, ours, is_synced_by_us=False)

            async def their_upload() -> float:
                assert theirs is not None
                return await asyncio.to_thread(their_client.upload, theirs, is_synced_by_us=True)

            async def download() -> float:
                return await asyncio.to_thread(client.download, ours)

            async def their_download() -> float:
                assert theirs is not None
                return await asyncio.to_thread(their_client.download, theirs)

            peers = {"nginx": their_upload} if theirs else {}
            up = await run.side_by_side("files.api.upload", {"ours": upload, **peers})
            peers = {"nginx": their_download} if theirs else {}
            down = await run.side_by_side("files.api.download", {"ours": download, **peers})
            for side, grown in growth.items():
                held.add(side, grown.most())
    floor, peer_name = ratio_at_least(0.8), "nginx before nginx"
    note = "the peer's file is synced by the client, in its time"
    return [
        up.row("files.api.upload", "MB/s", peer="nginx", peer_name=peer_name, budget=floor, note=note),
        down.row("files.api.download", "MB/s", peer="nginx", peer_name=peer_name, budget=floor),
        *(held.alone(f"files.api.growth.{side}", "MB", side=side, budget=at_most(8)) for side in growth),
    ]


CASES = (Case("files.api", "a large file through the API to an agent and back", transfers),)
