"""HTTP of what a container uses and what happened in it."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from zlh_api.agents.client import AgentClient, AgentNonsense, decode_report
from zlh_api.agents.routes import REFUSED_BY_AGENT, find_agent
from zlh_api.history.rules import DEFAULT_POINTS, MAX_POINTS, RangeInvalid, choose_span, find_metrics_problem
from zlh_api.history.service import HistoryService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import moment, page_limit, whole_number
from zlh_common.clock import Clock
from zlh_common.exposition import CONTENT_TYPE, render_exposition
from zlh_common.schema.history import HistoryEntry
from zlh_common.schema.lists import Items
from zlh_common.schema.metrics import Metrics

ONE = "/api/containers/{vmid}"
FROM = moment("from", "Where the time begins; left out, an hour before its end.")
TO = moment("to", "Where the time ends; left out, now.")
POINTS = whole_number(
    "points", "So many samples at most; more are thinned out evenly.", low=1, high=MAX_POINTS, default=DEFAULT_POINTS
)
BEFORE = whole_number(
    "before", "The id of the entry before which the page begins; left out, the newest.", low=1, high=2**53
)
LIMIT = page_limit(default=50, high=200)


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
        span = choose_span(call.asked(FROM), call.asked(TO), call.asked(POINTS), clock.now())
        return Items(items=tuple(await history.fetch_samples(call.container, span)))

    async def events(call: Call) -> Items[HistoryEntry]:
        limit = call.asked(LIMIT)
        entries = await history.fetch_entries(call.container, before=call.asked(BEFORE), limit=limit + 1)
        shown = tuple(entries[:limit])
        return Items(items=shown, next=shown[-1].id if len(entries) > limit else UNSET)

    view = Policy.VIEW_CONTAINER
    span, page = (FROM, TO, POINTS), (BEFORE, LIMIT)
    refused = (RangeInvalid,)
    samples, entries = Items[Metrics], Items[HistoryEntry]
    return [
        Endpoint(
            "GET",
            f"{ONE}/metrics",
            view,
            now,
            "What it uses now, asked of its agent",
            response=Metrics,
            refusals=REFUSED_BY_AGENT,
        ),
        Endpoint(
            "GET",
            f"{ONE}/metrics/prometheus",
            view,
            scrape,
            "The same for Prometheus, as text",
            media_type="text/plain",
            refusals=REFUSED_BY_AGENT,
        ),
        Endpoint(
            "GET",
            f"{ONE}/metrics/history",
            view,
            past,
            "What it has used",
            response=samples,
            query=span,
            refusals=refused,
        ),
        Endpoint("GET", f"{ONE}/events", view, events, "What happened in it", response=entries, query=page),
    ]
