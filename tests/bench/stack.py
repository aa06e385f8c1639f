"""The whole path: the stack of `make dev` from nothing and again, and a container from the wish to ready, then gone."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from bench.measure import Case, Row, Run, Samples, at_most
from bench.programs import our_environment, running
from guards.ports import free_port

PATIENCE_S = 600.0
LOOK_S = 0.02
SLOW_LOOK_S = 0.1
PORT = 3000
PORTS = ("ZLH_API_PORT", "ZLH_HTTP_PORT", "ZLH_TRAEFIK_API_PORT", "ZLH_ARTIFACTS_PORT")
WISH = {"kind": "dev", "runtime": "node", "version": "24", "enableCodeServer": False}


@dataclass
class Stack:
    """One installation with ports of its own; `started()` is one life of it."""

    home: Path
    log: Path
    ports: dict[str, str] = field(default_factory=lambda: {name: str(free_port()) for name in PORTS})

    @property
    def environment(self) -> dict[str, str]:
        """What tells `zlh-api dev` where it is."""
        return our_environment(ZLH_HOME=str(self.home), ZLH_GAME_PORTS="none", **self.ports)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[float]:
        """Run it for the length of the block; yields the seconds until it says where everything is."""
        began = time.perf_counter()
        argv = [sys.executable, "-m", "zlh_api", "dev"]
        async with running(argv, log=self.log, env=self.environment, stop=signal.SIGINT, stop_s=60) as child:
            await self._wait_up(child)
            yield time.perf_counter() - began

    async def _wait_up(self, child: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.home / "dev.json").exists():
                if child.poll() is not None:
                    raise RuntimeError(f"the stack ended: {self.log.read_text()[-2000:]}")
                await asyncio.sleep(LOOK_S)

    @property
    def traefik_url(self) -> str:
        """Where its proxy listens, while it runs."""
        found: str = json.loads((self.home / "dev.json").read_text())["traefikUrl"]
        return found

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a client of its public API, as the operator."""
        dev = json.loads((self.home / "dev.json").read_text())
        headers = {"Authorization": f"Bearer {dev['adminToken']}"}
        async with aiohttp.ClientSession(dev["apiUrl"], headers=headers, raise_for_status=True) as session:
            yield session


async def whole_path(run: Run) -> list[Row]:
    """First start, later starts, and the life of containers in between."""
    folder = run.fresh_folder("stack")
    stack = Stack(folder / "home", folder / "log")
    samples = Samples()
    for turn in range(run.repeat + 1):
        async with stack.started() as seconds:
            samples.add("later" if turn else "first", seconds)
            run.show(f"stack {turn}/{run.repeat}: up after {seconds:.1f} s")
            async with stack.client() as session:
                await _live_once(session, samples, traefik_url=stack.traefik_url, is_first=turn == 0)
            run.show(", ".join(f"{name} {figures[-1]:.3g}" for name, figures in samples.figures.items()))
    return [
        samples.alone("stack.first-start", "s", side="first", note="runtimes fetched and packed, database made"),
        samples.alone("stack.later-start", "s", side="later"),
        samples.alone("stack.create.answered", "ms", side="answered"),
        samples.alone("stack.create.online", "s", side="online", budget=at_most(1.5), note="process driver"),
        samples.alone("stack.create.ready", "s", side="ready", note="with node 24 installed, route served"),
        *[
            samples.alone(f"stack.step.{name.removeprefix('step ')}", "s", side=name)
            for name in samples.figures
            if name.startswith("step ")
        ],
        samples.alone(
            "stack.publish", "s", side="published", budget=at_most(2), note="from the wish to its first answer by name"
        ),
        samples.alone("stack.delete", "s", side="deleted", note="until the API no longer knows it"),
    ]


async def _live_once(session: aiohttp.ClientSession, samples: Samples, *, traefik_url: str, is_first: bool) -> None:
    """Create a container, wait until it is ready, delete it; the first one of an installation does not count."""
    began = time.perf_counter()
    async with session.post("/api/containers", json=WISH) as answer:
        vmid = (await answer.json())["vmid"]
    report: dict[str, Any] = {}
    found = {"answered": (time.perf_counter() - began) * 1000}
    async with asyncio.timeout(PATIENCE_S):
        while "ready" not in found:
            async with session.get(f"/api/containers/{vmid}/status") as answer:
                report = await answer.json()
            if report["connection"] == "online":
                found.setdefault("online", time.perf_counter() - began)
            if report["ready"]:
                found["ready"] = time.perf_counter() - began
            if report["lifecycle"] == "error":
                raise RuntimeError(f"the container failed: {report['provisioningError']}")
            # Looking costs the API time as well: often only while a moment counts.
            await asyncio.sleep(LOOK_S if "online" not in found else SLOW_LOOK_S)
        found |= _step_times(report)
        found["published"] = await _publish(session, vmid, report["hostname"], traefik_url)
        began = time.perf_counter()
        async with session.delete(f"/api/containers/{vmid}"):
            pass
        while True:
            async with session.get(f"/api/containers/{vmid}", raise_for_status=False) as answer:
                if answer.status == 404:
                    break
            await asyncio.sleep(LOOK_S)
        found["deleted"] = time.perf_counter() - began
    if not is_first:
        for name, figure in found.items():
            samples.add(name, figure)


async def _publish(session: aiohttp.ClientSession, vmid: int, hostname: str, traefik_url: str) -> float:
    """Publish the port of a server that listens already; return the seconds until it answers by its public name."""
    program = f"require('http').createServer((asked, answer) => answer.end('here')).listen({PORT}, process.env.HOST)"
    policy = {"ready": {"probe": {"kind": "tcp", "port": PORT}}}
    server = {"argv": ["node", "-e", program], "policy": policy}
    async with session.put(f"/api/containers/{vmid}/processes/server", json=server):
        pass
    async with asyncio.timeout(PATIENCE_S):
        await _wait_running(session, vmid)
        began = time.perf_counter()
        async with session.post(f"/api/containers/{vmid}/exposures", json={"port": PORT, "visibility": "public"}):
            pass
        headers = {"Host": f"{PORT}-{hostname}"}
        async with aiohttp.ClientSession(traefik_url, headers=headers) as public:
            while True:
                async with public.get("/") as answer:
                    if await answer.text() == "here":
                        return time.perf_counter() - began
                await asyncio.sleep(LOOK_S)


async def _wait_running(session: aiohttp.ClientSession, vmid: int) -> None:
    while True:
        async with session.get(f"/api/containers/{vmid}/status") as answer:
            processes = (await answer.json())["processes"]
        if any(process["name"] == "server" and process["ready"] for process in processes):
            return
        await asyncio.sleep(LOOK_S)


def _step_times(report: dict[str, Any]) -> dict[str, float]:
    """Return how long each step took by its own clock."""
    return {
        f"step {step['name']}": _seconds(step["finishedAt"]) - _seconds(step["startedAt"])
        for step in report["steps"]
        if step["startedAt"] and step["finishedAt"]
    }


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


CASES = (Case("stack", "`zlh-api dev`: starts, and a container from wish to ready", whole_path, is_slow=True),)
