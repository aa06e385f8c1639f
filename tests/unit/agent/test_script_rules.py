"""A script runs once: every record against everything that a shim can say, and what each end means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from zlh_agent.workspace.records import WorkspaceRecords
from zlh_agent.workspace.script_rules import (
    Ending,
    Move,
    ScriptRecord,
    ShimSays,
    choose_argv,
    decide,
    judge,
    left_s,
    render_script,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(phase: str = "begun", *, attempt: int = 0, is_timed_out: bool = False) -> ScriptRecord:
    """Return a record of this phase."""
    return ScriptRecord(attempt, phase, "boot", NOW, is_timed_out=is_timed_out)  # type: ignore[arg-type]


def test_it_is_ordered_only_where_it_has_certainly_not_run() -> None:
    """Whatever is known and whatever a shim says: none that may have run is begun again in the same attempt."""
    phases = (None, "starting", "begun", "ended")
    for phase, shim, has_exit in product(phases, ShimSays, (False, True)):
        move = decide(record(phase) if phase else None, 0, shim, has_exit=has_exit)
        if phase == "ended":
            assert move is Move.REST
        if phase == "begun" and shim is not ShimSays.IDLE:
            assert move in {Move.FOLLOW, Move.CONCLUDE, Move.GIVE_UP}
        if move is Move.BEGIN:
            assert phase in {None, "starting"}
        if move is Move.ORDER:
            assert shim is ShimSays.IDLE
    assert decide(record("begun"), 0, ShimSays.NONE, has_exit=False) is Move.GIVE_UP


def test_another_attempt_waits_for_the_end_of_the_one_before() -> None:
    """And then it is run once more."""
    assert decide(record("begun"), 1, ShimSays.RUNNING, has_exit=False) is Move.FOLLOW
    assert decide(record("ended"), 1, ShimSays.EXITED, has_exit=False) is Move.BEGIN
    assert decide(record("ended", attempt=1), 1, ShimSays.NONE, has_exit=False) is Move.REST


@pytest.mark.parametrize(
    ("ending", "boot", "code"),
    [
        (Ending(0, None), "boot", None),
        (Ending(0, None), "next boot", None),
        (Ending(3, None), "boot", "start_script_failed"),
        (Ending(None, "SIGKILL"), "boot", "start_script_failed"),
        (Ending(None, "SIGKILL"), "next boot", "start_script_interrupted"),
        (Ending(None, "SIGHUP"), "boot", "start_script_interrupted"),
    ],
)
def test_what_an_end_means(ending: Ending, boot: str, code: str | None) -> None:
    """A container that goes down is told from a script that fails."""
    assert judge(record(), ending, boot_mark=boot, limit_s=60).code == code
    assert judge(record(is_timed_out=True), ending, boot_mark=boot, limit_s=60).code == "start_script_timed_out"


def test_memory_that_was_used_up_is_said() -> None:
    """Else nobody knows who has killed it."""
    said = judge(record(), Ending(None, "SIGKILL", out_of_memory=True), boot_mark="boot", limit_s=60)
    assert "memory" in (said.message or "")


def test_a_clock_that_is_set_gives_no_time_and_takes_no_more_than_all() -> None:
    """Within the limit, whatever the clock says."""
    assert left_s(record(), NOW - timedelta(days=1), 60) == 60
    assert left_s(record(), NOW + timedelta(seconds=20), 60) == 40
    assert left_s(record(), NOW + timedelta(days=1), 60) == 0


def test_how_it_is_run() -> None:
    """By its first line, else by the shell; with line ends that either reads."""
    assert choose_argv("#!/usr/bin/env node\n", "/s", "/bin/bash") == ("/s",)
    assert choose_argv("echo\n", "/s", "/bin/bash") == ("/bin/bash", "/s")
    assert render_script("#!/bin/sh\r\necho\r\n") == b"#!/bin/sh\necho\n"


def test_a_record_that_cannot_be_read_counts_as_run(tmp_path: Path) -> None:
    """Torn by a disk: rather not run than twice. One that was never there is none."""
    records = WorkspaceRecords(tmp_path)
    assert (records.load_script(), records.load_clone()) == (None, None)
    records.save_script(record())
    assert records.load_script() == record()
    (tmp_path / "script.json").write_bytes(b'{"attempt": 0, "ph')
    torn = records.load_script()
    assert torn is not None
    assert (torn.phase, torn.code) == ("ended", "start_script_interrupted")
    assert decide(torn, 5, ShimSays.NONE, has_exit=False) is Move.REST
