"""The agent's end of the forwarder: started, told what to lead where, and ended once it gives no answer."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from zlh_agent.ports import forward_wire as wire
from zlh_agent.sandbox.confinement import Confinement, render_confinement
from zlh_agent.sandbox.launch import bare_child

# The customer's user may stop it; then it is ended, and so is all that it passes on.
ANSWER_S = 5.0
_END_S = 5.0
# Two for each connection, as many as it has at once, and some.
_OPEN_FILES = 4352
_ADDRESS_SPACE_BYTES = 512 * 1024 * 1024

User = tuple[int, int, tuple[int, ...]]


class ForwarderLost(Exception):
    """It cannot be started, has ended, or does not answer; whatever it held is gone with it."""


class Forwarder:
    """One live forwarder. Whoever started it ends it by `end`; calls come one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._asking = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, user: User | None, *, on_end: Callable[[], None]) -> Forwarder:
        """Start one as a user (uid, gid, further groups; None is the agent's own); raise ForwarderLost."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        forwarder: Forwarder | None = None
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *bare_child("zlh_agent.ports.forward_child", "zlh-ports"),
                    stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                    env={}, cwd="/",
                )  # fmt: skip
            forwarder = cls(process, ours)
            await forwarder._greet(user)
        except BaseException as exc:
            ours.close()
            if forwarder is not None:
                await forwarder.end()
            if isinstance(exc, OSError):
                raise ForwarderLost(f"it cannot be started: {exc}") from exc
            raise
        forwarder._ending = asyncio.create_task(forwarder._tell_end(on_end))
        return forwarder

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether it may be asked."""
        return self._process.returncode is None and self._control.fileno() >= 0

    async def lead(self, port: int, target: str, listening: socket.socket | None = None) -> None:
        """Have it lead a port to an address, by a socket that listens where the port is new; raise ForwarderLost."""
        await self._call(wire.render_call(wire.LEAD, port, target), listening)

    async def close_port(self, port: int) -> None:
        """Have it take no new connection of a port; raise ForwarderLost."""
        await self._call(wire.render_call(wire.CLOSE, port))

    async def cut(self, port: int) -> int:
        """Have it end all connections of a port, and return how many; raise ForwarderLost."""
        return await self._call(wire.render_call(wire.CUT, port))

    async def end(self) -> None:
        """End it and all that it passes on."""
        self._control.close()
        if self._ending is not None:
            self._ending.cancel()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._process.wait()

    async def _greet(self, user: User | None) -> None:
        confinement = Confinement(
            user=user, connect_ports=None, open_files=_OPEN_FILES, processes=0,
            address_space_bytes=_ADDRESS_SPACE_BYTES,
        )  # fmt: skip
        answer = await self._exchange(wire.render_order(os.getpid(), render_confinement(confinement)), None)
        if answer != wire.READY:
            raise ForwarderLost(answer.decode(errors="replace") or "it has ended")

    async def _call(self, message: bytes, handed: socket.socket | None = None) -> int:
        async with self._asking:
            if not self.is_alive:
                raise ForwarderLost("it has ended")
            number = wire.parse_done(await self._exchange(message, handed))
            if number is None:
                await self.end()
                raise ForwarderLost("it says what nobody asked")
            return number

    async def _exchange(self, message: bytes, handed: socket.socket | None) -> bytes:
        rights = [] if handed is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handed.fileno()]))]
        is_over = False
        try:
            self._control.sendmsg([message], rights)
            async with asyncio.timeout(ANSWER_S):
                answer = await asyncio.get_running_loop().sock_recv(self._control, wire.MAX_MESSAGE_BYTES)
            is_over = True
        except (OSError, TimeoutError) as exc:
            raise ForwarderLost(f"it does not answer: {exc!r}") from exc
        finally:
            # An answer that comes later would be taken for that to the next question.
            if not is_over:
                self._control.close()
                if self._process.returncode is None:
                    self._process.kill()
        return answer

    async def _tell_end(self, on_end: Callable[[], None]) -> None:
        await self._process.wait()
        self._control.close()
        on_end()
