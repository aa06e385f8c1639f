"""The OpenAPI 3.1 document, generated from the very endpoints that are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from zlh_api.web.endpoint import Endpoint, Subject

_PARAMETER = re.compile(r"{(\w+)(?::[^}]*)?}")
_QUERY_TYPES = {int: "integer", str: "string"}
_INTEGER_PARAMETERS = frozenset({"vmid"})
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; see docs/errors.md."},
        "detail": {"type": "string"},
        "requestId": {"type": "string"},
    },
    "additionalProperties": True,
}


def render_openapi(endpoints: Sequence[Endpoint], *, version: str) -> dict[str, Any]:
    """Return the document for every endpoint below /api/, and for the artifacts that the API serves."""
    shown = [endpoint for endpoint in endpoints if endpoint.path.startswith(("/api/", "/artifacts/"))]
    shapes = {shape for endpoint in shown for shape in (endpoint.request, endpoint.response) if shape is not None}
    ordered = sorted(shapes, key=str)
    rendered, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(ordered, rendered, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ZLH control API", "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "zlh_session"},
            },
        },
    }


def render_docs(document: dict[str, Any]) -> str:
    """Return a page that lists every operation; it needs no script."""
    rows = []
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            rows.append(
                f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{escape(operation['summary'])}</td><td>{escape(operation['x-policy'])}</td></tr>"
            )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ZLH control API</title><style>'
        ":root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:64rem;margin:3rem auto;"
        "padding:0 1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .7rem;"
        "border-bottom:1px solid #8884}</style></head><body><h1>ZLH control API</h1>"
        '<p>The machine-readable document is <a href="/api/openapi.json">/api/openapi.json</a>. Errors are '
        "<code>application/problem+json</code> with a stable <code>code</code>.</p>"
        f"<table><tr><th>Method</th><th>Path</th><th>What</th><th>Who</th></tr>{''.join(rows)}</table></body></html>"
    )


def _operation(endpoint: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "x-policy": str(endpoint.policy),
        "tags": [endpoint.path.removeprefix("/api").split("/")[1]],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": {**_success(endpoint, schema_of), "default": _problem_response()},
    }
    if endpoint.policy.subject is not Subject.ANYBODY:
        operation["security"] = [{"token": []}, {"session": []}]
    if endpoint.request is not None:
        operation["requestBody"] = {
            "required": not endpoint.is_body_optional,
            "content": {"application/json": {"schema": schema_of[endpoint.request]}},
        }
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    words = [re.sub(r"\W", "", part) for part in endpoint.path.removeprefix("/api/").split("/")]
    return "_".join([endpoint.method.lower(), *filter(None, words)])


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in _INTEGER_PARAMETERS else "string"},
        }
        for name in _PARAMETER.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": {"type": _QUERY_TYPES[kind]}}
        for name, kind in endpoint.query.items()
    ]


def _success(endpoint: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    if endpoint.is_websocket:
        return {"101": {"description": "WebSocket, subprotocol zlh.console.v1"}}
    if endpoint.is_file:
        return _file_answers(endpoint)
    if endpoint.response is None:
        return {str(endpoint.status): {"description": endpoint.summary}}
    content = {"application/json": {"schema": schema_of[endpoint.response]}}
    return {str(endpoint.status): {"description": endpoint.summary, "content": content}}


def _file_answers(endpoint: Endpoint) -> dict[str, Any]:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "200": {"description": endpoint.summary, "content": content},
        "206": {"description": "The range that was asked for", "content": content},
        "304": {"description": "What the client has is still the same"},
    }


def _problem_response() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": "What went wrong", "content": content}
