"""A real API process that is killed at one point of an act: `dying_api.py CONFIG POINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from zlh_api import cli
from zlh_api.audit_log import store
from zlh_api.audit_log.service import AuditLog
from zlh_api.customers.callers import Callers

Function = Callable[..., Awaitable[Any]]
# In the order in which they come, with what is replaced to get there.
POINTS: dict[str, tuple[object, str, bool]] = {
    "before it is written down": (store, "insert_begun", False),
    "after it is written down": (store, "insert_begun", True),
    "before it is done": (Callers, "issue_ticket", False),
    "after it is done": (Callers, "issue_ticket", True),
    "before its entry": (store, "append", False),
    "before its entry is committed": (store, "append", True),
    "before its answer": (AuditLog, "finish", True),
}


def die() -> None:
    """End as by the OOM killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Function, *, is_after: bool) -> Function:
    """Return a function that is the process's last."""

    async def replaced(*arguments: Any, **named: Any) -> Any:
        if not is_after:
            die()
        result = await function(*arguments, **named)
        die()
        return result

    return replaced


if __name__ == "__main__":
    config, point = sys.argv[1:]
    where, name, is_after = POINTS[point]
    setattr(where, name, dying(getattr(where, name), is_after=is_after))
    cli.main(["serve", "--config", config])
