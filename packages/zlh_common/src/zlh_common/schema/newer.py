"""Reads what a newer version of us says, who knows states and kinds that came after this one: pure.

Where such a word stands in an item of a list, that item is left out, and where it stands in a field that may be absent,
the field is; so one word that is not known here never hides all the rest. Whatever else is wrong stays wrong.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from msgspec import inspect

from zlh_common.errors import InvalidBody
from zlh_common.schema.structs import convert, decode

T = TypeVar("T")
# It is read value by value, ten times as slowly as what is wholly known; a stranger's word must not hold up others.
MAX_BYTES = 128 * 1024


class _UnknownWord(Exception):
    """A state or kind that is none here."""


def decode_newer(raw: bytes | str, shape: type[T]) -> T:
    """Return a JSON document as a `shape`, without what only a newer version knows; raise InvalidBody.

    One of more than MAX_BYTES is not read.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidBody(reason=f"it says what is not known here, in more than {MAX_BYTES} bytes")
    try:
        kind = _describe(shape)  # type: ignore[arg-type] # a class can be hashed
        return convert(_keep_known(decode(raw, object), kind), shape)
    except _UnknownWord as exc:
        raise InvalidBody(reason=f"it says {exc}, which is not known here, where something has to be said") from exc


@cache
def _describe(shape: Any) -> inspect.Type:
    """Return what is known of a shape, which takes longer to find out than most messages to read."""
    return inspect.type_info(shape)


def _keep_known(value: Any, kind: inspect.Type) -> Any:
    """Return a value without what is not known; raise _UnknownWord where it cannot be left out."""
    match kind, value:
        case inspect.Metadata(type=inner), _:
            return _keep_known(value, inner)
        case ((inspect.EnumType() | inspect.LiteralType()), str()):
            _check_word(value, kind)
        case inspect.UnionType(types=kinds), _:
            return _keep_of_union(value, kinds)
        case _, dict():
            return _keep_of_object(value, kind)
        case ((inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item)), list()):
            return [kept for each in value for kept in _keep_or_leave(each, item)]
        case _:
            pass
    return value


def _keep_or_leave(value: Any, kind: inspect.Type) -> list[Any]:
    """Return what is kept of a value: it or nothing."""
    try:
        return [_keep_known(value, kind)]
    except _UnknownWord:
        return []


def _keep_of_object(document: dict[str, Any], kind: inspect.Type) -> dict[str, Any]:
    match kind:
        case inspect.StructType():
            return _keep_fields(document, kind)
        case inspect.DictType(value_type=item):
            return {key: kept for key, each in document.items() for kept in _keep_or_leave(each, item)}
        case _:
            return document


def _keep_fields(document: dict[str, Any], kind: inspect.StructType) -> dict[str, Any]:
    kept = dict(document)
    for each in kind.fields:
        if each.encode_name not in document:
            continue
        try:
            kept[each.encode_name] = _keep_known(document[each.encode_name], each.type)
        except _UnknownWord:
            if each.required:
                raise
            del kept[each.encode_name]
    return kept


def _keep_of_union(value: Any, kinds: tuple[inspect.Type, ...]) -> Any:
    """Keep what is known of a value that may be of several kinds; structs among them are told apart by their tag."""
    others = [each for each in kinds if not isinstance(each, inspect.NoneType)]
    structs = [each for each in others if isinstance(each, inspect.StructType)]
    if len(others) == 1 and value is not None:
        return _keep_known(value, others[0])
    if not isinstance(value, dict) or len(structs) < 2:
        return value
    field = structs[0].tag_field
    for each in structs:
        if value.get(field or "") == each.tag:
            return _keep_known(value, each)
    raise _UnknownWord(f"`{str(value.get(field or ''))[:40]}`")


def _check_word(word: str, kind: inspect.EnumType | inspect.LiteralType) -> None:
    words = {each.value for each in kind.cls} if isinstance(kind, inspect.EnumType) else set(kind.values)
    if word not in words:
        raise _UnknownWord(f"`{word[:40]}`")
