"""What `make dev` shows while it sets up: a line per step, live on a terminal, plain in a log.

On a terminal a step that is under way says what it is at; a log has a line when it begins and one when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
DETAIL_CHARS = 60


class Progress:
    """Shows steps that may run side by side."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, float] = {}
        self._details: dict[str, str] = {}
        self._live = Live(get_renderable=self._render, console=console, transient=True, refresh_per_second=10)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    async def step(self, name: str, work: Awaitable[T]) -> T:
        """Show `name` while `work` is under way, and how long it took."""
        began = time.monotonic()
        self._running[name] = began
        if not self._console.is_terminal:
            self._console.print(f"  … {name}")
        try:
            result = await work
        except BaseException:
            self._console.print(Text.assemble(("  ✗ ", "bold red"), name))
            raise
        finally:
            del self._running[name]
            self._details.pop(name, None)
        seconds = time.monotonic() - began
        self._console.print(Text.assemble(("  ✓ ", "bold green"), f"{name:<46}", (f"{seconds:6.1f} s", "dim")))
        return result

    def tell(self, name: str, detail: str) -> None:
        """Show what a step that is under way has come to."""
        if name in self._running:
            self._details[name] = detail

    def note(self, text: str) -> None:
        """Print something that people should know."""
        self._console.print(Text.assemble(("  ! ", "bold yellow"), text))

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, began in self._running.items():
            took = Text(f"{time.monotonic() - began:6.1f} s", style="dim")
            detail = Text(self._details.get(name, "")[:DETAIL_CHARS], style="dim")
            table.add_row(" ", Spinner("dots"), f"{name:<45}", took, detail)
        return table
