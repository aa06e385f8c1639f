"""What stands before a real server and lets nobody through, or loses what it answers."""

from __future__ import annotations

import asyncio
import contextlib


class Forwarder:
    """Passes TCP connections on to one port."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        # So many answers are lost from now on; the questions have arrived.
        self.lost_answers = 0
        # So many bytes of the next answer arrive before the connection breaks.
        self.cut_after: int | None = None
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Listen; on the same port as before, if it has listened before."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Let nobody through, and cut off who is."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        await asyncio.gather(*self._passing)
        await self._server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._open |= {writer, out}
        passing = asyncio.get_running_loop().create_future()
        self._passing.add(passing)
        try:
            await asyncio.gather(self._pump(reader, out), self._pump(there, writer, is_answer=True))
        finally:
            for each in (writer, out):
                self._open.discard(each)
                each.close()
            self._passing.discard(passing)
            passing.set_result(None)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if is_answer and self.lost_answers:
                    self.lost_answers -= 1
                    break
                if is_answer and self.cut_after is not None:
                    writer.write(data[: self.cut_after])
                    self.cut_after = None
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
