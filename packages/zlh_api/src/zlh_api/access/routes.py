"""HTTP of signing in at container hosts: what the proxy asks, and the two ends of the way through the portal."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from zlh_api.access import rules
from zlh_api.access.rules import NONCE_LASTS, Asked, Front, is_state, read_cookies
from zlh_api.access.service import (
    AUTHORIZE,
    ENTER,
    AccessCodeInvalid,
    AccessNotSignedIn,
    AccessOriginRefused,
    AccessService,
    Admitted,
)
from zlh_api.customers.callers import Callers
from zlh_api.customers.refusals import NotSignedIn
from zlh_api.database.pool import DatabaseUnavailable
from zlh_api.edge.pages import QUIET, render_nothing_here, render_page
from zlh_api.web.client_address import visitor_address
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import short_text
from zlh_api.web.rate_limits import RateLimited
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.errors import NotFound
from zlh_common.names import ACCESS_PATH, ACCESS_PORT, is_label, parse_label, parse_port, read_host

STATE = short_text("state", "What the browser set out with.", max_chars=64)
PATH = short_text("path", "Where it goes on to at the host, once it is signed in there.", max_chars=8000)


def endpoints(
    service: AccessService, callers: Callers, cookie: SessionCookie, *, portal_url: str, backend_url: str
) -> list[Endpoint]:
    """Return the endpoints of this slice; the proxy asks at `backend_url`, and everybody else at other names."""
    # Of whom the proxy asks for nobody, since browsers do so themselves.
    visited = {urlsplit(portal_url).hostname} - {urlsplit(backend_url).hostname}
    return [
        _check_endpoint(service, visited),
        _portal_endpoint(service, callers, cookie, portal=portal_url.rstrip("/")),
        _host_endpoint(service),
    ]


def _check_endpoint(service: AccessService, visited: Collection[str | None]) -> Endpoint:
    """Return what the proxy asks, at none of these hosts."""

    async def check(call: Call) -> web.Response:
        if _host_name(call.request) in visited:
            raise NotFound
        asked = _read_asked(call.request, service.front)
        try:
            verdict = await service.judge(asked)
        except NotFound:
            if not asked.is_navigation:
                raise
            return render_nothing_here()
        if isinstance(verdict, Admitted):
            return _admit(verdict, asked)
        response = _redirect(verdict.location)
        lasts_s = int(NONCE_LASTS.total_seconds())
        _put(response, service.front, service.front.nonce_cookie, verdict.nonce, lasts_s=lasts_s)
        return response

    return Endpoint(
        "GET", ACCESS_PATH, Policy.PUBLIC, check, "What the proxy asks before each guarded request",
        refusals=(AccessNotSignedIn, AccessOriginRefused, NotFound, DatabaseUnavailable, RateLimited), is_counted=False,
        also={302: "The browser is sent to the portal, to sign in"}, name="checkAccess",
    )  # fmt: skip


def _portal_endpoint(service: AccessService, callers: Callers, cookie: SessionCookie, *, portal: str) -> Endpoint:
    """Return the end of the way at the portal's origin, where the browser's session is known."""

    async def authorize(call: Call) -> web.Response:
        label, state, path = call.request.match_info["label"], call.asked(STATE) or "", call.asked(PATH) or "/"
        host = parse_label(label)
        if not rules.is_opened_by_itself(call.request.headers):
            # A part of another page, of a container too: it would be an act of somebody who knows nothing of it.
            return _page(403, "This opens by itself alone", "<p>Open the address of the container in the browser.</p>")
        try:
            caller = await callers.identify(bearer=None, cookie=cookie.read(call.request))
        except NotSignedIn:
            following = f"{AUTHORIZE}/{label}?{urlencode({'state': state, 'path': path})}"
            return _redirect(f"{portal}/login?{urlencode({'next': following})}" if host else f"{portal}/login")
        if host is None or not is_state(state):
            return render_nothing_here()
        try:
            customer = await service.find_customer(caller, host)
            if customer is None:
                return _redirect(service.url(host, "/"))
            await call.record.acts_as(caller)
            await call.record.charge_to(customer)
            call.record.acts_on(f"container {host.vmid}")
            call.note("host", host.label)
            return _redirect(await service.issue_code(caller, host, state=state, path=path))
        except NotFound:
            return render_nothing_here()

    return Endpoint(
        "GET", f"{AUTHORIZE}/{{label}}", Policy.PUBLIC, authorize, "Sign in at a container's host",
        query=(STATE, PATH), status=302, media_type="text/html", refusals=(DatabaseUnavailable,),
        about="Browsers are sent here by a host that is not open to everybody, and sent back with a code that "
        "works once. Whoever is not signed in here is asked to sign in first.",
        act="access.open", name="openAccess",
    )  # fmt: skip


def _host_endpoint(service: AccessService) -> Endpoint:
    """Return the end of the way at the container's host, where the code becomes a cookie."""

    async def enter(call: Call) -> web.Response:
        host = read_host(call.request.host, service.front.domain)
        if host is None:
            raise NotFound
        nonce = read_cookies(call.request.headers.getall("Cookie", []), service.front).nonce
        try:
            entered = await service.enter(host, code=call.request.query.get("code", ""), nonce=nonce)
        except AccessCodeInvalid as error:
            return _page(
                error.status, "This sign-in did not work", f'<p>{error.detail}</p><p><a href="/">Begin anew</a></p>'
            )
        response = _redirect(entered.location)
        _put(response, service.front, service.front.access_cookie, entered.token.value)
        _put(response, service.front, service.front.nonce_cookie, "", lasts_s=0)
        return response

    return Endpoint(
        "GET", ENTER, Policy.PUBLIC, enter, "The way back from the portal to a container's host",
        status=302, media_type="text/html", refusals=(DatabaseUnavailable,), name="enterAccess",
    )  # fmt: skip


