"""Texts that are shown once: marked where they are declared, so that nothing else that is generic keeps them."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_MARK = "x-shown-once"
# A field of an answer that is shown with that answer alone.
ShownOnce = Annotated[str, Meta(extra_json_schema={_MARK: True})]


# To render a schema takes milliseconds, and each answer that is kept asks.
@functools.cache
def secret_fields(shape: Any) -> frozenset[str]:
    """Return the fields of a struct, as they are spelled on the wire, that are shown once."""
    if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return frozenset()
    (schema,), components = msgspec.json.schema_components([shape])
    properties = components[schema["$ref"].rpartition("/")[2]].get("properties", {})
    return frozenset(name for name, inner in properties.items() if inner.get(_MARK))


def without_secrets(value: Any) -> Any:
    """Return an answer as builtins, without what is shown once."""
    shape: Any = type(value)
    hidden = secret_fields(shape)
    plain = msgspec.to_builtins(value)
    return {name: inner for name, inner in plain.items() if name not in hidden} if hidden else plain
