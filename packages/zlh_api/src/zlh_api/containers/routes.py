"""HTTP of containers: wishes in, reports out, and the live stream beside them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from aiohttp import web

from zlh_api.containers.live import LiveContainers
from zlh_api.containers.model import Power
from zlh_api.containers.service import PAGE_LIMIT, ContainerService
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_ids import parse_id
from zlh_api.web.query import identifier, whole_number
from zlh_common.schema.lists import Items
from zlh_common.schema.resources import Limits
from zlh_common.schema.spec import CreateContainer, CreateExposure, Exposure, PatchContainer
from zlh_common.schema.status import ContainerStatus
from zlh_common.schema.structs import encode

_ALIASES = {"enable_code_server": "enableCodeServer"}
ALL = "/api/containers"
ONE = f"{ALL}/{{vmid}}"
LIMITS = "/api/limits"
DEFAULT_PAGE = 100


def endpoints(service: ContainerService, live: LiveContainers) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    async def events(call: Call) -> web.StreamResponse:
        return await live.stream(call)

    async def limits(_call: Call) -> Limits:
        return service.limits

    return [
        *_container_endpoints(service),
        *_power_endpoints(service),
        *_exposure_endpoints(service),
        Endpoint("GET", LIMITS, Policy.SIGNED_IN, limits, "How much a container may use", response=Limits),
        Endpoint(
            "GET",
            "/api/events",
            Policy.LIST_CONTAINERS,
            events,
            "Changes of containers as they happen (SSE)",
            is_stream=True,
        ),
    ]


def _container_endpoints(service: ContainerService) -> list[Endpoint]:
    async def index(call: Call) -> Items[msgspec.Raw]:
        after = whole_number(call.request, "after", low=0, high=2**31 - 1) or 0
        limit = whole_number(call.request, "limit", low=1, high=PAGE_LIMIT) or DEFAULT_PAGE
        customer = identifier(call.request, "customer")
        items, following = await service.fetch_page(call.caller, after=after, limit=limit, customer=customer)
        return Items(items=tuple(items), next=following or msgspec.UNSET)

    async def create(call: Call) -> ContainerStatus:
        wish, key = call.body, call.request.headers.get("Idempotency-Key")
        customer = await service.choose_customer(call.caller, wish.customer_id)
        await call.record.charge_to(customer)
        _note_wish(call, wish)
        made, is_replayed = await service.create(call.caller, customer, wish, key=key)
        call.record.acts_on(f"container {made.vmid}")
        if is_replayed:
            call.note("replayed", "true")
        return made

    async def show(call: Call) -> Any:
        return _with_etag(call.request, service.report(call.container))

    async def patch(call: Call) -> ContainerStatus:
        _note_wish(call, call.body)
        return await service.patch(call.container, call.body)

    async def delete(call: Call) -> ContainerStatus:
        call.note("kind", call.container.kind)
        call.note("name", call.container.name)
        return await service.delete(call.container)

    async def renew_identity(call: Call) -> ContainerStatus:
        return await service.renew_identity(call.container)

    new, view, change = Policy.CREATE_CONTAINER, Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    status, page = ContainerStatus, Items[ContainerStatus]
    asked = {"after": int, "limit": int, "customer": str}
    say, say_put, say_delete = "Create a container", "Rename, resize or switch", "Delete a container and all it has"
    return [
        Endpoint("GET", ALL, Policy.LIST_CONTAINERS, index, "List containers", response=page, query=asked),
        Endpoint("POST", ALL, new, create, say, CreateContainer, status, 202, _ALIASES, act="container.create"),
        Endpoint("GET", ONE, view, show, "One container", response=status),
        Endpoint("PATCH", ONE, change, patch, say_put, PatchContainer, status, 200, _ALIASES, act="container.change"),
        Endpoint("DELETE", ONE, change, delete, say_delete, None, status, 202, act="container.delete"),
        Endpoint(
            "POST",
            f"{ONE}/identity",
            Policy.GOVERN_CONTAINER,
            renew_identity,
            "Give the agent another key; the one before opens nothing any more",
            response=status,
            status=202,
            act="identity.renew",
        ),
        Endpoint("GET", f"{ONE}/status", view, show, "The whole report of one container", response=status),
    ]


def _power_endpoints(service: ContainerService) -> list[Endpoint]:
    async def start(call: Call) -> ContainerStatus:
        return await service.set_power(call.container, Power.ON)

    async def stop(call: Call) -> ContainerStatus:
        return await service.set_power(call.container, Power.OFF)

    async def kill(call: Call) -> ContainerStatus:
        return await service.kill(call.container)

    async def restart(call: Call) -> ContainerStatus:
        return await service.restart(call.container)

    power, status = Policy.POWER_CONTAINER, ContainerStatus
    verbs = {
        "start": (start, "Switch a container on"),
        "stop": (stop, "Switch a container off"),
        "kill": (kill, "Switch a container off at once"),
        "restart": (restart, "Stop and start a container"),
    }
    return [
        Endpoint("POST", f"{ONE}/{verb}", power, handler, say, response=status, status=202, act=f"container.{verb}")
        for verb, (handler, say) in verbs.items()
    ]


def _exposure_endpoints(service: ContainerService) -> list[Endpoint]:
    async def publish(call: Call) -> Exposure:
        call.note("port", call.body.port)
        call.note("visibility", call.body.visibility)
        return await service.publish_port(call.container, call.body)

    async def index(call: Call) -> Items[Exposure]:
        return Items(items=tuple(await service.fetch_exposures(call.container)))

    async def unpublish(call: Call) -> None:
        exposure = parse_id(call.request.match_info["exposure"], "exposure")
        call.note("port", await service.unpublish_port(call.container, exposure))

    view, change = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    every, one = f"{ONE}/exposures", f"{ONE}/exposures/{{exposure}}"
    return [
        Endpoint("GET", every, view, index, "List published ports", response=Items[Exposure]),
        Endpoint("POST", every, change, publish, "Publish a port", CreateExposure, Exposure, 201, act="port.publish"),
        Endpoint("DELETE", one, change, unpublish, "Take a published port back", status=204, act="port.unpublish"),
    ]


def _note_wish(call: Call, wish: CreateContainer | PatchContainer) -> None:
    """Note what is named in a wish, such as the name or a size."""
    named = msgspec.to_builtins(wish)
    sizes = named.pop("resources") or {}
    for key, value in {**named, **sizes}.items():
        call.note(key, value)


def _with_etag(request: web.Request, report: ContainerStatus) -> Answer | web.Response:
    """Answer 304 where the caller has this very report; pages poll it."""
    etag = f'"{hashlib.sha256(encode(report)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return Answer(report, headers=headers)
