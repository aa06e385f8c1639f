"""Ways to show who one is. Each ends in a Proof, and `Sessions.open` alone makes a session out of one.

Today there is the password. A second factor would take a Proof and return one that says more; an identity provider
would return one of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zlh_api.customers import user_store
from zlh_api.customers.model import Caller
from zlh_api.customers.passwords import Passwords, SignInBusy
from zlh_api.customers.refusals import AccountSuspended, LoginRefused
from zlh_api.customers.rules import SignInKeys, canonical_email, find_spent, is_storable
from zlh_api.customers.tries import Tries
from zlh_api.database.pool import Database


@dataclass(frozen=True, slots=True)
class Proof:
    """That somebody is a user."""

    # Who they are; no session is theirs yet.
    caller: Caller
    # By which password; a session is opened only while it is still in force.
    password_hash: str

    def __repr__(self) -> str:
        return f"Proof({self.caller.user_id})"


class PasswordSignIn:
    """An e-mail address and its password."""

    def __init__(self, database: Database, passwords: Passwords, tries: Tries) -> None:
        self._database = database
        self._passwords = passwords
        self._tries = tries

    async def prove(self, email: str, password: str, *, client: str) -> Proof:
        """Return who this is, asked for by one client; raise LoginRefused, AccountSuspended, TooManyTries, SignInBusy.

        All but AccountSuspended, which the right password alone brings about, look the same for an unknown address.
        """
        if not is_storable(email):
            raise LoginRefused
        email = canonical_email(email)
        keys = _keys(email, client)
        await self._tries.begin(keys.all, lambda counts: find_spent(keys, counts))
        async with self._database.connection() as connection:
            user = await user_store.find_by_email(connection, email)
        try:
            is_right = await self._passwords.matches(user["password_hash"] if user else None, password)
        except SignInBusy:
            await self._tries.take_back(keys.all)
            raise
        if user is None or not is_right:
            raise LoginRefused(None if user is None else user["id"])
        await self._tries.take_back(keys.all)
        await self._tries.forget(keys.pair)
        if user["is_suspended"]:
            raise AccountSuspended(user["id"])
        return Proof(user_store.to_caller(user, by_cookie=True), user["password_hash"])


def _keys(email: str, client: str) -> SignInKeys:
    name = email.lower()
    return SignInKeys(_key("client", client), _key("email", name), _key("pair", client, name))


def _key(kind: str, *parts: str) -> str:
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"
