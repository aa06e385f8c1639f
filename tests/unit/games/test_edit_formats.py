"""Keys are set in files of six formats, and all else in them stays as somebody has written it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.games.edit_formats import Unreadable, edit_bytes
from zlh_common.schema.template import FileEdit, Value


def edit(raw: str | bytes, form: str, when: str = "always", **keys: Value) -> bytes:
    """Return the file with keys set; `__` in a name stands for a dot."""
    return edit_with(raw, form, {key.replace("__", "."): value for key, value in keys.items()}, when)


def edit_with(raw: str | bytes, form: str, keys: dict[str, Value], when: str = "always") -> bytes:
    """Return the file with keys set."""
    asked = FileEdit(path="file", format=form, set=keys, when=when)  # type: ignore[arg-type]
    return edit_bytes(raw if isinstance(raw, bytes) else raw.encode(), asked)


PROPERTIES = "#Minecraft server properties\n! mine\nmotd=A\\u00a7 B\nlevel-name : world\n\nserver-port=1\n# end\n"
PLAIN = "# minetest\nport = 30000\r\nname=x # not a comment\n\n  deep   =  1\n"
INI = "; top\n[A]\nKey = 1\n# mine\nOther: 2\n\n[B]\nx=%d\n"
YAML = "# top\na:\n    b: 1 # one\n    'c': \"x\"\nlist:\n- 1\n- two\nz: no\n"
TOML = '# top\nbind = "0.0.0.0:25577" # mine\n[advanced]\nlevel = 1\n'
JSON = '{\n  "a": 1,\n  "b": {\n    "c": "\u00e9"\n  }\n}\n'


@pytest.mark.parametrize(
    ("raw", "form", "keys", "expected"),
    [
        (PROPERTIES, "properties", {"server-port": 2}, PROPERTIES.replace("port=1", "port=2")),
        (PROPERTIES, "properties", {"motd": "\u20ac x"}, PROPERTIES.replace("A\\u00a7 B", "\\u20ac x")),
        ("", "properties", {"eula": True}, "eula=true\n"),
        ("a=1", "properties", {"b": " x"}, "a=1\nb=\\ x\n"),
        (PLAIN, "plain", {"port": 2}, PLAIN.replace("30000", "2")),
        (PLAIN, "plain", {"deep": False}, PLAIN.replace("=  1", "=  false")),
        (PLAIN, "plain", {"new.key": "a b"}, PLAIN + "new.key = a b\n"),
        ("", "plain", {"a": 1}, "a = 1\n"),
        ("a = 1", "plain", {"b": 2}, "a = 1\nb = 2\n"),
        (INI, "ini", {"A.Key": 5}, INI.replace("Key = 1", "Key = 5")),
        (INI, "ini", {"B.x": "%s"}, INI.replace("x=%d", "x = %s")),
        ("", "ini", {"A.Key": True}, "[A]\nKey = true\n"),
        (YAML, "yaml", {"a.b": 2}, YAML.replace("b: 1", "b: 2")),
        (YAML, "yaml", {"z": True}, YAML.replace("z: no", "z: true")),
        ("# mine\n", "yaml", {"a.b": "on"}, '# mine\na:\n  b: "on"\n'),
        (TOML, "toml", {"bind": "x"}, TOML.replace("0.0.0.0:25577", "x")),
        (TOML, "toml", {"advanced.level": 7}, TOML.replace("level = 1", "level = 7")),
        (JSON, "json", {"b.c": 3}, JSON.replace('"\u00e9"', "3")),
        ("", "json", {"a": False}, '{\n  "a": false\n}\n'),
    ],
)
def test_only_what_is_named_changes(raw: str, form: str, keys: dict[str, Value], expected: str) -> None:
    """Comments, order, spelling and ends of lines stay."""
    assert edit_with(raw, form, keys) == expected.encode()


@pytest.mark.parametrize(
    ("raw", "form", "keys"),
    [
        (PROPERTIES, "properties", {"server-port": 1, "level-name": "world"}),
        (PLAIN, "plain", {"port": 30000}),
        (INI, "ini", {"A.Key": 1}),
        (YAML, "yaml", {"a.b": 1}),
        (TOML, "toml", {"advanced.level": 1}),
        ('{"a":1}', "json", {"a": 1}),
    ],
)
def test_a_file_that_is_right_already_is_not_touched(raw: str, form: str, keys: dict[str, Value]) -> None:
    """Not a byte, so nobody sees it change with each start."""
    assert edit_with(raw, form, keys) == raw.encode()


@pytest.mark.parametrize(("raw", "form"), [("a=1\n", "properties"), ("a = 1\n", "plain"), ("a: 1\n", "yaml")])
def test_what_stands_there_already_stays_where_that_is_asked(raw: str, form: str) -> None:
    """`absent` sets what is missing alone."""
    assert edit(raw, form, "absent", a=2) == raw.encode()
    assert b"b" in edit(raw, form, "absent", a=2, b=3)


@pytest.mark.parametrize(
    ("raw", "form", "keys", "line"),
    [
        ("a=1\nb=\\u12\n", "properties", {"a": 2}, 2),
        ("Key = 1\n", "ini", {"A.Key": 2}, 1),
        ("a: 1\n\tb: [\n", "yaml", {"a": 2}, 2),
        ("a: 1\nb: [1,\n", "yaml", {"a": 2}, 3),
        ("- 1\n", "yaml", {"a": 2}, None),
        ("a: 1\n", "yaml", {"a.b": 2}, None),
        ("a = 1\nb = \n", "toml", {"a": 2}, 2),
        ('{"a": 1,\n "b": }', "json", {"a": 2}, 2),
        ("[1]", "json", {"a": 2}, None),
        ("[" * 100_000, "json", {"a": 2}, None),
        ('{"b": ' + "1" * 5000 + "}", "json", {"a": 2}, None),
        ("[" * 5_000, "yaml", {"a": 2}, None),
        ("a = " + "[" * 5_000, "toml", {"a": 2}, None),
    ],
)
def test_a_broken_file_is_refused_with_its_line(raw: str, form: str, keys: dict[str, Value], line: int | None) -> None:
    """It is never overwritten by what could be read of it."""
    with pytest.raises(Unreadable) as refused:
        edit_with(raw, form, keys)
    if line is not None:
        assert refused.value.line == line


def test_half_of_a_character_stays_one() -> None:
    """JSON can escape it, and no encoding can write it."""
    once = edit(b'{"b": "\\ud83d", "c": "\\udc80"}', "json", a=1)
    assert b'"\\ud83d"' in once
    assert b'"\\udc80"' in once
    assert edit(once, "json", a=1) == once


def test_bytes_that_are_no_text_stay() -> None:
    """Old properties are Latin-1, and anything may stand in a comment."""
    assert edit(b"# \xe9\xff\na=\xe9\n", "properties", b=1) == b"# \xe9\xff\na=\xe9\nb=1\n"
    assert edit(b"# \xe9\xff\na = 1\n", "plain", a=2) == b"# \xe9\xff\na = 2\n"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40))
def test_a_value_stays_one_value(text: str) -> None:
    """Whatever a customer has typed makes no second key, and reads back as what it was set to."""
    for form in ("properties", "plain", "ini", "yaml", "toml", "json"):
        key = "s.k" if form == "ini" else "k"
        once = edit_with("", form, {key: text, f"{key}2": 1})
        assert edit_with(once, form, {key: text, f"{key}2": 1}) == once, form
        assert edit_with(edit_with(once, form, {key: "other"}), form, {key: text}).count(b"k2") == once.count(b"k2"), (
            form
        )
