"""What it costs to count a request, beside what the request costs as a whole, gate and answer included."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request

from bench.api import Connection, Target
from bench.measure import Case, Row, Run, ratio_at_most, read_cpu_s
from bench.real_api import TOKEN, RealApi
from zlh_api.app.settings import rate_settings
from zlh_api.config.tables import RateLimitsSection, RateSection
from zlh_api.customers.model import Caller, Membership
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.rate_limits import RateLimits
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.clock import SystemClock
from zlh_common.schema.permissions import Role

REQUESTS = 2000
_MANY = RateSection(per_s=1_000_000, burst=1_000_000)
_SECTION = RateLimitsSection(reads=_MANY, customer_reads=_MANY, address_reads=_MANY)
US = 1e6


async def _nothing(_call: Call) -> None:
    """Answer nothing."""


async def _counting() -> float:
    """Return the µs of processor time that counting one request takes, and noting that its token is good."""
    limits = RateLimits(rate_settings(_SECTION), SessionCookie(has_tls=False), SystemClock())
    endpoint = Endpoint("GET", "/api/containers/{vmid}", Policy.VIEW_CONTAINER, _nothing, "x")
    membership = Membership(uuid4(), "bench", Role.OWNER)
    caller = Caller(uuid4(), "bench@example.org", is_operator=False, memberships=(membership,), by_cookie=False)
    requests: list[Request] = [
        make_mocked_request("GET", "/api/containers/101", headers={"Authorization": f"Bearer {TOKEN}"})
        for _ in range(REQUESTS)
    ]
    limits.note_good(endpoint, requests[0], caller)
    began = time.process_time()
    for request in requests:
        await limits.admit(endpoint, request)
        limits.note_good(endpoint, request, caller)
    return (time.process_time() - began) / REQUESTS * US


async def measure_whole(api: RealApi, path: str) -> float:
    """Return the µs of processor time that the API spends on one request, its database left out."""
    connection = await Connection.open(Target(api.port, path))
    before = await asyncio.to_thread(read_cpu_s, api.pid)
    for _ in range(REQUESTS):
        await connection.ask()
    spent = await asyncio.to_thread(read_cpu_s, api.pid) - before
    connection.close()
    return spent / REQUESTS * US


async def limits(run: Run) -> list[Row]:
    """Counting against GET of one container, in processor time."""
    api = RealApi.make(run)
    async with api.database() as connection, api.started():
        await api.fill(connection, 10)
        path = f"/api/containers/{await connection.fetchval('select min(vmid) from containers')}"

        async def whole() -> float:
            return await measure_whole(api, path)

        samples = await run.side_by_side("api.limits", {"ours": _counting, "whole": whole})
    return [
        samples.row(
            "api.limits",
            "µs of processor time",
            peer="whole",
            peer_name="all of a GET of one container",
            budget=ratio_at_most(0.05),
        )
    ]


CASES = (Case("api.limits", "what counting a request costs", limits),)
