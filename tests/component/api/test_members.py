"""Customers and their members: what each may, and that somebody always owns and somebody always runs the platform."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from component.api.people_world import (
    OPERATOR,
    OWNER,
    STRANGER,
    VIEWER,
    Client,
    add_user,
    ask,
    browser,
    by,
    caller_by,
    customer_of,
    refused,
    sign_in,
    user_of,
)
from fakes.api_world import NODE, World
from zlh_api.customers.model import Caller
from zlh_api.customers.refusals import LastOperator, LastOwner, RoleMissing
from zlh_common.errors import NotFound
from zlh_common.schema.permissions import Role

CUSTOMERS, USERS = "/api/customers", "/api/users"


async def caller_of(world: World, email: str) -> Caller:
    """Return somebody who has signed in."""
    caller, _ = await world.sign_in(email)
    return caller


async def roles_of(world: World, customer: UUID) -> dict[str, str]:
    """Return who belongs to a customer, and as what."""
    rows = await world.fetch(
        "select u.email, m.role from memberships m join users u on u.id = m.user_id where m.customer_id = $1", customer
    )
    return {row["email"].partition("@")[0]: row["role"] for row in rows}


async def test_a_customer_begins_is_renamed_and_ends(world: World, client: Client) -> None:
    """An operator makes and deletes it; its owner names it."""
    made = await ask(client, "POST", CUSTOMERS, OPERATOR, {"name": "Ötzi & Söhne"}, status=201)
    one = f"{CUSTOMERS}/{made['id']}"
    assert (made["name"], made["role"], made["suspended"]) == ("Ötzi & Söhne", None, False)
    await refused(client, "GET", one, OWNER, code="not_found")
    user = await add_user(world, "new@example.org", customers=[(UUID(made["id"]), Role.OWNER)])
    token = browser(await sign_in(client, "new@example.org"))
    seen = await ask(client, "PATCH", one, token, {"name": "Another"})
    assert (seen["name"], seen["role"]) == ("Another", "owner")
    assert seen == await ask(client, "GET", one, token)
    await refused(client, "DELETE", one, token, code="role_missing")
    await ask(client, "DELETE", one, OPERATOR, status=204)
    await refused(client, "GET", one, OPERATOR, code="not_found")
    await refused(client, "GET", one, token, code="not_found")
    assert (await ask(client, "GET", "/api/me", token))["customers"] == []
    assert await world.fetch("select 1 from users where id = $1", user)


async def test_operators_give_a_name_once_whatever_its_case(client: Client, world: World) -> None:
    """Also two at once, and by a rename."""
    told = await asyncio.gather(*(client.post(CUSTOMERS, json={"name": n}, headers=OPERATOR) for n in ("Ab", "aB")))
    assert sorted(answer.status for answer in told) == [201, 409]
    own = await customer_of(world)
    await refused(client, "PATCH", f"{CUSTOMERS}/{own}", OPERATOR, {"name": "AB"}, code="customer_name_taken")
    await ask(client, "PATCH", f"{CUSTOMERS}/{own}", OPERATOR, {"name": "CUSTOMER 0"})


async def test_an_owner_learns_no_names_of_others(client: Client, world: World) -> None:
    """A rename goes alike whether another customer is called so; and each is listed once, whatever they are called."""
    own, foreign = await customer_of(world), await customer_of(world, "stranger")
    for name in ("customer 1", "Nobody's", "Customer 1"):
        assert (await ask(client, "PATCH", f"{CUSTOMERS}/{own}", OWNER, {"name": name}))["name"] == name
    seen, after = [], ""
    while after is not None:
        page = await ask(client, "GET", f"{CUSTOMERS}?limit=1&after={quote(after)}", OPERATOR)
        seen += [entry["id"] for entry in page["items"]]
        after = page.get("next")
    assert sorted(seen) == sorted(map(str, (own, foreign)))


async def test_who_is_renamed_between_two_pages_is_met_once(client: Client, world: World) -> None:
    """Forwards or backwards in the alphabet; and a page goes on behind a customer that was deleted meanwhile."""
    for name in ("first", "second", "third"):
        await ask(client, "POST", CUSTOMERS, OPERATOR, {"name": name}, status=201)
    page = await ask(client, "GET", f"{CUSTOMERS}?limit=3", OPERATOR)
    (turned,) = (entry for entry in page["items"] if entry["name"] == "first")
    rest = await ask(client, "GET", f"{CUSTOMERS}?q=second", OPERATOR)
    await ask(client, "PATCH", f"{CUSTOMERS}/{rest['items'][0]['id']}", OPERATOR, {"name": "AAA"})
    await ask(client, "DELETE", f"{CUSTOMERS}/{turned['id']}", OPERATOR, status=204)
    following = await ask(client, "GET", f"{CUSTOMERS}?limit=3&after={quote(page['next'])}", OPERATOR)
    assert [entry["name"] for entry in following["items"]] == ["AAA", "third"]


async def test_a_customer_with_containers_stays(world: World, client: Client) -> None:
    """Until the last one is gone for good."""
    own = await customer_of(world)
    await ask(client, "POST", "/api/containers", OWNER, NODE, status=202)
    await refused(client, "DELETE", f"{CUSTOMERS}/{own}", OPERATOR, code="customer_not_empty")
    await world.fetch("delete from containers returning 1")
    await ask(client, "DELETE", f"{CUSTOMERS}/{own}", OPERATOR, status=204)


async def test_lists_come_in_pages_and_are_searched(world: World, client: Client) -> None:
    """Oldest first, each customer once, whatever its letters; signs of patterns are plain characters."""
    for name in ("b_1", "B%2", "a\\3", "ä4", "c5"):
        await ask(client, "POST", CUSTOMERS, OPERATOR, {"name": name}, status=201)
    seen, after = [], ""
    while True:
        page = await ask(client, "GET", f"{CUSTOMERS}?limit=2&after={quote(after)}", OPERATOR)
        seen += [entry["name"] for entry in page["items"]]
        if "next" not in page:
            break
        after = page["next"]
    assert sorted(seen[:2]) == ["customer 0", "customer 1"]
    assert seen[2:] == ["b_1", "B%2", "a\\3", "ä4", "c5"]
    for q, found in (("_", ["b_1"]), ("%", ["B%2"]), ("\\", ["a\\3"]), ("B", ["b_1", "B%2"]), ("'", [])):
        page = await ask(client, "GET", f"{CUSTOMERS}?q={quote(q)}", OPERATOR)
        assert sorted(entry["name"] for entry in page["items"]) == sorted(found)
    assert [entry["name"] for entry in (await ask(client, "GET", CUSTOMERS, OWNER))["items"]] == ["customer 0"]
    users = (await ask(client, "GET", f"{USERS}?q=OWN", OPERATOR))["items"]
    assert [(entry["email"], entry["customers"][0]["role"]) for entry in users] == [("owner@example.org", "owner")]
    await refused(client, "GET", f"{CUSTOMERS}?after=b_1", OPERATOR, code="query_invalid")
    first = await ask(client, "GET", f"{USERS}?limit=3", OPERATOR)
    rest = await ask(client, "GET", f"{USERS}?after={quote(first['next'])}", OPERATOR)
    emails = [entry["email"] for entry in [*first["items"], *rest["items"]]]
    assert emails == sorted(f"{name}@example.org" for name in ("owner", "viewer", "stranger", "operator"))
    for path in (CUSTOMERS, USERS, f"{CUSTOMERS}/{await customer_of(world)}/members"):
        for query in ("limit=0", "limit=201", "limit=x", "after=%00", f"after={'x' * 1025}"):
            await refused(client, "GET", f"{path}?{query}", OPERATOR, code="query_invalid")
    for query in ("q=%00", f"q={'x' * 1025}"):
        await refused(client, "GET", f"{USERS}?{query}", OPERATOR, code="query_invalid")


async def test_members_are_seen_changed_and_removed(world: World, client: Client) -> None:
    """By an owner; whoever is removed is a stranger from then on, and so are their tokens for this customer."""
    own, viewer = await customer_of(world), await user_of(world, "viewer")
    members, one = f"{CUSTOMERS}/{own}/members", f"{CUSTOMERS}/{own}/members/{viewer}"
    seen = (await ask(client, "GET", members, VIEWER))["items"]
    assert [(entry["email"], entry["role"], entry["suspended"]) for entry in seen] == [
        ("owner@example.org", "owner", False),
        ("viewer@example.org", "viewer", False),
    ]
    changed = await ask(client, "PATCH", one, OWNER, {"role": "member"})
    assert (changed["role"], changed["userId"]) == ("member", str(viewer))
    bound = await ask(client, "POST", "/api/tokens", VIEWER, {"name": "t", "customerId": str(own)}, status=201)
    await ask(client, "DELETE", one, OWNER, status=204)
    await refused(client, "GET", members, VIEWER, code="not_found")
    await refused(client, "GET", "/api/me", by(bound["secret"]), code="not_signed_in")
    await refused(client, "DELETE", one, OWNER, code="not_found")
    page = await ask(client, "GET", f"{members}?limit=1", OWNER)
    assert (len(page["items"]), "next" in page) == (1, False)


async def test_foreign_and_missing_members_look_the_same(world: World, client: Client) -> None:
    """A user of somewhere else, of nowhere, and another spelling of a member."""
    own, viewer, foreign = await customer_of(world), await user_of(world, "viewer"), await user_of(world, "stranger")
    for named in (foreign, uuid4(), str(viewer).upper(), viewer.hex, "x", f"{viewer}%00"):
        for method, body in (("PATCH", {"role": "owner"}), ("DELETE", None)):
            found = await refused(client, method, f"{CUSTOMERS}/{own}/members/{named}", OWNER, body, code="not_found")
            assert found["detail"] == "There is no such user."
    for named in (uuid4(), str(foreign).upper(), foreign.hex, "x"):
        for call, body in (("suspend", {"reason": "x"}), ("resume", None), ("password-reset", None)):
            found = await refused(client, "POST", f"{USERS}/{named}/{call}", OPERATOR, body, code="not_found")
            assert found["detail"] == "There is no such user."
        await refused(client, "PATCH", f"{USERS}/{named}", OPERATOR, {"isOperator": True}, code="not_found")
    assert await roles_of(world, own) == {"owner": "owner", "viewer": "viewer"}


async def test_fields_wrong_in_every_way_are_named(world: World, client: Client) -> None:
    """Whatever takes a body."""
    own, viewer = await customer_of(world), await user_of(world, "viewer")
    one, member = f"{CUSTOMERS}/{own}", f"{CUSTOMERS}/{own}/members/{viewer}"
    names: list[Any] = ["", " x", "x ", "x" * 65, "a\nb", "x\n", "a\x7f", "a\x85b", "a\u202eb", "\u200b"]
    names += [5, None, ["x"]]
    wrong: list[tuple[str, str, str, list[Any]]] = [
        ("POST", CUSTOMERS, "name", names),
        ("PATCH", one, "name", names),
        ("PATCH", member, "role", ["", "Owner", "operator", "owner ", 5, None, ["owner"]]),
        ("PATCH", f"{USERS}/{viewer}", "isOperator", ["", "true", 1, None]),
        ("POST", f"{USERS}/{viewer}/suspend", "reason", ["", "x" * 501, 5, None]),
    ]
    for method, path, field, values in wrong:
        for value in values:
            body = await refused(client, method, path, OPERATOR, {field: value}, code="invalid_body")
            assert field in body["detail"], (path, value)
        nonsenses: list[Any] = [{}, {field: values[0], "more": 1}, [], "x"]
        for nonsense in nonsenses:
            await refused(client, method, path, OPERATOR, nonsense, code="invalid_body")
        await refused(client, method, path, OPERATOR, code="content_type_refused")
    assert await roles_of(world, own) == {"owner": "owner", "viewer": "viewer"}


async def test_the_last_owner_stays(world: World, client: Client) -> None:
    """Neither removed, nor demoted, nor suspended, nor gone by themselves; whoever is suspended does not count."""
    own, owner, viewer = await customer_of(world), await user_of(world, "owner"), await user_of(world, "viewer")
    mine = f"{CUSTOMERS}/{own}/members/{owner}"

    async def nobody_can() -> None:
        for who in (OWNER, OPERATOR):
            await refused(client, "PATCH", mine, who, {"role": "member"}, code="last_owner")
            await refused(client, "DELETE", mine, who, code="last_owner")
        await refused(client, "POST", f"{CUSTOMERS}/{own}/leave", OWNER, code="last_owner")
        await refused(client, "POST", f"{USERS}/{owner}/suspend", OPERATOR, {"reason": "x"}, code="last_owner")

    await nobody_can()
    await ask(client, "PATCH", mine, OWNER, {"role": "owner"})
    await ask(client, "PATCH", f"{CUSTOMERS}/{own}/members/{viewer}", OWNER, {"role": "owner"})
    await ask(client, "POST", f"{USERS}/{viewer}/suspend", OPERATOR, {"reason": "x"})
    await nobody_can()
    await ask(client, "POST", f"{USERS}/{viewer}/resume", OPERATOR)
    await ask(client, "POST", f"{CUSTOMERS}/{own}/leave", OWNER, status=204)
    assert await roles_of(world, own) == {"viewer": "owner"}


async def test_a_suspended_owner_holds_nobody_up(world: World, client: Client) -> None:
    """They can be removed while another owner stays."""
    own, viewer = await customer_of(world), await user_of(world, "viewer")
    await ask(client, "PATCH", f"{CUSTOMERS}/{own}/members/{viewer}", OWNER, {"role": "owner"})
    await ask(client, "POST", f"{USERS}/{viewer}/suspend", OPERATOR, {"reason": "x"})
    await ask(client, "DELETE", f"{CUSTOMERS}/{own}/members/{viewer}", OWNER, status=204)
    assert await roles_of(world, own) == {"owner": "owner"}


async def test_anybody_leaves_what_they_belong_to(world: World, client: Client) -> None:
    """Whatever their role, also while the customer is suspended; nobody leaves what is another's."""
    own = await customer_of(world)
    leave = f"{CUSTOMERS}/{own}/leave"
    await refused(client, "POST", leave, STRANGER, code="not_found")
    await refused(client, "POST", leave, OPERATOR, code="not_found")
    await world.fetch("update customers set suspended_at = now() where id = $1 returning 1", own)
    await ask(client, "POST", leave, VIEWER, status=204)
    await refused(client, "POST", leave, VIEWER, code="not_found")
    assert await roles_of(world, own) == {"owner": "owner"}


