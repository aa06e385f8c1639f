"""An act, how it ended, and the entry that is kept of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from zlh_common.schema.audit_log import Outcome

# The chain of the platform; every other one has the id of its customer.
PLATFORM = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts; without a user it is the platform, or somebody who is not signed in."""

    user_id: UUID | None = None
    email: str | None = None
    credential_id: UUID | None = None
    by_token: bool = False


NOBODY = Who()


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does, before anybody knows how it ends; all texts are bounded and without control characters."""

    word: str
    who: Who = NOBODY
    # Whose log it stands in.
    chain: UUID = PLATFORM
    subject: str | None = None
    request_id: str | None = None
    address: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an act ended."""

    outcome: Outcome
    status: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The place of an entry in its chain, before it has a hash of its own."""

    number: int
    at: datetime
    # The hash of the entry before it.
    previous: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of an act."""

    number: int
    at: datetime
    act: Act
    ending: Ending
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends."""

    chain: UUID
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for, newest first."""

    limit: int
    chain: UUID | None = None
    act: str | None = None
    user: UUID | None = None
    subject: str | None = None
    # Of all chains: what comes before this place.
    before: tuple[datetime, UUID, int] | None = None
    # Of one chain: what comes before this number.
    before_number: int | None = None
