"""What can go wrong with a terminal, as people and programs see it."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class TerminalNotFound(ZlhError):
    """There is no terminal of this name."""

    code, status = "terminal_not_found", 404

    def __init__(self, terminal: str) -> None:
        super().__init__("There is no terminal of this name; it may have been closed.", terminal=terminal[:64])
