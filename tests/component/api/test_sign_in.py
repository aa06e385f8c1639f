"""Signing in: what is refused, how often one may try, and that nobody locks another out."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from component.api.people_world import Client, CountedPasswords, add_user, ask, browser, problem, sign_in
from fakes.api_world import PASSWORD, PORTAL, World
from zlh_api.customers.model import Client as Browser
from zlh_api.customers.passwords import MAX_WAITING, Passwords, SignInBusy
from zlh_api.customers.refusals import AccountSuspended, LoginRefused
from zlh_api.customers.rules import TRIES_OF_CLIENT, TRIES_OF_EMAIL, TRIES_OF_PAIR, TRIES_OF_PAIR_THEN
from zlh_api.customers.sign_in import Proof
from zlh_api.customers.tries import TooManyTries

EMAIL = "person@example.org"
LOGIN = "/api/auth/login"


@pytest.fixture
async def passwords(world: World) -> CountedPasswords:
    """The passwords of a world that has one person more."""
    await add_user(world, EMAIL)
    counted = CountedPasswords()
    world.accounts.sign_in._passwords = counted
    return counted


async def outcome(world: World, email: str = EMAIL, password: str = "wrong", *, at: str = "192.0.2.1") -> str:
    """Try once; return how it went."""
    try:
        await world.accounts.sign_in.prove(email, password, client=at)
    except (LoginRefused, TooManyTries, SignInBusy, AccountSuspended) as error:
        return error.code
    return "in"


async def tries_until_refused(world: World, email: str = EMAIL, *, at: str, most: int = 10) -> int:
    """Return how many wrong passwords are looked at before it is enough."""
    told = [await outcome(world, email, at=at) for _ in range(most)]
    assert set(told) <= {"login_refused", "too_many_tries"}
    return told.count("login_refused")


async def test_it_is_enough_after_some_wrong_passwords(world: World, passwords: CountedPasswords) -> None:
    """Even the right one then waits; whether there is such a user makes no difference."""
    assert await tries_until_refused(world, at="192.0.2.1") == TRIES_OF_PAIR
    assert await tries_until_refused(world, "nobody@example.org", at="192.0.2.1") == TRIES_OF_PAIR
    assert await outcome(world, password=PASSWORD) == "too_many_tries"
    assert len(passwords.asked) == 2 * TRIES_OF_PAIR


async def test_nobody_is_locked_out_from_elsewhere(world: World, passwords: CountedPasswords) -> None:
    """Whoever guesses from another address spends tries of his own."""
    await tries_until_refused(world, at="198.51.100.1")
    assert await outcome(world, password=PASSWORD, at="192.0.2.1") == "in"
    assert await outcome(world, password=PASSWORD, at="198.51.100.1") == "too_many_tries"
    assert all(passwords.asked)


async def test_another_spelling_is_no_other_address(world: World, passwords: CountedPasswords) -> None:
    """Neither the case of letters nor how they are composed gives more tries."""
    await add_user(world, "\u00e4@example.org")
    for spelled in (EMAIL, EMAIL.upper(), "Person@Example.org", "pErson@example.org", "person@example.ORG"):
        assert await outcome(world, spelled) == "login_refused"
    assert await outcome(world, EMAIL) == "too_many_tries"
    for spelled in ("\u00e4@example.org", "\u00c4@example.org", "a\u0308@example.org", "A\u0308@EXAMPLE.org"):
        assert await outcome(world, spelled, password=PASSWORD) == "in"
    assert len(passwords.asked) == 9


async def test_many_addresses_from_one_client_are_counted_together(world: World, passwords: CountedPasswords) -> None:
    """A list of stolen passwords is tried on many accounts, few times each."""
    for number in range(TRIES_OF_CLIENT):
        assert await outcome(world, f"user{number}@example.org") == "login_refused"
    assert await outcome(world, password=PASSWORD) == "too_many_tries"
    assert await outcome(world, password=PASSWORD, at="192.0.2.2") == "in"
    assert len(passwords.asked) == TRIES_OF_CLIENT + 1


async def test_many_clients_at_one_address_have_fewer_tries_each(world: World, passwords: CountedPasswords) -> None:
    """And the user still has some from anywhere."""
    for number in range(TRIES_OF_EMAIL):
        assert await outcome(world, at=f"198.51.100.{number}") == "login_refused"
    assert await tries_until_refused(world, at="203.0.113.1", most=4) == TRIES_OF_PAIR_THEN
    assert await outcome(world, password=PASSWORD, at="192.0.2.1") == "in"
    assert len(passwords.asked) == TRIES_OF_EMAIL + TRIES_OF_PAIR_THEN + 1


async def test_a_hundred_tries_at_once_are_a_hundred(world: World, passwords: CountedPasswords) -> None:
    """Through whichever API process: a try is counted before its password is looked at."""
    others = [world.another_accounts() for _ in range(3)]
    for accounts in others:
        accounts.sign_in._passwords = passwords
    tries = [others[n % 3].sign_in.prove(EMAIL, "wrong", client="192.0.2.1") for n in range(30)]
    told = Counter(map(type, await asyncio.gather(*tries, return_exceptions=True)))
    # A try that comes too late is taken back, and one between may have seen it: never more are looked at.
    assert set(told) == {LoginRefused, TooManyTries}
    assert 0 < told[LoginRefused] <= TRIES_OF_PAIR
    assert len(passwords.asked) == told[LoginRefused]


async def test_right_passwords_are_no_tries(world: World, passwords: CountedPasswords) -> None:
    """Whoever signs in all day is never refused, and begins anew with each right one."""
    for _ in range(TRIES_OF_PAIR + 1):
        assert await outcome(world, password=PASSWORD) == "in"
    for _ in range(3):
        assert await tries_until_refused(world, at="192.0.2.1", most=TRIES_OF_PAIR - 1) == TRIES_OF_PAIR - 1
        assert await outcome(world, password=PASSWORD) == "in"
    rows = await world.fetch("select key, count from password_tries order by count desc")
    assert max(row["count"] for row in rows) == 3 * (TRIES_OF_PAIR - 1)
    assert passwords.asked


async def test_tries_are_forgotten_in_time(world: World, passwords: CountedPasswords) -> None:
    """A quarter of an hour after the first one."""
    await tries_until_refused(world, at="192.0.2.1")
    await world.fetch("update password_tries set since = since - interval '15 minutes' returning 1")
    assert await outcome(world, password=PASSWORD) == "in"
    await outcome(world)
    assert len(passwords.asked) == TRIES_OF_PAIR + 2


async def test_nothing_that_was_tried_is_kept(world: World, passwords: CountedPasswords) -> None:
    """People type passwords where their address belongs."""
    await outcome(world, "my secret password")
    rows = await world.fetch("select password_tries::text as line from password_tries")
    assert len(rows) == 3
    assert not [row for row in rows if "secret" in row["line"] or "192.0.2.1" in row["line"]]
    assert passwords.asked == [False]


async def test_who_is_suspended_is_told_with_the_right_password_alone(world: World, client: Client) -> None:
    """Anybody else learns nothing about the account."""
    await add_user(world, EMAIL)
    await world.fetch("update users set suspended_at = now() where email = $1 returning 1", EMAIL)
    wrong = await problem(await client.post(LOGIN, json={"email": EMAIL, "password": "wrong"}), "login_refused")
    none = await problem(await client.post(LOGIN, json={"email": "no@x", "password": "wrong"}), "login_refused")
    assert {**wrong, "requestId": None} == {**none, "requestId": None}
    right = await client.post(LOGIN, json={"email": EMAIL, "password": PASSWORD})
    assert (await problem(right, "account_suspended"))["status"] == 403
    assert "zlh_session" not in right.cookies


async def test_a_refusal_says_when_to_come_again(world: World, client: Client) -> None:
    """With Retry-After, within the quarter of an hour; a header that only a client writes changes nothing."""
    await add_user(world, EMAIL)
    for number in range(TRIES_OF_PAIR):
        headers = {"X-Forwarded-For": f"198.51.100.{number}"}
        response = await client.post(LOGIN, json={"email": EMAIL, "password": "wrong"}, headers=headers)
        await problem(response, "login_refused")
    response = await client.post(LOGIN, json={"email": EMAIL, "password": PASSWORD})
    found = await problem(response, "too_many_tries")
    assert response.headers["Retry-After"] == str(found["retryAfterS"])
    assert 0 < found["retryAfterS"] <= 900


async def test_a_cookie_that_was_there_before_is_never_adopted(world: World, client: Client) -> None:
    """Whoever has put it there gains nothing: the session of a sign-in is new, and the one before it is over."""
    await add_user(world, EMAIL)
    first = await sign_in(client, EMAIL)
    second = await sign_in(client, EMAIL, **browser(first))
    third = await sign_in(client, EMAIL, **browser("planted"))
    assert len({first, second, third, "planted"}) == 4
    for over in (first, "planted"):
        assert (await client.get("/api/me", headers=browser(over))).status == 401
    for holds in (second, third):
        await ask(client, "GET", "/api/me", browser(holds))


async def test_a_crowd_at_the_door_is_asked_to_come_again() -> None:
    """Nobody waits behind a hundred strangers: who finds the queue full is told at once, and the next one gets in."""
    passwords = Passwords()
    told = await asyncio.gather(*(passwords.matches(None, "wrong") for _ in range(60)), return_exceptions=True)
    assert Counter(map(str, map(type, told))) == {str(bool): MAX_WAITING, str(SignInBusy): 60 - MAX_WAITING}
    assert await passwords.matches(None, "wrong") is False


async def test_who_was_not_looked_at_has_not_tried(world: World) -> None:
    """A full queue is nobody's wrong password."""

    class Full(CountedPasswords):
        async def matches(self, password_hash: str | None, password: str) -> bool:
            raise SignInBusy

    world.accounts.sign_in._passwords = Full()
    assert [await outcome(world) for _ in range(20)] == ["sign_in_busy"] * 20
    assert {row["count"] for row in await world.fetch("select count from password_tries")} == {0}


