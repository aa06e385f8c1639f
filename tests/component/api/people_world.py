"""People of the tests who sign in, and what is asked of the API about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from argon2 import PasswordHasher

from fakes.api_world import PASSWORD, PORTAL, World
from zlh_api.customers.model import Caller
from zlh_api.customers.passwords import Passwords
from zlh_common.schema.permissions import Role

Client = TestClient[Request, Application]
# As the platform's own, and quick: these tests are about who may, and not about how long it takes.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASH = QUICK.hash(PASSWORD)


class CountedPasswords(Passwords):
    """As quick as nothing, and says how often it was asked; the right one is PASSWORD."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Take down whether it was for somebody who exists."""
        self.asked.append(password_hash is not None)
        await asyncio.sleep(0)
        return password_hash is not None and password == PASSWORD


def by(token: str, **headers: str) -> dict[str, str]:
    """Return the headers of a program."""
    return {"Authorization": f"Bearer {token}", **headers}


def browser(token: str, *, origin: str | None = PORTAL) -> dict[str, str]:
    """Return the headers of a browser that holds a session."""
    return {"Cookie": f"zlh_session={token}", **({} if origin is None else {"Origin": origin})}


OWNER, VIEWER, STRANGER, OPERATOR = (by(f"{name}-token") for name in ("owner", "viewer", "stranger", "operator"))


async def ask(
    client: Client, method: str, path: str, headers: dict[str, str], body: Any = None, *, status: int = 200
) -> Any:
    """Return the body of an answer that must have this status."""
    response = await client.request(method, path, headers=headers, json=body)
    raw = await response.read()
    assert response.status == status, (method, path, response.status, raw)
    return json.loads(raw) if raw else None


async def refused(
    client: Client, method: str, path: str, headers: dict[str, str], body: Any = None, *, code: str
) -> dict[str, Any]:
    """Return the problem of an answer that must have this code."""
    return await problem(await client.request(method, path, headers=headers, json=body), code)


async def problem(response: ClientResponse, code: str) -> dict[str, Any]:
    """Return the problem document of an answer that must have this code."""
    found: dict[str, Any] = json.loads(await response.read())
    assert found.get("code") == code, (response.status, found)
    assert (response.content_type, response.status) == ("application/problem+json", found["status"])
    return found


async def customer_of(world: World, name: str = "owner") -> UUID:
    """Return the customer of one of the world's people."""
    rows = await world.fetch(
        "select m.customer_id from memberships m join users u on u.id = m.user_id where u.email = $1",
        f"{name}@example.org",
    )
    found: UUID = rows[0]["customer_id"]
    return found


async def user_of(world: World, name: str) -> UUID:
    """Return the id of one of the world's people."""
    rows = await world.fetch("select id from users where email = $1", f"{name}@example.org")
    found: UUID = rows[0]["id"]
    return found


async def add_user(
    world: World, email: str, *, customers: Sequence[tuple[UUID, Role]] = (), is_operator: bool = False
) -> UUID:
    """Write a user who can sign in with PASSWORD."""
    user_id = uuid4()
    async with world.database.transaction() as connection:
        await connection.execute(
            "insert into users (id, email, password_hash, is_operator) values ($1, $2, $3, $4)",
            user_id,
            email,
            HASH,
            is_operator,
        )
        for customer_id, role in customers:
            await connection.execute(
                "insert into memberships (customer_id, user_id, role) values ($1, $2, $3)", customer_id, user_id, role
            )
    return user_id


async def caller_by(world: World, token: str) -> Caller:
    """Return the caller of a bearer token."""
    return await world.accounts.callers.identify(bearer=token, cookie=None)


async def sign_in(client: Client, email: str, password: str = PASSWORD, **headers: str) -> str:
    """Sign in over HTTP; return the cookie's value."""
    response = await client.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)
    assert response.status == 200, await response.text()
    return response.cookies["zlh_session"].value