async def two_owners(world: World) -> tuple[UUID, Caller, Caller]:
    """Return a customer with two owners, signed in at two API processes."""
    own = await customer_of(world, "stranger")
    await world.fetch("delete from memberships where customer_id = $1 returning 1", own)
    for name in ("first", "second"):
        await add_user(world, f"{name}@example.org", customers=[(own, Role.OWNER)])
    return own, await caller_of(world, "first@example.org"), await caller_of(world, "second@example.org")


async def test_two_owners_who_turn_on_each_other(world: World) -> None:
    """In whatever way, exactly one succeeds."""
    own, first, second = await two_owners(world)
    there, here = world.another_accounts().members, world.another_accounts().members
    for _ in range(5):
        told = await asyncio.gather(
            there.change_role(first, own, second.user_id, Role.VIEWER),
            here.change_role(second, own, first.user_id, Role.VIEWER),
            return_exceptions=True,
        )
        assert len([outcome for outcome in told if isinstance(outcome, Exception)]) == 1
        assert [type(error) for error in told if isinstance(error, Exception)] == [RoleMissing]
        assert sorted((await roles_of(world, own)).values()) == ["owner", "viewer"]
        await world.fetch("update memberships set role = 'owner' where customer_id = $1 returning 1", own)
    left = await asyncio.gather(there.leave(first, own), here.leave(second, own), return_exceptions=True)
    assert Counter(map(type, left)) == {type(None): 1, LastOwner: 1}
    assert list((await roles_of(world, own)).values()) == ["owner"]