async def test_a_session_is_opened_by_the_password_that_was_proved(world: World) -> None:
    """One that was changed, or a user who was suspended, between the proof and the session."""
    await add_user(world, EMAIL)
    proof = await world.accounts.sign_in.prove(EMAIL, PASSWORD, client="192.0.2.1")
    assert "argon2" not in repr(proof)
    with pytest.raises(LoginRefused):
        await world.accounts.sessions.open(Proof(proof.caller, "another hash"), Browser("192.0.2.1", None))
    await world.fetch("update users set suspended_at = now() where email = $1 returning 1", EMAIL)
    with pytest.raises(AccountSuspended):
        await world.accounts.sessions.open(proof, Browser("192.0.2.1", None))
    assert await world.fetch("select 1 from sessions") == []


async def test_a_password_that_is_being_changed_opens_no_session(world: World) -> None:
    """Whoever has proved the old one waits until that is decided, and comes too late."""
    await add_user(world, EMAIL)
    proof = await world.accounts.sign_in.prove(EMAIL, PASSWORD, client="192.0.2.1")
    async with world.another_pool().transaction() as connection:
        await connection.execute("update users set password_hash = 'another' where id = $1", proof.caller.user_id)
        opening = asyncio.create_task(world.accounts.sessions.open(proof, Browser("192.0.2.1", None)))
        await world.wait_until("select exists (select from pg_locks where not granted)")
        assert not opening.done()
    with pytest.raises(LoginRefused):
        await opening
    assert await world.fetch("select 1 from sessions") == []


