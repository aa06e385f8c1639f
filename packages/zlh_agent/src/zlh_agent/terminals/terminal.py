"""One terminal: a shell behind a console, held by a shim.

starting → running ⇄ exited          what the shim says of its child
              └────→ lost            the shim itself is gone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

from zlh_agent.console.console import Console
from zlh_agent.console.viewer import AGENT_GOES, EXITED, LOST, Viewer
from zlh_agent.metrics.model import Target
from zlh_agent.shim.link import ShimLink
from zlh_agent.shim.model import EXITED as CHILD_EXITED
from zlh_agent.shim.model import RUNNING as CHILD_RUNNING
from zlh_agent.shim.model import Snapshot
from zlh_agent.shim.records import ExitRecord
from zlh_agent.shim.signals import moment, signal_name
from zlh_agent.terminals.errors import TerminalNotFound
from zlh_common.schema.console_wire import Exit
from zlh_common.schema.terminal import Terminal as TerminalRow

TerminalState = Literal["starting", "running", "exited", "lost"]


class Terminal:
    """One terminal, for the service that owns it; hears its shim as a `ShimListener`."""

    def __init__(
        self, id_: str, folder: Path, on_change: Callable[[], None], on_orphan: Callable[[Terminal], None]
    ) -> None:
        self.id = id_
        self.console = Console(folder, state="starting")
        self.state: TerminalState = "starting"
        self.link: ShimLink | None = None
        self.snapshot: Snapshot | None = None
        self.last_exit: ExitRecord | None = None
        self.is_closing = False
        # When somebody was last seen at it, on the loop's clock.
        self.idle_since = asyncio.get_running_loop().time()
        # Held while a shim or a shell of this terminal is being started.
        self.starting = asyncio.Lock()
        self._on_change = on_change
        self._on_orphan = on_orphan

    # What its shim says

    def adopt(self, link: ShimLink) -> None:
        """Take a fresh connection to its shim, and believe what that says."""
        self.link = link
        self.console.connect(link)
        self.on_snapshot(link.snapshot)

    def on_output(self) -> int:
        """See ShimListener."""
        return self.console.look()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Take what the shim says of itself and its child, and tell those who look."""
        before, self.snapshot = self.snapshot, snapshot
        if snapshot.state == CHILD_RUNNING:
            self._enter("running")
            self.console.show("running", snapshot.written)
        elif snapshot.state == CHILD_EXITED and snapshot.exited_at_ns is not None:
            self.last_exit = ExitRecord(
                code=snapshot.exit_code,
                signal=snapshot.exit_signal,
                started_at_ns=snapshot.started_at_ns,
                exited_at_ns=snapshot.exited_at_ns,
                written=snapshot.written,
                out_of_memory=snapshot.out_of_memory,
            )
            if before is None or before.exited_at_ns != snapshot.exited_at_ns:
                self._enter("exited")
                self.console.show("exited", snapshot.written, self.exit_message(), EXITED)
        self._on_change()

    def on_lost(self) -> None:
        """The shim is gone: after its child's end that was in order, before it the terminal is lost."""
        self.link = None
        self.console.disconnect()
        if self.state != "exited":
            self._enter("lost")
            self.console.show("lost", None, LOST)
            self._on_orphan(self)
        self._on_change()

    def _enter(self, state: TerminalState) -> None:
        self.state = state
        self.console.allow_input(allowed=state == "running")

    def restore(self, last_exit: ExitRecord | None) -> None:
        """Stand for a terminal whose shim has gone: its history can be read, its end is known or not."""
        self.last_exit = last_exit
        self._enter("exited" if last_exit is not None else "lost")
        self.console.open_history()
        self.console.show(self.state)

    # Those who look

    def view(self, asked: int | None, *, may_write: bool) -> Viewer:
        """Add a viewer that goes on at `asked`; the caller closes it."""
        viewer = self.console.view(asked, may_write=may_write)
        _, written = self.console.bounds()
        if self.state == "exited":
            viewer.tell(written, self.exit_message(), EXITED)
        elif self.state == "lost":
            viewer.tell(written, LOST)
        return viewer

    # What it looks like from outside

    def exit_message(self) -> Exit:
        """How the last shell ended."""
        ended = self.last_exit
        if ended is None:
            raise TerminalNotFound(self.id)
        return Exit(code=ended.code, signal=signal_name(ended.signal))

    def row(self) -> TerminalRow:
        """The row in lists and in the agent's status."""
        ended = self.last_exit if self.state == "exited" else None
        return TerminalRow(
            id=self.id,
            state=self.state,
            started_at=self._started_at(),
            pid=self.snapshot.child_pid if self.snapshot is not None and self.state == "running" else None,
            exit_code=ended.code if ended else None,
            signal=signal_name(ended.signal) if ended else None,
        )

    def target(self) -> Target | None:
        """What its metrics are read of, while it runs."""
        pid = self.snapshot.child_pid if self.snapshot is not None and self.state == "running" else None
        return None if pid is None or self.link is None else Target("terminal", self.id, pid, self.link.shim.pid)

    def _started_at(self) -> datetime | None:
        if self.snapshot is not None:
            return moment(self.snapshot.started_at_ns)
        return moment(self.last_exit.started_at_ns) if self.last_exit is not None else None

    def leave(self) -> None:
        """Let the viewers go, for the agent goes; the shim and its shell go on."""
        self.console.dismiss(AGENT_GOES)
        self.close()

    def close(self) -> None:
        """Let go of the link and the history, leaving the shim alone; may be called twice."""
        if self.link is not None:
            self.link.close()
            self.link = None
        self.console.close()
