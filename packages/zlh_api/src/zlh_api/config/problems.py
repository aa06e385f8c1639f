"""What is wrong with a configuration whose types are right: pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from zlh_api.config.dns_problems import find_dns_problems
from zlh_api.config.driver_problems import find_driver_problems
from zlh_api.config.edge_problems import find_directory_problems, find_portal_problems, find_public_problems
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import (
    MAX_OPEN_CALLS,
    ArtifactsSection,
    ModsSection,
    RateLimitsSection,
    ResourcesSection,
)
from zlh_api.containers.rules import find_excess
from zlh_common.names import is_domain
from zlh_common.toml_config import is_http_url


def find_problems(config: ApiConfig) -> list[str]:
    """Return what is wrong with a configuration whose types are right."""
    problems = []
    if not is_domain(config.container_domain):
        problems.append(f"container_domain {config.container_domain!r} is no domain (lower case, no trailing dot)")
    for name, url in (
        ("portal_url", config.portal_url),
        ("artifacts.url", config.artifacts.url),
        *(("artifacts.mirrors", url) for url in config.artifacts.mirrors),
        ("traefik.api_url", config.traefik.api_url),
        ("traefik.web_url", config.traefik.web_url),
        ("traefik.backend_url", config.traefik.backend_url or config.api_url),
    ):
        if not is_http_url(url):
            problems.append(f"{name} {url!r} is no http or https URL")
    problems += find_portal_problems(config)
    problems += find_public_problems(config)
    problems += _find_artifact_problems(config.artifacts)
    problems += _find_resource_problems(config.resources)
    problems += _find_rate_limit_problems(config.rate_limits)
    problems += [
        f"trusted_proxies {text!r} is neither an address nor a block of addresses"
        for text in config.trusted_proxies
        if not _is_network(text)
    ]
    if config.driver == "process" and not is_loopback(config.listen_host):
        problems.append(
            f"listen_host {config.listen_host} is beyond loopback, and the process driver isolates nothing: "
            "its containers run as your own user; listen on 127.0.0.1 or use another driver"
        )
    problems += _find_mods_problems(config.mods) if config.mods else []
    problems += find_directory_problems(config.traefik)
    problems += find_dns_problems(config.dns, domain=config.container_domain)
    return problems + find_driver_problems(config)


def _find_resource_problems(sizes: ResourcesSection) -> list[str]:
    default, maximum = sizes.default.limits, sizes.maximum.limits
    return [
        f"resources.default.{name} {getattr(default, name)} is above resources.maximum.{name} {getattr(maximum, name)}"
        for name in find_excess(default, maximum)
    ]


def _find_rate_limit_problems(limits: RateLimitsSection) -> list[str]:
    held = limits.event_streams + limits.sockets + limits.transfers
    if held <= MAX_OPEN_CALLS:
        return []
    return [f"rate_limits.event_streams, sockets and transfers are {held}; one process holds {MAX_OPEN_CALLS} open"]


def _find_mods_problems(mods: ModsSection) -> list[str]:
    problems = [] if is_http_url(mods.url) else [f"mods.url {mods.url!r} is no http or https URL"]
    return problems + [
        f"mods.file_origins {origin!r} is not of the form scheme://host[:port]"
        for origin in mods.file_origins
        if not _is_origin(origin)
    ]


def _is_origin(text: str) -> bool:
    if not is_http_url(text):
        return False
    parts = urlsplit(text)
    return "@" not in parts.netloc and text == f"{parts.scheme}://{parts.netloc}"


def _find_artifact_problems(artifacts: ArtifactsSection) -> list[str]:
    problems = [
        f"artifacts.private_origins {origin!r} is not of the form scheme://host[:port]"
        for origin in artifacts.private_origins
        if not _is_origin(origin)
    ]
    return problems + _find_key_problems(artifacts)


def _find_key_problems(artifacts: ArtifactsSection) -> list[str]:
    if artifacts.keys is None:
        return []
    if artifacts.folder is None:
        return ["artifacts.keys is given without artifacts.folder, so there is nothing to sign"]
    served = [artifacts.folder / name for name in ("archives", "metadata", "targets")]
    if any(artifacts.keys.is_relative_to(folder) for folder in served):
        return [f"artifacts.keys {artifacts.keys} lies within what is served"]
    return []


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether a listener on `host` is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
