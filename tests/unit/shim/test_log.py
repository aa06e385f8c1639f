"""The shim's own log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.shim import log
from zlh_agent.shim.log import MAX_LOG_BYTES, note


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's lines go."""
    path = tmp_path / "shim.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    monkeypatch.setattr(log, "LOG", fd)
    yield path
    os.close(fd)


def test_a_line_is_what_slog_prints(file: Path) -> None:
    """Time, level, message, then the fields; what is None is left out."""
    note("child.ended", pid=7, code=None, signal=9, error='no "room"')
    line = json.loads(file.read_text())
    assert list(line) == ["time", "level", "msg", "pid", "signal", "error"]
    assert (line["level"], line["msg"], line["signal"], line["error"]) == ("INFO", "child.ended", 9, 'no "room"')


@given(text=st.text())
def test_any_text_is_one_line_of_json(text: str) -> None:
    """Whatever a path or an error holds."""
    rendered = log._render(text)
    assert "\n" not in rendered
    assert rendered.isascii()
    assert json.loads(rendered) == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_it_does_not_grow_for_ever(file: Path) -> None:
    """It begins anew where it has become too long."""
    for _ in range(3):
        note("x", error="y" * (MAX_LOG_BYTES // 2))
    assert file.stat().st_size <= MAX_LOG_BYTES * 1.5
    note("z")
    assert json.loads(file.read_text().splitlines()[-1])["msg"] == "z"
