"""JSON logs in the shape of Go's `log/slog`: one line an event, `time`, `level`, `msg`, then the fields.

`time` is RFC 3339 in UTC with up to nine digits of the second and no trailing zeros, `level` one of DEBUG, INFO, WARN,
ERROR, and control characters are escaped, so that one event is always one line whatever a field holds.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from zlh_common.slog_time import render_time

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR", "critical": "ERROR"}
# A field of a stranger (a user name before sign-in, an agent's message) never makes a line of megabytes.
MAX_FIELD_CHARS = 8192


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it; bytes and unknown objects become text, long text is cut."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text if len(text) <= MAX_FIELD_CHARS else text[:MAX_FIELD_CHARS] + "…"
    if isinstance(value, bytes):
        return _plain(value.decode("utf-8", "replace"))
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _plain(str(value))


def to_slog(_logger: Any, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Order one structlog event as slog would: time, level, msg, fields; an exception becomes `error` and `stack`."""
    line: dict[str, Any] = {
        "time": render_time(time.time_ns()),
        "level": _LEVELS.get(method, "INFO"),
        "msg": _plain(event.pop("event", "")),
    }
    if "exception" in event:
        event["stack"] = event.pop("exception")
    for key, value in event.items():
        # slog repeats a key that collides; a parser then keeps one by chance, so ours gets another name.
        line[f"field_{key}" if key in {"time", "level", "msg"} else key] = _plain(value)
    return line


def _to_json(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    text = msgspec.json.encode(line).decode()
    # These two end a line for some readers, and slog escapes them too.
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def configure_logs(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every event of this process to `stream` (standard output by default), from `level` up.

    Events of libraries that use the standard `logging` module go the same way.
    """
    target = stream or sys.stdout
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, to_slog, _to_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(logging.WARNING)


class _ToStructlog(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        method = (
            "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        )
        log = structlog.get_logger()
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(log, method)(record.getMessage(), **fields)
