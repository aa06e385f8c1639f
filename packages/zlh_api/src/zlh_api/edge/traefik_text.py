"""What all files for Traefik have in common: the mark of their owner, their form, and what may never stand in them.

The text is JSON, which Traefik's YAML parser reads, so every value is quoted by a serializer. Traefik runs its files
through Go templates first, and reads a rule up to the next backtick, so neither braces nor backticks come from a value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from zlh_api.edge.model import ProxySetting
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark

MARK_PREFIX = "# zlh owner: "
MAX_NAME = 63
_MARK = re.compile(rf"^{re.escape(MARK_PREFIX)}([0-9a-f-]{{36}})$", re.MULTILINE)
# Of what is written into a file; what rules are built with is added by us.
_UNSAFE = re.compile(r"`|\{\{|\}\}|[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_NAME = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{MAX_NAME - 1}}})")


class RouteUnsafe(ZlhError):
    """A route file would say something else to the proxy than we mean."""

    code, status = "route_unsafe", 500

    def __init__(self, what: str) -> None:
        super().__init__(f"No route file is written: {what}. Correct the configuration.")


def render_text(owner: str, document: Mapping[str, Any]) -> str:
    """Return a whole file; sections without anything in them are left out, since the proxy refuses those."""
    body = json.dumps({key: value for key, value in document.items() if value}, indent=1, sort_keys=True)
    # Our own braces never stand side by side in indented JSON.
    if "{{" in body or "}}" in body:
        raise RouteUnsafe("it would be read as a template")
    return f"{MARK_PREFIX}{owner}\n{body}\n"


def render_tls(hosts: Sequence[str], setting: ProxySetting) -> dict[str, Any]:
    """Return what a router of these hosts says of certificates: nothing where its entry point speaks plain HTTP.

    Without a host, it is a router of all container hosts.
    """
    if setting.tls is None:
        return {}
    if setting.tls.resolver is None:
        return {"tls": {}}
    # A wildcard covers one label; any other host has a certificate of its own, whatever else its router serves.
    is_covered = setting.tls.is_wildcard and all(host.partition(".")[2] == setting.domain for host in hosts)
    names = [f"*.{setting.domain}"] if is_covered else hosts
    if not names:
        return {"tls": {}}
    return {"tls": {"certResolver": setting.tls.resolver, "domains": [{"main": name} for name in names]}}


def service_to(url: str) -> dict[str, Any]:
    """Return a service of one server."""
    return {"loadBalancer": {"servers": [{"url": url}]}}


def compute_digest(*values: object) -> str:
    """Return what stands for these values in the names of services."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def check_values(*values: object) -> None:
    """Raise RouteUnsafe for a text, however deep in these, that could end a rule, begin a template, or break a line."""
    for text in _strings(values):
        if _UNSAFE.search(text):
            raise RouteUnsafe(f"{text!r} would be read as a template or as the end of a rule")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def check_names(names: Iterable[str]) -> None:
    """Raise RouteUnsafe for a name of a router, service or middleware that is too long or of other characters."""
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise RouteUnsafe(f"{name!r} is no name of up to {MAX_NAME} lower-case letters, digits and hyphens")


def parse_mark(text: str) -> OwnerMark | None:
    """Return whose file this is, or None where it carries no mark of ours."""
    found = _MARK.search(text)
    return OwnerMark(found[1]) if found else None
