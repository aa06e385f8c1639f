"""HTTP of what a container uses and what happened in it."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from zlh_api.agents.client import AgentClient, AgentNonsense, decode_report
from zlh_api.agents.routes import find_agent
from zlh_api.history.rules import MAX_POINTS, choose_span, find_metrics_problem
from zlh_api.history.service import HistoryService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import moment, whole_number
from zlh_common.clock import Clock
from zlh_common.exposition import CONTENT_TYPE, render_exposition
from zlh_common.schema.history import HistoryEntry
from zlh_common.schema.lists import Items
from zlh_common.schema.metrics import Metrics

ONE = "/api/containers/{vmid}"
DEFAULT_PAGE, PAGE_LIMIT = 50, 200


def endpoints(history: HistoryService, client: AgentClient, clock: Clock, *, agent_port: int) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def now(call: Call) -> Metrics:
        raw = await client.call(find_agent(call.container, agent_port), "GET", "/metrics/now")
        metrics = decode_report(raw, Metrics)
        if problem := find_metrics_problem(metrics):
            raise AgentNonsense(problem)
        return metrics

    async def scrape(call: Call) -> web.Response:
        # Written here and not handed on: an agent could say anything of anybody.
        text = render_exposition(await now(call), {"vmid": str(call.container.vmid)})
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def past(call: Call) -> Items[Metrics]:
        points = whole_number(call.request, "points", low=1, high=MAX_POINTS)
        span = choose_span(moment(call.request, "from"), moment(call.request, "to"), points, clock.now())
        return Items(items=tuple(await history.fetch_samples(call.container, span)))

    async def events(call: Call) -> Items[HistoryEntry]:
        before = whole_number(call.request, "before", low=1, high=2**53)
        limit = whole_number(call.request, "limit", low=1, high=PAGE_LIMIT) or DEFAULT_PAGE
        entries = await history.fetch_entries(call.container, before=before, limit=limit + 1)
        shown = tuple(entries[:limit])
        return Items(items=shown, next=shown[-1].id if len(entries) > limit else UNSET)

    view = Policy.VIEW_CONTAINER
    span, page = {"from": str, "to": str, "points": int}, {"before": int, "limit": int}
    samples, entries = Items[Metrics], Items[HistoryEntry]
    return [
        Endpoint("GET", f"{ONE}/metrics", view, now, "What it uses now, asked of its agent", response=Metrics),
        Endpoint("GET", f"{ONE}/metrics/prometheus", view, scrape, "The same for Prometheus, as text"),
        Endpoint("GET", f"{ONE}/metrics/history", view, past, "What it has used", response=samples, query=span),
        Endpoint("GET", f"{ONE}/events", view, events, "What happened in it", response=entries, query=page),
    ]
