"""Where the mods of a container lie, and what is known of the server that loads them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from zlh_agent.files.service import FileService


async def _at_once() -> None:
    pass


@dataclass(frozen=True, slots=True)
class ModPlace:
    """Where the mods of this container lie: below which root, and in which folder of it."""

    files: FileService
    folder: str
    # When the server that runs now was started; None while none does.
    started_at: Callable[[], datetime | None] = lambda: None
    # Whether it is being started at this moment, and the wait until it is not.
    is_coming_up: Callable[[], bool] = lambda: False
    wait_settled: Callable[[], Awaitable[None]] = _at_once
