"""What is decided about people: spellings, tries, and what a token may be made for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from zlh_api.customers.model import Caller, Customer
from zlh_api.place_rules import parse_instant, render_instant
from zlh_common.schema.permissions import Permission

# Wrong passwords are counted over so long, from the first one on.
TRIES_COUNT_FOR = timedelta(minutes=15)
# For one e-mail address from one client: enough for somebody who mistypes.
TRIES_OF_PAIR = 5
# From one client for whatever addresses: an office mistypes more often than a person.
TRIES_OF_CLIENT = 100
# For one address from everywhere. Beyond it nobody is locked out, but each client has fewer tries.
TRIES_OF_EMAIL = 30
TRIES_OF_PAIR_THEN = 2
# Of the current password, by whoever holds a session or token of the user.
TRIES_OF_PASSWORD = 10
USER_AGENT_CHARS = 200
# A session ends so long after it was opened, and sooner where nobody uses it.
SESSION_LASTS = timedelta(days=14)
SESSION_IDLES = timedelta(days=7)
# A browser more than so many, and the one that was used longest ago is signed out.
MAX_SESSIONS = 50
# Long enough to open a socket with, and too short to be worth stealing from a log.
TICKET_LASTS = timedelta(seconds=30)

PLACE = re.compile(r"([0-9]{1,17})-([0-9a-f]{32})")


def render_place(customer: Customer) -> str:
    """Return the place of a customer among all, for `after`."""
    return f"{render_instant(customer.created_at)}-{customer.id.hex}"


def parse_place(text: str) -> tuple[datetime, UUID] | None:
    """Return what `render_place` has written, or None."""
    match = PLACE.fullmatch(text)
    at = parse_instant(match[1]) if match is not None else None
    return (at, UUID(match[2])) if match is not None and at is not None else None


@dataclass(frozen=True, slots=True)
class SignInKeys:
    """Under what one try to sign in is counted."""

    client: str
    email: str
    pair: str

    @property
    def all(self) -> tuple[str, str, str]:
        """Every one of them."""
        return self.client, self.email, self.pair


def find_spent(keys: SignInKeys, counts: Mapping[str, int]) -> str | None:
    """Return the key that has no try left, or None; `counts` holds the try in question.

    A stranger elsewhere spends tries of his own client, never those of the user's: the count of an e-mail address alone
    refuses nobody.
    """
    is_under_attack = counts[keys.email] > TRIES_OF_EMAIL
    limits = {
        keys.pair: TRIES_OF_PAIR_THEN if is_under_attack else TRIES_OF_PAIR,
        keys.client: TRIES_OF_CLIENT,
    }
    return next((key for key, limit in limits.items() if counts[key] > limit), None)


def canonical_email(text: str) -> str:
    """Return an e-mail address as it is kept: as it was given, but for letters beyond ASCII.

    Those are composed and in lower case, since a database need not know which of them are the same.
    """
    return "".join(char if char.isascii() else char.lower() for char in unicodedata.normalize("NFC", text))


def is_storable(text: str) -> bool:
    """Tell whether this is text in UTF-8 that the database could hold."""
    return "\0" not in text and not any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def shown_user_agent(text: str | None) -> str | None:
    """Return what a browser calls itself, short, and without what moves a cursor or is no text."""
    if text is None:
        return None
    cut = text[:USER_AGENT_CHARS]
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in cut)[:USER_AGENT_CHARS]


def find_missing_scope(caller: Caller, scopes: Iterable[Permission] | None, bound_to: UUID | None) -> Permission | None:
    """Return the first scope that the caller cannot give to a token, or None where it can be made.

    No scopes at all stand for whatever the user may ever do, which only an unlimited credential can hand on.
    """
    if scopes is None:
        return next((scope for scope in Permission if scope not in caller.scope), None)
    most = caller.most(bound_to)
    return next((scope for scope in scopes if scope not in most), None)
