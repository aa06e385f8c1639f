"""What an agent says on its event stream, one message at a time.

`status` is told to everybody. The others are told to who asks for them (`?take=happenings,metrics`), so an older API
hears nothing that it does not know; and who hears a type that it does not know leaves it out.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zlh_common.errors import InvalidBody
from zlh_common.schema.history import Happening
from zlh_common.schema.metrics import Metrics
from zlh_common.schema.newer import decode_newer
from zlh_common.schema.status import PROTOCOL_VERSION, AgentStatus
from zlh_common.schema.structs import Report, decode

JournalId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
MAX_NUMBER = 2**53
# So many happenings may one message have.
MAX_ITEMS = 100
# How fast an agent tells its happenings: so many at once, and so many a second after that. What it cannot tell in time
# it skips, the oldest first, as its journal does.
HAPPENINGS_AT_ONCE, HAPPENINGS_PER_S = 1000, 2.0


class StatusEvent(Report, tag_field="type", tag="status"):
    """The whole report, pushed on every change and every 30 s."""

    status: AgentStatus


class HappeningsEvent(Report, tag_field="type", tag="happenings"):
    """Entries of the journal, in order: those after the one that was asked for, then each as it happens."""

    journal: JournalId
    items: Annotated[tuple[Happening, ...], Meta(max_length=MAX_ITEMS)]


class MetricsEvent(Report, tag_field="type", tag="metrics"):
    """A sample: the newest at once, then one a minute."""

    metrics: Metrics


StreamMessage = StatusEvent | HappeningsEvent | MetricsEvent


class _AnyMessage(Report):
    type: str


_KNOWN = {"status", "happenings", "metrics"}


class _Spoken(Report):
    """What tells how new somebody is who says something that is not understood."""

    protocol_version: int


class _SpokenEvent(Report):
    status: _Spoken


def parse_message(raw: bytes | str) -> StreamMessage | None:
    """Return a message of the stream, None for a type that is not known here; raise InvalidBody.

    Of a newer agent's status everything is taken that is known here.
    """
    try:
        return decode(raw, StreamMessage)  # type: ignore[arg-type] # a union is a shape to msgspec
    except InvalidBody:
        match decode(raw, _AnyMessage).type:
            case "status" if _is_newer(decode(raw, _SpokenEvent).status):
                return decode_newer(raw, StatusEvent)
            case kind if kind in _KNOWN:
                raise
            case _:
                return None


def parse_status(raw: bytes | str) -> AgentStatus:
    """Return an agent's answer that is its status; of a newer agent all that is known here. Raise InvalidBody."""
    try:
        return decode(raw, AgentStatus)
    except InvalidBody:
        if not _is_newer(decode(raw, _Spoken)):
            raise
        return decode_newer(raw, AgentStatus)


def _is_newer(spoken: _Spoken) -> bool:
    return spoken.protocol_version > PROTOCOL_VERSION
