"""Game servers of an installation with real containers: what is offered, and what players and customers do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.game_source import GameSource
from fakes.runtime_shop import RuntimeShop
from lxc.platform import LxcPlatform
from zlh_api.artifacts.template_model import MojangSource, TemplateRecord
from zlh_api.artifacts.tree import Tree
from zlh_common.schema.process import LineProbe, ProcessPolicy, ReadyPolicy, RestartPolicy, StopPolicy
from zlh_common.schema.template import (
    Eula,
    FileEdit,
    GameTemplate,
    InstallScript,
    Memory,
    PinnedFile,
    Presence,
    Start,
    TemplatePort,
    TemplateVersion,
)
from zlh_common.status_ping import parse_status, render_status_request

# For whatever a loaded machine does; what hangs takes longer.
PATIENCE_S = 300.0
SIZE = {"cpu": 1, "memoryMib": 512, "diskMib": 1024, "pids": 256}

BLOCKS = GameTemplate(
    game="minecraft",
    ports=(TemplatePort(name="game", protocol="tcp", port=25565),),
    start=Start(argv=("python3", "server.py", "nogui")),
    eula=Eula(title="Terms", url="https://example.org/terms"),
    edits=(
        FileEdit(path="eula.txt", format="properties", set={"eula": True}),
        FileEdit(
            path="server.properties",
            format="properties",
            set={"server-ip": "{address}", "server-port": "{port.game}", "motd": "blocks {version}"},
        ),
    ),
    memory=Memory(reserve_mb=64, minimum_mb=128),
    policy=ProcessPolicy(
        ready=ReadyPolicy(
            probe=LineProbe(pattern="[{time}] [Server thread/INFO]: Done ({word})! For help, type {rest}", ping=25565)
        ),
        stop=StopPolicy(command="stop", command_grace_s=120),
        restart=RestartPolicy(delays_s=(1.0, 1.0, 1.0)),
        ports=(25565,),
    ),
    presence=Presence(ping="game"),
)
# Without a port of the proxy, so that it is installed beside the other one.
FORKS = GameTemplate(
    game="forks",
    ports=(TemplatePort(name="game", protocol="tcp", port=25565, is_public=False),),
    start=Start(argv=("python3", "server.py")),
    memory=Memory(reserve_mb=64, minimum_mb=128),
    scripts=(
        InstallScript(
            name="forks",
            argv=("python3", "-c", "import os\nwhile True:\n try: os.fork()\n except OSError: pass"),
            timeout_s=5,
            makes=("never",),
        ),
    ),
)


def offer_blocks(shop: RuntimeShop) -> None:
    """Offer a server of Minecraft's protocol in two versions, and one whose installer does nothing but fork."""
    source = GameSource(shop.tree)
    first, second = source.server("1", old_jar=b"old"), source.server("2", libraries__lib__jar=b"lib")
    _offer(shop, "blocks", BLOCKS, _version("2.0", second), _version("1.0", first, is_default=True))
    _offer(shop, "forks", FORKS, _version("1.0", first))
    # A tree without any archive is none.
    shop.add("1.0")
    shop.publish()


def _version(name: str, files: Sequence[PinnedFile], *, is_default: bool = False) -> TemplateVersion:
    return TemplateVersion(version=name, files=tuple(files), default=is_default, game_version=name)


def _offer(shop: RuntimeShop, name: str, template: GameTemplate, *versions: TemplateVersion) -> None:
    record = TemplateRecord(
        name=name,
        title=name.title(),
        source=MojangSource(),
        template=template,
        versions=versions,
        digest="0" * 64,
        resolved_at=datetime.now(UTC),
    )
    shop.tree.mkdir(parents=True, exist_ok=True)
    tree = Tree(shop.tree)
    with tree.changing():
        tree.write_template(record)


