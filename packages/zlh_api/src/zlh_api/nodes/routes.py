"""HTTP of the nodes, for operators."""

from __future__ import annotations

from zlh_api.nodes.service import NodesService
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_common.schema.nodes import PlatformNodes


def endpoints(nodes: NodesService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def show(_call: Call) -> Answer:
        return Answer(await nodes.look(), headers={"Cache-Control": "no-store"})

    return [
        Endpoint(
            "GET",
            "/api/platform/nodes",
            Policy.VIEW_PLATFORM,
            show,
            "The machines that containers are on, what each holds, and which has no room or is away",
            response=PlatformNodes,
            is_stable=False,
            name="getNodes",
        )
    ]
