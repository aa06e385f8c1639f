"""What answers on container hosts below `/.zlh/`: the proof that a name leads to us, and a container's stand-in."""

from __future__ import annotations

from aiohttp import web

from zlh_api.containers.model import Container, Guest
from zlh_api.containers.service import ContainerService
from zlh_api.edge.pages import render_page
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_common.errors import NotFound
from zlh_common.names import PLATFORM_PATH, HostName, read_host


def endpoints(service: ContainerService, *, domain: str) -> list[Endpoint]:
    """Return the endpoints of this slice; all of them are public, and tell no more than the name that was asked for."""

    async def ready(call: Call) -> Answer:
        host = _host_of(call.request, domain)
        await service.find(host.vmid)
        return Answer({"vmid": host.vmid}, headers={"Cache-Control": "no-store"})

    async def home(call: Call) -> web.Response:
        host = _host_of(call.request, domain)
        container = await service.find(host.vmid)
        if not _runs(container):
            return _no_server(host, container)
        return render_page(
            f"{host.label} is here",
            "<p>The container runs. Nothing of it is published yet.</p>"
            "<p>Start a server in its terminal, then publish the port under <b>Ports</b> in the portal.</p>",
        )

    async def silent(call: Call) -> web.Response:
        host = _host_of(call.request, domain)
        container = await service.find(host.vmid)
        if not _runs(container):
            return _no_server(host, container)
        port = host.port or (container.exposures[0].port if container.exposures else 0)
        return render_page(
            f"Nothing listens on port {port}",
            "<p>The container runs. The route to it works.</p>"
            f"<p>Start your server in the container on port {port}; reload this page then. Listen on all addresses, "
            "or on the one in the variable <code>HOST</code>.</p>",
        )

    return [
        Endpoint("GET", f"{PLATFORM_PATH}ready", Policy.PUBLIC, ready, "Proof that a container's name leads here"),
        Endpoint("GET", f"{PLATFORM_PATH}home", Policy.PUBLIC, home, "The page of a container that publishes nothing"),
        Endpoint("GET", f"{PLATFORM_PATH}silent", Policy.PUBLIC, silent, "The page of a port that nobody listens on"),
    ]


def _host_of(request: web.Request, domain: str) -> HostName:
    host = read_host(request.host, domain)
    if host is None:
        raise NotFound("container")
    return host


def _runs(container: Container) -> bool:
    return container.guest is Guest.RUNNING and not container.is_suspended


def _no_server(host: HostName, container: Container) -> web.Response:
    """Tell why no server of a container can answer, and what to do before one is looked for."""
    title, body = _why_no_server(container)
    return render_page(f"{host.label} {title}", body)


def _why_no_server(container: Container) -> tuple[str, str]:
    if container.is_suspended:
        # Everybody is told that it is off, and nobody why: that is between its people and the platform.
        return "is suspended", (
            "<p>It is switched off by the platform, and its files are kept.</p>"
            "<p>Its people see the reason in the portal.</p>"
        )
    match container.guest:
        case Guest.ABSENT | Guest.HALF_MADE:
            return "is being made", "<p>Reload this page in a moment. The portal shows every step.</p>"
        case Guest.FOREIGN:
            return "cannot run", "<p>Its people see in the portal what is in the way.</p>"
        case Guest.STOPPED | Guest.RUNNING:
            return "is switched off", "<p>Its people start it in the portal. Reload this page then.</p>"
