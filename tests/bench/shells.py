"""One shape for a shell, whoever serves it: a bare PTY, our console at three depths, terminado."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from bench.measure import Run, read_cpu_s
from bench.programs import HERE, find_terminado, running, wait_port
from bench.real_agent import RealAgent, find_shims
from bench.real_api import RealApi
from bench.sockets import BINARY, Address, WebSocket
from guards.ports import free_port
from zlh_common.schema.console_wire import OFFSET_BYTES, SUBPROTOCOL

SHELL = ("/bin/sh", "-i")
# What is searched for the end of a flood: a prompt may follow it in the same chunk.
TAIL_BYTES = 512


class Shell(Protocol):
    """One viewer of one terminal; everything blocks."""

    # Bytes that this viewer was told it will not get.
    lost: int

    def write(self, data: bytes) -> None:
        """Type."""
        ...

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield output as it comes; may be asked for again."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class Server(Protocol):
    """Who serves terminals."""

    name: str

    async def open_terminal(self) -> str:
        """Start a shell; return how it is called."""
        ...

    def watch(self, terminal: str) -> Shell:
        """Attach a viewer; blocks."""
        ...

    def cpu_s(self) -> float:
        """Return the processor time of all processes that have part in it."""
        ...


def run_until(shell: Shell, marker: bytes) -> int:
    """Read until `marker`; return how many bytes came."""
    tail, count = b"", 0
    for chunk in shell.chunks():
        count += len(chunk)
        tail = (tail + bytes(chunk[-TAIL_BYTES:]))[-2 * TAIL_BYTES :]
        if marker in tail:
            return count
    raise ConnectionError(f"the shell ended without {marker!r}: {tail!r}")


def wait_prompt(shell: Shell) -> None:
    """Return once the shell takes commands."""
    shell.write(b"printf 'rea''dy!'\n")
    run_until(shell, b"ready!")


class BarePty:
    """What the kernel gives: one process, one loop of reads."""

    lost = 0

    def __init__(self) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(SHELL[0], SHELL, {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ "})

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self._fd, data)

    def chunks(self) -> Iterator[bytes]:
        """Yield what each read gives."""
        while True:
            yield os.read(self._fd, 64 * 1024)

    def close(self) -> None:
        """End the shell."""
        os.close(self._fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class OurShell:
    """A viewer that speaks our protocol."""

    def __init__(self, address: Address) -> None:
        self._socket = WebSocket(address)
        self.lost = 0
        self._frames = self._socket.frames()
        next(self._frames)

    def write(self, data: bytes) -> None:
        """Type."""
        self._socket.send(data)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the output of each frame; a gap is counted."""
        for opcode, payload in self._frames:
            if opcode == BINARY:
                yield payload[OFFSET_BYTES:]
            else:
                message = json.loads(bytes(payload))
                if message["type"] == "gap":
                    self.lost += message["to"] - message["from"]

    def close(self) -> None:
        """Leave; the terminal stays."""
        self._socket.close()


class TerminadoShell:
    """A viewer that speaks terminado's protocol: JSON lists in text frames, counted as they are."""

    lost = 0

    def __init__(self, address: Address) -> None:
        self._socket = WebSocket(address)
        self._frames = self._socket.frames()
        next(self._frames)

    def write(self, data: bytes) -> None:
        """Type."""
        self._socket.send_json(["stdin", data.decode()])

    def chunks(self) -> Iterator[memoryview]:
        """Yield each frame as it is; only its text is searched."""
        for _opcode, payload in self._frames:
            yield payload

    def close(self) -> None:
        """Leave; its shell ends with the server."""
        self._socket.close()


@dataclass
class BareServer:
    """The kernel."""

    name: str = "bare PTY"
    _waiting: dict[str, BarePty] = field(default_factory=dict)

    async def open_terminal(self) -> str:
        """Fork a shell."""
        shell = BarePty()
        self._waiting[str(shell.pid)] = shell
        return str(shell.pid)

    def watch(self, terminal: str) -> Shell:
        """Return the one reader."""
        return self._waiting.pop(terminal)

    def cpu_s(self) -> float:
        """It is this process; not told apart."""
        return 0.0


