"""HTTP of the audit log: of one customer for its owners, of everybody for operators."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from aiohttp import web
from msgspec import UNSET

from zlh_api.audit_log.model import PLATFORM, Entry, Wanted
from zlh_api.audit_log.rules import MAX_SUBJECT_CHARS, WORD, parse_place, render_place
from zlh_api.audit_log.service import AuditLog
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import QueryInvalid, short_text, whole_number
from zlh_common.schema.audit_log import Actor, AuditEntry
from zlh_common.schema.lists import Items

OF_CUSTOMER = "/api/customers/{customer}/audit-log"
OF_ALL = "/api/audit-log"
DEFAULT_PAGE, PAGE_LIMIT = 50, 200
_FILTERS: dict[str, type[int | str]] = {"limit": int, "act": str, "user": str, "subject": str}


def endpoints(log: AuditLog) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def of_customer(call: Call) -> Items[AuditEntry]:
        request = call.request
        before = whole_number(request, "before", low=1, high=10**18 - 1)
        entries, limit = await _fetch(log, _wanted(request, chain=call.customer.id, before_number=before))
        return _page(entries, limit, following=str(entries[limit - 1].number) if len(entries) > limit else None)

    async def of_all(call: Call) -> Items[AuditEntry]:
        request = call.request
        text = short_text(request, "before", max_bytes=100)
        before = parse_place(text) if text else None
        if text and before is None:
            raise QueryInvalid("before", "the `next` of an earlier page")
        customer = request.query.get("customer")
        chain = PLATFORM if customer == "platform" else _id(request, "customer")
        entries, limit = await _fetch(log, _wanted(request, chain=chain, before=before))
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
            query={"before": int, **_FILTERS},
        ),
        Endpoint(
            "GET",
            OF_ALL,
            Policy.VIEW_PLATFORM,
            of_all,
            say_all,
            response=page,
            query={"before": str, "customer": str, **_FILTERS},
        ),
    ]


def _wanted(
    request: web.Request,
    *,
    chain: UUID | None,
    before: tuple[datetime, UUID, int] | None = None,
    before_number: int | None = None,
) -> Wanted:
    limit = whole_number(request, "limit", low=1, high=PAGE_LIMIT) or DEFAULT_PAGE
    act = request.query.get("act")
    if act is not None and (len(act) > 64 or WORD.fullmatch(act) is None):
        raise QueryInvalid("act", "the word of an act, such as container.create")
    subject = short_text(request, "subject", max_bytes=4 * MAX_SUBJECT_CHARS) or None
    if subject is not None and not subject.isprintable():
        raise QueryInvalid("subject", "what an entry shows, such as container 101")
    return Wanted(
        # One more tells whether there is a following page.
        limit + 1,
        chain=chain,
        act=act,
        user=_id(request, "user"),
        subject=subject,
        before=before,
        before_number=before_number,
    )


def _id(request: web.Request, name: str) -> UUID | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text:
        raise QueryInvalid(name, "an id, such as 6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
    return found


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
