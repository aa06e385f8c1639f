"""A port is taken back in the moment in which somebody signs in at it: one of both waits, and neither breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.access_world import PORT, Place, make_place
from component.api.people_world import CountedPasswords
from fakes.api_world import World
from zlh_api.customers.model import Caller
from zlh_common.errors import NotFound
from zlh_common.names import HostName

Client = TestClient[Request, Application]
T = TypeVar("T")


@pytest.fixture
async def place(world: World, client: Client) -> Place:
    """A container with one published port, and its people."""
    world.accounts.sign_in._passwords = CountedPasswords()
    made = await make_place(world, client)
    await made.publish("private")
    return made


async def while_it_goes(world: World, table: str, act: Awaitable[T]) -> T:
    """Take all of something away: begin an act once it is held, go on once the act waits; return what that comes to."""
    async with world.another_pool().transaction() as connection:
        await connection.execute(f"select from {table} for update")
        acting = asyncio.ensure_future(act)
        await world.wait_until("select exists (select from pg_locks where not granted)")
        await connection.execute(f"delete from {table}")
    return await acting


@pytest.mark.parametrize("table", ["exposures", "memberships"])
async def test_a_code_for_what_is_taken_away_is_none(place: Place, table: str) -> None:
    """To who asks for it the port looks like what there is not."""
    visitor = place.visitor("publisher")
    sent_away = await visitor.ask()
    answer = await while_it_goes(place.world, table, visitor.authorize(sent_away.headers["Location"]))
    assert answer.status == 404, await answer.text()


@pytest.mark.parametrize("table", ["exposures", "memberships", "sessions"])
async def test_a_sign_in_by_what_is_taken_away_is_over(place: Place, table: str) -> None:
    """Who takes it away does not wait for who signs in, who would wait for them."""
    visitor = place.visitor("publisher")
    back = await visitor.authorize((await visitor.ask()).headers["Location"])
    answer = await while_it_goes(place.world, table, visitor.enter(back.headers["Location"]))
    assert answer.status == 403, await answer.text()
    assert await place.world.fetch("select 1 from access_grants") == []


async def test_using_what_was_signed_in_at_holds_up_no_sign_out(place: Place) -> None:
    """That it is used is written down now and then; the request itself came before."""
    visitor = place.visitor("publisher")
    assert await visitor.open() == 200
    await place.world.fetch("update access_grants set expires_at = now() + interval '1 hour' returning 1")
    assert (await while_it_goes(place.world, "sessions", visitor.ask())).status == 200
    assert await place.world.fetch("select 1 from access_grants") == []


async def test_who_joins_in_the_moment_in_which_they_ask_comes_again(place: Place) -> None:
    """They were nobody's when they were recognized, and a member's host is shown to members."""
    (session,) = await place.world.fetch("select id from sessions where user_id = $1", place.users["publisher"])
    caller = Caller(
        user_id=place.users["publisher"],
        email="publisher@visitors.example",
        is_operator=False,
        memberships=(),
        by_cookie=True,
        credential_id=session["id"],
    )
    with pytest.raises(NotFound):
        await place.world.access.find_customer(caller, HostName("dev", place.vmid, PORT))
