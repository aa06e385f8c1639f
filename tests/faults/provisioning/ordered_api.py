"""One API process that does as it is ordered: end by kill -9, or freeze, at one of its effects on guests and routes.

    python ordered_api.py CONFIG ORDERS

The file ORDERS holds a word and a number. `kill 3`: right after the third effect from now on. `freeze 3`: right before
the third time that it asks whether it may act. The file goes when the order is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zlh_api.agents.client import AgentClient
from zlh_api.app import serve as serving
from zlh_api.config.load import load_config
from zlh_api.drivers import process
from zlh_api.drivers.process import ProcessDriver
from zlh_api.edge import local_directory
from zlh_api.reconcile.warrant import StepWarrant
from zlh_common.logs import configure_logs

# What changes something outside of the database, and where it is called by that name.
EFFECTS: tuple[tuple[Any, str], ...] = (
    (process, "_fill"),
    (ProcessDriver, "_create"),
    (process, "write_durably"),
    (ProcessDriver, "_spawn"),
    (process, "ask_all"),
    (process, "end_all"),
    (process, "delete_tree"),
    (ProcessDriver, "_delete"),
    (local_directory, "write_durably"),
    (local_directory, "sync_folder"),
)
_lock = threading.Lock()


def is_due(orders: Path, word: str) -> bool:
    """Count one call; tell whether it is the one that was meant."""
    with _lock, contextlib.suppress(FileNotFoundError, ValueError):
        ordered, number = orders.read_text().split()
        if ordered != word:
            return False
        if int(number) == 1:
            orders.unlink()
            return True
        orders.write_text(f"{word} {int(number) - 1}")
    return False


def ends_after(call: Callable[..., Any], orders: Path) -> Callable[..., Any]:
    """Return the call with an end of the process behind it."""

    @functools.wraps(call)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        if is_due(orders, "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapped


def obey(orders: Path) -> None:
    """Put the orders behind every effect and before every question."""
    for place, name in EFFECTS:
        setattr(place, name, ends_after(getattr(place, name), orders))
    check, put_spec = StepWarrant.check, AgentClient.put_spec

    def check_late(self: StepWarrant) -> None:
        if is_due(orders, "freeze"):
            # By this thread itself: of a signal to the process another thread is told, and until that one runs this one
            # would go on past the check.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        check(self)

    async def put_spec_last(self: AgentClient, *args: Any, **kwargs: Any) -> Any:
        answer = await put_spec(self, *args, **kwargs)
        if await asyncio.to_thread(is_due, orders, "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    StepWarrant.check = check_late  # type: ignore[method-assign]
    AgentClient.put_spec = put_spec_last  # type: ignore[method-assign]


async def serve(config_file: Path) -> None:
    """Run the API until SIGTERM."""
    config = load_config(config_file)
    configure_logs(level="INFO")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serving.serve(config, stop=stop, ready=lambda: Path(f"{config_file}.ready").touch())


if __name__ == "__main__":
    obey(Path(sys.argv[2]))
    asyncio.run(serve(Path(sys.argv[1])))