async def test_of_three_owners_none_acts_with_a_role_that_is_gone(world: World) -> None:
    """Each takes the role of the next; whoever has lost their own by then is refused."""
    own, first, second = await two_owners(world)
    await add_user(world, "third@example.org", customers=[(own, Role.OWNER)])
    third = await caller_of(world, "third@example.org")
    pairs = ((first, second), (second, third), (third, first))
    for _ in range(5):
        told = await asyncio.gather(
            *(world.another_accounts().members.change_role(who, own, whom.user_id, Role.MEMBER) for who, whom in pairs),
            return_exceptions=True,
        )
        done = [index for index, outcome in enumerate(told) if not isinstance(outcome, Exception)]
        roles = await roles_of(world, own)
        assert "owner" in roles.values()
        assert len(done) == list(roles.values()).count("member")
        # Two neighbours in the circle cannot both have succeeded, unless the second was taken down after its act.
        assert len(done) < 3
        await world.fetch("update memberships set role = 'owner' where customer_id = $1 returning 1", own)


async def test_a_suspension_and_a_leave_at_once_leave_an_owner(world: World) -> None:
    """One owner goes while the other is suspended: whoever comes second is refused."""
    own, first, second = await two_owners(world)
    operator = await caller_by(world, "operator-token")
    for _ in range(5):
        told = await asyncio.gather(
            world.another_accounts().members.leave(first, own),
            world.another_accounts().users.suspend(operator, second.user_id, "x"),
            return_exceptions=True,
        )
        assert [type(error) for error in told if isinstance(error, Exception)] == [LastOwner]
        await world.fetch("update users set suspended_at = null returning 1")
        await world.fetch(
            "insert into memberships values ($1, $2, 'owner') on conflict do nothing returning 1", own, first.user_id
        )
    both = await asyncio.gather(
        *(world.another_accounts().users.suspend(operator, who.user_id, "x") for who in (first, second)),
        return_exceptions=True,
    )
    assert [type(error) for error in both if isinstance(error, Exception)] == [LastOwner]


