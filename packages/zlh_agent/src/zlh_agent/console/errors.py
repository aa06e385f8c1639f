"""What can go wrong with a terminal, as people and programs see it."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class TerminalNotFound(ZlhError):
    """There is no terminal of this name."""

    code, status = "terminal_not_found", 404

    def __init__(self, terminal: str) -> None:
        super().__init__("There is no terminal of this name; it may have been closed.", terminal=terminal[:64])


class TerminalStartFailed(ZlhError):
    """The shell of a terminal did not start."""

    code, status = "terminal_start_failed", 500

    def __init__(self, *, step: str, reason: str) -> None:
        super().__init__(f"The shell did not start: {step}: {reason}.", step=step)


class ShimLost(ZlhError):
    """The process that holds a terminal is gone or does not answer."""

    code, status, retryable = "shim_lost", 503, True

    def __init__(self, terminal: str, *, reason: str) -> None:
        super().__init__(f"The process that holds the terminal {terminal} {reason}.", terminal=terminal)


class OffsetInvalid(ZlhError):
    """An offset or a limit is no number that can be one."""

    code, status = "offset_invalid", 400

    def __init__(self, *, field: str, value: str) -> None:
        super().__init__(f"{field} must be a whole number in its range, and is {value[:40]!r}.", field=field)


class SubprotocolRequired(ZlhError):
    """The WebSocket was not opened with the subprotocol of consoles."""

    code, status = "subprotocol_required", 400

    def __init__(self, *, wanted: str) -> None:
        super().__init__(f"Open this WebSocket with the subprotocol {wanted}.", wanted=wanted)
