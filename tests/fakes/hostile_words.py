"""Values of wire structs in which every text is hostile: made from the types, so that no field is left out.

A text has markup that would set `window.hostile`, addresses that would run or lead elsewhere, letters that turn round
or hide others, and what terminals obey. A field that is bound to a form gets what fits it; one whose form is not known
here is an error, since it would go untried.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, TypeVar

from msgspec import inspect

from zlh_common.schema.structs import convert

T = TypeVar("T")

ELSEWHERE: Final = "evil.invalid"
MARKUP: Final = (
    "<img src=x onerror=\"window.hostile='img'\">",
    "<script>window.hostile='script'</script>",
    "\"'><svg onload=window.hostile='svg'>",
    f'<a href="https://{ELSEWHERE}/a">a</a><iframe src="https://{ELSEWHERE}/f"></iframe>',
    f'<link rel=stylesheet href="https://{ELSEWHERE}/s"><style>*{{display:none}}</style>',
)
ADDRESSES: Final = (
    "javascript:window.hostile='address'",
    "data:text/html,<script>window.hostile='data'</script>",
    f"https://{ELSEWHERE}/?<img src=x onerror=window.hostile='url'>",
)
# Turned round, with what would close an isolation first; hidden; joined; much on top of each other.
LETTERS: Final = (
    "\u2069\u202eexe.gpj\u202d",
    "a\u200bb\ufeffc\u2060d",
    "z\u0301" + "\u0335" * 40,
    "\u0627\u0644\u0639",
)
CONTROLS: Final = ("\x1b]0;taken\x07", "\x1b]52;c;dGFrZW4=\x07", "\x1b[31m\x1b[2J", "\x9b31m\x85\x7f\x08\r\n\t")
TEMPLATE: Final = "{{constructor.constructor('window.hostile=1')()}}"
# What looks like the end of a text (a report with a real one is refused as a whole); and lines and digits without end.
NUL: Final = "a\u2400b\\0c\\x00%00"
LINES: Final = "\n".join(["a line"] * 40)
DIGITS: Final = "7" * 5000
TEXTS: Final = (*MARKUP, *ADDRESSES, *LETTERS, *CONTROLS, "W" * 150, TEMPLATE, NUL, LINES, DIGITS)
ALL: Final = " ".join(TEXTS[:-1])
# One of so many long texts is of digits alone: a report of nothing else would be larger than what is taken.
_LONG_EVERY: Final = 40


def _may_stand(letter: str) -> bool:
    return letter.isprintable()


# As somebody may call a customer, give a reason or name a token: one line without controls, of 64 characters.
NAMES: Final = tuple(dict.fromkeys(name for text in TEXTS if (name := "".join(filter(_may_stand, text))[:64].strip())))
# What is true of a field that is held to a form, by that form.
_FORMS: Final[Mapping[str, str]] = {
    r"^[a-z][a-z0-9-]*$(?!\n)": "a" * 32,
    r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$(?!\n)": "9" * 64,
    r"^[0-9a-f]{32}$(?!\n)": "0" * 32,
    r"\A[0-9a-f]{32}\Z": "0" * 32,
    r"\A[0-9a-f]{64}\Z": "0" * 64,
    r"^[0-9a-f]{128}$(?!\n)": "0" * 128,
    r"\A[a-z][a-z0-9-]{0,31}\Z": "workspace",
    r"\A[0-7]{3,4}\Z": "7777",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)": "A" * 64,
    r"^(?!\.)(?!.*\.zlh-)[^/\\\x00-\x1f]+\.jar$(?!\n)": "<img src=x onerror=window.hostile='jar'>\u202e.jar",
    r"^https?://[^\s]+$(?!\n)": f"https://{ELSEWHERE}/<script>",
}


class HostileWords:
    """Makes values; `told` has what is put into a field of the name `Struct.field` instead, or a call that makes it."""

    def __init__(self, told: Mapping[str, object] | None = None) -> None:
        self._told = told or {}
        # Each text and each choice in turn.
        self._turn = count()

    def make(self, shape: type[T]) -> T:
        """Return a value of this type; every optional field is there, and every list has entries."""
        return convert(self._fill(inspect.type_info(shape), shape.__name__), shape)

    def text(self, limit: int | None = None) -> str:
        """Return a hostile text of so many characters at most."""
        if limit is None or limit > 4000:
            turn = next(self._turn)
            return f"{turn} {ALL if turn % _LONG_EVERY else DIGITS[:limit]}"
        return TEXTS[next(self._turn) % len(TEXTS)][:limit]

    def file_name(self) -> str:
        """Return a name that a file may have, of 255 bytes at most."""
        text = self.text(255).replace("/", "\u2215").encode()[:255]
        return text.decode(errors="ignore")

    def _fill(self, kind: inspect.Type, path: str) -> Any:
        match kind:
            case inspect.StructType():
                return self._fill_struct(kind)
            case inspect.UnionType(types=types):
                return self._fill(next(each for each in types if not isinstance(each, inspect.NoneType)), path)
            case inspect.StrType(max_length=limit, pattern=pattern):
                return self.text(limit) if pattern is None else _FORMS[pattern][:limit]
            case inspect.VarTupleType(item_type=inner, max_length=limit):
                return [self._fill(inner, path) for _ in range(min(limit or 3, 3))]
            case _:
                return self._fill_plain(kind, path)

    def _fill_struct(self, kind: inspect.StructType) -> dict[str, Any]:
        tag = {kind.tag_field: kind.tag} if kind.tag_field is not None else {}
        fields = [(field, f"{kind.cls.__name__}.{field.name}") for field in kind.fields]
        return tag | {
            field.encode_name: self._tell(path) if path in self._told else self._fill(field.type, path)
            for field, path in fields
        }

    def _tell(self, path: str) -> Any:
        told = self._told[path]
        return told() if callable(told) else told

    def _fill_plain(self, kind: inspect.Type, path: str) -> Any:
        match kind:
            case inspect.EnumType(cls=choices):
                return self._choose([each.value for each in _members(choices)])
            case inspect.LiteralType(values=values):
                return self._choose(list(values))
            case inspect.DateTimeType():
                return datetime.now(UTC).isoformat()
            case inspect.BoolType():
                return True
            case inspect.IntType(ge=least):
                return max(least or 0, 7)
            case inspect.FloatType():
                return 0.5
            case _:
                raise AssertionError(f"{path} is {kind}, of which nothing is known here")

    def _choose(self, values: list[Any]) -> Any:
        return values[next(self._turn) % len(values)]


def _members(choices: type[enum.Enum]) -> list[enum.Enum]:
    return list(choices)
