"""Sets keys in the text of a configuration file and leaves all else in it as it is: comments, order, spelling.

One function for each format, each from text to text; a text in which every key has its value already comes back
unchanged. The parsers are others' and are loaded in the child alone.
"""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import configupdater
import javaproperties
import msgspec
import ruamel.yaml
import ruamel.yaml.scalarstring
import tomlkit
import tomlkit.exceptions

from zlh_common.schema.template import FileEdit, Value

# Bytes that are no UTF-8 come back as they were; properties are of a time before it.
_ENCODINGS = {"properties": ("latin-1", "strict")}
_ANY = ("utf-8", "surrogateescape")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(r"^(\s*)([^#=\s][^=]*?)(\s*=[ \t]*)(.*?)(\r?)$")


class Unreadable(Exception):
    """The text is not of its format; the line counts from 1, None where it is not known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def edit_bytes(raw: bytes, edit: FileEdit) -> bytes:
    """Return the file with the keys of `edit` set; raise Unreadable."""
    encoding, errors = _ENCODINGS.get(edit.format, _ANY)
    text = raw.decode(encoding, errors)
    return _EDITORS[edit.format](text, edit).encode(encoding, errors)


def render_value(value: Value) -> str:
    """Return a value as formats without types write it: one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).splitlines())


def _edit_properties(text: str, edit: FileEdit) -> str:
    try:
        found = javaproperties.PropertiesFile.loads(text)
    except ValueError as exc:
        raise Unreadable(str(exc), _find_line(text, str(exc))) from exc
    changes = {key: render_value(value) for key, value in edit.set.items() if _is_to_set(found, key, edit)}
    changes = {key: value for key, value in changes.items() if found.get(key) != value}
    if not changes:
        return text
    for key, value in changes.items():
        found[key] = value
    return str(found.dumps(separator="="))


def _find_line(text: str, reason: str) -> int | None:
    """Return the line that a reason quotes."""
    escape = re.search(r"\\u[0-9A-Fa-f]{0,4}", reason)
    if escape is None:
        return None
    return next((number for number, line in enumerate(text.splitlines(), 1) if escape[0] in line), None)


def _edit_plain(text: str, edit: FileEdit) -> str:
    lines = text.split("\n")
    for key, value in edit.set.items():
        # Whoever reads such a file leaves spaces around a value out.
        shown = render_value(value).strip()
        at = [index for index, line in enumerate(lines) if (row := _PLAIN.match(line)) and row[2] == key]
        if not at:
            is_ended = lines[-1] == ""
            lines[-1 if is_ended else len(lines) :] = [f"{key} = {shown}", ""]
        elif edit.when == "always":
            for index in at:
                row = _PLAIN.match(lines[index])
                assert row is not None
                lines[index] = f"{row[1]}{row[2]}{row[3]}{shown}{row[5]}"
    return "\n".join(lines)


def _edit_ini(text: str, edit: FileEdit) -> str:
    found = configupdater.ConfigUpdater(allow_no_value=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        found.read_string(text)
    except configparser.Error as exc:
        rows = getattr(exc, "errors", None)
        line = rows[0][0] if rows else getattr(exc, "lineno", None)
        raise Unreadable(str(exc).splitlines()[0], line) from exc
    for path, value in edit.set.items():
        section, _, key = path.partition(".")
        if not key:
            raise Unreadable(f"the key {path} names no section")
        if not found.has_section(section):
            found.add_section(section)
        if found.has_option(section, key) and (
            edit.when == "absent" or found[section][key].value == render_value(value)
        ):
            continue
        found.set(section, key, render_value(value))
    return str(found)


def _edit_yaml(text: str, edit: FileEdit) -> str:
    yaml = ruamel.yaml.YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    mapping, offset = _guess_indents(text)
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    try:
        found = yaml.load(text)
    except ruamel.yaml.error.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else None
        raise Unreadable(exc.problem or "it is no YAML", line) from exc
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as exc:
        raise Unreadable(str(exc).splitlines()[0] if str(exc) else "it is no YAML") from exc
    if found is None:
        # A text of comments alone keeps them.
        head, found = text, ruamel.yaml.comments.CommentedMap()
    else:
        head = ""
    edit = msgspec.structs.replace(edit, set={key: _quote_old(value) for key, value in edit.set.items()})
    if not _set_nested(found, edit, ruamel.yaml.comments.CommentedMap):
        return text
    out = io.StringIO()
    yaml.dump(found, out)
    return (f"{head.rstrip()}\n" if head.strip() else "") + out.getvalue()


def _guess_indents(text: str) -> tuple[int, int]:
    """Return by how much keys and items of lists are set in, as the text has it; 2 and 0 where it has neither."""
    key = re.search(r"^\S[^\n]*:[ \t]*\n( +)[^\s#-]", text, re.MULTILINE)
    item = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1( *)- ", text, re.MULTILINE)
    return len(key[1]) if key else 2, len(item[2]) if item else 0


def _quote_old(value: Value) -> Value:
    """Quote what is a text to YAML 1.2 and on or off to readers of 1.1, which many servers are."""
    if isinstance(value, str) and value.lower() in {"y", "n", "yes", "no", "on", "off"}:
        quoted: str = ruamel.yaml.scalarstring.DoubleQuotedScalarString(value)
        return quoted
    return value


def _edit_toml(text: str, edit: FileEdit) -> str:
    try:
        found = tomlkit.parse(text)
    except (tomlkit.exceptions.ParseError, RecursionError) as exc:
        raise Unreadable(str(exc).partition(" at line ")[0], getattr(exc, "line", None)) from exc
    return tomlkit.dumps(found) if _set_nested(found, edit, tomlkit.table) else text


def _edit_json(text: str, edit: FileEdit) -> str:
    try:
        found = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as exc:
        raise Unreadable(exc.msg, exc.lineno) from exc
    except RecursionError as exc:
        raise Unreadable("it is nested too deeply") from exc
    except ValueError as exc:
        # Numbers of thousands of digits.
        raise Unreadable(str(exc).partition(";")[0]) from exc
    if not _set_nested(found, edit, dict):
        return text
    # Halves of characters are escaped in JSON, and nowhere else to be had.
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", json.dumps(found, indent=2, ensure_ascii=False)) + "\n"


def _set_nested(found: Any, edit: FileEdit, make: Callable[[], Any]) -> bool:
    """Set dotted keys in nested tables; tell whether anything was another value before."""
    is_changed = False
    for path, value in edit.set.items():
        *above, key = path.split(".")
        table = found
        for name in above:
            table = _table(table, path)
            if name not in table:
                table[name] = make()
            table = table[name]
        table = _table(table, path)
        if key in table and (edit.when == "absent" or _is_same(table[key], value)):
            continue
        table[key] = value
        is_changed = True
    return is_changed


def _table(found: Any, path: str) -> MutableMapping[str, Any]:
    if not isinstance(found, MutableMapping):
        raise Unreadable(f"{path} cannot be set, since something else than a table stands above it")
    return found


def _is_same(found: Any, value: Value) -> bool:
    # True is 1 to Python, and no number in a file.
    return bool(found == value) and isinstance(found, bool) == isinstance(value, bool)


def _is_to_set(found: Mapping[str, Any], key: str, edit: FileEdit) -> bool:
    return edit.when == "always" or key not in found


_EDITORS: dict[str, Callable[[str, FileEdit], str]] = {
    "properties": _edit_properties,
    "plain": _edit_plain,
    "ini": _edit_ini,
    "yaml": _edit_yaml,
    "toml": _edit_toml,
    "json": _edit_json,
}
