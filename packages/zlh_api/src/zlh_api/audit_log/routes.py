"""HTTP of the audit log: of one customer for its owners, of everybody for operators."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from zlh_api.audit_log.model import PLATFORM, Entry, Wanted
from zlh_api.audit_log.rules import MAX_SUBJECT_CHARS, WORD, parse_place, render_place
from zlh_api.audit_log.service import AuditLog
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import Parameter, identifier, page_limit, parse_id, short_text, whole_number
from zlh_common.schema.audit_log import Actor, AuditEntry
from zlh_common.schema.lists import Items

OF_CUSTOMER = "/api/customers/{customer}/audit-log"
OF_ALL = "/api/audit-log"
# What stands for the platform's own log where a customer could be named.
THE_PLATFORM = "platform"
_A_PLACE = r"^[0-9]{1,18}-[0-9a-f]{32}-[0-9]{1,18}$"


def _read_place(text: str) -> tuple[datetime, UUID, int]:
    place = parse_place(text)
    if place is None:
        raise ValueError(text)
    return place


def _read_chain(text: str) -> UUID:
    return PLATFORM if text == THE_PLATFORM else parse_id(text)


BEFORE_NUMBER = whole_number("before", "The `next` of the page before.", low=1, high=10**18 - 1)
BEFORE_PLACE: Parameter[tuple[datetime, UUID, int] | None] = Parameter(
    "before",
    "The `next` of the page before.",
    {"type": "string", "pattern": _A_PLACE},
    _read_place,
    "the `next` of an earlier page",
    None,
)
CHAIN: Parameter[UUID | None] = Parameter(
    "customer",
    f"A customer, or `{THE_PLATFORM}` for what concerns none; left out for everything.",
    {"type": "string", "pattern": rf"^({THE_PLATFORM}|[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})$"},
    _read_chain,
    f"the id of a customer, or {THE_PLATFORM}",
    None,
)
LIMIT = page_limit(default=50, high=200)
ACT = short_text("act", "The word of an act.", max_chars=64, pattern=f"^{WORD.pattern}$")
USER = identifier("user", "Who has acted.")
SUBJECT = short_text("subject", "What was acted on, such as `container 101`.", min_chars=1, max_chars=MAX_SUBJECT_CHARS)
_FILTERS = (LIMIT, ACT, USER, SUBJECT)


def endpoints(log: AuditLog) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def of_customer(call: Call) -> Items[AuditEntry]:
        entries, limit = await _fetch(
            log, _wanted(call, chain=call.customer.id, before_number=call.asked(BEFORE_NUMBER))
        )
        return _page(entries, limit, following=str(entries[limit - 1].number) if len(entries) > limit else None)

    async def of_all(call: Call) -> Items[AuditEntry]:
        entries, limit = await _fetch(log, _wanted(call, chain=call.asked(CHAIN), before=call.asked(BEFORE_PLACE)))
        return _page(entries, limit, following=_place_of(entries[limit - 1]) if len(entries) > limit else None)

    page = Items[AuditEntry]
    say, say_all = "What was done for a customer, newest first", "What was done by anybody, newest first"
    return [
        Endpoint(
            "GET",
            OF_CUSTOMER,
            Policy.VIEW_AUDIT_LOG,
            of_customer,
            say,
            response=page,
            query=(BEFORE_NUMBER, *_FILTERS),
        ),
        Endpoint(
            "GET",
            OF_ALL,
            Policy.VIEW_PLATFORM,
            of_all,
            say_all,
            response=page,
            query=(BEFORE_PLACE, CHAIN, *_FILTERS),
        ),
    ]


def _wanted(
    call: Call,
    *,
    chain: UUID | None,
    before: tuple[datetime, UUID, int] | None = None,
    before_number: int | None = None,
) -> Wanted:
    return Wanted(
        # One more tells whether there is a following page.
        call.asked(LIMIT) + 1,
        chain=chain,
        act=call.asked(ACT),
        user=call.asked(USER),
        subject=call.asked(SUBJECT),
        before=before,
        before_number=before_number,
    )


async def _fetch(log: AuditLog, wanted: Wanted) -> tuple[list[Entry], int]:
    return await log.fetch(wanted), wanted.limit - 1


def _page(entries: list[Entry], limit: int, *, following: str | None) -> Items[AuditEntry]:
    return Items(items=tuple(map(render_entry, entries[:limit])), next=following or UNSET)


def _place_of(entry: Entry) -> str:
    return render_place(entry.at, entry.act.chain, entry.number)


def render_entry(entry: Entry) -> AuditEntry:
    """Return an entry as it is shown."""
    act, who, ending = entry.act, entry.act.who, entry.ending
    return AuditEntry(
        number=entry.number,
        at=entry.at,
        act=act.word,
        outcome=ending.outcome,
        actor=Actor(
            user_id=_text(who.user_id),
            email=who.email,
            credential_id=_text(who.credential_id),
            by_token=who.by_token,
        ),
        customer_id=None if act.chain == PLATFORM else str(act.chain),
        subject=act.subject,
        status=ending.status,
        code=ending.code,
        request_id=act.request_id,
        address=act.address,
        details=dict(act.details),
        hash=entry.hash.hex(),
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
