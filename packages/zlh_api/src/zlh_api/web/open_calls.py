"""How many long calls may be open at a time, of each kind: of one user, of one customer, and in all of this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from zlh_api.customers.model import Caller
from zlh_api.web.endpoint import Endpoint
from zlh_common.errors import ZlhError

_WHOSE = {
    "user": "of yours are open",
    "customer": "are open at all containers of this customer together",
    "process": "are open here in all",
}


class TooManyOpen(ZlhError):
    """Too many long calls are open."""

    # `by` says of whom: `user`, `customer` or `process`.
    code, status, retryable = "too_many_open", 429, True

    def __init__(self, what: str, *, limit: int, by: str) -> None:
        super().__init__(
            f"{limit} {what} {_WHOSE[by]}, and no more are taken. Close one, or try again later.",
            what=what,
            limit=limit,
            by=by,
        )


@dataclass(frozen=True, slots=True)
class OpenSettings:
    """How many there may be."""

    event_streams_per_user: int
    event_streams: int
    sockets_per_user: int
    sockets: int
    transfers_per_user: int
    transfers_per_customer: int
    transfers: int


@dataclass(frozen=True, slots=True)
class _Limits:
    per_user: int
    in_all: int
    # None where a customer may have as many as their users together.
    per_customer: int | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """One count that a call is part of."""

    what: str
    by: str
    of: UUID | None
    limit: int


class OpenCalls:
    """Counts what is open in this process."""

    def __init__(self, settings: OpenSettings) -> None:
        self._limits = {
            "event streams": _Limits(settings.event_streams_per_user, settings.event_streams),
            "WebSockets": _Limits(settings.sockets_per_user, settings.sockets),
            "file transfers": _Limits(settings.transfers_per_user, settings.transfers, settings.transfers_per_customer),
        }
        self._open: Counter[tuple[str, str, UUID | None]] = Counter()

    @contextmanager
    def hold(self, endpoint: Endpoint, caller: Caller | None, *, customer: UUID | None = None) -> Iterator[None]:
        """Count a call for as long as the block lasts, where it is a long one; raise TooManyOpen.

        `customer` is whose container the call is about, whoever calls.
        """
        places = self._places_of(endpoint, caller, customer)
        for place in places:
            if self._open[place.what, place.by, place.of] >= place.limit:
                raise TooManyOpen(place.what, limit=place.limit, by=place.by)
        keys = [(place.what, place.by, place.of) for place in places]
        self._open.update(keys)
        try:
            yield
        finally:
            for key in keys:
                self._open[key] -= 1
                # Users and customers come and go for ever.
                if not self._open[key]:
                    del self._open[key]

    def figures(self) -> dict[str, tuple[int, int]]:
        """Return of each kind how many are open in this process, and how many may be."""
        return {what: (self._open[what, "process", None], limits.in_all) for what, limits in self._limits.items()}

    def _places_of(self, endpoint: Endpoint, caller: Caller | None, customer: UUID | None) -> list[_Place]:
        what = _kind_of(endpoint)
        if what is None or caller is None:
            return []
        limits = self._limits[what]
        places = [_Place(what, "user", caller.user_id, limits.per_user)]
        if customer is not None and limits.per_customer is not None:
            places.append(_Place(what, "customer", customer, limits.per_customer))
        return [*places, _Place(what, "process", None, limits.in_all)]


def _kind_of(endpoint: Endpoint) -> str | None:
    if endpoint.is_websocket:
        return "WebSockets"
    if endpoint.is_transfer:
        return "file transfers"
    return "event streams" if endpoint.is_stream else None
