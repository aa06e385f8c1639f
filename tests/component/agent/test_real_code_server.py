"""The real code-server under a real agent: where it listens, whom it believes, where it leads, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from component.agent.harness import PATIENCE_S, AgentProcess, end, make_agent
from component.agent.test_addons import HOST, PORT, own_address, told
from fakes.artifact_origin import ArtifactOrigin
from fakes.certificates import Certificates
from fakes.runtime_shop import RuntimeShop
from real_parts.code_server import NAME, VERSION, build_code_server, code_server_shop
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AddonState, AgentStatus

pytestmark = [pytest.mark.real("code-server"), pytest.mark.timeout(1500)]
# It is hundreds of megabytes of small files, and the machine may be busy.
START_S = 300.0
CONNECTION = "reconnectionToken=11111111-1111-1111-1111-111111111111&reconnection=false&skipWebSocketFrames=false"
# Whatever of this held would be seen: another address and port, a password, an option that there is not.
HOSTILE = "bind-addr: 0.0.0.0:9999\nauth: password\npassword: secret\ncert: true\nno-such-option: true\n"


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """Return a shop that has it."""
    return code_server_shop(tmp_path / "shop", build_code_server())


@pytest.fixture
def unstarted(tmp_path: Path, shop: RuntimeShop, origin: ArtifactOrigin, certificates: Certificates) -> AgentProcess:
    """Return an agent in whose home somebody has put a configuration."""
    made = make_agent(
        tmp_path / "agent", certificates, url=origin.url, trusted_root=shop.trusted_root, address=own_address()
    )
    config = made.root / "home/dev/.config/code-server/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(HOSTILE)
    return made


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return it as it serves; at last it is told to keep nothing."""
    try:
        await unstarted.start()
        yield unstarted
        await unstarted.want_spec()
        await reached(unstarted, lambda status: not status.addons)
    finally:
        await end(unstarted)


async def reached(agent: AgentProcess, is_so: Callable[[AgentStatus], object]) -> AgentStatus:
    """Wait until a report says so; far longer than for what is small."""
    async with asyncio.timeout(START_S):
        while not is_so(status := await agent.status()):
            await asyncio.sleep(0.2)
    return status


async def running(agent: AgentProcess, version: str) -> AgentStatus:
    """Wait until a version runs and answers."""

    def is_so(status: AgentStatus) -> bool:
        addon = told(status)
        return (
            addon is not None
            and (addon.state, addon.version) == (AddonState.RUNNING, version)
            and status.observed_generation == agent.generation
        )

    return await reached(agent, is_so)


def listeners(agent: AgentProcess) -> set[tuple[str, int]]:
    """Return where what belongs to it listens for the network."""
    tree = str(agent.root / "opt/zlh/services" / NAME)
    found: set[tuple[str, int]] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.exe().startswith(tree):
                open_ = [each.laddr for each in process.net_connections("inet") if each.status == "LISTEN"]
                found |= {(str(address), int(port)) for address, port in open_}
    return found


async def get(session: aiohttp.ClientSession, path: str) -> int:
    """Return the status of what is answered."""
    async with session.get(path, allow_redirects=False) as answer:
        return answer.status


async def knock(agent: AgentProcess, origin: str, path: str = "/") -> int:
    """Ask for a WebSocket as a page of that origin does; return the status of the answer.

    By hand: on one that is open it goes on to speak, and never answers that its client closes.
    """
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(agent.address, PORT)
        writer.write(
            f"GET {path}?{CONNECTION} HTTP/1.1\r\nHost: {agent.address}:{PORT}\r\nOrigin: {origin}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        line = await reader.readline()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return int(line.split()[1])


async def test_code_server_as_it_is_shipped(agent: AgentProcess) -> None:
    """Installed out of the signed catalog, it is what the agent makes of it, and no file in the home says otherwise."""
    wanted = WantedRuntime(name=NAME, version=VERSION)
    await agent.want_spec(addons=(wanted,), origins=(HOST,))
    status = await running(agent, VERSION)
    assert await asyncio.to_thread(listeners, agent) == {(agent.address, PORT)}
    async with aiohttp.ClientSession(f"http://{agent.address}:{PORT}") as session:
        # Nobody is asked for a password: it leads on to the workspace.
        async with session.get("/", allow_redirects=False) as answer:
            assert answer.status == 302
            assert answer.headers["Location"] == f"./?folder={agent.root}/home/dev/workspace"
        assert await get(session, "/?folder=/") == 200
        assert [await knock(agent, origin) for origin in ("https://evil.example.com", f"https://{HOST}")] == [
            403,
            101,
        ]
        for way in (f"/proxy/{agent.port}/", f"/absproxy/{agent.port}/healthz", f"/proxy/{PORT}/healthz"):
            assert await get(session, way) == 403
            assert await knock(agent, f"https://{HOST}", way) == 403
        other = {"Host": f"{agent.port}.{HOST}"}
        async with session.get("/healthz", headers=other) as answer:
            assert (await answer.json())["status"] in {"alive", "expired"}
    # It was used just now, which a report tells within its pace.
    before = told(status)
    assert before is not None
    await agent.kill()
    await agent.start()
    after = told(await reached(agent, lambda status: (addon := told(status)) is not None and addon.last_used_at))
    assert after is not None
    assert after.started_at == before.started_at
