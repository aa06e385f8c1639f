"""The OpenAPI 3.1 document, generated from the very endpoints that are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zlh_api.once.service import KEY_CHARS
from zlh_api.web.endpoint import ANY_TYPE, BYTES, JSON, Endpoint, Subject
from zlh_api.web.openapi_names import TAGS, operation_id, tag_of
from zlh_api.web.openapi_shapes import find_component, render_shapes
from zlh_api.web.path_parameters import PARAMETERS, names_in, plain
from zlh_api.web.query import Parameter
from zlh_api.web.refusals import find_refusals
from zlh_api.web.samples import make_sample
from zlh_common.request_ids import HEADER
from zlh_common.schema.console_wire import SUBPROTOCOL
from zlh_common.schema.problem import PROBLEM_CONTENT_TYPE

Document = dict[str, Any]
MAX_HEADER_CHARS = 8000
# The API itself, the signed tree that it serves, and the figures for Prometheus.
_SHOWN = ("/api/", "/artifacts/", "/metrics")
_ABOUT = f"""
Game servers and dev environments in containers of their own.

- **Signing in.** Programs send `Authorization: Bearer …` with a token of `/api/tokens`; the portal has a session
  cookie. What is not yours answers exactly like what does not exist.
- **Errors** are `{PROBLEM_CONTENT_TYPE}` with a stable `code`, a sentence that says what to do, and the request's id.
  400 is a request that is not as this document says; 422 is one that is, and cannot be carried out here.
- **Bodies** are JSON, with `Content-Type: {JSON}`; unknown keys, keys that stand twice and unknown query parameters are
  refused.
- **Lists** come in pages: where there are more items `next` is what to ask for with `after` (lists whose newest item
  comes first: with `before`). Who follows `next` meets everything that is there all the while, and nothing twice.
