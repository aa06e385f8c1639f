"""HTTP of published ports."""

from __future__ import annotations

from zlh_api.containers.refusals import BeingDeleted
from zlh_api.customers.refusals import CustomerSuspended
from zlh_api.exposures.service import AddonPort, ExposureService, PortReserved
from zlh_api.quotas.rules import QuotaExceeded
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_id
from zlh_common.schema.lists import Items
from zlh_common.schema.ports import SeenPorts
from zlh_common.schema.spec import CreateExposure, Exposure

ALL = "/api/containers/{vmid}/exposures"
PORTS = "/api/containers/{vmid}/ports"


def endpoints(service: ExposureService) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def publish(call: Call) -> Exposure:
        for name in ("port", "visibility", "kind", "expires_in_s"):
            call.note(name, getattr(call.body, name))
        return await service.publish(call.container, call.body, published_by=call.caller.user_id)

    async def index(call: Call) -> Items[Exposure]:
        return Items(items=tuple(await service.fetch_all(call.container)))

    async def ports(call: Call) -> SeenPorts:
        return await service.fetch_ports(call.container)

    async def unpublish(call: Call) -> None:
        exposure = read_id(call.request.match_info, "exposure")
        call.note("port", await service.unpublish(call.container, exposure))

    view, change = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    return [
        Endpoint("GET", ALL, view, index, "List published ports", response=Items[Exposure]),
        Endpoint(
            "GET", PORTS, view, ports, "List what programs listen on", response=SeenPorts,
            about="As the agent has seen it a second ago at most, 64 of them; none while it is not heard. `kind` is "
            "what the port answered when it was asked once, `reach` from where it is reached: a port that only "
            "loopback reaches is led there by its agent once it is published, and is `bridged` then.",
        ),
        Endpoint(
            "POST",
            ALL,
            change,
            publish,
            "Publish a port, or change who may open one",
            CreateExposure,
            Exposure,
            201,
            creates=True,
            refusals=(BeingDeleted, CustomerSuspended, PortReserved, QuotaExceeded),
            example={"port": 3000, "visibility": "private"},
            about="`private` opens for the user who publishes it, as long as they belong to the customer, and for its "
            "owners once they do not; `customer` for all who belong to the customer; `public` for everybody. A port "
            "that is published already is changed, and whoever is connected to it has to connect again.",
            act="port.publish",
        ),
        Endpoint(
            "DELETE", f"{ALL}/{{exposure}}", change, unpublish, "Take a published port back", status=204,
            refusals=(AddonPort,), act="port.unpublish",
        ),
    ]  # fmt: skip
