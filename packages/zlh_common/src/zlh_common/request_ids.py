"""The id of a request: made at the public edge or taken from the caller, and handed on down to the shim.

It stands in every log line that is written on behalf of the request, so one wish can be followed through all programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars

HEADER = "X-Request-Id"
# What may stand in a log line and a header as it is.
_SANE = re.compile(r"[A-Za-z0-9_-]{8,64}")


def accept_request_id(given: str) -> str:
    """Return the caller's id where it is a sane one, else a new one."""
    return given if _SANE.fullmatch(given) else uuid4().hex


@contextmanager
def following(request_id: str | None) -> Iterator[None]:
    """Have everything that happens inside, tasks that begin there included, be on behalf of this request.

    None is for what happens by itself, in a task that a request has begun.
    """
    before = current_request_id()
    _bind(request_id)
    try:
        yield
    finally:
        _bind(before)


def current_request_id() -> str | None:
    """Return the id of the request on whose behalf this is done, if there is one."""
    found = get_contextvars().get("request_id")
    return found if isinstance(found, str) else None


def _bind(request_id: str | None) -> None:
    if request_id is None:
        unbind_contextvars("request_id")
    else:
        bind_contextvars(request_id=request_id)
