"""One command to the remote console of the server, and its answer. A connection each: nothing is held open."""

from __future__ import annotations

import asyncio
import contextlib

from zlh_agent.gameplay.rcon_wire import COMMAND, LOGIN, MAX_COMMAND_BYTES, REFUSED_ID, NotRcon, Packet
from zlh_agent.gameplay.rcon_wire import parse_packet as parse
from zlh_agent.gameplay.rcon_wire import render_packet as render

ANSWER_TIMEOUT_S = 10.0
MAX_ANSWER_CHARS = 64 * 1024
_LOGIN_ID, _COMMAND_ID, _LAST_ID = 1, 2, 3


class RconFailed(Exception):
    """The server does not take commands this way; why, in words."""


async def run_command(address: str, port: int, secret: str, command: str) -> str:
    """Return what the server answers, cut to 64 Ki characters; raise RconFailed."""
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise RconFailed(f"a command has at most {MAX_COMMAND_BYTES} bytes")
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return await _Talk(reader, writer).run(secret, command)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as exc:
        raise RconFailed(f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from exc
    except NotRcon as exc:
        raise RconFailed("what listens there is no remote console") from exc
    except OSError as exc:
        raise RconFailed(exc.strerror or str(exc)) from exc


class _Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._data = b""

    async def run(self, secret: str, command: str) -> str:
        self._writer.write(render(Packet(_LOGIN_ID, LOGIN, secret)))
        if (await self._wait_for({_LOGIN_ID, REFUSED_ID}, COMMAND)).id == REFUSED_ID:
            raise RconFailed("it refuses the password; it has the right one after its next start")
        self._writer.write(render(Packet(_COMMAND_ID, COMMAND, command)))
        told = [(await self._wait_for({_COMMAND_ID}, 0)).text]
        # Servers take one packet at a time. This kind is unknown to all of them, so its answer is short and comes last.
        self._writer.write(render(Packet(_LAST_ID, 0, "")))
        while (packet := await self._next()).id != _LAST_ID:
            if packet.id == _COMMAND_ID and sum(map(len, told)) < MAX_ANSWER_CHARS:
                told.append(packet.text)
        return "".join(told)[:MAX_ANSWER_CHARS]

    async def _wait_for(self, ids: set[int], kind: int) -> Packet:
        while True:
            packet = await self._next()
            if packet.id in ids and packet.kind == kind:
                return packet

    async def _next(self) -> Packet:
        while (found := parse(self._data)) is None:
            data = await self._reader.read(16 * 1024)
            if not data:
                raise RconFailed("it closes the connection")
            self._data += data
        packet, end = found
        self._data = self._data[end:]
        return packet
