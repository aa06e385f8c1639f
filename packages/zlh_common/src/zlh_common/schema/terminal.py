"""Terminals: shells of the customer, held by a shim each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from zlh_common.errors import ZlhError
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.structs import Report, Request

# The persistent terminal of a dev container; its console attaches to it.
MAIN_TERMINAL = "main"
# So much of the history is given at once: as JSON, with the text at its longest, it stays below a mebibyte.
DEFAULT_HISTORY_BYTES, MAX_HISTORY_BYTES = 64 * 1024, 128 * 1024
MAX_NEEDLE_BYTES = 256
MAX_TERMINALS = 32
# At one console, and at all consoles of a container together.
MAX_VIEWERS_OF_ONE, MAX_VIEWERS = 64, 128

Columns = Annotated[int, Meta(ge=1, le=1000)]
Rows = Annotated[int, Meta(ge=1, le=1000)]


class SubprotocolMissing(ZlhError):
    """A console's WebSocket must speak the console protocol."""

    code, status = "subprotocol_missing", 400

    def __init__(self) -> None:
        super().__init__(f"Open this address as a WebSocket with the subprotocol {SUBPROTOCOL}.")


class TerminalLimit(ZlhError):
    """As many terminals are open as may be."""

    code, status = "terminal_limit", 409

    def __init__(self, *, limit: int = MAX_TERMINALS) -> None:
        super().__init__(f"{limit} terminals are open, and no more than {limit} may be; close one.", limit=limit)


class ViewerLimit(ZlhError):
    """As many look already as may; `where` says at what, to follow "are open"."""

    code, status, retryable = "viewer_limit", 429, True

    def __init__(self, *, limit: int, where: str) -> None:
        super().__init__(f"{limit} viewers are open {where}, and no more may be; close one.", limit=limit)


class OpenTerminal(Request):
    """`POST …/terminals`."""

    cols: Columns = 80
    rows: Rows = 24


class TerminalOpened(Report):
    """The answer: attach to it at `…/terminals/{id}`."""

    id: str


class Terminal(Report):
    """One terminal, in lists and in the status of its container."""

    id: str
    state: str
    started_at: datetime | None
    # Of the shell, as the container counts, while it runs.
    pid: int | None = None
    # How its shell ended: one of the two, both null while it runs.
    exit_code: int | None = None
    signal: str | None = None


class ConsoleHistory(Report):
    """A stretch of console output read from disk; `text` is lossy UTF-8, `data` the same bytes in base64."""

    stream: str
    # Absolute offsets: of the first byte here, behind the last byte here, and behind the last byte written.
    start: int
    end: int
    written: int
    text: str
    data: str
    # Offsets of the matches of `q`, at most 1,000.
    matches: tuple[int, ...] = ()
