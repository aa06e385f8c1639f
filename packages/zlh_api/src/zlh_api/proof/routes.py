"""HTTP of the proof: a container's chain for its people, the edge for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from zlh_api.proof.report import CheckTooSoon, ProofReports
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_common.exposition import CONTENT_TYPE
from zlh_common.schema.edge import EdgeStatus, Proof

ONE = "/api/containers/{vmid}"
_ABOUT_CHECK = (
    "The answer is the chain as it was seen before; ask for `proof` until its `checkedAt` is later than its `askedAt`. "
    "A container that should not run is not looked at."
)


def endpoints(reports: ProofReports, *, others: Sequence[Callable[[], Awaitable[str]]] = ()) -> list[Endpoint]:
    """Return the endpoints of this slice; what `others` tell of the platform is scraped with the edge."""

    async def show(call: Call) -> Answer:
        return Answer(await reports.fetch_proof(call.container), headers={"Cache-Control": "no-store"})

    async def check(call: Call) -> Proof:
        return await reports.ask(call.container)

    async def edge(_call: Call) -> Answer:
        return Answer(await reports.fetch_edge(), headers={"Cache-Control": "no-store"})

    async def scrape(_call: Call) -> web.Response:
        told = [await reports.render_metrics(), *[await other() for other in others]]
        return web.Response(body="".join(told).encode(), headers={"Content-Type": CONTENT_TYPE})

    return [
        Endpoint(
            "GET",
            f"{ONE}/proof",
            Policy.VIEW_CONTAINER,
            show,
            "Whether its public name leads to it, link by link",
            response=Proof,
            is_stable=False,
            name="getProof",
        ),
        Endpoint(
            "POST",
            f"{ONE}/check",
            Policy.POWER_CONTAINER,
            check,
            "Look now whether its public name leads to it",
            response=Proof,
            status=202,
            refusals=(CheckTooSoon,),
            about=_ABOUT_CHECK,
            name="checkContainer",
            act="container.check",
        ),
        Endpoint(
            "GET",
            "/api/platform/edge",
            Policy.VIEW_PLATFORM,
            edge,
            "How the edge stands: proxy, files, DNS providers, certificates, containers at fault",
            response=EdgeStatus,
            is_stable=False,
            name="getEdge",
        ),
        Endpoint(
            "GET",
            "/metrics",
            Policy.VIEW_PLATFORM,
            scrape,
            "The figures of the edge, of agents and of roll-outs for Prometheus, as text",
            media_type="text/plain",
            name="getPlatformMetrics",
        ),
    ]
