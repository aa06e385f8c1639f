"""Real shims in a temporary folder, and the small things that every test of them needs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from zlh_agent.console.viewer import Viewer
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import ForkedShims, ShimStarter
from zlh_agent.shim.model import Launch
from zlh_agent.terminals.service import TerminalLimits, TerminalService
from zlh_common.schema.console_wire import ServerMessage
from zlh_common.websocket_frames import OutputFrame

SHELL = ("/bin/sh", "-i")
ENVIRONMENT = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ ", "LANG": "C.UTF-8"}
# Generous, since the machine may be busy; nothing waits this long when all is well.
PATIENCE_S = 15.0


@dataclass
class Bench:
    """A place for terminals; each `service()` on it is one life of an agent."""

    folder: Path
    argv: Sequence[str] = SHELL
    services: list[TerminalService] = field(default_factory=list)
    starter: ShimStarter = field(default_factory=ForkedShims)

    def service(self, *, ring_bytes: int = 1 << 20, **options: object) -> TerminalService:
        host = ShimHost(
            self.folder / "state", self.folder / "run", self.starter, ring_bytes=ring_bytes, end_grace_s=0.5
        )
        service = TerminalService(
            host,
            launch=lambda: Launch(argv=self.argv, env=ENVIRONMENT, cwd="/"),
            limits=TerminalLimits(**{"end_grace_s": 0.5, **options}),  # type: ignore[arg-type]
        )
        self.services.append(service)
        return service

    async def start(self, **options: Any) -> TerminalService:
        service = self.service(**options)
        await service.recover()
        return service

    def shims(self) -> list[int]:
        """The shims that belong to this bench: they keep the ring in its folder open."""
        living = (process for process in psutil.process_iter(["status"]) if process.info["status"] != "zombie")
        return [process.pid for process in living if _holds(process.pid, str(self.folder))]


def _holds(pid: int, folder: str) -> bool:
    try:
        links = Path(f"/proc/{pid}/fd").iterdir()
        return pid != os.getpid() and any(str(link.readlink()).startswith(folder) for link in links)
    except OSError:
        return False


@dataclass
class Screen:
    """What one viewer has been given; offsets are checked as they come."""

    viewer: Viewer
    data: bytearray = field(default_factory=bytearray)
    messages: list[ServerMessage] = field(default_factory=list)
    position: int = -1

    async def until(self, *wanted: bytes) -> bytes:
        """Read until all of `wanted` has been printed since the beginning."""
        async with asyncio.timeout(PATIENCE_S):
            while not all(text in self.data for text in wanted):
                await self._take()
        return bytes(self.data)

    async def to_end(self) -> list[ServerMessage]:
        """Read until the viewer ends; return the messages."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self._take()
                except StopAsyncIteration:
                    return self.messages

    async def _take(self) -> None:
        item = await self.viewer.__anext__()
        if not isinstance(item, OutputFrame):
            self.messages.append(item)
            return
        assert self.position in {-1, item.start} or self.messages, (self.position, item.start)
        self.position = item.end
        self.data += item.output


async def look(service: TerminalService, id_: str = "main", asked: int | None = -1) -> Screen:
    return Screen(await service.attach(id_, asked))


async def eventually(is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    due = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < due, "it never came to be so"
        await asyncio.sleep(0.01)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
