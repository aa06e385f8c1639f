"""One game server of the running platform, by what people ask of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from e2e.game_artifact import NAME
from e2e.stack import Stack
from zlh_common.schema.game import SERVER

# A server is packed, fetched and unpacked, on a machine that does other things.
PATIENCE_S = 240
# Whoever plays, plays without an account; a small world, seen from nearby, costs little.
WISH: Mapping[str, Any] = {
    "kind": "game",
    "template": NAME,
    "version": "1.12.0",
    "variables": {"max_players": 40, "online_mode": False, "view_distance": 2, "world": "superflat"},
}
Report = dict[str, Any]


class Game:
    """A game container."""

    def __init__(self, stack: Stack, vmid: int) -> None:
        self.stack, self.vmid = stack, vmid
        self.folder: Path = stack.home / "containers" / str(vmid) / "root/srv/game"

    @classmethod
    async def create(cls, stack: Stack, wish: Mapping[str, Any] = WISH) -> Game:
        """Ask for one, and return it once it is ready."""
        game = cls(stack, await stack.create(wish))
        await game.wait_ready()
        return game

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask something about the game; return the answer of a call that is taken."""
        status, answer = await self.stack.call(method, f"/api/game/{self.vmid}{path}", body)
        assert status in {200, 202}, answer
        return answer

    async def order(self, verb: str) -> None:
        """Start, stop, restart or kill its server."""
        status, answer = await self.stack.call("POST", f"/api/containers/{self.vmid}/{verb}")
        assert status == 202, answer

    async def wait(self, what: str, is_so: Callable[[Report], bool]) -> Report:
        """Return the report of the container once it is so."""
        report: Report = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so(report := await self.stack.status(self.vmid)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"never {what}: {json.dumps(report, indent=1)}") from None
        return report

    async def wait_ready(self) -> Report:
        """Return the report once players reach the server."""
        return await self.wait("ready", lambda report: bool(report["ready"]) and not report["degraded"])

    async def wait_version(self, version: str) -> Report:
        """Return the report once this version is in place, and players reach it."""

        def is_so(report: Report) -> bool:
            game = report["game"]
            is_there = game["version"] == game["installedVersion"] == version and game["state"] == "installed"
            return is_there and bool(report["ready"]) and server_of(report)["ready"]

        return await self.wait(f"{version} and ready", is_so)

    async def restart(self) -> Report:
        """Restart the server; return the report once another process of it is ready."""
        before = server_of(await self.stack.status(self.vmid))["startedAt"]
        await self.order("restart")

        def is_another(report: Report) -> bool:
            server = server_of(report)
            return server["startedAt"] not in {None, before} and bool(server["ready"]) and bool(report["ready"])

        return await self.wait("ready again", is_another)

    async def wait_players(self, wanted: Mapping[str, str]) -> None:
        """Return once exactly these play, by the names and ids that are told, and by the server's own count."""
        told: Report = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not _is_exactly(told := await self.ask("GET", "/players"), wanted):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"never {sorted(wanted)}: {json.dumps(told, indent=1)}") from None

    async def stays(self) -> list[Report]:
        """Return everybody's stays, the newest first."""
        found: list[Report] = (await self.ask("GET", "/players/history?limit=200"))["items"]
        return found

    async def public_port(self) -> int:
        """Return the port of the proxy that players type."""
        (port,) = (await self.ask("GET", ""))["ports"]
        public: int = port["publicPort"]
        return public

    async def happenings(self) -> list[tuple[str, Report]]:
        """Return what the history tells of the game's files, the oldest first: kinds and facts."""
        status, answer = await self.stack.call("GET", f"/api/containers/{self.vmid}/events?limit=200")
        assert status == 200, answer
        told = [(entry["kind"], entry["data"]) for entry in reversed(answer["items"])]
        return [(kind, data) for kind, data in told if kind.startswith("game.")]

    async def end(self) -> None:
        """Delete it, and prove that nothing of it is left."""
        await self.stack.delete(self.vmid)


def server_of(report: Report) -> Report:
    """Return what is told of the server's process."""
    found: Report = next(process for process in report["processes"] if process["name"] == SERVER)
    return found


def _is_exactly(told: Report, wanted: Mapping[str, str]) -> bool:
    online = {player["name"]: player["uuid"] for player in told["online"]}
    return online == dict(wanted) and told["count"] == len(wanted) and bool(told["complete"])
