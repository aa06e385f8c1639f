"""What it costs to be watched: counting each request, and counting all containers for a scrape."""

from __future__ import annotations

import time

from bench.api_limits import REQUESTS, US, measure_whole
from bench.measure import Case, Row, Run, at_most, ratio_at_most
from bench.real_api import RealApi
from zlh_api.containers.census import GOOD_FOR_S, CensusService
from zlh_api.database.pool import Database
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.request_figures import RequestFigures
from zlh_common.clock import SystemClock

COUNTS = (100, 1000, 10_000)


class _Ahead(SystemClock):
    """A clock that is set forward by hand, so that nobody waits until a count is too old."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        """See Clock."""
        return super().monotonic() + self.ahead_s


async def _nothing(_call: Call) -> None:
    """Answer nothing."""


async def _noting() -> float:
    """Return the µs of processor time that noting one request takes."""
    figures = RequestFigures()
    endpoint = Endpoint("GET", "/api/containers/{vmid}", Policy.VIEW_CONTAINER, _nothing, "x")
    began = time.process_time()
    for number in range(REQUESTS):
        figures.note(endpoint, 200, number / 1e5)
    return (time.process_time() - began) / REQUESTS * US


async def figures(run: Run) -> list[Row]:
    """Noting a request against GET of one container, in processor time."""
    api = RealApi.make(run)
    async with api.database() as connection, api.started():
        await api.fill(connection, 10)
        path = f"/api/containers/{await connection.fetchval('select min(vmid) from containers')}"

        async def whole() -> float:
            return await measure_whole(api, path)

        samples = await run.side_by_side("api.figures", {"ours": _noting, "whole": whole})
    return [
        samples.row(
            "api.figures",
            "µs of processor time",
            peer="whole",
            peer_name="all of a GET of one container",
            budget=ratio_at_most(0.01),
        )
    ]


async def census(run: Run) -> list[Row]:
    """Counting all containers for a scrape: where each has changed, and where none has."""
    api, rows = RealApi.make(run), []
    async with api.database() as connection:
        for count in run.choose(COUNTS, COUNTS[:1]):
            await api.fill(connection, count)
            rows += await _census_of(run, api.dsn, count)
    return rows


async def _census_of(run: Run, dsn: str, count: int) -> list[Row]:
    database, clock = Database(dsn, max_connections=2), _Ahead()
    # The one that has counted before.
    settled = CensusService(database, clock)

    async def first() -> float:
        return await _count(CensusService(database, clock))

    async def again() -> float:
        clock.ahead_s += GOOD_FOR_S + 1
        return await _count(settled)

    await settled.count()
    samples = await run.side_by_side(f"api.census.{count}", {"ours": again, "first": first})
    await database.close()
    name = f"api.census.{count}"
    budget = at_most(300) if count == COUNTS[-1] else None
    return [
        samples.alone(name, "ms of processor time", budget=budget, note="none has changed; the database's not counted"),
        samples.alone(f"{name}.first", "ms of processor time", side="first", note="each is read"),
    ]


async def _count(service: CensusService) -> float:
    began = time.process_time()
    await service.count()
    return (time.process_time() - began) * 1000


CASES = (
    Case("api.figures", "what noting a request costs", figures),
    Case("api.census", "what counting all containers for a scrape costs", census),
)
