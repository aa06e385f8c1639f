"""What is ours and is called otherwise than we would? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zlh_api.audit.ledger import Ledger
from zlh_api.audit.model import Difference
from zlh_api.audit.verdicts import (
    MISNAMED,
    tell_named,
)
from zlh_api.dns.model import FoundRecord
from zlh_api.drivers.port import FoundGuest
from zlh_common.names import OwnerMark, container_label, is_label, parse_record_name
from zlh_common.schema.audit import Thing

# What somebody may take for a name of ours, or has meant as one.
_LOOKS_LIKE_OURS = re.compile(r"([0-9]+[-_])?(dev|game)[-_]?[0-9]+\.")


def compare_names(ledger: Ledger) -> Iterator[Difference]:
    """Yield everything of ours that has another name than we would give it."""
    for row in ledger.books.rows:
        label = container_label(row.kind, row.vmid)
        if not is_label(label):
            yield _misnamed(Thing.CONTAINER, label, row.owner, "a container's label")
    for guest in ledger.seen.guests or ():
        if guest.owner is not None and guest.name is not None and not _is_guest_name(ledger, guest):
            yield _misnamed(Thing.GUEST, guest.name, guest.owner, _wanted_label(ledger, guest))
    for file in ledger.seen.routes or ():
        if file.owner not in {None, ledger.books.platform_owner} and not _is_file_name(file.name):
            yield _misnamed(Thing.ROUTE, file.name, file.owner, "<label>.yml")
    for survey in ledger.seen.records:
        for record in survey.found:
            if not _is_record_name(ledger, record):
                wanted = f"<label>.{ledger.books.domain}"
                yield _misnamed(Thing.RECORD, record.name, record.owner, wanted, where=survey.provider)


def _is_record_name(ledger: Ledger, record: FoundRecord) -> bool:
    """What carries our mark, or looks like one of ours, is called as we would call it; others as they like."""
    if parse_record_name(record.name, ledger.books.domain) is not None:
        return True
    return record.owner is None and _LOOKS_LIKE_OURS.match(record.host) is None


def _is_guest_name(ledger: Ledger, guest: FoundGuest) -> bool:
    assert guest.name is not None
    row = ledger.rows.get(guest.owner) if guest.owner is not None else None
    return guest.name == container_label(row.kind, row.vmid) if row is not None else is_label(guest.name)


def _wanted_label(ledger: Ledger, guest: FoundGuest) -> str:
    row = ledger.rows.get(guest.owner) if guest.owner is not None else None
    return container_label(row.kind, row.vmid) if row is not None else "a container's label"


def _misnamed(thing: Thing, name: str, owner: OwnerMark | None, wanted: str, *, where: str | None = None) -> Difference:
    whose = "is ours" if owner is not None or thing is not Thing.RECORD else "looks like ours"
    text = f"The {thing} {name} {whose} and should be called {wanted}. Rename it, or remove it and let it be made anew."
    return tell_named(MISNAMED, thing, name, owner, text, where=where)


def _is_file_name(name: str) -> bool:
    label, dot, rest = name.partition(".")
    # An exposure has a label too, and never a file of its own.
    return dot == "." and rest == "yml" and is_label(label) and not label[0].isdigit()
