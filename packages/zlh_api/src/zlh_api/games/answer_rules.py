"""What agents say of players and of how a server is, with figures that can be and no more than is shown: pure."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from zlh_common.schema.game import (
    CommandAnswer,
    Player,
    Players,
    PlayerSession,
    PlayerSessions,
    Telemetry,
    TelemetryPoint,
)
from zlh_common.shown_text import clean_line, clean_lines

MAX_PLAYERS, MAX_POINTS = 1000, 2000
OUTPUT_CHARS, TEXT_CHARS = 64 * 1024, 1024
# Of a page of stays: the number before which the next one begins.
MAX_CURSOR = 2**31
MAX_LATENCY_MS, MAX_TICKS = 600_000.0, 1000.0


def bound_players(told: Players) -> Players:
    """Return as many players as are shown; who is left out makes the list incomplete."""
    shown = tuple(msgspec.structs.replace(each, **_show(each)) for each in told.online[:MAX_PLAYERS])
    return msgspec.structs.replace(told, online=shown, complete=told.complete and len(shown) == len(told.online))


def bound_sessions(told: PlayerSessions, *, limit: int) -> PlayerSessions:
    """Return no more stays than were asked for."""
    items = tuple(msgspec.structs.replace(each, **_show(each)) for each in told.items[:limit])
    return PlayerSessions(items=items, next=told.next if _is_cursor(told.next) else UNSET)


def bound_telemetry(told: Telemetry) -> Telemetry:
    """Return as many looks as are drawn, the newest of them; what cannot be is not known."""
    return msgspec.structs.replace(
        told,
        now=_bound_point(told.now) if told.now else None,
        points=tuple(_bound_point(point) for point in told.points[-MAX_POINTS:]),
        server_version=clean_line(told.server_version, TEXT_CHARS) if told.server_version else None,
        motd=clean_line(told.motd, TEXT_CHARS) if told.motd else None,
    )


def bound_answer(told: CommandAnswer) -> CommandAnswer:
    """Return the end of an answer that is too long to be read."""
    return CommandAnswer(output=clean_lines(told.output, OUTPUT_CHARS) if told.output else told.output)


def _show(one: Player | PlayerSession) -> dict[str, str | None]:
    """Return the name and the id of somebody as they can be shown."""
    return {
        "name": clean_line(one.name, TEXT_CHARS),
        "uuid": clean_line(one.uuid, TEXT_CHARS) if one.uuid is not None else None,
    }


def _is_cursor(text: str | UnsetType | None) -> bool:
    is_number = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 10
    return is_number and 1 <= int(text or 0) <= MAX_CURSOR


def _bound_point(point: TelemetryPoint) -> TelemetryPoint:
    return msgspec.structs.replace(
        point,
        latency_ms=_within(point.latency_ms, MAX_LATENCY_MS),
        ticks_per_s=_within(point.ticks_per_s, MAX_TICKS),
    )


def _within(value: float | None, most: float) -> float | None:
    return value if value is not None and 0 <= value <= most else None