def _read_asked(request: web.Request, front: Front) -> Asked:
    """Return the request that the proxy asks about; raise NotFound where nobody of ours is asked for.

    It is for the proxy alone: asked through a container's own host, it would show a page its hidden cookies.
    """
    hosts = request.headers.getall("X-Forwarded-Host", [])
    host = read_host(hosts[0], front.domain) if len(hosts) == 1 else None
    if host is None or is_label(request.host.lower().partition(".")[0]):
        raise NotFound
    port = host.port or _read_port(request)
    if port is None:
        raise NotFound
    headers = request.headers
    mode = headers.get("Sec-Fetch-Mode")
    is_upgrade = headers.get("X-Forwarded-Proto") in {"ws", "wss"} or "Sec-WebSocket-Key" in headers
    return Asked(
        host=host,
        port=port,
        method=headers.get("X-Forwarded-Method", ""),
        path=headers.get("X-Forwarded-Uri", "/"),
        cookies=read_cookies(headers.getall("Cookie", []), front),
        is_websocket=is_upgrade or mode == "websocket",
        accepts_html="text/html" in headers.get("Accept", ""),
        origins=tuple(headers.getall("Origin", [])),
        referer=headers.get("Referer"),
        site=headers.get("Sec-Fetch-Site"),
        mode=mode,
        dest=headers.get("Sec-Fetch-Dest"),
        client=visitor_address(request),
    )


def _read_port(request: web.Request) -> int | None:
    """Return where the route of a container's own host leads, as it says itself whatever a client writes."""
    told = request.headers.getall(ACCESS_PORT, [])
    return parse_port(told[0]) if len(told) == 1 else None


def _host_name(request: web.Request) -> str:
    """Return the host that was asked, in the one spelling of names, without its port."""
    return request.host.lower().partition(":")[0].removesuffix(".")


def _admit(verdict: Admitted, asked: Asked) -> web.Response:
    # The proxy takes these over in the place of what the browser has sent; where one is missing, it sends none.
    headers = {"Cookie": asked.cookies.others} if asked.cookies.others else {}
    if verdict.user_id is not None:
        headers["X-Zlh-User"] = str(verdict.user_id)
    return web.Response(headers=headers)


def _put(response: web.Response, front: Front, name: str, value: str, *, lasts_s: int | None = None) -> None:
    """Set a cookie of this one host; without a time it ends with the browser."""
    response.set_cookie(
        name, value, max_age=lasts_s, path="/", secure=front.has_tls, httponly=True, samesite="Lax"
    )  # fmt: skip


def _redirect(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location, **QUIET}, content_type="text/html")


def _page(status: int, title: str, body: str) -> web.Response:
    response = render_page(title, body, status=status)
    response.headers.update(QUIET)
    return response