@dataclass
class OurServer:
    """Our console: its slice without TLS, an agent, or an API in front of an agent."""

    name: str
    session: aiohttp.ClientSession
    list_path: str
    place: Address
    folder: Path
    pids: tuple[int, ...]
    agent: RealAgent | None = None

    async def open_terminal(self) -> str:
        """Start a shell."""
        if self.agent is not None:
            return await self.agent.open_terminal(self.session)
        async with self.session.post(self.list_path, json={}) as answer:
            answer.raise_for_status()
            return str((await answer.json())["id"])

    async def close_terminal(self, terminal: str) -> None:
        """End a shell."""
        if self.agent is not None:
            await self.agent.call(self.session, "DELETE", f"{self.list_path}/{terminal}")
            return
        async with self.session.delete(f"{self.list_path}/{terminal}") as answer:
            answer.raise_for_status()

    def watch(self, terminal: str) -> Shell:
        """Attach from the beginning of its history."""
        return OurShell(self.address(terminal))

    def address(self, terminal: str) -> Address:
        """Return where one terminal is watched from its beginning."""
        place = self.place
        path = f"{self.list_path}/{terminal}?from=0"
        return Address(place.host, place.port, path, SUBPROTOCOL, token=place.token, tls=place.tls, name=place.name)

    def cpu_s(self) -> float:
        """Return the time of the servers and of the shims."""
        return sum(read_cpu_s(pid) for pid in (*self.pids, *find_shims(self.folder, but=self.pids)))


@dataclass
class TerminadoServer:
    """The peer."""

    port: int
    pid: int
    name: str = "terminado"
    _count: int = 0

    async def open_terminal(self) -> str:
        """Its terminals start with their first viewer."""
        self._count += 1
        return f"t{self._count}"

    def watch(self, terminal: str) -> Shell:
        """Attach."""
        return TerminadoShell(Address("127.0.0.1", self.port, f"/ws/{terminal}"))

    def cpu_s(self) -> float:
        """Return the time of its one process."""
        return read_cpu_s(self.pid)


@asynccontextmanager
async def plain_console(run: Run) -> AsyncIterator[OurServer]:
    """Our slice alone, without TLS."""
    folder, port = run.fresh_folder("console"), free_port()
    log = folder / "log"
    async with running([sys.executable, str(HERE / "console_server.py"), str(folder), str(port)], log=log) as child:
        await wait_port(port, child, log)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield OurServer("agent", session, "/terminals", Address("127.0.0.1", port, ""), folder, pids=(child.pid,))
            await _close_all(session, "/terminals")


@asynccontextmanager
async def agent_and_api(run: Run) -> AsyncIterator[tuple[OurServer, OurServer]]:
    """A real agent with TLS, and the same agent behind a real API."""
    agent = RealAgent.make(run)
    api = RealApi.make(run, agent)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(api.database())
        vmid = await api.add_agent(connection, agent)
        await stack.enter_async_context(agent.started())
        await stack.enter_async_context(api.started())
        direct = await stack.enter_async_context(agent.client())
        proxied = await stack.enter_async_context(api.client())
        stack.push_async_callback(agent.close_terminals)
        yield (
            OurServer("agent, TLS", direct, "/terminals", agent.address(), agent.folder, (agent.pid,), agent),
            OurServer(
                "API and agent, TLS",
                proxied,
                f"/api/containers/{vmid}/terminals",
                api.address(),
                agent.folder,
                (agent.pid, api.pid),
            ),
        )


@asynccontextmanager
async def terminado(run: Run) -> AsyncIterator[TerminadoServer | None]:
    """The peer, or None where it cannot be had."""
    python = await find_terminado(run)
    if python is None:
        yield None
        return
    folder, port = run.fresh_folder("terminado"), free_port()
    log = folder / "log"
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ ", "HOME": str(folder)}
    argv = [python, str(HERE / "terminado_server.py"), str(port)]
    async with running(argv, log=log, env=environment) as child:
        await wait_port(port, child, log)
        yield TerminadoServer(port, child.pid)


async def _close_all(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as answer:
        rows = (await answer.json())["items"]
    for row in rows:
        async with session.delete(f"{path}/{row['id']}"):
            pass


async def open_shell(server: Server) -> tuple[str, Shell]:
    """Return a new terminal with one viewer, when it takes commands."""
    terminal = await server.open_terminal()
    shell = await asyncio.to_thread(server.watch, terminal)
    await asyncio.to_thread(wait_prompt, shell)
    return terminal, shell


async def leave(server: Server, terminal: str, *shells: Shell) -> None:
    """Let all viewers go, and end the terminal where its server can."""
    for shell in shells:
        shell.close()
    if isinstance(server, OurServer):
        await server.close_terminal(terminal)