async def test_an_owner_who_is_being_suspended_does_not_count(world: World) -> None:
    """Whoever would leave a customer to them waits until that is decided."""
    own, first, second = await two_owners(world)
    async with world.another_pool().transaction() as connection:
        await connection.execute("update users set suspended_at = now() where id = $1", second.user_id)
        leaving = asyncio.create_task(world.accounts.members.leave(first, own))
        await world.wait_until("select exists (select from pg_locks where not granted)")
        assert not leaving.done()
    with pytest.raises(LastOwner):
        await leaving
    assert len(await roles_of(world, own)) == 2


async def test_operators_are_made_and_unmade(world: World, client: Client) -> None:
    """The last one stays, and a suspended one does not count."""
    operator, owner = await user_of(world, "operator"), await user_of(world, "owner")
    await refused(client, "PATCH", f"{USERS}/{operator}", OPERATOR, {"isOperator": False}, code="last_operator")
    await refused(client, "POST", f"{USERS}/{operator}/suspend", OPERATOR, {"reason": "x"}, code="last_operator")
    made = await ask(client, "PATCH", f"{USERS}/{owner}", OPERATOR, {"isOperator": True})
    assert (made["isOperator"], made["email"]) == (True, "owner@example.org")
    await ask(client, "GET", USERS, OWNER)
    await world.fetch("update users set suspended_at = now() where id = $1 returning 1", owner)
    await refused(client, "PATCH", f"{USERS}/{operator}", OPERATOR, {"isOperator": False}, code="last_operator")
    await ask(client, "POST", f"{USERS}/{owner}/resume", OPERATOR)
    await ask(client, "PATCH", f"{USERS}/{operator}", OPERATOR, {"isOperator": False})
    await refused(client, "GET", USERS, OPERATOR, code="not_found")
    await refused(client, "PATCH", f"{USERS}/{owner}", OWNER, {"isOperator": False}, code="last_operator")


