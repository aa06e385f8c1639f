"""What may be open at a time, of one user, of one customer and of all."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID

import pytest

from zlh_api.customers.model import Caller
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.open_calls import OpenCalls, OpenSettings, TooManyOpen

SETTINGS = OpenSettings(
    event_streams_per_user=2,
    event_streams=3,
    sockets_per_user=2,
    sockets=3,
    transfers_per_user=2,
    transfers_per_customer=3,
    transfers=5,
)


async def nothing(_call: Call) -> None:
    """Answer nothing."""


SOCKET = Endpoint("GET", "/s", Policy.SIGNED_IN, nothing, "x", is_websocket=True)
STREAM = Endpoint("GET", "/e", Policy.SIGNED_IN, nothing, "x", is_stream=True)
TRANSFER = Endpoint("GET", "/t", Policy.SIGNED_IN, nothing, "x", is_transfer=True)
PLAIN = Endpoint("GET", "/p", Policy.SIGNED_IN, nothing, "x")


def person(number: int) -> Caller:
    """Return somebody."""
    return Caller(UUID(int=number), "a@example.org", is_operator=False, memberships=(), by_cookie=False)


@pytest.mark.parametrize(("endpoint", "other"), [(SOCKET, STREAM), (STREAM, SOCKET)])
def test_each_kind_is_counted_by_user_and_in_all(endpoint: Endpoint, other: Endpoint) -> None:
    """And apart from the other kind; what ends makes room, however it ends."""
    calls = OpenCalls(SETTINGS)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(calls.hold(endpoint, person(1)))
        with pytest.raises(TooManyOpen) as caught, calls.hold(endpoint, person(1)):
            pytest.fail("there was room")
        assert caught.value.data["limit"] == 2
        with calls.hold(endpoint, person(2)):
            with pytest.raises(TooManyOpen) as caught, calls.hold(endpoint, person(3)):
                pytest.fail("there was room")
            assert caught.value.data["limit"] == 3
            with calls.hold(other, person(1)):
                pass
        with pytest.raises(ConnectionError), calls.hold(endpoint, person(3)):
            raise ConnectionError
        with calls.hold(endpoint, person(3)):
            pass
    with calls.hold(endpoint, person(1)), calls.hold(endpoint, person(1)):
        pass
    assert not calls._open


def test_transfers_of_one_customers_containers_are_counted_together() -> None:
    """Whoever calls: its members, and operators; another customer's have their own, up to those of the process."""
    calls, ours, theirs = OpenCalls(SETTINGS), UUID(int=101), UUID(int=102)
    with ExitStack() as stack:
        for member in (1, 1, 2):
            stack.enter_context(calls.hold(TRANSFER, person(member), customer=ours))
        with pytest.raises(TooManyOpen) as caught, calls.hold(TRANSFER, person(3), customer=ours):
            pytest.fail("there was room")
        assert (caught.value.data["limit"], caught.value.data["by"]) == (3, "customer")
        with calls.hold(SOCKET, person(3), customer=ours):
            pass
        for stranger in (3, 4):
            stack.enter_context(calls.hold(TRANSFER, person(stranger), customer=theirs))
        with pytest.raises(TooManyOpen) as caught, calls.hold(TRANSFER, person(5), customer=theirs):
            pytest.fail("there was room")
        assert (caught.value.data["limit"], caught.value.data["by"]) == (5, "process")
    assert not calls._open


def test_what_does_not_last_is_not_counted() -> None:
    """A plain call is over soon."""
    calls = OpenCalls(SETTINGS)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(calls.hold(PLAIN, person(1)))
