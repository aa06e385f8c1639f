"""Log lines are held against what Go's own log/slog prints: recorded once, and asked again where Go is there."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from guards.parts import ROOT
from zlh_common.logs import MAX_FIELD_CHARS, configure_logs, to_slog
from zlh_common.slog_time import render_time

REFERENCE = Path(__file__).parent / "slog_reference"
RECORDED: list[dict[str, Any]] = [json.loads(line) for line in (REFERENCE / "recorded.jsonl").read_text().splitlines()]
METHODS = {"DEBUG": "debug", "INFO": "info", "WARN": "warning", "ERROR": "error"}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Return where this test's log goes."""
    root = logging.getLogger()
    before, processors = (list(root.handlers), root.level), structlog.get_config()
    target = io.StringIO()
    configure_logs(level="DEBUG", stream=target)
    yield target
    structlog.configure(**processors)
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def pairs(line: str) -> list[tuple[str, Any]]:
    """Return the members of a JSON object in their order."""
    found: list[tuple[str, Any]] = json.JSONDecoder(object_pairs_hook=lambda members: members).decode(line)
    return found


@pytest.mark.parametrize("event", RECORDED, ids=lambda event: event["msg"] or "no message")
def test_line_is_the_one_that_slog_prints(event: dict[str, Any], stream: io.StringIO) -> None:
    """Same keys in the same order, same values, same level; and each event is one line."""
    getattr(structlog.get_logger(), METHODS[event["level"]])(event["msg"], **dict(event["fields"]))
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    (_, ours), *rest = pairs(line)
    (_, theirs), *reference = pairs(event["line"])
    assert rest == reference
    assert ours.endswith("Z")
    assert render_time(event["nanoseconds"]) == theirs


@pytest.mark.real("go")
@pytest.mark.timeout(300)
def test_recorded_lines_are_what_go_prints(tmp_path: Path) -> None:
    """The recording is Go's own word, byte for byte."""
    events = "".join(json.dumps({**event, "line": None}) for event in RECORDED)
    go = shutil.which("go") or ROOT / ".venv/bin/go"
    done = subprocess.run(
        [go, "run", REFERENCE / "main.go"], input=events, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [event["line"] for event in RECORDED]


# Names of files may hold lone surrogates, where they are no UTF-8.
any_text = st.text(st.characters(exclude_categories=()))
values = st.recursive(
    any_text | st.binary() | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_any_field_makes_one_line_of_json(fields: dict[str, object]) -> None:
    """Whatever a stranger's field holds, one event stays one line with time, level and message in front."""
    target = io.StringIO()
    logger = structlog.wrap_logger(structlog.PrintLogger(target), processors=_processors())
    logger.info("met", **{f"x{key}": value for key, value in fields.items()})
    line = target.getvalue()
    assert (line.count("\n"), line[-1]) == (1, "\n")
    assert [key for key, _ in pairs(line)][:3] == ["time", "level", "msg"]


def _processors() -> list[Any]:
    before = structlog.get_config()
    configure_logs(stream=io.StringIO())
    processors: list[Any] = structlog.get_config()["processors"]
    structlog.configure(**before)
    return processors


def test_field_never_takes_the_place_of_a_fixed_one() -> None:
    """A field called `level` cannot hide an error from whoever filters by level."""
    line = to_slog(None, "error", {"event": "failed", "level": "INFO", "time": 0, "msg": "all is well"})
    assert (line["level"], line["msg"]) == ("ERROR", "failed")
    assert (line["field_level"], line["field_msg"], line["field_time"]) == ("INFO", "all is well", 0)


def test_long_field_is_cut() -> None:
    """A megabyte of user name makes a line of kilobytes."""
    line = to_slog(None, "info", {"event": "login.refused", "user": "x" * 1_000_000})
    assert line["user"] == "x" * MAX_FIELD_CHARS + "…"


def test_exception_is_a_field(stream: io.StringIO) -> None:
    """A traceback of many lines is one field of one line."""
    try:
        int("way")
    except ValueError:
        structlog.get_logger().exception("job.failed")
    (line,) = stream.getvalue().splitlines()
    stack = json.loads(line)["stack"].splitlines()
    assert len(stack) > 2
    assert stack[-1].startswith("ValueError: ")


def test_libraries_log_the_same_way(stream: io.StringIO) -> None:
    """What a library says through `logging` is a line of the same shape."""
    logging.getLogger("aiohttp.server").warning("slow %s", "client")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["msg"], line["logger"]) == ("WARN", "slow client", "aiohttp.server")


def test_level_keeps_quieter_events_out(stream: io.StringIO) -> None:
    """An operator who asks for WARNING gets no INFO."""
    configure_logs(level="warning", stream=stream)
    structlog.get_logger().info("chatter")
    structlog.get_logger().warning("matter")
    assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["matter"]
