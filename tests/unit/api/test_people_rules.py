"""What is decided about people: tables, spellings, tries and scopes."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest

from zlh_api.customers.email_rules import find_email_problem
from zlh_api.customers.model import Caller, Membership
from zlh_api.customers.permissions import BY_ROLE, OF_EVERYBODY, WHILE_SUSPENDED
from zlh_api.customers.rules import (
    TRIES_OF_CLIENT,
    TRIES_OF_EMAIL,
    TRIES_OF_PAIR,
    TRIES_OF_PAIR_THEN,
    SignInKeys,
    canonical_email,
    find_missing_scope,
    find_spent,
    is_storable,
    shown_user_agent,
)
from zlh_common.schema.permissions import Permission, Role

DOCUMENT = Path(__file__).parents[3] / "docs/customers.md"
KEYS = SignInKeys("client", "email", "pair")
MINE, OTHER = UUID(int=1), UUID(int=2)
OWNER = Caller(
    UUID(int=9), "a@b", False, (Membership(MINE, "x", Role.VIEWER), Membership(OTHER, "y", Role.OWNER)), by_cookie=True
)
PLATFORM = {Permission.VIEW_PLATFORM, Permission.MANAGE_PLATFORM}


def test_the_table_of_the_documentation_is_the_code() -> None:
    """What people read is what is enforced, row by row."""
    rows = re.findall(r"^\| `([a-z:-]+)` \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    written = {row[0]: tuple(cell == "yes" for cell in row[1:]) for row in rows}
    enforced = {
        str(permission): (
            *(permission in BY_ROLE[role] | OF_EVERYBODY for role in (Role.VIEWER, Role.MEMBER, Role.OWNER)),
            permission in WHILE_SUSPENDED | OF_EVERYBODY,
        )
        for permission in Permission
    }
    assert written == enforced


@pytest.mark.parametrize(
    ("pair", "client", "email", "spent"),
    [
        (1, 1, 1, None),
        (TRIES_OF_PAIR, TRIES_OF_CLIENT, TRIES_OF_EMAIL, None),
        (TRIES_OF_PAIR + 1, 6, 6, "pair"),
        (1, TRIES_OF_CLIENT + 1, 1, "client"),
        (TRIES_OF_PAIR_THEN, 1, TRIES_OF_EMAIL + 1, None),
        (TRIES_OF_PAIR_THEN + 1, 3, TRIES_OF_EMAIL + 1, "pair"),
        # However many have tried elsewhere, the first try of a client is let through.
        (1, 1, 10**6, None),
    ],
)
def test_tries_are_spent_by_who_tries(pair: int, client: int, email: int, spent: str | None) -> None:
    """The count of an address alone refuses nobody."""
    assert find_spent(KEYS, {"pair": pair, "client": client, "email": email}) == spent


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Person@Example.ORG", "Person@Example.ORG"),
        ("\u00c4@x", "\u00e4@x"),
        ("A\u0308@x", "\u00e4@x"),
        ("a\u0308@x", "\u00e4@x"),
        ("\u1e9e@x", "\u00df@x"),
        ("\u03a3\u03c3@x", "\u03c3\u03c3@x"),
        # The sign of the unit Kelvin is the letter K.
        ("\u212a@x", "K@x"),
        ("\u0416@x", "\u0436@x"),
    ],
)
def test_an_address_has_one_spelling_beyond_ascii(given: str, kept: str) -> None:
    """And spelling it anew changes nothing more."""
    assert canonical_email(given) == kept
    assert canonical_email(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "a@b",
        "ann@mail.example.org",
        "ann+zlh@example.org",
        "o'neil.a-b_c@example.org",
        "j\u00f6rg@m\u00fcller.example",
        "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a",
        "\u0938\u0902\u092a\u0930\u094d\u0915@\u0921\u093e\u091f\u093e.\u092d\u093e\u0930\u0924",
        "a" * 64 + "@" + ".".join(["b" * 63] * 2 + ["b" * 61]),
        "1@1.1",
    ],
)
def test_addresses_that_mail_systems_hold_are_taken(text: str) -> None:
    """Of all scripts, and of a host without a dot."""
    assert find_email_problem(text) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "one @"),
        ("ann", "one @"),
        ("@b", "one @"),
        ("a@", "one @"),
        ("a@b@c", "one @"),
        ("\U0001f984@x.y", "'\U0001f984' cannot stand before the @"),
        ("\u2764@x.y", "cannot stand before the @"),
        ("a@\U0001f984.example", "in the host"),
        ("a b@example.org", "U+0020 cannot stand before the @"),
        ("a\u00a0@example.org", "U+00A0"),
        ("a\u200d@example.org", "U+200D"),
        ("a\u3164@example.org", "U+3164"),
        ("a\u034fb@example.org", "U+034F"),
        ("a\ufe0f@example.org", "U+FE0F"),
        ("a\U000e0100@example.org", "U+E0100"),
        ("\uff41nn@example.org", "U+FF41"),
        ("ann@ex\u17b4ample.org", "U+17B4"),
        ("\udc80@example.org", "U+DC80"),
        ("a\0@example.org", "U+0000"),
        ('"a"@example.org', "cannot stand before the @"),
        ("<a@example.org", "cannot stand before the @"),
        (".a@example.org", "a dot stands between"),
        ("a.@example.org", "a dot stands between"),
        ("a..b@example.org", "a dot stands between"),
        ("a@example..org", "dash"),
        ("a@example.org.", "dash"),
        ("a@-example.org", "dash"),
        ("a@example-.org", "dash"),
        ("a@exa_mple.org", "'_' cannot stand in the host"),
        ("a@[127.0.0.1]", "in the host"),
        ("a" * 65 + "@example.org", "64 bytes"),
        ("\u00f6" * 33 + "@example.org", "64 bytes"),
        ("a@" + "b" * 64, "63"),
        ("a@" + "\u00fc" * 60, "63"),
        ("a@" + "b." * 127 + "b", "254"),
    ],
)
def test_what_no_mail_system_holds_is_told_why(text: str, told: str) -> None:
    """What is in the way is named, so that it is seen."""
    problem = find_email_problem(text)
    assert problem is not None
    assert told in problem


@pytest.mark.parametrize(("text", "fits"), [("a@b", True), ("\U0001f600", True), ("a\0", False), ("\udc80", False)])
def test_what_no_database_holds_is_known(text: str, fits: bool) -> None:
    """Neither NUL nor half a character."""
    assert is_storable(text) is fits


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (None, None),
        ("", ""),
        ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("a\tb\x1b[2Jc", "a\\u0009b\\u001b[2Jc"),
        ("\u202e\u2066", "\\u202e\\u2066"),
        ("\0", "\\u0000"),
        ("\udcff", "\\udcff"),
        ("x" * 10_000_000, "x" * 200),
        ("\x1b" * 200, ("\\u001b" * 34)[:200]),
    ],
)
def test_a_user_agent_is_short_and_harmless(sent: str | None, shown: str | None) -> None:
    """Whatever a browser calls itself."""
    assert shown_user_agent(sent) == shown


def test_what_a_token_carries_at_most() -> None:
    """The scope of its maker, and what the user is where it reaches."""
    viewer = {Permission.VIEW_CONTAINERS, Permission.VIEW_CUSTOMER, Permission.MANAGE_ACCOUNT}
    assert OWNER.most(MINE) == viewer
    assert OWNER.most(OTHER) == OWNER.most(None) == frozenset(Permission) - PLATFORM
    assert OWNER.most(UUID(int=3)) == {Permission.MANAGE_ACCOUNT}


@pytest.mark.parametrize(("is_operator", "bound_to"), list(product([True, False], [None, MINE, OTHER])))
def test_no_token_is_more_than_its_maker(is_operator: bool, bound_to: UUID | None) -> None:
    """For every scope of a maker and every scope of a token."""
    for held, wanted in product(Permission, Permission):
        scope = frozenset({held, Permission.MANAGE_ACCOUNT})
        maker = Caller(UUID(int=9), "a@b", is_operator, OWNER.memberships, by_cookie=False, scope=scope)
        missing = find_missing_scope(maker, (Permission.MANAGE_ACCOUNT, wanted), bound_to)
        assert missing in {None, wanted}
        if missing is None:
            assert wanted in scope
            assert wanted not in PLATFORM or (is_operator and bound_to is None)
        assert find_missing_scope(maker, None, bound_to) is not None
    assert find_missing_scope(OWNER, None, None) is None
    assert find_missing_scope(OWNER, (), None) is None
