"""Which records are not as the books say? Each provider by itself: what one holds says nothing of another. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from zlh_api.audit.ledger import Ledger
from zlh_api.audit.model import Certainty, Departed, Difference, LeftAt, RecordSurvey, Row
from zlh_api.audit.verdicts import (
    CONFLICT,
    DRIFTED,
    INTRUDER,
    LEFTOVER,
    MISSING,
    ORPHAN,
    Verdict,
    tell_named,
    tell_own,
)
from zlh_api.dns.diff import diff_records, excludes, leads
from zlh_api.dns.model import FoundRecord, Record
from zlh_common.names import OwnerMark, parse_record_name
from zlh_common.schema.audit import Finding, Thing


def compare_records(ledger: Ledger) -> Iterator[Difference]:
    """Yield what differs of records, at those providers that could be looked at, and what is left at former ones."""
    for survey in ledger.seen.records:
        own: dict[OwnerMark, list[FoundRecord]] = defaultdict(list)
        for record in survey.found:
            row = ledger.row_of_host(record.host)
            if record.owner is not None and row is not None and record.owner == row.owner:
                own[row.owner].append(record)
            elif record.owner is None:
                yield from _of_strange_record(ledger, survey, record, row)
            elif record.owner in ledger.rows:
                yield _copied_record(survey, record, ledger.rows[record.owner])
            else:
                yield from _of_orphaned_record(ledger, survey, record)
        for row in ledger.books.rows:
            wanted = row.records.get(survey.provider) if row.records is not None else None
            # Who has worked on it since the survey began knows better.
            if wanted is not None and survey.fences.get(UUID(row.owner)) == row.fence:
                yield from _of_own_records(ledger, survey, row, wanted, own.get(row.owner, []))
    yield from map(_left_at, ledger.books.left)


def _left_at(left: LeftAt) -> Difference:
    """Records at a provider that nobody can look at, since it is configured no more."""
    text = (
        f"The DNS provider {left.provider} is configured no more, and up to {left.names} names of ours may still have "
        f"records there, such as {left.example}. Configure it again and what is too much is taken away by itself, or "
        "remove by hand what carries a mark of ours (a comment `zlh:…`, a TXT record `_zlh-owner.…`) and run "
        f"`zlh-api audit forget-provider {left.provider}`."
    )
    finding = Finding(
        kind=ORPHAN.kind, severity=ORPHAN.severity, remedy=ORPHAN.remedy, thing=Thing.RECORD, message=text,
        where=left.provider,
    )  # fmt: skip
    return Difference(finding, Certainty.SURE)


def _of_own_records(
    ledger: Ledger, survey: RecordSurvey, row: Row, wanted: Sequence[Record], found: Sequence[FoundRecord]
) -> Iterator[Difference]:
    changes = diff_records(ledger.whose(row), wanted, found)
    if changes.is_empty:
        return
    names = frozenset(record.host for record in found)
    if changes.added:
        name = changes.added[0].name
        text = f"The record {name} of container {row.vmid} is gone. It is written again by itself."
        yield _doubt(tell_own(MISSING, row, Thing.RECORD, text, name=name, where=survey.provider), survey, names)
    for record in (*(found for found, _ in changes.changed), *changes.deleted):
        text = f"The record {record.name} of container {row.vmid} is not as we wrote it. It is put right by itself."
        finding = tell_own(DRIFTED, row, Thing.RECORD, text, name=record.name, where=survey.provider)
        yield _doubt(finding, survey, names)


def _of_strange_record(
    ledger: Ledger, survey: RecordSurvey, record: FoundRecord, row: Row | None
) -> Iterator[Difference]:
    wanted = row.records.get(survey.provider, ()) if row is not None and row.records is not None else ()
    if row is not None and any(excludes(record, each) for each in wanted):
        text = (
            f"{record.name} is a name of container {row.vmid}, and its record {record.type} {record.content} does not "
            "carry its mark, so it is left alone. Remove it; ours is written as soon as it is gone."
        )
        yield _doubt(tell_own(CONFLICT, row, Thing.RECORD, text, name=record.name, where=survey.provider), survey)
    elif parse_record_name(record.host, ledger.books.domain) is not None and leads(record):
        text = (
            f"{record.name} is a name that containers have, and its record {record.type} {record.content} is not ours. "
            "Remove it, since it leads past the platform."
        )
        yield _at(INTRUDER, survey, record, text)


def _copied_record(survey: RecordSurvey, record: FoundRecord, row: Row) -> Difference:
    text = (
        f"{record.name} carries the mark of container {row.vmid} and is no name of it: a copy made by hand. Take the "
        "mark off it or remove it; it is left alone."
    )
    return _at(CONFLICT, survey, record, text)


def _of_orphaned_record(ledger: Ledger, survey: RecordSurvey, record: FoundRecord) -> Iterator[Difference]:
    """A record whose mark no row has."""
    assert record.owner is not None
    departed = ledger.books.departed.get(record.owner)
    if departed is not None and departed.departed_at >= survey.began:
        # It went while we looked, as the last step of an orderly end.
        return
    if departed is not None and is_record_of(record, departed, domain=ledger.books.domain):
        text = f"{record.name} turned up after container {departed.vmid} had been deleted. It is taken away by itself."
        yield _at(LEFTOVER, survey, record, text)
        return
    removal = (
        f"`zlh-api audit remove {record.owner}` takes it away."
        if parse_record_name(record.host, ledger.books.domain) is not None
        else "remove it at its provider, since it is no name of ours."
    )
    text = f"{record.name} carries a mark of ours that no container has. It is left alone; once you know that nobody "
    yield _at(ORPHAN, survey, record, f"{text}needs it, {removal}")


def is_record_of(record: FoundRecord, departed: Departed, *, domain: str) -> bool:
    """Tell whether a record with a departed mark is at a name that its container had; elsewhere it is a copy."""
    host = parse_record_name(record.host, domain)
    return host is not None and host.vmid == departed.vmid


def _at(verdict: Verdict, survey: RecordSurvey, record: FoundRecord, message: str) -> Difference:
    """A difference about a record that no row accounts for."""
    return tell_named(verdict, Thing.RECORD, record.name, record.owner, message, where=survey.provider)


def _doubt(difference: Difference, survey: RecordSurvey, names: frozenset[str] = frozenset()) -> Difference:
    return replace(difference, doubts=(survey.provider, names))
