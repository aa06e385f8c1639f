"""One container's Traefik file as text: pure, and the same text for the same container.

The text is JSON, which Traefik's YAML parser reads, so every value is quoted by a serializer. Traefik runs its files
through Go templates first: nothing in here comes from a customer but port numbers, and `{{` is refused all the same.

    <label>.yml   router <label>            Host(<label>.<domain>)                 → the default exposure, else the API
                  router <label>-platform   Host(<label>.<domain>) && /.zlh/       → the API
                  router <port>-<label>     Host(<port>-<label>.<domain>)          → that port

Service names end in a digest of the whole file, so that the proxy's own list tells which version of the file it uses.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any

from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish
from zlh_common.names import PLATFORM_PATH, HostName, OwnerMark, container_label, render_host

MARK_PREFIX = "# zlh owner: "
_MARK = re.compile(rf"^{re.escape(MARK_PREFIX)}([0-9a-f-]{{36}})$", re.MULTILINE)


def file_name(host: HostName) -> str:
    """Return the name of a container's file."""
    return f"{container_label(host.kind, host.vmid)}.yml"


def render_route_file(wish: RouteWish, setting: ProxySetting) -> RouteFile:
    """Return the file that makes `wish` true."""
    digest = hashlib.sha256(json.dumps([asdict(wish), asdict(setting)], sort_keys=True).encode()).hexdigest()[:12]
    routers, services = _routes(wish, setting, digest)
    document: dict[str, Any] = {
        "http": {
            "routers": routers,
            "services": services,
            "middlewares": {
                f"{wish.host.label}-home": {"replacePath": {"path": f"{PLATFORM_PATH}home"}},
                f"{wish.host.label}-silent": {
                    "errors": {
                        "status": ["502", "504"],
                        "service": f"api-{wish.host.label}-{digest}",
                        "query": f"{PLATFORM_PATH}silent",
                    }
                },
            },
        }
    }
    body = json.dumps(document, indent=1, sort_keys=True)
    if "{{" in body or "`" in render_host(wish.host, setting.domain):
        raise ValueError(f"{wish.host.label} would be read as a template")
    text = f"{MARK_PREFIX}{wish.owner}\n{body}\n"
    return RouteFile(
        name=file_name(wish.host),
        text=text,
        digest=digest,
        routers=tuple((name, router["service"]) for name, router in sorted(routers.items())),
    )


def parse_mark(text: str) -> OwnerMark | None:
    """Return whose file this is, or None where it carries no mark of ours."""
    found = _MARK.search(text)
    return OwnerMark(found[1]) if found else None


def _routes(wish: RouteWish, setting: ProxySetting, digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    label, api = wish.host.label, f"api-{wish.host.label}-{digest}"
    rule = _host_rule(wish.host, setting)
    routers: dict[str, Any] = {
        f"{label}-platform": {
            "rule": f"{rule} && PathPrefix(`{PLATFORM_PATH}`)",
            "entryPoints": [setting.entry_point],
            "service": api,
            # Above whatever a container's own host can match.
            "priority": 10_000,
        },
        label: {
            "rule": rule,
            "entryPoints": [setting.entry_point],
            "service": _port_service(wish, wish.exposed[0], digest) if wish.exposed else api,
            "middlewares": [f"{label}-silent" if wish.exposed else f"{label}-home"],
        },
    }
    services: dict[str, Any] = {api: _to(setting.api_url)}
    for exposed in wish.exposed:
        host = HostName(wish.host.kind, wish.host.vmid, exposed.port)
        routers[host.label] = {
            "rule": _host_rule(host, setting),
            "entryPoints": [setting.entry_point],
            "service": _port_service(wish, exposed, digest),
            "middlewares": [f"{label}-silent"],
        }
        services[_port_service(wish, exposed, digest)] = _to(f"{exposed.kind}://{wish.address}:{exposed.port}")
    return routers, services


def _host_rule(host: HostName, setting: ProxySetting) -> str:
    return f"Host(`{render_host(host, setting.domain)}`)"


def _port_service(wish: RouteWish, exposed: ExposedPort, digest: str) -> str:
    return f"{exposed.port}-{wish.host.label}-{digest}"


def _to(url: str) -> dict[str, Any]:
    return {"loadBalancer": {"servers": [{"url": url}]}}
