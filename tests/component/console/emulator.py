"""A viewer with a terminal emulator: what a person would see, and the answers that a terminal gives by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pyte

from component.console.harness import PATIENCE_S
from zlh_agent.terminals.service import TerminalService
from zlh_common.websocket_frames import OutputFrame


class _Screen(pyte.Screen):
    """Hands over what a terminal answers to a query, as its position."""

    def __init__(self, cols: int, rows: int, answer: Callable[[str], None]) -> None:
        super().__init__(cols, rows)
        self._answer = answer

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Keep what is at the top left, as the terminals of people do; pyte would keep the bottom."""
        self.lines, self.columns = lines or self.lines, columns or self.columns
        for y in [y for y in self.buffer if y >= self.lines]:
            del self.buffer[y]
        self.cursor.y = min(self.cursor.y, self.lines - 1)
        self.cursor.x = min(self.cursor.x, self.columns - 1)
        self.set_margins()

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class EmulatedViewer:
    """One person at `main`. Queries before `hello.to` were answered by whoever looked at that time."""

    def __init__(self, service: TerminalService, cols: int, rows: int, *, obeys: bool = True) -> None:
        self._service = service
        self._obeys = obeys
        self._answers: list[bytes] = []
        self._is_live = False
        self.screen = _Screen(cols, rows, self._on_answer)
        self._stream = pyte.ByteStream(self.screen)
        self._reading: asyncio.Task[None] | None = None

    async def attach(self, asked: int | None = None) -> None:
        self.viewer = await self._service.attach("main", asked)
        self.viewer.resize(self.screen.columns, self.screen.lines)
        self._reading = asyncio.create_task(self._read())

    async def detach(self) -> None:
        assert self._reading is not None
        self.viewer.close()
        await self._reading

    def resize(self, cols: int, rows: int) -> None:
        self.screen.resize(rows, cols)
        self.viewer.resize(cols, rows)

    async def type(self, text: str) -> None:
        await self.viewer.write(text.encode())

    async def until(self, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen looks so, and return its lines."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so(self.lines()):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError("the screen is\n" + "\n".join(self.lines())) from None
        return self.lines()

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def _on_answer(self, data: str) -> None:
        if self._is_live or not self._obeys:
            self._answers.append(data.encode())

    async def _read(self) -> None:
        async for item in self.viewer:
            if isinstance(item, OutputFrame):
                output = bytes(item.output)
                history = max(0, min(len(output), self.viewer.hello.to - item.start))
                self._is_live = False
                self._stream.feed(output[:history])
                self._is_live = True
                self._stream.feed(output[history:])
                for answer in self._answers:
                    await self.viewer.write(answer)
                self._answers.clear()
