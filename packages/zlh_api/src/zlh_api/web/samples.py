"""Bodies to begin with: for each request one that fits its schema, made of the schema itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The first that fits a pattern and a length is taken.
_TEXTS = ("example", "node", "24", "name@example.org", "correct horse battery staple", "/", "a" * 32)
_FORMATS = {
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "date-time": "2026-01-31T12:00:00Z",
}


def make_sample(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """Return a value of a schema: of an object what is required and has a value that says something."""
    made: Any = schema.get("default")
    match schema:
        case {"$ref": reference}:
            made = make_sample(components[reference.rpartition("/")[2]], components)
        case {"enum": [first, *_]}:
            made = first
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            made = make_sample(first, components)
        case {"type": "object"}:
            made = _make_object(schema, components)
        case {"type": "array", "items": inner}:
            made = [make_sample(inner, components)] * schema.get("minItems", 0)
        case {"type": "string"}:
            made = _make_text(schema)
        case {"type": "integer" | "number"} if made is None:
            made = schema.get("minimum", 1)
        case {"type": "boolean"} if made is None:
            made = False
        case _:
            pass
    return made


def _make_object(schema: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        name: make_sample(inner, components) for name, inner in schema.get("properties", {}).items() if name in required
    }


def _make_text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1000)
    pattern = schema.get("pattern", "")
    fitting = (text for text in _TEXTS if low <= len(text) <= high and re.search(pattern, text))
    return next(fitting, "x" * low)
