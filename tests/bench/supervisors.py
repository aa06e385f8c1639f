"""Who keeps a program running: our agent, and the supervisors that people use. Each runs one program for ever."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.measure import Run
from bench.programs import running
from bench.real_agent import RealAgent
from zlh_common.schema.process import ProcessPolicy, RestartPolicy, WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import encode

# What makes a peer's command line out of an empty folder and the program that it shall keep running.
Prepare = Callable[[Path, Path], list[str]]
AT_ONCE = ProcessPolicy(restart=RestartPolicy(when="always", delays_s=(0.0,) * 16, stable_s=0.0))


@dataclass(frozen=True)
class Peer:
    """A supervisor of others; `installed` says what to run, or None where it cannot be had."""

    name: str
    prepare: Prepare
    program: str
    # Where it comes from when it is not on the path: `pip`, `npm`, or only Debian's package.
    source: str

    async def find(self, run: Run) -> str | None:
        """Return its program, installed into the cache where that can be done."""
        if found := shutil.which(self.program):
            return found
        match self.source:
            case "pip":
                return await _from_pip(run, self.name, self.program)
            case "npm":
                return await _from_npm(run, self.name, self.program)
            case _:
                run.show(f"{self.name} is not installed; on Debian: apt install {self.source}")
                return None

    @asynccontextmanager
    async def keeping(self, run: Run, program: Path) -> AsyncIterator[int | None]:
        """Have it keep a program for the length of the block; yields its pid, or None where it cannot be had."""
        found = await self.find(run)
        if found is None:
            yield None
            return
        folder = run.fresh_folder(self.name)
        argv = [found, *self.prepare(folder, program)]
        environment = {**os.environ, "PM2_HOME": str(folder), "PATH": f"{Path(found).parent}:{os.environ['PATH']}"}
        async with running(argv, log=folder / "log", env=environment) as child:
            yield child.pid


def _service_folder(folder: Path, program: Path) -> list[str]:
    service = folder / "service"
    service.mkdir()
    run = service / "run"
    run.write_text(f"#!/bin/sh\nexec {program}\n")
    run.chmod(0o755)
    return [str(service)]


def _supervisord(folder: Path, program: Path) -> list[str]:
    config = folder / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/own.log\npidfile={folder}/pid\nuser=root\n"
        f"[program:kept]\ncommand={program}\nautorestart=true\nstartsecs=0\n"
    )
    return ["-c", str(config)]


def _circus(folder: Path, program: Path) -> list[str]:
    config = folder / "circus.ini"
    ends = "".join(f"{name}=ipc://{folder}/{name}\n" for name in ("endpoint", "pubsub_endpoint"))
    config.write_text(f"[circus]\n{ends}[watcher:kept]\ncmd={program}\nmax_retry=-1\n")
    return [str(config)]


def _pm2(_folder: Path, program: Path) -> list[str]:
    return ["start", str(program), "--interpreter", "none", "--name", "kept"]


PEERS = (
    Peer("runit", _service_folder, "runsv", "runit"),
    Peer("s6", _service_folder, "s6-supervise", "s6"),
    Peer("supervisord", _supervisord, "supervisord", "pip"),
    Peer("circus", _circus, "circusd", "pip"),
    Peer("pm2", _pm2, "pm2-runtime", "npm"),
)
_PACKAGES = {"supervisord": "supervisor", "circus": "circus", "pm2": "pm2"}


@asynccontextmanager
async def our_agent(run: Run, program: Path) -> AsyncIterator[RealAgent]:
    """Have an agent keep a program for the length of the block."""
    agent = RealAgent.make(run)
    wanted = WantedProcess(name="kept", argv=(str(program),), policy=AT_ONCE)
    async with agent.started(), agent.client() as session:
        await agent.call(session, "PUT", "/spec", body=encode(AgentSpec(generation=1, processes=(wanted,))))
        try:
            yield agent
        finally:
            await agent.call(session, "PUT", "/spec", body=encode(AgentSpec(generation=2)))
            while msgspec.json.decode(await agent.call(session, "GET", "/processes"))["items"] or agent.shims():
                await asyncio.sleep(0.05)


async def _from_pip(run: Run, name: str, program: str) -> str | None:
    folder = run.cache / name
    done = await _install(
        run,
        folder,
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "setuptools<80", _PACKAGES[name]],
    )
    return str(folder / "bin" / program) if done else None


async def _from_npm(run: Run, name: str, program: str) -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        run.show(f"{name}: there is no npm")
        return None
    folder = run.cache / name
    folder.mkdir(exist_ok=True)
    done = await _install(run, folder, [npm, "install", "--silent", "--prefix", str(folder), _PACKAGES[name]])
    return str(folder / "node_modules/.bin" / program) if done else None


async def _install(run: Run, folder: Path, *commands: list[str]) -> bool:
    """Run the commands, once for all runs; tell whether it is there."""
    if (folder / "ready").exists():
        return True
    run.show(f"{folder.name}: installing it for the comparison")
    for command in commands:
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        if done.returncode != 0:
            run.show(f"{folder.name} cannot be installed: {done.stderr.decode()[-300:]}")
            return False
    (folder / "ready").touch()
    return True
