"""A program of others as a child of the test: started, waited for, ended by its own pid, with what it said at hand."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# For what never starts.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class DidNotStart(Exception):
    """A program ended, or did not become ready in time."""


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Tell whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


@dataclass
class Program:
    """`start()` returns once `is_ready` says so; both `start` and `stop` may be called again."""

    argv: tuple[str, ...]
    log: Path
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] | None = None
    # Between the request to end and the end by force.
    stop_timeout_s: float = STOP_TIMEOUT_S
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._child is not None
        return self._child.pid

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start it and wait; raise DidNotStart with what it said."""
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment
            )
        until = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if self._child.poll() is not None or time.monotonic() > until:
                self.stop()
                raise DidNotStart(f"{self.argv[0]}: {self.said[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, kindly first; harmless where it does not run."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Program]:
        """Run it for as long as the context lasts."""
        self.start()
        try:
            yield self
        finally:
            self.stop()
