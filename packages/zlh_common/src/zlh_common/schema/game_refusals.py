"""What can be in the way of saying something to a game server, in the words of agent and API alike."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class GameNotRunning(ZlhError):
    """The game server does not run, so nothing can be said to it."""

    code, status = "game_not_running", 409

    def __init__(self) -> None:
        super().__init__("The game server does not run; start it first.")


class CommandNotTaken(ZlhError):
    """The server runs, and its remote console does not take the command."""

    code, status, retryable = "command_not_taken", 502, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The server's remote console has not taken the command: {reason}.")
