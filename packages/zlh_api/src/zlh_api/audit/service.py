"""One look at everything, for whoever asks: the patrol, the commands, the endpoint. Nothing is changed by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from zlh_api.audit import left_records, store
from zlh_api.audit.model import GUESTS, ROUTES, Books, Difference, Row, Sightings
from zlh_api.audit.printable import printable
from zlh_api.audit.record_surveys import NO_PROVIDER, RecordSurveys
from zlh_api.audit.rules import find_differences
from zlh_api.containers.model import Power
from zlh_api.database.pool import Database
from zlh_api.dns.model import ServicePort
from zlh_api.dns.rules import Wanted
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import ContainerDriver, FoundGuest
from zlh_api.edge.model import GamePort, ProxySetting, RouteWish, expose
from zlh_api.edge.port import FoundRoute, RouteDirectory
from zlh_api.edge.traefik_file import render_route_file
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import ZlhError
from zlh_common.names import HostName, OwnerMark, Vmid, is_mark
from zlh_common.schema.audit import AuditPart, AuditReport, AuditStatus, Finding, PatrolStatus
from zlh_common.schema.resources import Resources
from zlh_common.schema.structs import convert

# A system that has not told what it holds by then is one that could not be looked at.
SURVEY_TIMEOUT_S = 60.0
# The patrol looks this often.
EVERY_S = 15.0
# More than people read; whoever wants all of them runs the command.
REPORTED_FINDINGS = 500
REPORTED_WORK = 200
Found = TypeVar("Found", FoundGuest, FoundRoute)


@dataclass(frozen=True, slots=True)
class AuditSetting:
    """What of this installation is ours."""

    address_block: str
    proxy: ProxySetting
    platform_files: frozenset[str]
    platform_owner: OwnerMark


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has shown."""

    books: Books
    seen: Sightings
    parts: tuple[AuditPart, ...]
    differences: list[Difference]
    took_s: float

    @property
    def troubles(self) -> tuple[AuditPart, ...]:
        """The systems that should have been looked at and could not be."""
        return tuple(part for part in self.parts if part.trouble is not None and part.trouble != NO_PROVIDER)

    def report(self, findings: Sequence[Finding]) -> AuditReport:
        """Return the look with those of its findings that count."""
        return AuditReport(
            looked_at=self.seen.began,
            took_ms=round(self.took_s * 1000),
            containers=len(self.books.rows),
            parts=self.parts,
            findings=tuple(findings[:REPORTED_FINDINGS]),
            left_out=max(0, len(findings) - REPORTED_FINDINGS),
        )


