"""The bench runs: one row in its quick mode, and what it makes of the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Row, Samples, Spread, at_most, ratio_at_least
from bench.report import render_markdown

RUN = Path(__file__).parents[2] / "bench/run.py"


def test_a_row_is_measured_and_written(tmp_path: Path) -> None:
    """A real agent is started and stopped, and the row stands in both files."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    argv = [sys.executable, str(RUN), "--quick", "--results", str(tmp_path), "agent.start"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "agent.rss" in done.stdout
    (found,) = tmp_path.glob("*.json")
    rows = {row["name"]: row for row in json.loads(found.read_text())["rows"]}
    assert rows["agent.start"]["peer"]["median"] > 0
    assert rows["agent.start"]["kept"] in {True, False}
    assert "| agent.start |" in found.with_suffix(".md").read_text()


def test_ratio_is_taken_from_neighbours() -> None:
    """A machine that slows down for both sides does not change the ratio."""
    samples = Samples({"ours": [1.0, 10.0, 3.0], "peer": [2.0, 20.0, 6.0]})
    row = samples.row("a", "s", peer="peer", budget=ratio_at_least(0.6))
    assert (row.ratio, row.ours) == (Spread(0.5, 0.5, 0.5), Spread(1.0, 3.0, 10.0))
    assert row.budget is not None
    assert row.budget.is_kept(row) is False


@pytest.mark.parametrize(("figure", "verdict"), [(3.0, "yes"), (3.1, "**no**")])
def test_table_says_whether_a_budget_is_kept(figure: float, verdict: str) -> None:
    """At the limit it is kept."""
    row = Row("a", "ms", Spread.of([figure]), budget=at_most(3))
    assert f"| ≤ 3 | {verdict} |" in render_markdown([row])


def test_a_peer_that_is_missing_is_said() -> None:
    """The row stays, without a ratio and without a verdict on one."""
    row = Samples({"ours": [1.0]}).row("a", "s", peer="terminado", budget=ratio_at_least(1))
    assert (row.ratio, row.note) == (None, "terminado could not be measured here")
    assert "| ≥ 1 x | - |" in render_markdown([row])


def test_a_peer_that_spends_nothing_has_no_ratio() -> None:
    """Both figures are told."""
    row = Samples({"ours": [1.0], "runit": [0.0]}).row("a", "s", peer="runit", budget=at_most(2))
    assert (row.ratio, row.peer, row.budget.is_kept(row) if row.budget else None) == (None, Spread.of([0.0]), True)
