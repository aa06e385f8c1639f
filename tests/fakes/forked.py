"""Work in a process of its own, for what changes its process for good or ends all that runs below it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or raise what it raises; an error comes with its attributes and without its trace."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        _say(said, work)
    os.close(said)
    with os.fdopen(heard, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    assert told, f"the child ended with {os.waitstatus_to_exitcode(status)}"
    kind, outcome = pickle.loads(told)
    if kind is None:
        return outcome
    error = kind.__new__(kind)
    error.__dict__.update(outcome)
    error.args = (outcome.get("detail", ""),)
    raise error


def _say(descriptor: int, work: Callable[[], Any]) -> None:
    try:
        told: tuple[Any, Any] = (None, work())
    except BaseException as error:  # noqa: BLE001 - this process must end here, whatever happens
        told = (type(error), {**vars(error), "detail": getattr(error, "detail", repr(error))})
    try:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(pickle.dumps(told))
    finally:
        os._exit(0)
