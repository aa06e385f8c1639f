"""How a question about files is handed on to an agent."""

from __future__ import annotations

from urllib.parse import parse_qsl

from zlh_api.files.rules import render_query


def test_a_path_is_handed_on_no_longer_than_it_came() -> None:
    """What an address may hold as it was sent, it holds as it is handed on: slashes stay one letter."""
    path = "a/" * 2048
    query = render_query({"path": path, "root": None, "hidden": True})
    assert len(query) == len(f"?path={path}&hidden=true")
    assert parse_qsl(query[1:]) == [("path", path), ("hidden", "true")]


def test_what_would_be_another_parameter_stays_in_its_path() -> None:
    """Letters with a meaning in an address have none in a name."""
    path = "a&b=c#d%2e?+ é"
    assert parse_qsl(render_query({"path": (path, "x")})[1:]) == [("path", path), ("path", "x")]
