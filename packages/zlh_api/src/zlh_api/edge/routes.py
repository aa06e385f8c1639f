"""What answers on container hosts below `/.zlh/`: the proof that a name leads to us, and a container's stand-in.

Who may not open a port learns no more of a container than that there is one of this name: not whether it runs, nor
which port its own host leads to.
"""

from __future__ import annotations

from aiohttp import web

from zlh_api.containers.model import Container, Guest, Published
from zlh_api.containers.service import ContainerService
from zlh_api.edge.pages import render_nothing_here, render_page
from zlh_api.edge.traefik_hosts import USER_HEADER
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.token_buckets import Rate, TokenBuckets
from zlh_common.clock import Clock
from zlh_common.errors import NotFound
from zlh_common.names import PLATFORM_PATH, HostName, read_host

# How often it is looked what to say of one silent port. The proxy asks in its own name for whoever meets one, so no
# address tells them apart, and a server that fails on purpose would have us look as often as anybody likes.
SILENT = Rate(per_s=20, burst=200)
MOST_PORTS = 20_000


def endpoints(service: ContainerService, clock: Clock, *, domain: str) -> list[Endpoint]:
    """Return the endpoints of this slice; all of them are public, and tell no more than the name that was asked for."""
    looks = TokenBuckets(SILENT, most_keys=MOST_PORTS)

    async def find(host: HostName) -> Container:
        container = await service.find(host.vmid)
        if container.kind != host.kind:
            raise NotFound("container")
        return container

    async def ready(call: Call) -> Answer:
        host = _host_of(call.request, domain)
        await find(host)
        return Answer({"vmid": host.vmid}, headers={"Cache-Control": "no-store"})

    async def home(call: Call) -> web.Response:
        host = _host_of(call.request, domain)
        container = await find(host)
        if container.is_suspended:
            return _suspended(host)
        if host.port is not None:
            return render_nothing_here()
        if container.exposures:
            return render_page(f"{host.label} is here", "<p>What it publishes is on its way. Reload this page.</p>")
        return render_page(
            f"{host.label} is here",
            "<p>Nothing of it is published yet.</p>"
            "<p>Start a server in its terminal, then publish the port under <b>Ports</b> in the portal.</p>",
        )

    async def silent(call: Call) -> web.Response:
        host, now = _host_of(call.request, domain), clock.monotonic()
        if looks.look(host.label, now).wait_s > 0:
            return render_page("Nothing answers here", "<p>Many have asked at this moment. Reload this page later.</p>")
        looks.take(host.label, now)
        container = await find(host)
        if container.is_suspended:
            return _suspended(host)
        found = _find_meant(container, host)
        # Whoever may open a guarded port is named by its guard. The page can be asked for by itself, too.
        if found is None or (found.visibility != "public" and USER_HEADER not in call.request.headers):
            return render_nothing_here()
        if container.guest is not Guest.RUNNING:
            return _not_running(host, container.guest)
        return render_page(
            f"Nothing listens on port {found.port}",
            "<p>The container runs. The route to it works.</p>"
            f"<p>Start your server in the container on port {found.port}; reload this page then. Listen on all "
            "addresses, or on the one in the variable <code>HOST</code>.</p>",
        )

    return [
        Endpoint("GET", f"{PLATFORM_PATH}ready", Policy.PUBLIC, ready, "Proof that a container's name leads here"),
        Endpoint("GET", f"{PLATFORM_PATH}home", Policy.PUBLIC, home, "The page of a container that publishes nothing"),
        Endpoint(
            "GET", f"{PLATFORM_PATH}silent", Policy.PUBLIC, silent, "The page of a port that nobody listens on",
            is_counted=False,
        ),
        Endpoint("GET", f"{PLATFORM_PATH}nowhere", Policy.PUBLIC, _nowhere, "The page of a name that leads nowhere"),
    ]  # fmt: skip


async def _nowhere(call: Call) -> web.Response:
    """Tell a reader with a page, and a program with the problem, that there is nothing at this name."""
    if "text/html" not in call.request.headers.get("Accept", ""):
        raise NotFound
    return render_nothing_here()


def _host_of(request: web.Request, domain: str) -> HostName:
    host = read_host(request.host, domain)
    if host is None:
        raise NotFound("container")
    return host


def _find_meant(container: Container, host: HostName) -> Published | None:
    """Return the exposure that a host leads to: its own port, or the container's oldest one."""
    return next((each for each in container.exposures if host.port in {None, each.port}), None)


def _not_running(host: HostName, guest: Guest) -> web.Response:
    """Tell why no server of a container can answer, and what to do before one is looked for."""
    title, advice = _why_not_running(guest)
    return render_page(f"{host.label} {title}", f"<p>{advice}</p>")


def _why_not_running(guest: Guest) -> tuple[str, str]:
    match guest:
        case Guest.ABSENT | Guest.HALF_MADE:
            return "is being made", "Reload this page in a moment. The portal shows every step."
        case Guest.FOREIGN:
            return "cannot run", "Its people see in the portal what is in the way."
        case Guest.STOPPED | Guest.RUNNING:
            return "is switched off", "Its people start it in the portal. Reload this page then."


def _suspended(host: HostName) -> web.Response:
    """Tell everybody that it is off, and nobody why: that is between its people and the platform."""
    return render_page(
        f"{host.label} is suspended",
        "<p>It is switched off by the platform, and its files are kept.</p>"
        "<p>Its people see the reason in the portal.</p>",
    )
