"""A game server with mods on a running platform: its template in the signed catalog, and who stands in for Modrinth."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from e2e.editor_artifact import PUBLISH_LIMIT_S
from e2e.stack import Stack
from fakes.game_source import PROGRAM
from fakes.modrinth import FakeFileHost, FakeModrinth
from zlh_api.artifacts.template_model import MojangSource, TemplateRecord
from zlh_api.artifacts.tree import Tree
from zlh_common.schema.process import LineProbe, ProcessPolicy, ReadyPolicy, RestartPolicy, StopPolicy
from zlh_common.schema.template import (
    FileEdit,
    GameTemplate,
    ModSupport,
    PinnedFile,
    Presence,
    Start,
    TemplatePort,
    TemplateVersion,
)

SERVED = "archives/blocks-server/server.py"
LINE = "[{time}] [Server thread/INFO]: "
TEMPLATE = GameTemplate(
    game="minecraft",
    summary="A program that talks as a server does, and loads mods.",
    ports=(TemplatePort(name="game", protocol="tcp", port=25565),),
    start=Start(argv=(sys.executable, "server.py", "--mods", "mods")),
    edits=(
        FileEdit(path="eula.txt", format="properties", set={"eula": True}),
        FileEdit(
            path="server.properties", format="properties", set={"server-ip": "{address}", "server-port": "{port.game}"}
        ),
    ),
    policy=ProcessPolicy(
        restart=RestartPolicy(delays_s=(1.0, 1.0, 1.0)),
        ready=ReadyPolicy(
            probe=LineProbe(pattern="[{time}] [Server thread/INFO]: Done ({word})! For help, type {rest}")
        ),
        stop=StopPolicy(command="stop", command_grace_s=60.0),
    ),
    presence=Presence(
        joined=(f"{LINE}{{name}} joined the game",), left=(f"{LINE}{{name}} left the game",), ping="game"
    ),
    mods=ModSupport(folder="mods", loaders=("fabric",)),
    backup_without=("logs",),
)


def publish_blocks(
    stack: Stack, *, name: str = "blocks", title: str = "Blocks", template: GameTemplate = TEMPLATE
) -> None:
    """Have the platform sign a template into its catalog, in two versions of the server; blocks."""
    tree = Tree(stack.home / "artifacts")
    content = PROGRAM.read_bytes()
    target = tree.folder / SERVED
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(0o644)
    file = PinnedFile(
        path="server.py", urls=(SERVED,), size=len(content), hash=f"sha256:{hashlib.sha256(content).hexdigest()}"
    )
    versions = tuple(
        TemplateVersion(version=number, default=number == "1.0", files=(file,), game_version="1.21.8")
        for number in ("2.0", "1.0")
    )
    tree.write_template(
        TemplateRecord(
            name=name,
            title=title,
            source=MojangSource(),
            template=template,
            versions=versions,
            digest="0" * 64,
            resolved_at=datetime.now(UTC),
        )
    )
    keys = stack.home / "keys/artifacts"
    publish = [sys.executable, "-m", "zlh_api", "artifacts", "publish", "--dir", str(tree.folder), "--keys", str(keys)]
    done = subprocess.run(publish, capture_output=True, text=True, timeout=PUBLISH_LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@dataclass
class Blocks:
    """One game server on the platform, and Modrinth beside it."""

    stack: Stack
    modrinth: FakeModrinth
    vmid: int = 0

    @property
    def folder(self) -> Path:
        """The server's folder on this machine."""
        return self.stack.home / f"containers/{self.vmid}/root/srv/game"

    @property
    def names(self) -> list[str]:
        """What its mods are called in their folder."""
        return sorted(path.name for path in (self.folder / "mods").iterdir() if ".jar" in path.name)

    async def create(self) -> None:
        """Make the container, and wait until players can reach it."""
        self.vmid = await self.stack.create({"kind": "game", "template": "blocks", "version": "1.0"})
        await self.stack.wait_ready(self.vmid)

    async def ask(self, method: str, path: str = "", body: object = None, *, status: int = 200) -> Any:
        """Call the API about its mods."""
        got, answer = await self.stack.call(method, f"/api/game/{self.vmid}/mods{path}", body)
        assert got == status, answer
        return answer

    async def change(self, method: str, path: str = "", body: object = None) -> Any:
        """Begin a change, and return what became of it."""
        told = await self.ask(method, path, body, status=202)
        while told["state"] == "running":
            await asyncio.sleep(0.1)
            told = await self.ask("GET", f"/changes/{told['id']}")
        return told

    async def loads(self) -> list[str]:
        """Return what the server has said at each of its starts."""
        path = f"/api/containers/{self.vmid}/console/history?from=0&limit=65536"
        got, answer = await self.stack.call("GET", path)
        assert got == 200, answer
        return [line.partition("Loading ")[2].strip() for line in answer["text"].splitlines() if "Loading " in line]

    async def restart(self) -> None:
        """Start the server anew, and wait until it has said once more what it loads."""
        before = len(await self.loads())
        got, answer = await self.stack.call("POST", f"/api/containers/{self.vmid}/restart")
        assert got < 300, answer
        while len(await self.loads()) == before:
            await asyncio.sleep(0.1)
        await self.stack.wait_ready(self.vmid)


@pytest.fixture(scope="session")
def blocks_on_offer(running_stack: Stack) -> None:
    """Have the running platform offer the game."""
    publish_blocks(running_stack)


@pytest.fixture
async def modrinth(stack: Stack, blocks_on_offer: None) -> AsyncIterator[FakeModrinth]:
    """Stand in for Modrinth, where the platform looks for it, and for its host of files."""
    host = FakeFileHost()
    hosting = await host.start(port=stack.mod_files_port)
    modrinth = FakeModrinth(host)
    serving = modrinth.serve(port=stack.modrinth_port)
    await serving.start_server()
    yield modrinth
    await serving.close()
    await hosting.close()


@pytest.fixture
async def blocks(stack: Stack, modrinth: FakeModrinth) -> AsyncIterator[Blocks]:
    """Make a game server that takes mods; nothing of it is left afterwards."""
    blocks = Blocks(stack, modrinth)
    await blocks.create()
    yield blocks
    await stack.delete(blocks.vmid)
