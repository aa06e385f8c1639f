"""Everybody changes everybody's rights at once, through several API processes: what must hold always holds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from component.api.people_world import add_user, customer_of
from fakes.api_world import PASSWORD, World
from zlh_api.app.accounts import Accounts
from zlh_api.customers import user_store
from zlh_api.customers.invitations import AlreadyMember, InvitationForAnother, InvitationInvalid
from zlh_api.customers.model import Caller, Client
from zlh_api.customers.refusals import LastOperator, LastOwner, LoginRefused, NotSignedIn, RoleMissing
from zlh_api.customers.tokens import ScopeNotYours, TokenWish
from zlh_common.errors import NotFound
from zlh_common.schema.permissions import Role

PEOPLE, ROUNDS, AT_ONCE = 5, 25, 10
# What may be told to who was too slow; that the database has untied two who waited for each other is not among it.
FINE = (
    AlreadyMember,
    InvitationForAnother,
    InvitationInvalid,
    LastOperator,
    LastOwner,
    LoginRefused,
    NotFound,
    NotSignedIn,
    RoleMissing,
    ScopeNotYours,
)
_OWNERLESS = """
select 1 from customers c where exists (select from memberships m where m.customer_id = c.id) and not exists (
    select from memberships m join users u on u.id = m.user_id
    where m.customer_id = c.id and m.role = 'owner' and u.suspended_at is null)
"""
_UNRULED = "select 1 where not exists (select from users where is_operator and suspended_at is null)"


class Crowd:
    """People who act at random, each through one of several API processes."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.processes = [world.another_accounts() for _ in range(4)]
        self.customers: list[UUID] = []
        self.users: list[UUID] = []

    async def begin(self) -> None:
        """Make everybody an owner of everything and an operator."""
        self.customers = [await customer_of(self.world, name) for name in ("owner", "stranger")]
        await self.world.fetch("update users set is_operator = false returning 1")
        await self.world.fetch("delete from memberships returning 1")
        for number in range(PEOPLE):
            roles = [(customer, Role.OWNER) for customer in self.customers]
            self.users.append(
                await add_user(self.world, f"p{number}@example.org", customers=roles, is_operator=number < 3)
            )

    async def caller(self, number: int) -> Caller:
        """Return somebody as of now, as the gate would let them in."""
        async with self.world.database.connection() as connection:
            return user_store.to_caller(await user_store.find(connection, self.users[number]), by_cookie=True)

    async def act(self) -> Any:
        """Do one thing to somebody."""
        number = self.chance.randrange(PEOPLE)
        who, whom = await self.caller(number), self.chance.choice(self.users)
        process, customer = self.chance.choice(self.processes), self.chance.choice(self.customers)
        role, wanted = self.chance.choice(list(Role)), self.chance.random() < 0.5
        acts: list[Callable[[], Awaitable[Any]]] = [
            lambda: process.members.change_role(who, customer, whom, role),
            lambda: process.members.remove(who, customer, whom),
            lambda: process.members.leave(who, customer),
            lambda: process.users.set_operator(who, whom, wanted),
            lambda: process.users.suspend(who, whom, "x"),
            lambda: process.users.resume(whom),
            lambda: process.users.resume(whom),
            lambda: self._invite_and_join(process, who, customer, number, role),
            lambda: self._invite_and_join(process, who, customer, number, Role.OWNER),
            lambda: process.tokens.make(who, TokenWish("t", (), customer, None)),
            lambda: self._sign_in(process, number),
        ]
        return await self.chance.choice(acts)()

    async def _invite_and_join(self, process: Accounts, who: Caller, customer: UUID, number: int, role: Role) -> None:
        joins = (number + 1) % PEOPLE
        _, code = await process.invitations.invite(
            who, customer, email=f"p{joins}@example.org", role=role, expires_in=timedelta(hours=1)
        )
        client = Client("192.0.2.1", None)
        await process.invitations.accept(code.value, caller=await self.caller(joins), password=None, client=client)

    async def _sign_in(self, process: Accounts, number: int) -> None:
        proof = await process.sign_in.prove(f"p{number}@example.org", PASSWORD, client="192.0.2.1")
        await process.sessions.open(proof, Client("192.0.2.1", None))


@pytest.mark.parametrize("seed", [1, 2])
async def test_somebody_always_owns_and_somebody_always_rules(world: World, seed: int) -> None:
    """Whatever everybody does to everybody at once; and nobody waits in a circle."""
    crowd = Crowd(world, random.Random(seed))
    await crowd.begin()
    told = Counter[str]()
    for _ in range(ROUNDS):
        outcomes = await asyncio.gather(*(crowd.act() for _ in range(AT_ONCE)), return_exceptions=True)
        for outcome in outcomes:
            told[type(outcome).__name__] += 1
            if isinstance(outcome, Exception) and not isinstance(outcome, FINE):
                assert getattr(outcome, "code", None) == "account_suspended", (seed, repr(outcome))
        assert await world.fetch(_OWNERLESS) == []
        assert await world.fetch(_UNRULED) == []
    # It was no idle crowd.
    assert told["LastOwner"] + told["LastOperator"] + told["RoleMissing"] > 0, told
