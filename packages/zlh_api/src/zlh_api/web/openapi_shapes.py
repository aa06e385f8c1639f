"""The shapes of bodies for the OpenAPI document: JSON Schema of the wire structs, as strict as the requests are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from zlh_api.web.endpoint import Endpoint

REFERENCE = "#/components/schemas/{name}"
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Programs look at `code`, people read `detail`; some errors have further members.",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "description": "`urn:zlh:error:` and the code."},
        "title": {"type": "string", "description": "The kind of error, the same each time."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]+$", "description": "Stable; programs rely on it."},
        "detail": {"type": "string", "description": "What went wrong this time, and what to do."},
        "requestId": {"type": "string", "description": "By which our log knows the request."},
    },
    "additionalProperties": True,
}
_PAGE = re.compile(r"Items_(\w+?)_?")
# What no text of a request may hold.
_NO_NUL = r"^[^\x00]*$"


def render_shapes(endpoints: Sequence[Endpoint]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each shape that the endpoints name, and the components that those refer to."""
    asked = {endpoint.request for endpoint in endpoints if endpoint.request is not None}
    told = {endpoint.response for endpoint in endpoints if endpoint.response is not None}
    told |= {kind for endpoint in endpoints for kind in endpoint.events.values()}
    ordered = sorted(asked | told, key=str)
    rendered, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    schema_of = dict(zip(ordered, map(_rename, rendered), strict=True))
    components = {_page_name(name): _rename(schema) for name, schema in components.items()}
    for name in _reachable([schema_of[shape] for shape in asked], components):
        components[name] = _close(components[name])
    for endpoint in endpoints:
        _show_aliases(endpoint, schema_of, components)
    return schema_of, dict(sorted({**components, "Problem": PROBLEM}.items()))


def find_component(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """Return a schema itself, or what it refers to."""
    reference = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if reference else schema


def _page_name(name: str) -> str:
    match = _PAGE.fullmatch(name)
    return f"{match[1]}Page" if match else name


def _rename(part: Any) -> Any:
    """Return a part with readable names of generic structs, and the type of enumerations said."""
    match part:
        case dict():
            made = {key: _rename(value) for key, value in part.items()}
            if "$ref" in made:
                head, _, name = made["$ref"].rpartition("/")
                made["$ref"] = f"{head}/{_page_name(name)}"
            words = made.get("enum")
            if isinstance(words, list) and "type" not in made and all(isinstance(word, str) for word in words):
                made["type"] = "string"
            title = made.get("title")
            if isinstance(title, str) and title.startswith("Items["):
                made["title"] = _page_name(title.replace("[", "_").replace("]", "_"))
            return made
        case list() | tuple():
            return [_rename(each) for each in part]
        case _:
            return part


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _reachable(schemas: Sequence[Any], components: Mapping[str, Any]) -> set[str]:
    """Return the names of everything that a request can hold."""
    seen: set[str] = set()
    waiting = list(_references(list(schemas)))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _references(components[name])
    return seen


def _close(part: Any) -> Any:
    """Return a part of a request's schema as it is carried out: no further keys at any depth, no NUL in any text."""
    match part:
        case {"type": "object", "properties": _}:
            return {"additionalProperties": False, **{key: _close(value) for key, value in part.items()}}
        case {"type": "string"} if not part.keys() & {"enum", "pattern", "format", "const"}:
            return {**part, "pattern": _NO_NUL}
        case {"type": "object", "additionalProperties": dict()}:
            closed = {key: _close(value) for key, value in part.items()}
            return {**closed, "propertyNames": {"pattern": _NO_NUL}}
        case dict():
            return {key: value if key == "default" else _close(value) for key, value in part.items()}
        case list():
            return [_close(each) for each in part]
        case _:
            return part


def _show_aliases(endpoint: Endpoint, schema_of: Mapping[Any, Any], components: dict[str, Any]) -> None:
    """Say which other spellings a body takes: as fields that no new program should use."""
    if not endpoint.aliases or endpoint.request is None:
        return
    schema = find_component(schema_of[endpoint.request], components)
    for other, proper in endpoint.aliases.items():
        field = {key: value for key, value in schema["properties"][proper].items() if key != "default"}
        about = f"Another spelling of `{proper}`; not both."
        schema["properties"][other] = {**field, "description": about, "deprecated": True}
        twice = {"required": [other, proper]}
        if twice not in schema.setdefault("not", {"anyOf": []})["anyOf"]:
            schema["not"]["anyOf"].append(twice)
