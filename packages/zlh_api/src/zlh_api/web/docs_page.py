"""The API as a page for people: made of the OpenAPI document, without a script and without anything from elsewhere.

It is made here and not by the portal's build, so it is there with every API, and it cannot say anything else than the
document does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from zlh_api.web.openapi_shapes import find_component
from zlh_api.web.refusals import all_errors, title_of

Document = Mapping[str, Any]
_STYLE = files("zlh_api.web").joinpath("docs_page.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Nothing but the page itself: no script, no picture, no form, no frame.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MARKS = (
    (re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"`(.+?)`"), r"<code>\1</code>"),
)
_STATUSES = {"2": "good", "3": "good", "1": "good"}


def render_docs(document: Document) -> str:
    """Return the page of a document."""
    groups = [(tag, list(_operations_of(document, tag["name"]))) for tag in document["tags"]]
    info = document["info"]
    body = "".join(
        [
            f'<nav aria-label="Contents">{_contents(groups)}</nav><main>',
            f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            _markdown(info["description"]),
            '<p>For programs: <a href="/api/openapi.json">/api/openapi.json</a> (OpenAPI 3.1).</p></header>',
            *(_group(document, tag, operations) for tag, operations in groups),
            _schemas(document),
            _errors(document),
            "</main>",
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def _operations_of(document: Document, tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"] == [tag]:
                yield method, path, operation


def _contents(groups: Sequence[tuple[Mapping[str, Any], Sequence[Any]]]) -> str:
    parts = []
    for tag, operations in groups:
        rows = "".join(
            f'<li><a href="#{operation["operationId"]}">{escape(operation["summary"])}</a></li>'
            for _, _, operation in operations
        )
        parts.append(f"<details><summary>{escape(tag['name'])}</summary><ul>{rows}</ul></details>")
    more = '<ul><li><a href="#schemas">Schemas</a></li><li><a href="#errors">Errors</a></li></ul>'
    return f"<h2>Contents</h2>{''.join(parts)}{more}"


def _group(document: Document, tag: Mapping[str, Any], operations: Sequence[tuple[str, str, Any]]) -> str:
    shown = "".join(_operation(document, *each) for each in operations)
    head = f"<h2>{escape(tag['name'])}</h2>{_markdown(tag['description'])}"
    return f'<section id="tag-{tag["name"]}">{head}{shown}</section>'


def _operation(document: Document, method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        _markdown(operation.get("description", "")),
        f"<p class=who>{escape(_who(operation))}</p>",
        _parameters(operation),
        _body(document, operation),
        f"<h4>With curl</h4><pre><code>{escape(_curl(method, path, operation))}</code></pre>",
        _answers(operation),
    ]
    head = (
        f'<span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code> '
        f"<span class=say>{escape(operation['summary'])}</span>"
    )
    return (
        f'<details class=op id="{operation["operationId"]}"><summary>{head}</summary>'
        f"<div class=inner>{''.join(parts)}</div></details>"
    )


def _who(operation: Mapping[str, Any]) -> str:
    policy = operation["x-policy"]
    if policy["subject"] == "anybody":
        return "Anybody may call this."
    if policy["permission"] is None:
        return "Whoever is signed in may call this."
    return f"Needs {policy['permission']}, by role and in the scopes of a token ({policy['name']})."


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code>{' <em>required</em>' if each['required'] else ''}</td>"
        f"<td>{each['in']}</td><td>{_kind(each['schema'])}</td><td>{_inline(each.get('description', ''))}</td></tr>"
        for each in operation["parameters"]
    )
    head = "<tr><th>Name</th><th>In</th><th>What</th><th>About</th></tr>"
    return f"<h4>Parameters</h4><div class=wide><table>{head}{rows}</table></div>" if rows else ""


def _body(document: Document, operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    body = operation["requestBody"]
    if "application/json" not in body["content"]:
        return f"<h4>Body</h4><p>Bytes, as <code>{escape(next(iter(body['content'])))}</code>.</p>"
    content = body["content"]["application/json"]
    schema = find_component(content["schema"], document["components"]["schemas"])
    is_needed = "" if body["required"] else " (may be left out)"
    return f"<h4>Body{is_needed}</h4>{_fields(schema)}"


def _answers(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td><code class="{_STATUSES.get(status[0], "bad")}">{status}</code></td><td>{_answer(answer)}</td></tr>'
        for status, answer in operation["responses"].items()
    )
    return f"<h4>Answers</h4><div class=wide><table>{rows}</table></div>"


def _answer(answer: Mapping[str, Any]) -> str:
    if "x-codes" in answer:
        return ", ".join(f'<a href="#error-{code}"><code>{code}</code></a>' for code in answer["x-codes"])
    said = [escape(answer["description"])]
    for kind, content in answer.get("content", {}).items():
        said.append(f"{escape(kind)} {_kind(content.get('schema', {}))}")
        said += [f"<code>{escape(name)}</code>: {_kind(inner)}" for name, inner in content.get("x-events", {}).items()]
    return "<br>".join(said)


def _curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Return a command that does this, with values to be put in."""
    address = re.sub(r"{(\w+)}", lambda match: f"${{{match[1].upper()}}}", path)
    lines = [f'curl "$ZLH_URL{address}"' if method == "get" else f'curl -X {method.upper()} "$ZLH_URL{address}"']
    if "security" in operation:
        lines.append('-H "Authorization: Bearer $ZLH_TOKEN"')
    if any(each["name"] == "Idempotency-Key" for each in operation["parameters"]):
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if "example" in content:
            lines += [f"-H 'Content-Type: {kind}'", f"-d '{json.dumps(content['example'])}'"]
        else:
            lines += [f"-H 'Content-Type: {kind.replace('*/*', 'application/octet-stream')}'", "--data-binary @file"]
    if "101" in operation["responses"]:
        return f"# a WebSocket: any client that offers the subprotocol zlh.console.v1\nwss://…{address}"
    return " \\\n  ".join(lines)


