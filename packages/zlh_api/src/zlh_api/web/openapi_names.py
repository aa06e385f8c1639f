"""What operations are called in the OpenAPI document, and so in generated clients; and how they are grouped."""

from __future__ import annotations

import re
from typing import get_origin

from zlh_api.web.endpoint import Endpoint
from zlh_api.web.path_parameters import plain
from zlh_common.schema.lists import Items

# By the part of the path that says what it is about; the last one of these counts.
TAGS = {
    "platform": "The API itself: is it well, which version, how is it spoken to.",
    "account": "Signing in and out, who one is, and one's own password, sessions and tokens.",
    "customers": "Customers, who belongs to them, who is asked to join, and how much they may have.",
    "users": "People, as operators see them.",
    "catalog": "What can be installed, out of the signed catalog.",
    "containers": "Containers: what is wanted of them, and the whole report of what is.",
    "exposures": "Ports of containers that are published under a name.",
    "runtimes": "Toolchains in a container: install, upgrade, go back, verify, remove.",
    "addons": "Services of the platform in a dev container, such as an editor in the browser.",
    "processes": "Processes that the agent in a container keeps running.",
    "consoles": "Consoles and terminals. WebSockets speak the console protocol `zlh.console.v1`.",
    "files": "Files of a container: looked at, changed, and moved up and down; large ones in pieces by tus 1.0.0.",
    "history": "What containers use and have used, and what happened in them.",
    "live": "Changes as they happen, as server-sent events.",
    "audit": "For operators: books compared with the world, and who did what.",
    "artifacts": "Files of the signed tree, as any web server could serve them.",
}
_TAG_OF = {
    **dict.fromkeys(("auth", "me", "sessions", "tokens", "password-resets"), "account"),
    **dict.fromkeys(("invitations", "members", "usage", "quota"), "customers"),
    **dict.fromkeys(("tickets", "console", "terminals"), "consoles"),
    **{name: name for name in ("customers", "users", "containers", "exposures", "runtimes", "addons")},
    **{name: name for name in ("processes", "audit")},
    "metrics": "history",
    "events": "history",
    "files": "files",
    "audit-log": "audit",
    "limits": "containers",
    "ports": "exposures",
    "artifacts": "artifacts",
}
_VERBS = {"GET": "get", "POST": "create", "PUT": "put", "PATCH": "update", "DELETE": "delete", "HEAD": "head"}
_SAYS_TOO_LITTLE = {"status", "events"}
_SINGULAR = {"processes": "process", "addons": "addon"}


def tag_of(endpoint: Endpoint) -> str:
    """Return the group of an endpoint."""
    parts = _fixed(endpoint)
    if parts == ["events"]:
        return "live"
    if parts[0] == "catalog":
        return "catalog"
    if parts == ["metrics"]:
        return "platform"
    return next((_TAG_OF[part] for part in reversed(parts) if part in _TAG_OF), "platform")


def operation_id(endpoint: Endpoint) -> str:
    """Return the name of an endpoint in camel case; it changes with the path alone."""
    if endpoint.name is not None:
        return endpoint.name
    words = _words(endpoint)
    verb = _VERBS[endpoint.method]
    if endpoint.is_websocket:
        verb = "open"
    elif endpoint.method == "GET" and get_origin(endpoint.response) is Items:
        verb, words = "list", [*words[:-1], _fixed(endpoint)[-1]]
    elif endpoint.method == "POST" and not endpoint.creates and endpoint.status != 201:
        # The path ends with what is done.
        verb, words = words[-1], words[:-1]
    # What is in a container says so by itself: `startProcess`, and still `startContainer`.
    goes_without = words[:1] == ["container"] and len(words) > 1 and words[1] not in _SAYS_TOO_LITTLE
    return _camel([verb, *(words[1:] if goes_without else words)])


def _fixed(endpoint: Endpoint) -> list[str]:
    return [part for part in _parts(endpoint) if not part.startswith("{")]


def _parts(endpoint: Endpoint) -> list[str]:
    return [part for part in plain(endpoint.path).removeprefix("/api").split("/") if part]


def _words(endpoint: Endpoint) -> list[str]:
    """Return the words of a path; what a parameter follows is one of its kind."""
    parts = _parts(endpoint)
    words = []
    for part, behind in zip(parts, [*parts[1:], ""], strict=True):
        if not part.startswith("{"):
            is_one = behind.startswith("{") or (endpoint.method == "POST" and not behind)
            words.append(_singular(part) if is_one else part)
    return words


def _singular(word: str) -> str:
    return _SINGULAR.get(word, word.removesuffix("s") if not word.endswith("ss") else word)


def _camel(words: list[str]) -> str:
    parts = [part for word in words for part in re.split(r"[-_.]", word)]
    return parts[0] + "".join(part.capitalize() for part in parts[1:])
