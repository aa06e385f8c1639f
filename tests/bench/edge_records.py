"""What it costs to see that 10,000 records of 5,000 containers are as they should be, where none has changed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid5

from aiohttp import web
from aiohttp.test_utils import TestServer

from bench.measure import Case, Row, Run, at_most
from guards.parts import why_missing
from real_parts.knot import running_knot
from zlh_api.audit import model as audit
from zlh_api.audit.rules import find_differences
from zlh_api.circuit import Circuit
from zlh_api.containers.model import Power
from zlh_api.dns.cloudflare import PAGE_RECORDS, Cloudflare
from zlh_api.dns.mark import mark_name, render_mark
from zlh_api.dns.model import ProviderSetting
from zlh_api.dns.port import DnsProvider
from zlh_api.dns.rfc2136 import Rfc2136
from zlh_api.dns.rules import render_records
from zlh_api.dns.technitium import Technitium
from zlh_api.dns.tsig_connection import Address
from zlh_common.clock import SystemClock
from zlh_common.names import HostName, OwnerMark, Vmid
from zlh_common.schema.resources import Resources

ZONE = "example.test"
SETTING = ProviderSetting("public", ZONE, ("192.0.2.1",))
CONTAINERS = (5_000, 500)
Opener = Callable[[Path, audit.Books], AbstractAsyncContextManager[DnsProvider]]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def _owner(vmid: int) -> OwnerMark:
    return OwnerMark(str(uuid5(UUID(int=0), str(vmid))))


def _books(count: int) -> audit.Books:
    """Return containers that each have a host and one published port."""
    rows = tuple(
        audit.Row(
            owner=_owner(vmid),
            vmid=Vmid(vmid),
            kind="dev",
            power=Power.ON,
            address=None,
            resources=Resources(),
            is_established=True,
            is_settled=True,
            route_sha256=None,
            records={"public": render_records(HostName("dev", Vmid(vmid)), (3000,), SETTING, domain=ZONE)},
        )
        for vmid in range(100, 100 + count)
    )
    return audit.Books(rows, {}, 10**6, "10.0.0.0/8", ZONE, frozenset(), _owner(0))


def _names(books: audit.Books) -> list[tuple[str, OwnerMark]]:
    return [(record.name, row.owner) for row in books.rows for record in (row.records or {})["public"]]


async def _look(provider: DnsProvider, books: audit.Books, forget: Callable[[], None]) -> float:
    """Survey and compare; return the seconds of processor."""
    forget()
    began = time.process_time()
    found = tuple(await provider.survey())
    survey = audit.RecordSurvey("public", BEGAN, {UUID(row.owner): row.fence for row in books.rows}, found)
    differences = find_differences(books, audit.Sightings(BEGAN, None, None, (survey,)))
    took_s = time.process_time() - began
    if differences or len(found) < 2 * len(books.rows):
        raise RuntimeError(f"{len(differences)} differences in {len(found)} records")
    return took_s


@asynccontextmanager
async def _cloudflare(folder: Path, books: audit.Books) -> AsyncIterator[Cloudflare]:
    """Yield a provider whose server has its pages ready, so that it costs next to nothing itself."""
    listed = [
        {"id": f"{number:032x}", "name": name, "type": "A", "content": "192.0.2.1", "ttl": 300, "proxied": False,
         "comment": render_mark(owner), "proxiable": True, "settings": {}, "meta": {}, "tags": [],
         "created_on": "2026-01-01T00:00:00.000000Z", "modified_on": "2026-01-01T00:00:00.000000Z"}
        for number, (name, owner) in enumerate(_names(books))
    ]  # fmt: skip
    total = -(-len(listed) // PAGE_RECORDS)
    pages = [
        json.dumps({"result": listed[at : at + PAGE_RECORDS], "success": True, "errors": [], "messages": [],
                    "result_info": {"page": at // PAGE_RECORDS + 1, "total_pages": total}}).encode()
        for at in range(0, len(listed), PAGE_RECORDS)
    ]  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/zones":
            return web.json_response({"result": [{"id": "1", "name": ZONE}], "success": True})
        return web.Response(body=pages[int(request.query["page"]) - 1], content_type="application/json")

    async with _serving(answer) as url:
        clock = SystemClock()
        provider = Cloudflare(
            SETTING, domain=ZONE, url=url, token=_secret(folder), circuit=Circuit("x", clock=clock), clock=clock
        )
        yield provider
        await provider.close()


@asynccontextmanager
async def _technitium(folder: Path, books: audit.Books) -> AsyncIterator[Technitium]:
    listed = [
        {"name": name, "type": "A", "ttl": 300, "disabled": False, "rData": {"ipAddress": "192.0.2.1"},
         "comments": render_mark(owner), "dnssecStatus": "Unknown", "lastUsedOn": "0001-01-01T00:00:00"}
        for name, owner in _names(books)
    ]  # fmt: skip
    body = json.dumps({"response": {"records": listed}, "status": "ok"}).encode()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with _serving(answer) as url:
        clock = SystemClock()
        provider = Technitium(
            SETTING, domain=ZONE, url=url, token=_secret(folder), circuit=Circuit("x", clock=clock), clock=clock
        )
        yield provider
        await provider.close()


@asynccontextmanager
async def _rfc2136(folder: Path, books: audit.Books) -> AsyncIterator[Rfc2136]:
    lines = [
        f'{name}. 300 A 192.0.2.1\n{mark_name(name)}. 300 TXT "{render_mark(owner)}"' for name, owner in _names(books)
    ]
    with running_knot(folder, ZONE, "\n".join(lines)) as knot:
        clock = SystemClock()
        yield Rfc2136(
            SETTING,
            domain=ZONE,
            address=Address(knot.address, knot.port),
            key_name=knot.key_name,
            key=_secret(folder, knot.secret),
            algorithm=knot.algorithm,
            circuit=Circuit("x", clock=clock),
            clock=clock,
        )


@asynccontextmanager
async def _serving(answer: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)  # type: ignore[arg-type] # a handler all the same
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def _secret(folder: Path, text: str = "token") -> Path:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return file


async def records(run: Run) -> list[Row]:
    """Measure each provider's survey with what follows; no zone is taken for one that has not changed."""
    count: int = run.choose(*CONTAINERS)
    books, rows = _books(count), []
    providers: dict[str, Opener] = {"cloudflare": _cloudflare, "technitium": _technitium, "rfc2136": _rfc2136}
    if why_missing("knot") is not None:
        del providers["rfc2136"]
    for name, opened in providers.items():
        async with opened(run.fresh_folder(f"records-{name}"), books) as provider:
            unchanged = getattr(provider, "_unchanged", None)
            forget = partial(setattr, unchanged, "_serial", None) if unchanged is not None else lambda: None
            case = f"edge.drift.records.{name}"
            samples = await run.side_by_side(case, {"ours": partial(_look, provider, books, forget)})
            note = f"{2 * count} records, none changed" + (" (and as many marks)" if name == "rfc2136" else "")
            rows.append(samples.alone(case, "s of CPU", budget=at_most(1.5), note=note))
    return rows


CASES = (Case("edge.drift.records", "a survey of 10,000 records and their comparison, by provider", records),)
