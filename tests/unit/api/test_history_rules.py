"""What of an agent's word is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.history import sample
from zlh_api.agents.rules import FIRST_S, MOST_S, STABLE_S, Redial, next_redial
from zlh_api.history.rules import (
    MAX_SKEW,
    RangeInvalid,
    believe_sample_time,
    believe_time,
    choose_span,
    find_happenings_problem,
    find_metrics_problem,
)
from zlh_common.errors import InvalidBody
from zlh_common.pace import Allowance, Rate, take
from zlh_common.schema.agent_events import MetricsEvent, parse_message
from zlh_common.schema.history import Happening
from zlh_common.schema.metrics import Metrics, ProcessMetrics, Usage
from zlh_common.schema.structs import encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = Happening(number=1, at=NOW, kind="process.exited", subject="web", message="web exited.", data={"code": 3})
USAGE = Usage(
    cpu_s=1.0,
    cpu_cores=None,
    memory_bytes=1,
    memory_proportional_bytes=None,
    read_bytes=None,
    written_bytes=None,
    processes=1,
    threads=1,
    open_files=None,
)
PROCESS = ProcessMetrics(name="web", kind="process", pid=1, usage=USAGE)
CONTAINER = sample(NOW).container
METRICS = Metrics(observed_at=NOW, container=CONTAINER, processes=(PROCESS,))


def entry(**changes: Any) -> Happening:
    return msgspec.structs.replace(ENTRY, **changes)


def test_an_honest_agents_word_is_taken() -> None:
    """Also where a journal has forgotten entries in between."""
    assert find_happenings_problem([ENTRY, entry(number=2), entry(number=9)], 0) is None
    assert find_metrics_problem(METRICS) is None


@pytest.mark.parametrize(
    ("items", "after"),
    [
        ([entry(number=0)], 0),
        ([entry(number=-1)], 0),
        ([entry(at=datetime(2026, 1, 1))], 0),  # noqa: DTZ001 - as a stranger may send it
        ([entry(at=datetime.min.replace(tzinfo=timezone(timedelta(hours=14))))], 0),
        ([entry(at=datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))))], 0),
        ([entry(number=5)], 5),
        ([entry(number=2), entry(number=2)], 0),
        ([entry(number=2**60)], 0),
        ([entry(kind="")], 0),
        ([entry(kind="Process.exited")], 0),
        ([entry(kind="process")], 0),
        ([entry(kind="process.exited\n")], 0),
        ([entry(kind="a." + "b" * 100)], 0),
        ([entry(subject="w" * 65)], 0),
        ([entry(message="m" * 1001)], 0),
        ([entry(data={"a": "x" * 3000})], 0),
        ([entry(data={"a": "\0"})], 0),
        ([entry(data={"\0": 1})], 0),
        ([entry(subject="\0")], 0),
        ([entry(message="a\0b")], 0),
        ([entry(data={"a": 2**70})], 0),
    ],
)
def test_a_strangers_entries_are_bounded(items: list[Happening], after: int) -> None:
    """Numbers grow, texts have a length, and what no database takes is none."""
    assert find_happenings_problem(items, after) is not None


@pytest.mark.parametrize(
    "metrics",
    [
        msgspec.structs.replace(METRICS, observed_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        msgspec.structs.replace(METRICS, processes=(PROCESS,) * 65),
        msgspec.structs.replace(METRICS, processes=(msgspec.structs.replace(PROCESS, name="<b>"),)),
        msgspec.structs.replace(METRICS, processes=(msgspec.structs.replace(PROCESS, name=""),)),
        msgspec.structs.replace(METRICS, processes=(msgspec.structs.replace(PROCESS, name="a\n"),)),
        msgspec.structs.replace(METRICS, container=msgspec.structs.replace(CONTAINER, memory_bytes=2**60)),
        msgspec.structs.replace(METRICS, container=msgspec.structs.replace(CONTAINER, cpu_s=-1.0)),
        msgspec.structs.replace(METRICS, container=msgspec.structs.replace(CONTAINER, cpu_s=1e300)),
        msgspec.structs.replace(
            METRICS, processes=(msgspec.structs.replace(PROCESS, usage=msgspec.structs.replace(USAGE, threads=-1)),)
        ),
    ],
)
def test_a_strangers_sample_is_bounded(metrics: Metrics) -> None:
    """Names and figures are what they must be."""
    assert find_metrics_problem(metrics) is not None


def test_times_are_believed_as_far_as_they_can_be() -> None:
    """Nothing happens in the future; a clock that is far off is not asked."""
    late, soon = NOW - timedelta(days=3), NOW + timedelta(days=3)
    assert (believe_time(late, NOW), believe_time(soon, NOW)) == (late, NOW)
    near = NOW + MAX_SKEW / 2
    assert [believe_sample_time(at, NOW) for at in (late, near, soon)] == [NOW, near, NOW]


def test_a_span_has_its_defaults_and_its_order() -> None:
    """The last hour in 240 points."""
    span = choose_span(None, None, None, NOW)
    assert (span.start, span.end, span.points) == (NOW - timedelta(hours=1), NOW, 240)
    assert choose_span(NOW - timedelta(days=1), None, 5, NOW).points == 5
    for start, end in ((NOW, NOW), (NOW, NOW - timedelta(1)), (None, datetime.min.replace(tzinfo=UTC))):
        with pytest.raises(RangeInvalid):
            choose_span(start, end, None, NOW)


def test_a_message_of_a_later_agent_is_left_out() -> None:
    """And one of a known type that is not of its shape is not."""
    assert parse_message(b'{"type":"weather","sun":1}') is None
    assert parse_message(encode(MetricsEvent(metrics=METRICS))) == MetricsEvent(metrics=METRICS)
    for raw in (
        b'{"type":"metrics"}',
        b'{"type":"happenings","journal":"x","items":[]}',
        b'{"type":"happenings","journal":"%s","items":[%s]}' % (b"a" * 32, b",".join([encode(ENTRY)] * 101)),
        b'{"type":5}',
        b"{}",
        b"[]",
        b"\xff",
        b"",
    ):
        with pytest.raises(InvalidBody):
            parse_message(raw)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=50))
def test_a_pace_is_kept_whatever_is_wanted(asks: list[tuple[int, float]]) -> None:
    """Never more than what may come at once and what has grown since."""
    rate, now, taken = Rate(10, 0.5), 0.0, 0
    allowance = Allowance(10, 0.0)
    for wanted, passed in asks:
        now += passed
        got, allowance = take(allowance, wanted, rate, now)
        assert 0 <= got <= wanted
        taken += got
        assert taken <= 10 + now * 0.5 + 1e-6


@given(st.floats(0, 1))
def test_a_link_that_breaks_is_dialled_ever_more_slowly(chance: float) -> None:
    """Within bounds, and each wait spread, so that many do not come at once."""
    redial, waits = Redial(), []
    for _ in range(40):
        redial, wait_s = next_redial(redial, failed=True, held_s=0.0, chance=chance)
        waits.append(wait_s)
    assert waits == sorted(waits)
    assert FIRST_S / 2 <= waits[0] <= FIRST_S
    assert MOST_S / 2 <= waits[-1] <= MOST_S
    assert redial.failures == 40


def test_a_link_that_held_begins_anew() -> None:
    """One that came up and fell at once does not."""
    tired = Redial(ends=9, failures=0)
    assert next_redial(tired, failed=False, held_s=STABLE_S, chance=1.0) == (Redial(1, 0), FIRST_S)
    after, wait_s = next_redial(tired, failed=False, held_s=1.0, chance=1.0)
    assert (after, wait_s) == (Redial(10, 0), MOST_S)
    assert next_redial(Redial(3, 3), failed=False, held_s=1.0, chance=1.0)[0].failures == 0
