"""How many long calls may be open at a time, of each kind: of one user, and in all of this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from zlh_api.customers.model import Caller
from zlh_api.web.endpoint import Endpoint
from zlh_common.errors import ZlhError


class TooManyOpen(ZlhError):
    """Too many long calls are open."""

    code, status, retryable = "too_many_open", 429, True

    def __init__(self, what: str, *, limit: int, is_in_all: bool) -> None:
        whose = "are open here in all" if is_in_all else "of yours are open"
        super().__init__(
            f"{limit} {what} {whose}, and no more are taken. Close one, or try again later.", what=what, limit=limit
        )


@dataclass(frozen=True, slots=True)
class OpenSettings:
    """How many there may be."""

    event_streams_per_user: int
    event_streams: int
    sockets_per_user: int
    sockets: int
    transfers_per_user: int
    transfers: int


class OpenCalls:
    """Counts what is open in this process."""

    def __init__(self, settings: OpenSettings) -> None:
        self._kinds = {
            "event streams": (settings.event_streams_per_user, settings.event_streams),
            "WebSockets": (settings.sockets_per_user, settings.sockets),
            "file transfers": (settings.transfers_per_user, settings.transfers),
        }
        self._of_user: Counter[tuple[str, UUID]] = Counter()
        self._in_all: Counter[str] = Counter()

    @contextmanager
    def hold(self, endpoint: Endpoint, caller: Caller | None) -> Iterator[None]:
        """Count a call for as long as the block lasts, where it is a long one; raise TooManyOpen."""
        what = _kind_of(endpoint)
        if what is None or caller is None:
            yield
            return
        key, (per_user, in_all) = (what, caller.user_id), self._kinds[what]
        if self._of_user[key] >= per_user:
            raise TooManyOpen(what, limit=per_user, is_in_all=False)
        if self._in_all[what] >= in_all:
            raise TooManyOpen(what, limit=in_all, is_in_all=True)
        self._of_user[key] += 1
        self._in_all[what] += 1
        try:
            yield
        finally:
            self._in_all[what] -= 1
            self._of_user[key] -= 1
            # Users come and go for ever.
            if not self._of_user[key]:
                del self._of_user[key]


def _kind_of(endpoint: Endpoint) -> str | None:
    if endpoint.is_websocket:
        return "WebSockets"
    if endpoint.is_transfer:
        return "file transfers"
    return "event streams" if endpoint.is_stream else None