async def test_two_operators_who_turn_on_each_other(world: World) -> None:
    """Exactly one succeeds; the other is no operator any more, or the last one."""
    ids = [await add_user(world, f"op{n}@example.org", is_operator=True) for n in range(2)]
    await world.fetch("update users set is_operator = false where email = 'operator@example.org' returning 1")
    first, second = [await caller_of(world, f"op{n}@example.org") for n in range(2)]
    there, here = world.another_accounts().users, world.another_accounts().users

    async def act(number: int) -> list[Any]:
        if number == 0:
            acts = [there.set_operator(first, ids[1], False), here.set_operator(second, ids[0], False)]
        elif number == 1:
            acts = [there.suspend(first, ids[1], "x"), here.suspend(second, ids[0], "x")]
        else:
            acts = [there.suspend(first, ids[0], "x"), here.set_operator(second, ids[1], False)]
        return list(await asyncio.gather(*acts, return_exceptions=True))

    for number in range(3):
        told = await act(number)
        assert [type(e) in {NotFound, LastOperator} for e in told if isinstance(e, Exception)] == [True]
        await world.fetch(
            "update users set is_operator = true, suspended_at = null where email like 'op_@%' returning 1"
        )


async def test_who_is_suspended_is_nobody(world: World, client: Client) -> None:
    """Sessions are over for good, tokens until they are let in again; the reason is shown to operators."""
    user = await add_user(world, "person@example.org")
    token = await sign_in(client, "person@example.org")
    made = await ask(client, "POST", "/api/tokens", browser(token), {"name": "t"}, status=201)
    seen = await ask(client, "POST", f"{USERS}/{user}/suspend", OPERATOR, {"reason": "unpaid\nbills"})
    assert (seen["suspended"], seen["suspendedReason"]) == (True, "unpaid\nbills")
    again = await ask(client, "POST", f"{USERS}/{user}/suspend", OPERATOR, {"reason": "other"})
    assert again["suspendedReason"] == "other"
    for headers in (browser(token), by(made["secret"])):
        await refused(client, "GET", "/api/me", headers, code="not_signed_in")
    body = {"email": "person@example.org", "password": "correct horse battery"}
    await refused(client, "POST", "/api/auth/login", {}, body, code="account_suspended")
    resumed = await ask(client, "POST", f"{USERS}/{user}/resume", OPERATOR)
    assert (resumed["suspended"], resumed["suspendedReason"]) == (False, None)
    await refused(client, "GET", "/api/me", browser(token), code="not_signed_in")
    await ask(client, "GET", "/api/me", by(made["secret"]))


async def test_what_changes_rights_is_announced(world: World, client: Client) -> None:
    """Whatever is open for long hears of it."""
    heard: list[str] = []
    ready = asyncio.Event()
    listener = asyncio.create_task(world.database.listen({"access_changed": heard.append}, on_connect=ready.set))
    await ready.wait()
    own, viewer = await customer_of(world), await user_of(world, "viewer")
    for method, path, body in (
        ("PATCH", f"{CUSTOMERS}/{own}/members/{viewer}", {"role": "member"}),
        ("DELETE", f"{CUSTOMERS}/{own}/members/{viewer}", None),
        ("POST", f"{USERS}/{viewer}/suspend", {"reason": "x"}),
        ("PATCH", f"{USERS}/{viewer}", {"isOperator": True}),
    ):
        heard.clear()
        assert (await client.request(method, path, json=body, headers=OPERATOR)).status < 300
        async with asyncio.timeout(10):
            while f"user {viewer}" not in heard:
                await asyncio.sleep(0.01)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
