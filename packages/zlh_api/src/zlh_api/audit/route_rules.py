"""Which route files are not as the books say? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from zlh_api.audit.ledger import Ledger, file_of
from zlh_api.audit.model import Difference, Row
from zlh_api.audit.verdicts import (
    CONFLICT,
    DRIFTED,
    INTRUDER,
    LEFTOVER,
    MISSING,
    ORPHAN,
    QUARANTINED,
    tell_named,
    tell_own,
)
from zlh_api.edge.port import FoundRoute
from zlh_common.names import OwnerMark
from zlh_common.schema.audit import Thing


def compare_routes(ledger: Ledger) -> Iterator[Difference]:
    """Yield what differs of route files; nothing where they could not be looked at."""
    if ledger.seen.routes is None:
        return
    present = set()
    for file in ledger.seen.routes:
        if file.is_quarantined:
            text = (
                f"{file.name} lies in the quarantine: it kept the proxy from taking up any change, and was moved away. "
                "The API's log says why. Look at it, then remove it."
            )
            yield tell_named(QUARANTINED, Thing.ROUTE, file.name, None, text)
            continue
        row = ledger.row_of_file.get(file.name)
        if file.owner == ledger.books.platform_owner and file.name in ledger.books.platform_files:
            continue
        if row is not None:
            present.add(row.owner)
            yield from _of_expected_file(row, file)
        else:
            yield from _of_unexpected_file(ledger, file)
    for row in ledger.books.rows:
        if row.route_sha256 is not None and row.owner not in present:
            text = f"The route file of container {row.vmid} is gone. It is written again by itself."
            yield tell_own(MISSING, row, Thing.ROUTE, text, name=file_of(row))


def _of_expected_file(row: Row, file: FoundRoute) -> Iterator[Difference]:
    if file.owner != row.owner:
        text = (
            f"{file.name} is the route file of container {row.vmid} and does not carry its mark, so it is left alone. "
            "Move it away; ours is written as soon as it is gone."
        )
        yield tell_own(CONFLICT, row, Thing.ROUTE, text, name=file.name)
    elif row.route_sha256 is not None and file.sha256 != row.route_sha256:
        text = f"The route file of container {row.vmid} is not as we wrote it. It is written again by itself."
        yield tell_own(DRIFTED, row, Thing.ROUTE, text, name=file.name)


def _of_unexpected_file(ledger: Ledger, file: FoundRoute) -> Iterator[Difference]:
    row = ledger.rows.get(file.owner) if file.owner is not None else None
    if row is not None:
        text = (
            f"{file.name} carries the mark of container {row.vmid} and has another name: a copy made by hand. Remove "
            "it, since the proxy follows both."
        )
        yield tell_named(CONFLICT, Thing.ROUTE, file.name, file.owner, text)
    elif file.trouble is not None:
        text = (
            f"{file.name} keeps the proxy from taking up any change ({file.trouble}). It is moved into the quarantine "
            "by itself; where it stays, move it away."
        )
        yield tell_named(QUARANTINED, Thing.ROUTE, file.name, None, text)
    elif file.owner is None:
        text = f"{file.name} lies among our route files and is not ours. Move it away, since the proxy follows it."
        yield tell_named(INTRUDER, Thing.ROUTE, file.name, None, text)
    else:
        yield from _orphaned_name(ledger, Thing.ROUTE, file.name, file.owner)


def _orphaned_name(ledger: Ledger, thing: Thing, name: str, owner: OwnerMark) -> Iterator[Difference]:
    """A file whose mark no row has."""
    if ledger.went_during_look(owner):
        return
    departed = ledger.departed_before_look(owner)
    if departed is not None:
        text = f"{name} turned up after container {departed.vmid} had been deleted. It is taken away by itself."
        yield tell_named(LEFTOVER, thing, name, owner, text)
        return
    text = (
        f"{name} carries a mark of ours that no container has. It is left alone; once you know that nobody needs it, "
        f"`zlh-api audit remove {owner}` takes it away."
    )
    yield tell_named(ORPHAN, thing, name, owner, text)
