"""A port is taken back in the moment in which somebody signs in at it: one of both waits, and neither breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.access_world import Place, make_place
from component.api.people_world import CountedPasswords
from fakes.api_world import World

Client = TestClient[Request, Application]
T = TypeVar("T")


@pytest.fixture
async def place(world: World, client: Client) -> Place:
    """A container with one published port, and its people."""
    world.accounts.sign_in._passwords = CountedPasswords()
    made = await make_place(world, client)
    await made.publish("private")
    return made


async def while_it_is_taken_back(world: World, act: Awaitable[T]) -> T:
    """Take all ports back: begin an act once they are held, go on once it waits; return what it comes to."""
    async with world.another_pool().transaction() as connection:
        await connection.execute("select from exposures for update")
        acting = asyncio.ensure_future(act)
        await world.wait_until("select exists (select from pg_locks where not granted)")
        await connection.execute("delete from exposures")
    return await acting


async def test_a_code_for_a_port_that_is_taken_back_is_none(place: Place) -> None:
    """To who asks for it the port looks like what there is not."""
    visitor = place.visitor("publisher")
    sent_away = await visitor.ask()
    answer = await while_it_is_taken_back(place.world, visitor.authorize(sent_away.headers["Location"]))
    assert answer.status == 404, await answer.text()


async def test_a_sign_in_at_a_port_that_is_taken_back_is_over(place: Place) -> None:
    """Who takes it back does not wait for who signs in, who would wait for them."""
    visitor = place.visitor("publisher")
    back = await visitor.authorize((await visitor.ask()).headers["Location"])
    answer = await while_it_is_taken_back(place.world, visitor.enter(back.headers["Location"]))
    assert answer.status == 403, await answer.text()
    assert await place.world.fetch("select 1 from access_grants") == []
