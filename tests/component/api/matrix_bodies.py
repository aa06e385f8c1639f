"""The smallest body that a call takes, made from its own struct, so that a refusal is never the body's."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import inspect

# Texts that satisfy one pattern or another; the first that fits is taken.
_TEXTS = ("a", "node", "24", "x@example.org", "a" * 12, "00000000-0000-4000-8000-000000000000")
# Where a value of the right shape is not enough, by struct and field.
_VALUES: dict[tuple[str, str], Any] = {
    ("ChangeMode", "mode"): "0644",
    ("CreateContainer", "runtime"): "node",
    ("CreateContainer", "version"): "24",
    ("CreateExposure", "port"): 8080,
    ("CreateExposure", "visibility"): "public",
    ("EnableAddon", "name"): "code-server",
    ("InstallRuntime", "name"): "node",
    ("InstallRuntime", "version"): "24",
    ("RestoreBackup", "backupId"): "a" * 32,
}


class NoBody(AssertionError):
    """No valid body was found."""


def minimal_body(struct: type) -> bytes:
    """Return the smallest valid body of a struct; raise NoBody where a sample is missing here."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    value = _struct(info)
    try:
        msgspec.convert(value, struct)
    except (msgspec.ValidationError, ValueError) as exc:
        raise NoBody(
            f"no body of {struct.__name__} is known: {exc}; add one to _TEXTS or _VALUES of {__name__}"
        ) from exc
    return msgspec.json.encode(value)


def _struct(info: inspect.StructType) -> dict[str, Any]:
    made = {field.encode_name: _value(field.type) for field in info.fields if field.required}
    given = {field: value for (name, field), value in _VALUES.items() if name == info.cls.__name__}
    return {**made, **given}


def _value(info: inspect.Type) -> Any:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.StrType():
            return next((text for text in _TEXTS if _fits(text, info)), "a")
        case (
            inspect.VarTupleType(item_type=item, min_length=least) | inspect.ListType(item_type=item, min_length=least)
        ):
            return [_value(item) for _ in range(least or 0)]
        case inspect.UnionType(types=types):
            return None if any(isinstance(each, inspect.NoneType) for each in types) else _value(types[0])
        case _:
            return _plain(info)


def _plain(info: inspect.Type) -> Any:
    match info:
        case inspect.IntType() | inspect.FloatType():
            return info.ge if info.ge is not None else (info.gt or 0) + 1
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.DictType():
            return {}
        case _:
            return False if isinstance(info, inspect.BoolType) else None


def _fits(text: str, info: inspect.StrType) -> bool:
    is_long_enough = (info.min_length or 0) <= len(text) <= (info.max_length or len(text))
    return is_long_enough and (info.pattern is None or re.search(info.pattern, text) is not None)
