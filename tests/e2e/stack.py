"""The whole platform as `make dev` runs it: its own folder and ports, and a hand on each of its programs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from guards.leaks import is_gone
from guards.ports import free_port
from zlh_common.names import CONTAINER_MARK

START_S = 400
WAIT_S = 120
# Two runtimes tell them apart, two versions are gone up and back; each costs seconds to pack.
RECIPES = "node-24.19.0 node-22.20.0 go-1.27.3"
NODE = {"kind": "dev", "runtime": "node", "version": "24"}
# How each program is known by its command line.
PROGRAMS = {
    "api": ("zlh_api", "serve", "--config"),
    "artifacts": ("zlh_api", "artifacts", "serve"),
    "traefik": ("traefik", "--configfile"),
    "agent": ("zlh_agent", "--config"),
}


class Stack:
    """One installation; `start` and `stop` are those of a person at a terminal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        names = ("ZLH_API_PORT", "ZLH_HTTP_PORT", "ZLH_TRAEFIK_API_PORT", "ZLH_ARTIFACTS_PORT")
        ports = dict(zip(names, (str(free_port()) for _ in names), strict=True))
        game = free_port()
        ports["ZLH_GAME_PORTS"] = f"{game}-{game}"
        # Where tests have somebody stand in for Modrinth, and for the host of its files.
        self.modrinth_port, self.mod_files_port = free_port(), free_port()
        mods = {
            "ZLH_MODS_CONTACT": "operator@example.net",
            "ZLH_MODS_URL": f"http://127.0.0.1:{self.modrinth_port}/v2",
            "ZLH_MODS_FILE_ORIGINS": f"http://127.0.0.1:{self.mod_files_port}",
        }
        self.environment = {**os.environ, **ports, **mods, "ZLH_HOME": str(home), "ZLH_DEV_RECIPES": RECIPES}
        self._program: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def dev(self) -> dict[str, str]:
        """What the stack tells programs about itself."""
        found: dict[str, str] = json.loads((self.home / "dev.json").read_text())
        return found

    async def start(self) -> None:
        """Start it, and return once it says that it is up."""
        self._program = await asyncio.to_thread(self._launch)
        async with asyncio.timeout(START_S):
            while not (self.home / "dev.json").exists():
                assert self._program.poll() is None, self.printed()[-3000:]
                await asyncio.sleep(0.1)

    def _launch(self) -> subprocess.Popen[bytes]:
        self.home.mkdir(exist_ok=True)
        with (self.home.parent / f"{self.home.name}.out").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "zlh_api", "dev"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    async def stop(self, number: int = signal.SIGINT) -> int:
        """Press Ctrl-C; return the exit code."""
        assert self._program is not None
        self._program.send_signal(number)
        return await asyncio.to_thread(self._program.wait, WAIT_S)

    def printed(self) -> str:
        """Return what a person at its terminal has seen so far."""
        return (self.home.parent / f"{self.home.name}.out").read_text()

    def programs(self, kind: str) -> list[psutil.Process]:
        """Return the running programs of one kind."""
        return [process for process in self.processes() if all(part in _line(process) for part in PROGRAMS[kind])]

    def processes(self) -> list[psutil.Process]:
        """Return every process that this installation has started, wherever it hangs in the tree."""
        return [process for process in psutil.process_iter() if not is_gone(process.pid) and self._owns(process)]

    def kill(self, kind: str) -> None:
        """End the programs of one kind as a power cut would."""
        for process in self.programs(kind):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_pid(self, pid: int) -> None:
        """End one process of this installation as a power cut would."""
        process = psutil.Process(pid)
        assert str(self.home) in " ".join((*process.cmdline(), process.cwd()))
        process.kill()

    async def call(
        self, method: str, path: str, body: object = None, *, request_id: str | None = None
    ) -> tuple[int, Any]:
        """Call the API as the operator; return (status, JSON or None)."""
        headers = {"Authorization": f"Bearer {self.dev['adminToken']}"}
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.request(
                method,
                self.dev["apiUrl"] + path,
                json=body,
                headers=headers,
            ) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

    async def create(self, wish: Mapping[str, object] | None = None) -> int:
        """Ask for a container; return its VMID."""
        status, answer = await self.call("POST", "/api/containers", wish or NODE)
        assert status == 202, answer
        vmid: int = answer["vmid"]
        return vmid

    async def create_ready(self) -> int:
        """Ask for a container; return its VMID once it is ready."""
        vmid = await self.create()
        await self.wait_ready(vmid)
        return vmid

    async def clear(self, vmid: int) -> None:
        """End what runs in a container and forget its output, once its agent is back if it was killed.

        A page that is open begins its terminal anew, so what came meanwhile is ended too, until nothing is held.
        """
        paths = [f"/api/containers/{vmid}/{kind}" for kind in ("processes", "terminals")]
        async with asyncio.timeout(WAIT_S):
            while True:
                answers = [await self.call("GET", path) for path in paths]
                kept = [
                    f"{path}/{row.get('id') or row['name']}"
                    for path, (status, answer) in zip(paths, answers, strict=True)
                    for row in (answer["items"] if status == 200 else ())
                ]
                if not kept and {status for status, _ in answers} == {200} and not self._holds(vmid):
                    break
                for path in kept:
                    await self.call("DELETE", path)
                await asyncio.sleep(0.1)
        await self.wait_status(vmid, "processes", wanted=[])

    def _holds(self, vmid: int) -> bool:
        """Whether a terminal or a process is held still; the lists are empty a little earlier."""
        owner = self.owner_of(vmid)
        return any(_is_shim_of(owner, each) for each in psutil.process_iter())

    def owner_of(self, vmid: int) -> str:
        """Return the mark of a container, whose agent runs."""
        within = f"{self.home}/containers/{vmid}/"
        return next(each for each in self.programs("agent") if within in _line(each)).environ()[CONTAINER_MARK]

    async def status(self, vmid: int) -> dict[str, Any]:
        """Return the report of a container; while the API is away, of the moment at which it is back."""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    status, answer = await self.call("GET", f"/api/containers/{vmid}/status")
                except (aiohttp.ClientError, TimeoutError):
                    status, answer = 0, None
                if status == 200:
                    report: dict[str, Any] = answer
                    return report
                await asyncio.sleep(0.1)

    async def wait_ready(self, vmid: int) -> dict[str, Any]:
        """Return the report of a container once it is ready."""
        return await self.wait_status(vmid, "ready", wanted=True)

    async def wait_status(self, vmid: int, field: str, *, wanted: object) -> dict[str, Any]:
        """Return the report once a field of it has this value."""
        report: dict[str, Any] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while (report := await self.status(vmid))[field] != wanted:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{field} never became {wanted}: {json.dumps(report, indent=1)}") from None
        return report

    async def wait_step(self, vmid: int, name: str) -> None:
        """Return once a step has begun."""
        async with asyncio.timeout(WAIT_S):
            while not any(
                step["name"] == name and step["state"] != "pending" for step in (await self.status(vmid))["steps"]
            ):
                await asyncio.sleep(0.01)

    async def delete(self, vmid: int) -> None:
        """Delete a container, and prove that nothing of it is left."""
        status, answer = await self.call("DELETE", f"/api/containers/{vmid}")
        assert status in {202, 404}, answer
        await self.wait_gone(vmid)
        assert await asyncio.to_thread(self.traces, vmid) == []

    async def wait_gone(self, vmid: int) -> None:
        """Return once the API knows the container no more."""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    if (await self.call("GET", f"/api/containers/{vmid}"))[0] == 404:
                        return
                except aiohttp.ClientError:
                    continue
                finally:
                    await asyncio.sleep(0.05)

    def traces(self, vmid: int) -> list[str]:
        """Return what is left of a container on this machine."""
        folder = self.home / "containers" / str(vmid)
        files = [str(path) for path in (folder, *(self.home / "routes").glob(f"*-{vmid}.yml")) if path.exists()]
        return files + [_line(process) for process in self.processes() if str(folder) + "/" in _line(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("ZLH_HOME") == str(self.home) or f"{self.home}/" in _line(process)
        except psutil.Error:
            return False


def _is_shim_of(owner: str, process: psutil.Process) -> bool:
    try:
        return "zlh-shim:" in _line(process) and process.environ().get(CONTAINER_MARK) == owner
    except psutil.Error:
        return False


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