AS_JSON = {"Content-Type": "application/json"}


async def test_the_fields_of_a_login_wrong_in_every_way(client: Client) -> None:
    """Each is refused as what it is, and nothing of it comes back."""
    for body in (
        {},
        {"email": EMAIL},
        {"password": "x"},
        {"email": 5, "password": "x"},
        {"email": EMAIL, "password": None},
        {"email": "ab", "password": "x"},
        {"email": "a" * 255, "password": "x"},
        {"email": EMAIL, "password": ""},
        {"email": EMAIL, "password": "x" * 1025},
        {"email": EMAIL, "password": "x", "remember": True},
        {"email": [EMAIL], "password": "x"},
    ):
        await problem(await client.post(LOGIN, json=body), "invalid_body")
    for email in ("\U0001f600@x", "no at sign", "a@b@c", "' or 1=1 --", "%%%", "_@_", "a" * 254):
        await problem(await client.post(LOGIN, json={"email": email, "password": "a b"}), "login_refused")
    for email, password in (("a\0b@x", "x"), (EMAIL, "a\0b")):
        await problem(await client.post(LOGIN, json={"email": email, "password": password}), "invalid_body")
    await problem(
        await client.post(LOGIN, data=b'{"email":"\\ud800@x","password":"x"}', headers=AS_JSON), "invalid_body"
    )
    await problem(await client.post(LOGIN, json={}, headers={"Origin": "https://evil.example"}), "origin_refused")
    await problem(await client.post(LOGIN, json={}, headers={"Origin": PORTAL}), "invalid_body")