class GameOnHost:
    """One game container of an installation."""

    def __init__(self, platform: LxcPlatform, vmid: int) -> None:
        self.platform = platform
        self.vmid = vmid

    @classmethod
    async def create(cls, platform: LxcPlatform, template: str, **wish: object) -> GameOnHost:
        """Wish for one."""
        body = {"kind": "game", "template": template, "resources": SIZE, **wish}
        status, made = await platform.call("POST", "/api/containers", body)
        assert status == 202, made
        return cls(platform, made["vmid"])

    async def report(self) -> dict[str, Any]:
        """Return the whole report."""
        status, found = await self.platform.call("GET", f"/api/containers/{self.vmid}/status")
        assert status == 200, found
        return dict(found)

    async def wait(self, what: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first report that is so."""
        report: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so(report := await self.report()):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"never {what}: {report}") from None
        return report

    async def wait_ready(self, version: str) -> dict[str, Any]:
        """Return the report once this version is there, runs, and was reached through its public port."""
        return await self.wait(
            f"ready as {version}",
            lambda report: (
                report["ready"] and report["game"]["installedVersion"] == version
                and any(one["ready"] for one in report["processes"])
                and report["game"]["state"] == "installed"
            ),
        )  # fmt: skip

    async def wait_failed(self, code: str) -> dict[str, Any]:
        """Return the step of the game's files once it says that this is the reason."""

        def failed(report: dict[str, Any]) -> list[dict[str, Any]]:
            return [step for step in report["steps"] if step["name"].startswith("install ") and step["code"] == code]

        return failed(await self.wait(f"failed for {code}", lambda report: bool(failed(report))))[0]

    async def act(self, path: str, body: object = None, *, status: int = 202) -> Any:
        """Ask for something of the game server."""
        got, said = await self.platform.call("POST", f"/api/game/{self.vmid}/{path}", body)
        assert got == status, said
        return said

    async def power(self, word: str, lifecycle: str) -> dict[str, Any]:
        """Start or stop it, and wait until that is so."""
        status, said = await self.platform.call("POST", f"/api/containers/{self.vmid}/{word}")
        assert status in {200, 202}, said
        return await self.wait(lifecycle, lambda report: report["lifecycle"] == lifecycle)

    async def detail(self) -> dict[str, Any]:
        """Return what is told of the game server alone."""
        status, found = await self.platform.call("GET", f"/api/game/{self.vmid}")
        assert status == 200, found
        return dict(found)

    async def names(self, path: str = "") -> dict[str, str]:
        """Return what lies in a folder of the server, as the API shows it: names and kinds."""
        status, found = await self.platform.call("GET", f"/api/containers/{self.vmid}/files?root=server&path={path}")
        assert status == 200, found
        return {entry["name"]: entry["kind"] for entry in found["entries"]}

    async def inside(self, *argv: str, check: bool = True) -> str:
        """Run a program as root of the container; return what it prints."""
        attach = ["lxc-attach", "-P", str(self.platform.root), "-n", str(self.vmid), "--clear-env", "--"]

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run([*attach, *argv], check=False, capture_output=True, text=True, timeout=PATIENCE_S)

        done = await asyncio.to_thread(run)
        assert not check or done.returncode == 0, f"{argv}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout.strip()

    async def as_customer(self, script: str) -> str:
        """Run lines of sh as the customer's user; whatever fails says so in what is returned."""
        return await self.inside("su", "dev", "-c", f"{{ {script}; }} 2>&1", check=False)

    async def owners(self) -> set[str]:
        """Return whose everything in the server's folder is."""
        return set((await self.inside("find", "/srv/game", "-printf", "%u:%g\\n")).split())

    async def delete(self) -> None:
        """Delete it, and wait until it is gone."""
        status, said = await self.platform.call("DELETE", f"/api/containers/{self.vmid}")
        assert status == 202, said
        async with asyncio.timeout(PATIENCE_S):
            while (await self.platform.call("GET", f"/api/containers/{self.vmid}"))[0] != 404:
                await asyncio.sleep(0.2)


def public_port(report: dict[str, Any]) -> int:
    """Return the port that players type."""
    host, _, port = report["game"]["address"].rpartition(":")
    assert host == f"game-{report['vmid']}.localhost"
    return int(port)


async def ping(port: int) -> dict[str, object]:
    """Return what a server of Minecraft's protocol says of itself through the proxy."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError, EOFError):
                return await asyncio.to_thread(_ping, port)
            await asyncio.sleep(0.2)


def _ping(port: int) -> dict[str, object]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(render_status_request("localhost", port))
        answer = b""
        while (status := parse_status(answer)) is None:
            data = connection.recv(4096)
            if not data:
                raise EOFError
            answer += data
        return status


async def audit(platform: LxcPlatform) -> str:
    """Return what is found that belongs to no container."""
    command = [*platform.program, "audit", "--config", str(platform.folder / "api.toml")]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)

    done = await asyncio.to_thread(run)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def route_files(platform: LxcPlatform) -> list[str]:
    """Return the files of containers in the proxy's directory."""
    return sorted(path.name for path in Path(platform.folder, "routes").glob("game-*"))
