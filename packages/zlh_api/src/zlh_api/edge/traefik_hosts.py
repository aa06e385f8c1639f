"""What the files of all containers have in common, as one file of the platform's: pure.

    hosts.yml   routers     zlh-hosts    /.zlh/ of every container host       → the API, above whatever a container has
                            zlh-nowhere  container hosts that no file has     → the API, below whatever a container has
                middleware  zlh-guard    asks the API before each request to a port that not everybody may open
                            zlh-open     takes what a client claims to be from a request to any other port
                            zlh-silent   shows the page of a port on which nobody listens
                            zlh-home     shows the page of a container that publishes nothing
                            zlh-blank    shows the page of a name at which there is nothing
                            zlh-pages    what browsers are told of our own pages

A router whose middleware is missing is not used at all: without this file nothing of any container is open.

The guard's answer takes the place of the request's Cookie header, so what tells us who asks never reaches the
container; what a client writes into X-Zlh-… does not either.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from zlh_api.edge.model import PLATFORM_OWNER, ProxySetting, RouteFile
from zlh_api.edge.traefik_text import check_values, compute_digest, render_text, render_tls, service_to
from zlh_common.names import ACCESS_PATH, ACCESS_PORT, HOST_LABEL, PLATFORM_PATH

FILE_NAME = "hosts.yml"
# The names that other files use; none has the form of a container's.
GUARD, OPEN, SILENT, HOME, PAGES = "zlh-guard", "zlh-open", "zlh-silent", "zlh-home", "zlh-pages"
BLANK = "zlh-blank"
ROUTER, NOWHERE = "zlh-hosts", "zlh-nowhere"
# Above and below whatever a container's own host can match.
PRIORITY, LEAST_PRIORITY = 10_000, 1
# In which the API tells the container who asks.
USER_HEADER = "X-Zlh-User"
# What the API decides by. Anything else, such as the container's own Authorization, is none of its business.
ASKED_WITH = (
    "Accept", "Cookie", "Origin", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-WebSocket-Key",
    "User-Agent", ACCESS_PORT,
)  # fmt: skip
# Of an answer that refuses, a page at most.
MAX_ANSWER_BYTES = 65_536


def render_hosts_file(setting: ProxySetting) -> RouteFile:
    """Return the file; raise RouteUnsafe."""
    check_values(asdict(setting))
    middlewares = _middlewares(setting)
    # The proxy knows a name in any case, and with the dot of the root.
    hosts = f"HostRegexp(`^{HOST_LABEL}\\.{re.escape(setting.domain)}\\.?$`)"
    every = {"entryPoints": [setting.entry_point], **render_tls([], setting)}
    routers: dict[str, dict[str, Any]] = {
        # Paths are told apart sooner than names.
        ROUTER: every
        | {"rule": f"PathPrefix(`{PLATFORM_PATH}`) && {hosts}", "middlewares": [PAGES], "priority": PRIORITY},
        # Whoever sends something is no reader of pages, and has the proxy's own refusal.
        NOWHERE: every
        | {
            "rule": f"Method(`GET`) && {hosts}",
            "middlewares": [BLANK, PAGES],
            "priority": LEAST_PRIORITY,
        },
    }
    digest = compute_digest(asdict(setting), middlewares, routers)
    # The digest stands in the name of one service alone, by which the proxy's list tells which version it uses.
    service = f"zlh-api-{digest}"
    document = {
        "routers": {name: router | {"service": service} for name, router in routers.items()},
        "middlewares": middlewares | {SILENT: _silent(service)},
        "services": {service: service_to(setting.api_url)},
    }
    text = render_text(PLATFORM_OWNER, {"http": document})
    return RouteFile(name=FILE_NAME, text=text, digest=digest, routers=tuple((name, service) for name in routers))


def _middlewares(setting: ProxySetting) -> dict[str, Any]:
    return {
        GUARD: {"forwardAuth": _guard(setting)},
        OPEN: {"headers": {"customRequestHeaders": {USER_HEADER: "", ACCESS_PORT: ""}}},
        HOME: {"replacePath": {"path": f"{PLATFORM_PATH}home"}},
        BLANK: {"replacePath": {"path": f"{PLATFORM_PATH}nowhere"}},
        # These pages are ours. What a container sends is not, and has the headers that it gave itself.
        PAGES: {
            "headers": {
                "contentTypeNosniff": True,
                "frameDeny": True,
                "referrerPolicy": "no-referrer",
                # A guard alone says to us who asks.
                "customRequestHeaders": {USER_HEADER: ""},
            }
        },
    }


def _silent(service: str) -> dict[str, Any]:
    return {"errors": {"status": ["502", "504"], "service": service, "query": f"{PLATFORM_PATH}silent"}}


def _guard(setting: ProxySetting) -> dict[str, Any]:
    return {
        "address": f"{setting.api_url.rstrip('/')}{ACCESS_PATH}",
        "authRequestHeaders": list(ASKED_WITH),
        # Taken from the answer, and from nowhere else: what the request had of them is removed.
        "authResponseHeaders": ["Cookie", USER_HEADER],
        "authResponseHeadersRegex": "(?i)^x[-_]zlh[-_]",
        "maxResponseBodySize": MAX_ANSWER_BYTES,
        "trustForwardHeader": False,
    }
