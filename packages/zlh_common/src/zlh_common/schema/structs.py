"""The two kinds of wire struct, and the one way to read and write them."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar, dataclass_transform

import msgspec
from msgspec import StructMeta

from zlh_common.errors import InvalidBody

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(StructMeta):
    """Tells type checkers that a struct is frozen and takes its fields by name."""


class Request(
    msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a caller asks of us: unknown fields are refused."""


class Report(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """What one side tells the other: unknown fields are ignored, so that versions can differ."""


_encoder = msgspec.json.Encoder()
# In the words of msgspec; where the value stands comes behind it.
_PATTERN = re.compile(r"matching regex '.*'(?= - at `|$)", re.DOTALL)


def encode(value: object) -> bytes:
    """Return `value` as UTF-8 JSON."""
    return _encoder.encode(value)


def decode(raw: bytes | str, shape: type[T]) -> T:
    """Return `raw` as a `shape`; raise InvalidBody, which names the field, where it is none."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidBody(reason=_describe(exc)) from exc


def convert(value: Any, shape: type[T]) -> T:
    """Return builtins (a parsed document, a database row) as a `shape`; raise InvalidBody where they are none."""
    try:
        return msgspec.convert(value, type=shape)
    except msgspec.MsgspecError as exc:
        raise InvalidBody(reason=_describe(exc)) from exc


def parse_document(raw: bytes) -> Any:
    """Return a JSON document as it is written, for what a decoder would not tell; raise InvalidBody.

    Refused is what readers of JSON understand in different ways: a key that stands twice, NaN and numbers beyond every
    float, a byte order mark. `1.0` is the whole number that it is for JSON Schema.
    """
    try:
        return json.loads(
            raw.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, strict=True
        )
    except (ValueError, RecursionError) as exc:
        raise InvalidBody(reason=str(exc)[:300]) from exc


def _describe(error: Exception) -> str:
    """Return what is wrong and where; a pattern is for programs, which find it in the document of the API."""
    return _PATTERN.sub("of the form that the API's document gives as its pattern", str(error))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"the key `{twice[:200]}` stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> int | float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than every number")
    return int(number) if number.is_integer() else number


def find_unkept_text(document: Any) -> str | None:
    """Return what no database and no argument of a program can hold of the texts and keys of a document, or None."""
    match document:
        case str():
            return _find_unkept(document)
        case dict():
            texts = [*document, *document.values()]
        case list():
            texts = document
        case _:
            return None
    return next((found for text in texts if (found := find_unkept_text(text))), None)


def _find_unkept(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a pair of surrogates"
    return None


def find_ignored(document: Any, value: object) -> str | None:
    """Return the path of a key of a JSON document that `value`, decoded from it, does not hold; else None.

    A struct that is closed refuses unknown keys by itself, and what is inside it may be open: in a request of a
    customer that is a typing mistake as well.
    """
    return _find_ignored(document, msgspec.to_builtins(value), "")


def _find_ignored(given: object, kept: object, path: str) -> str | None:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, inner in given.items():
            if key not in kept:
                return f"{path}.{key}".removeprefix(".")
            if found := _find_ignored(inner, kept[key], f"{path}.{key}"):
                return found
    if isinstance(given, list) and isinstance(kept, list | tuple):
        pairs = zip(given, kept, strict=False)
        return next((found for a, b in pairs if (found := _find_ignored(a, b, path))), None)
    return None


def unknown_fields(raw: bytes, shape: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the top-level keys of the JSON object `raw` that `shape` does not know, sorted."""
    known = {field.encode_name for field in msgspec.structs.fields(shape)}
    present = msgspec.json.decode(raw)
    return tuple(sorted(set(present) - known)) if isinstance(present, dict) else ()