@dataclass(frozen=True, slots=True)
class Auditor:
    """Looks at books and world."""

    database: Database
    driver: ContainerDriver
    routes: RouteDirectory
    setting: AuditSetting
    dns: DnsService = field(default_factory=DnsService)
    clock: Clock = field(default_factory=SystemClock)
    records: RecordSurveys = field(init=False)
    # What was rendered before, so that a file is rendered again only where its container has changed.
    _rendered: dict[OwnerMark, tuple[RouteWish, str]] = field(default_factory=dict)
    _wanted_records: dict[OwnerMark, tuple[tuple[RouteWish, tuple[ServicePort, ...]], Wanted]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        surveys = RecordSurveys(self.dns.providers, self.clock, timeout_s=SURVEY_TIMEOUT_S)
        object.__setattr__(self, "records", surveys)

    @property
    def providers(self) -> frozenset[str]:
        """The DNS providers that are configured, by their names."""
        return frozenset(provider.setting.name for provider in self.dns.providers)

    async def look(self) -> Look:
        """Look at everything once; raise DatabaseUnavailable."""
        started = time.monotonic()
        async with self.database.connection() as connection:
            began, fences = await store.fetch_began(connection)
        seen, parts = await self._survey(began, fences)
        async with self.database.connection() as connection:
            raw = await store.fetch_rows(connection)
            last_number = await store.fetch_last_number(connection)
        rows = await asyncio.to_thread(self._read_rows, raw, fences)
        unknown = _marks(seen) - {row.owner for row in rows}
        async with self.database.connection() as connection:
            departed = await store.fetch_departed(connection, unknown)
            kept, left = await left_records.fetch(connection, self.providers)
        books = Books(
            rows=rows,
            departed=departed,
            last_number=last_number,
            address_block=self.setting.address_block,
            domain=self.setting.proxy.domain,
            platform_files=self.setting.platform_files,
            platform_owner=self.setting.platform_owner,
            left=await asyncio.to_thread(left_records.read, kept, left, self.providers),
        )
        differences = await asyncio.to_thread(find_differences, books, seen)
        return Look(books, seen, parts, differences, time.monotonic() - started)

    async def fetch_status(self) -> AuditStatus:
        """Return the last report of the patrol, and what is being worked on now."""
        async with self.database.connection() as connection:
            report, is_alive = await store.fetch_report(connection)
            queue = await store.fetch_queue(connection)
            work = await store.fetch_work(connection, limit=REPORTED_WORK)
        unsettled = queue.working + queue.due + queue.waiting + queue.held + queue.awaiting
        return AuditStatus(
            patrol=PatrolStatus(is_alive=is_alive, every_s=EVERY_S),
            queue=queue,
            work=work,
            work_left_out=max(0, unsettled - len(work)),
            report=report,
        )

    async def ask_look(self) -> None:
        """Let the patrol look now."""
        async with self.database.connection() as connection:
            await store.ask_look(connection)

    async def _survey(self, began: datetime, fences: Mapping[UUID, int]) -> tuple[Sightings, tuple[AuditPart, ...]]:
        guests, routes, (records, record_parts) = await asyncio.gather(
            _ask(GUESTS, self.driver.survey),
            _ask(ROUTES, self.routes.survey, counts=lambda file: not file.is_quarantined),
            self.records.look(began, fences),
        )
        seen = Sightings(began, _read_strangers(guests[0]), _read_strangers(routes[0]), records)
        return seen, (guests[1], routes[1], *record_parts)

    def _read_rows(self, raw: list[Any], fences: dict[UUID, int]) -> tuple[Row, ...]:
        rows = tuple(self._read_row(row, fences.get(row["owner"])) for row in raw)
        for gone in self._rendered.keys() - {row.owner for row in rows}:
            self._rendered.pop(gone)
            self._wanted_records.pop(gone, None)
        return rows

    def _read_row(self, raw: Any, fence: int | None) -> Row:
        owner, vmid, address = OwnerMark(str(raw["owner"])), Vmid(raw["vmid"]), raw["address"]
        wants_route = raw["is_established"] and not raw["is_deleting"] and address is not None
        exposed = tuple(expose(*each) for each in raw["exposed"] or ())
        games = tuple(GamePort(*each) for each in raw["games"] or ())
        services = tuple(ServicePort(*each) for each in raw["services"] or ())
        wish = RouteWish(owner, HostName(raw["kind"], vmid), address, exposed, games) if wants_route else None
        return Row(
            owner=owner,
            vmid=vmid,
            kind=raw["kind"],
            power=Power(raw["power"]),
            address=address,
            resources=convert(raw["resources"], Resources),
            is_established=raw["is_established"],
            is_settled=raw["is_settled"] and raw["fence"] == fence,
            route_sha256=self._route_sha256(wish) if wish is not None else None,
            records=self._records(wish, services) if wish is not None else None,
            fence=raw["fence"],
        )

    def _route_sha256(self, wish: RouteWish) -> str:
        known = self._rendered.get(wish.owner)
        if known is None or known[0] != wish:
            known = self._rendered[wish.owner] = (wish, render_route_file(wish, self.setting.proxy).sha256)
        return known[1]

    def _records(self, wish: RouteWish, services: tuple[ServicePort, ...]) -> Wanted:
        known = self._wanted_records.get(wish.owner)
        if known is None or known[0] != (wish, services):
            wanted = self.dns.want(wish.host, (each.port for each in wish.exposed), services)
            known = self._wanted_records[wish.owner] = ((wish, services), wanted)
        return known[1]


async def _ask(
    name: str,
    survey: Callable[[], Awaitable[list[Found]]],
    *,
    counts: Callable[[Found], bool] = lambda _: True,
) -> tuple[list[Found] | None, AuditPart]:
    """Ask one system, and count what it has of what `counts`; one that is away costs the others nothing."""
    try:
        async with asyncio.timeout(SURVEY_TIMEOUT_S):
            found = await survey()
    except ZlhError as error:
        return None, AuditPart(name=name, count=None, trouble=error.detail)
    except TimeoutError:
        return None, AuditPart(name=name, count=None, trouble=f"It did not answer within {SURVEY_TIMEOUT_S:.0f} s.")
    return found, AuditPart(name=name, count=sum(map(counts, found)))


def _read_strangers(found: list[Found] | None) -> tuple[Found, ...] | None:
    """What claims a mark that cannot be one of ours carries none; names that are no text are made one."""
    return None if found is None else tuple(map(_read_stranger, found))


def _read_stranger(entry: Found) -> Found:
    changes: dict[str, Any] = {}
    if entry.owner is not None and not is_mark(entry.owner):
        changes["owner"] = None
    for field_name in ("name", "where"):
        text = getattr(entry, field_name, None)
        # Bytes that are no text would be refused by JSON and by the database, and nothing would be reported any more.
        if text is not None and not text.isprintable():
            changes[field_name] = printable(text)
    return replace(entry, **changes) if changes else entry


def _marks(seen: Sightings) -> set[OwnerMark]:
    owners = [guest.owner for guest in seen.guests or ()] + [file.owner for file in seen.routes or ()]
    owners += [record.owner for survey in seen.records for record in survey.found]
    return {owner for owner in owners if owner is not None}
