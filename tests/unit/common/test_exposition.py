"""The text that Prometheus takes, read by its own parser."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from zlh_common.exposition import render_counter, render_exposition, render_histogram
from zlh_common.schema.metrics import ContainerMetrics, Metrics, ProcessMetrics, Usage

USAGE = Usage(
    cpu_s=1.25,
    cpu_cores=0.5,
    memory_bytes=4096,
    memory_proportional_bytes=None,
    read_bytes=2**53,
    written_bytes=0,
    processes=2,
    threads=3,
    open_files=None,
)
CONTAINER = ContainerMetrics(
    source="cgroup2",
    uptime_s=12.5,
    cpu_s=0.00001,
    cpu_cores=None,
    cpu_limit_cores=None,
    memory_bytes=1,
    memory_cache_bytes=None,
    memory_limit_bytes=2,
    processes=3,
    processes_limit=None,
    disk_used_bytes=4,
    disk_total_bytes=5,
    received_bytes=None,
    sent_bytes=6,
)
WEB = ProcessMetrics(name="web", kind="process", pid=7, usage=USAGE)
METRICS = Metrics(observed_at=datetime(2026, 1, 1, tzinfo=UTC), container=CONTAINER, processes=(WEB,))


def series(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every series as the parser understands it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_come_out_as_they_went_in() -> None:
    """Totals are counters, what is not known has no series."""
    found = series(render_exposition(METRICS, {}))
    web = frozenset({("name", "web"), ("kind", "process")})
    assert found["zlh_process_cpu_seconds_total", web] == 1.25
    assert found["zlh_process_disk_read_bytes_total", web] == 2**53
    assert found["zlh_container_cpu_seconds_total", frozenset()] == 0.00001
    names = {name for name, _ in found}
    assert "zlh_process_open_files" not in names
    assert "zlh_container_processes_limit" not in names
    kinds = {family.name: family.type for family in text_string_to_metric_families(render_exposition(METRICS, {}))}
    assert (kinds["zlh_process_cpu_seconds"], kinds["zlh_process_threads"]) == ("counter", "gauge")


@given(st.text())
def test_any_label_survives(name: str) -> None:
    """Quotes, backslashes and line feeds are escaped, so no name can make up a series."""
    metrics = msgspec.structs.replace(METRICS, processes=(msgspec.structs.replace(WEB, name=name),))
    # The parser cuts lines at every character that Python calls a line end; Prometheus knows one.
    if len(name.splitlines()) > 1 and "\n" not in name:
        return
    found = series(render_exposition(metrics, {}))
    assert len(found) == len(series(render_exposition(METRICS, {})))


def test_a_histogram_counts_up_to_each_bound() -> None:
    """Each bucket holds those below it as well, the last one all of them; two series stand beside each other."""
    text = render_histogram(
        "t_seconds", "Taken.", (0.1, 1.0), [({"step": "a"}, (2, 1, 3), 9.5), ({"step": 'b"'}, (0, 0, 0), 0.0)]
    )
    found = series(text)
    a, b = ("step", "a"), ("step", 'b"')
    assert [found["t_seconds_bucket", frozenset({a, ("le", le)})] for le in ("0.1", "1.0", "+Inf")] == [2, 3, 6]
    assert (found["t_seconds_sum", frozenset({a})], found["t_seconds_count", frozenset({a})]) == (9.5, 6)
    assert found["t_seconds_count", frozenset({b})] == 0
    assert text.count("# TYPE t_seconds histogram") == 1


def test_what_has_no_series_is_not_told_at_all() -> None:
    """Not even its name, so that an alarm on its absence works."""
    assert render_histogram("t_seconds", "Taken.", (0.1,), []) == ""
    assert render_counter("t_total", "Times.", []) == ""
    assert render_counter("t_total", "Times.", [({}, None)]) == ""
