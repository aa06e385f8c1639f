"""Query parameters: each is declared once, and what is declared here is checked, documented and handed on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from multidict import MultiMapping

from zlh_common.errors import ZlhError

T = TypeVar("T")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
# RFC 3339; a plus sign that was not escaped has become a blank on its way.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII)
_NAMES_TOLD = 8


class QueryInvalid(ZlhError):
    """A query parameter is not what it must be."""

    code, status = "query_invalid", 400

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(f"The query parameter {name} must be {wanted}.", parameter=name)


class QueryUnknown(ZlhError):
    """There is no such query parameter here."""

    code, status = "query_unknown", 400

    def __init__(self, name: str, known: Sequence[str]) -> None:
        offered = f"there are {', '.join(known)}" if known else "this call takes none"
        super().__init__(f"There is no query parameter {name[:64]!r} here; {offered}.", parameter=name[:64])


@dataclass(frozen=True, eq=False, slots=True)
class Parameter(Generic[T]):
    """One query parameter: `read` returns its value or raises ValueError, `default` stands where it is left out."""

    name: str
    about: str
    # JSON Schema of the text as it is sent.
    schema: Mapping[str, Any]
    read: Callable[[str], T]
    # To follow "must be".
    wanted: str
    default: T
    # It may be given again and again; the value is then a tuple.
    is_repeated: bool = False


@overload
def whole_number(name: str, about: str, *, low: int, high: int, default: int) -> Parameter[int]: ...
@overload
def whole_number(name: str, about: str, *, low: int, high: int) -> Parameter[int | None]: ...
def whole_number(name: str, about: str, *, low: int, high: int, default: int | None = None) -> Parameter[Any]:
    """Declare a whole number within a range."""

    def read(text: str) -> int:
        if _WHOLE_NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    if default is not None:
        schema["default"] = default
    return Parameter(name, about, schema, read, f"a whole number from {low} to {high}", default)


def page_limit(*, default: int, high: int) -> Parameter[int]:
    """Declare how many items of a list come at once; it is called the same everywhere."""
    return whole_number("limit", "So many items at most.", low=1, high=high, default=default)


def short_text(
    name: str, about: str, *, max_chars: int, min_chars: int = 0, pattern: str | None = None
) -> Parameter[str | None]:
    """Declare a text of some length, without control characters; `pattern` is one of JSON Schema, anchored."""
    shape = pattern or r"^[^\x00-\x1f\x7f]*$"

    def read(text: str) -> str:
        if not min_chars <= len(text) <= max_chars or re.search(shape.replace("$", r"\Z"), text) is None:
            raise ValueError(text)
        # What is no Unicode (half of a pair) can be put into no database and no answer.
        text.encode()
        return text

    schema = {"type": "string", "minLength": min_chars, "maxLength": max_chars, "pattern": shape}
    length = f"{min_chars} to {max_chars} characters long" if min_chars else f"at most {max_chars} characters long"
    return Parameter(name, about, schema, read, f"{length} and match {shape}" if pattern else length, None)


def several(one: Parameter[T | None], *, most: int) -> Parameter[tuple[T, ...]]:
    """Declare a parameter that may stand many times."""
    schema = {"type": "array", "items": dict(one.schema), "maxItems": most}

    def read(text: str) -> tuple[T, ...]:
        value = one.read(text)
        assert value is not None
        return (value,)

    return Parameter(one.name, one.about, schema, read, one.wanted, (), is_repeated=True)


def flag(name: str, about: str, *, default: bool) -> Parameter[bool]:
    """Declare a yes or no."""
    words = {"true": True, "false": False}

    def read(text: str) -> bool:
        if text not in words:
            raise ValueError(text)
        return words[text]

    return Parameter(name, about, {"type": "boolean", "default": default}, read, "true or false", default)


def one_of(name: str, about: str, words: Sequence[str]) -> Parameter[str | None]:
    """Declare one of a few words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Parameter(name, about, {"type": "string", "enum": list(words)}, read, f"one of {', '.join(words)}", None)


def identifier(name: str, about: str) -> Parameter[UUID | None]:
    """Declare an id, as every thing but a container has one."""
    return Parameter(
        name,
        about,
        {"type": "string", "format": "uuid"},
        parse_id,
        "an id in lower case, with its hyphens",
        None,
    )


def moment(name: str, about: str) -> Parameter[datetime | None]:
    """Declare a time with its zone."""
    return Parameter(
        name,
        about,
        {"type": "string", "format": "date-time"},
        parse_moment,
        "a time with its zone, such as 2026-01-31T12:00:00Z",
        None,
    )


def parse_id(text: str) -> UUID:
    """Return an id that is written the one way in which we write it; raise ValueError."""
    found = UUID(text)
    # One thing has one address: no braces, no upper case.
    if str(found) != text:
        raise ValueError(text)
    return found


def parse_moment(text: str) -> datetime:
    """Return a time of RFC 3339 in UTC; raise ValueError. A leap second is the end of the second before it."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, minute, second, fraction, is_utc, offset = match.groups()
    is_leap = second == "60"
    zone = "+00:00" if is_utc else offset.replace(" ", "+")
    micro = "999999" if is_leap else (fraction or "0")[:6].ljust(6, "0")
    at = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}.{micro}{zone}")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        # The first and the last day that there is, seen from the other side of the world.
        is_first = (at.utcoffset() or timedelta(0)) > timedelta(0)
        return datetime.min.replace(tzinfo=UTC) if is_first else datetime.max.replace(tzinfo=UTC)


def read_query(query: MultiMapping[str], declared: Sequence[Parameter[Any]]) -> dict[str, Any]:
    """Return every declared parameter by its name; raise QueryInvalid or QueryUnknown, which name what is wrong."""
    known = {parameter.name: parameter for parameter in declared}
    for name in query:
        if name not in known:
            raise QueryUnknown(name, list(known)[:_NAMES_TOLD])
    return {name: _read_one(query.getall(name, []), parameter) for name, parameter in known.items()}


def _read_one(given: Sequence[str], parameter: Parameter[T]) -> T:
    if not given:
        return parameter.default
    if len(given) > 1 and not parameter.is_repeated:
        raise QueryInvalid(parameter.name, "given once")
    try:
        if parameter.is_repeated:
            read: T = _read_all(given, parameter)
            return read
        return parameter.read(given[0])
    except (ValueError, OverflowError):
        raise QueryInvalid(parameter.name, parameter.wanted) from None


def _read_all(given: Sequence[str], parameter: Parameter[Any]) -> Any:
    if len(given) > parameter.schema["maxItems"]:
        raise QueryInvalid(parameter.name, f"given at most {parameter.schema['maxItems']} times")
    return tuple(value for text in given for value in parameter.read(text))
