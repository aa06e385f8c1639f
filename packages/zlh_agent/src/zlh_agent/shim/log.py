"""The shim's own log: `shim.log` beside the ring, one JSON object a line as slog prints it, bounded.

It is for people, and losing a line does no harm; so no error of a write is told to anybody.
"""

from __future__ import annotations

import os
import time

from zlh_common.slog_time import render_time

LOG = 2
# A program that is restarted for years must not fill the disk with it.
MAX_LOG_BYTES = 256 * 1024


def note(message: str, *, level: str = "INFO", **fields: str | int | None) -> None:
    """Write one line; fields that are None are left out."""
    line = {"time": render_time(time.time_ns()), "level": level, "msg": message, **fields}
    pairs = (f'"{name}":{_render(value)}' for name, value in line.items() if value is not None)
    try:
        if os.fstat(LOG).st_size > MAX_LOG_BYTES:
            os.ftruncate(LOG, 0)
        os.write(LOG, f"{{{','.join(pairs)}}}\n".encode())
    except OSError:
        pass


def _render(value: str | int | None) -> str:
    if isinstance(value, int):
        return str(value)
    # json would cost the shim a megabyte.
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else _escape(c) for c in value or "") + '"'


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