def _schemas(document: Document) -> str:
    parts = [
        f'<details class=op id="schema-{name}"><summary><code>{escape(name)}</code></summary><div class=inner>'
        f"{_markdown(schema.get('description', ''))}{_fields(schema)}</div></details>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return f"<section id=schemas><h2>Schemas</h2>{''.join(parts)}</section>"


def _fields(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' <em>required</em>' if name in required else ''}</td>"
        f"<td>{_kind(inner)}</td><td>{_inline(inner.get('description', ''))}</td></tr>"
        for name, inner in schema.get("properties", {}).items()
    )
    if not rows:
        return f"<p>{_kind(schema)}</p>"
    return f"<div class=wide><table><tr><th>Field</th><th>What</th><th>About</th></tr>{rows}</table></div>"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in a line what a value looks like."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{name}">{escape(name)}</a>' + _default(schema)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(each) for each in schema[key]) + _default(schema)
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"]) + _default(schema)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}" + _limits(schema)
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return escape(str(schema.get("format") or schema.get("type") or "anything")) + _limits(schema) + _default(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "≥",
        "maximum": "≤",
        "minLength": "length ≥",
        "maxLength": "length ≤",
        "minItems": "≥",
        "maxItems": "≤",
    }
    said = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    if "pattern" in schema:
        said.append(f"matches <code>{escape(schema['pattern'])}</code>")
    return f" <small>({', '.join(said)})</small>" if said else ""


def _default(schema: Mapping[str, Any]) -> str:
    if schema.get("default") is None:
        return ""
    return f" <small>default <code>{escape(json.dumps(schema['default']))}</code></small>"


def _errors(document: Document) -> str:
    told = {
        code
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for code in answer.get("x-codes", [])
    }
    rows = "".join(
        f'<tr id="error-{error.code}"><td><code>{error.code}</code></td><td>{error.status}</td>'
        f"<td>{escape(title_of(error))}</td></tr>"
        for error in sorted(all_errors(), key=lambda error: error.code)
        if error.code in told
    )
    head = "<tr><th>Code</th><th>Status</th><th>What it means</th></tr>"
    about = "<p>What to do is in the <code>detail</code> of each answer, and in <code>docs/errors.md</code>.</p>"
    return f"<section id=errors><h2>Errors</h2>{about}<div class=wide><table>{head}{rows}</table></div></section>"


def _markdown(text: str) -> str:
    """Return paragraphs and lists; the text is ours, and escaped all the same."""
    parts = []
    for block in re.split(r"\n\n+", text.strip()):
        if block.startswith("- "):
            items = [" ".join(item.split()) for item in re.split(r"^- ", block, flags=re.MULTILINE) if item.strip()]
            parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        elif block:
            parts.append(f"<p>{_inline(block)}</p>")
    return "".join(parts)


def _inline(text: str) -> str:
    found = escape(text, quote=False)
    for mark, made in _MARKS:
        found = mark.sub(made, found)
    return found