- **Once.** Whatever makes something takes an `Idempotency-Key`: a second request with the same key makes nothing more.
- **Polling.** Answers with an `ETag` are not sent again to who has them: `If-None-Match` gets 304.
"""


def render_openapi(endpoints: Sequence[Endpoint], *, version: str, cookie_name: str = "zlh_session") -> Document:
    """Return the document for everything that programs call; what browsers are shown is not."""
    shown = [endpoint for endpoint in endpoints if endpoint.path.startswith(_SHOWN)]
    schema_of, components = render_shapes(shown)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        operation = _operation(endpoint, schema_of, components)
        paths.setdefault(plain(endpoint.path), {})[endpoint.method.lower()] = operation
    used = {tag_of(endpoint) for endpoint in shown}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ZLH control API",
            "version": version,
            "description": _ABOUT.strip(),
            "contact": {"name": "Whoever runs this installation"},
            "license": {"name": "Proprietary"},
        },
        "servers": [{"url": "/", "description": "The API that serves this document."}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items() if name in used],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _security_schemes(cookie_name)},
    }


def _security_schemes(cookie_name: str) -> dict[str, Any]:
    return {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `/api/tokens`. It can do what its scopes say and its user may.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie_name,
            "description": "The portal's; unsafe calls then come from its own pages alone (`Origin`).",
        },
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "Opens one WebSocket of one container, once, within 30 s. Better offered as the subprotocol "
            "`zlh.ticket.<ticket>`, which stands in no URL.",
        },
    }


def _operation(endpoint: Endpoint, schema_of: Mapping[Any, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    policy = endpoint.policy
    operation: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [tag_of(endpoint)],
        "x-policy": {
            "name": str(policy),
            "subject": policy.subject.value,
            "permission": str(policy.permission) if policy.permission else None,
        },
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint), *_headers(endpoint)],
        "responses": {**_successes(endpoint, schema_of), **_refusals(endpoint)},
    }
    if about := _about(endpoint):
        operation["description"] = about
    if policy.subject is not Subject.ANYBODY:
        operation["security"] = _security(endpoint)
    if endpoint.request is not None:
        schema = schema_of[endpoint.request]
        example = endpoint.example or make_sample(find_component(schema, components), components)
        operation["requestBody"] = {
            "required": not endpoint.is_body_optional,
            "content": {JSON: {"schema": schema, "example": example}},
        }
    if endpoint.raw is not None:
        # Where each type is taken, clients that are generated know this one.
        type_ = BYTES if endpoint.raw == ANY_TYPE else endpoint.raw
        shape = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": False, "content": {type_: shape}}
    return operation


def _about(endpoint: Endpoint) -> str:
    said = [endpoint.about] if endpoint.about else []
    for other, proper in endpoint.aliases.items():
        said.append(f"`{other}` is accepted for `{proper}`.")
    if endpoint.is_websocket:
        said.append(
            f"A WebSocket with the subprotocol `{SUBPROTOCOL}`: output in binary frames with the offset of their first "
            "byte, everything else as JSON; input in binary frames. See the console protocol in the documentation."
        )
    if endpoint.shows_secret:
        said.append("What is secret in the answer is shown this once and kept nowhere.")
    return "\n\n".join(said)


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    permission = endpoint.policy.permission
    ways: list[dict[str, list[str]]] = [{"token": [str(permission)] if permission else []}, {"session": []}]
    return [*ways, {"ticket": []}] if endpoint.is_websocket and "{vmid}" in endpoint.path else ways


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARAMETERS[name].about,
            "schema": dict(PARAMETERS[name].schema),
        }
        for name in names_in(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [_query_parameter(parameter) for parameter in endpoint.query]


def _query_parameter(parameter: Parameter[Any]) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.about,
        "schema": dict(parameter.schema),
    }


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    def header(name: str, about: str, schema: dict[str, Any], *, is_required: bool = False) -> dict[str, Any]:
        return {"name": name, "in": "header", "required": is_required, "description": about, "schema": schema}

    found = []
    if endpoint.creates:
        about = "Any text of your own, new for each thing to make. For 24 hours it stands for this request alone."
        shape = {"type": "string", "minLength": 1, "maxLength": KEY_CHARS, "pattern": "^[!-~]+$"}
        found.append(header("Idempotency-Key", about, shape))
    if endpoint.has_etag:
        found.append(header("If-None-Match", "The `ETag` of an answer that one has, or several.", {"type": "string"}))
    if endpoint.is_websocket:
        shape = {"type": "string", "enum": [SUBPROTOCOL]}
        found.append(header("Sec-WebSocket-Protocol", "The console protocol.", shape, is_required=True))
    for name, about in endpoint.takes.items():
        found.append(header(name, about, {"type": "string", "maxLength": MAX_HEADER_CHARS}))
    if endpoint.is_file:
        found.append(header("Range", "One stretch of bytes, such as `bytes=0-1023`.", {"type": "string"}))
    return found


def _successes(endpoint: Endpoint, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if endpoint.is_websocket:
        return {"101": {"description": f"The WebSocket is open, with the subprotocol {SUBPROTOCOL}"}}
    if endpoint.is_file:
        return _file_answers(endpoint)
    answer: dict[str, Any] = {"headers": _response_headers(endpoint)}
    if endpoint.media_type == BYTES:
        answer["content"] = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
        return {str(endpoint.status): {"description": endpoint.summary, **answer}}
    if endpoint.events:
        answer["content"] = {
            endpoint.media_type: {"schema": {"type": "string"}, "x-events": _events(endpoint, schema_of)}
        }
    elif endpoint.response is not None:
        answer["content"] = {endpoint.media_type: {"schema": schema_of[endpoint.response]}}
    elif endpoint.media_type != JSON:
        answer["content"] = {endpoint.media_type: {"schema": {"type": "string"}}}
    answers = {endpoint.status: endpoint.summary, **endpoint.also}
    found = {str(status): {"description": about, **answer} for status, about in sorted(answers.items())}
    if endpoint.has_etag:
        found["304"] = {"description": "What you have is still the same", "headers": _response_headers(endpoint)}
    return found


def _events(endpoint: Endpoint, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: schema_of[kind] for name, kind in endpoint.events.items()}


def _response_headers(endpoint: Endpoint) -> dict[str, Any]:
    headers = {HEADER: _request_id()}
    if endpoint.has_etag:
        headers["ETag"] = _text_header("Stands for exactly this answer.", pattern='^"[^"]+"$', is_required=True)
    if endpoint.creates:
        headers["Idempotent-Replayed"] = _text_header("`true` where this is the answer of an earlier request.")
    for name, about in endpoint.headers.items():
        headers[name] = _text_header(about)
    return headers


def _request_id() -> dict[str, Any]:
    about = "The id of this request; the one that you sent, where it is a sane one."
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"}
    return {"description": about, "required": True, "schema": schema}


def _text_header(about: str, *, pattern: str | None = None, is_required: bool = False) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"description": about, "required": is_required, "schema": schema}


def _file_answers(endpoint: Endpoint) -> dict[str, Any]:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "200": {"description": endpoint.summary, "content": content},
        "206": {"description": "The range that was asked for", "content": content},
        "304": {"description": "What the client has is still the same"},
    }


def _refusals(endpoint: Endpoint) -> dict[str, Any]:
    return {str(status): _refusal(status, codes) for status, codes in find_refusals(endpoint).items()}


def _refusal(status: int, codes: Mapping[str, str]) -> dict[str, Any]:
    headers = {HEADER: _request_id()}
    if status in {429, 503}:
        about = "So many seconds later it may go."
        schema = {"type": "integer", "minimum": 0}
        headers["Retry-After"] = {"description": about, "required": True, "schema": schema}
    return {
        "description": "\n".join(f"- `{code}`: {title}" for code, title in codes.items()),
        "headers": headers,
        "content": {PROBLEM_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "x-codes": list(codes),
    }
