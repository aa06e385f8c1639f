"""Which version the launcher starts, whatever was kept and wherever it was cut off."""

from __future__ import annotations

import ast
import io
import json
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent import launcher
from zlh_agent.launcher import (
    DONE,
    NONE,
    PHASES,
    PROBATION,
    PROVING,
    UNDONE,
    UpdateState,
    decide_blind,
    decide_start,
    describe_end,
    is_on_trial,
    read_state,
    write_state,
)
from zlh_common.slog_time import render_time

NOW = "2026-01-01T00:00:00Z"
FORMER, NEW, OTHER = "1.9.0", "1.10.0", "1.2.0"
VERSIONS = st.sampled_from([FORMER, NEW, OTHER])
STATES = st.builds(
    UpdateState,
    phase=st.sampled_from(sorted(PHASES)),
    version=st.just(NEW),
    former=st.just(FORMER),
    switched=st.booleans(),
    highest=st.sampled_from(["", FORMER, OTHER]),
)
LAYOUTS = st.sets(VERSIONS)
CURRENT = st.none() | VERSIONS


def of(phase: str, *, switched: bool = True) -> UpdateState:
    """Return a state of the switch from FORMER to NEW."""
    return UpdateState(phase=phase, version=NEW, former=FORMER, switched=switched)


@pytest.mark.parametrize(
    ("phase", "switched", "current", "starts", "becomes"),
    [
        # Cut off before the switch: the former agent goes on with it.
        (PROVING, False, FORMER, FORMER, PROVING),
        # Switched, and cut off before that was written.
        (PROVING, False, NEW, NEW, PROVING),
        (PROVING, True, NEW, NEW, PROVING),
        # Led back, and cut off before that was written.
        (PROVING, True, FORMER, FORMER, UNDONE),
        (PROBATION, True, NEW, NEW, PROBATION),
        (PROBATION, True, FORMER, FORMER, UNDONE),
        # Written that it was undone, and cut off before it was led back.
        (UNDONE, True, NEW, FORMER, UNDONE),
        (UNDONE, True, FORMER, FORMER, UNDONE),
        (DONE, True, NEW, NEW, DONE),
        # Somebody has led it elsewhere, and no trial is on.
        (DONE, True, OTHER, OTHER, DONE),
        (NONE, False, OTHER, OTHER, NONE),
        # The link is gone in the middle of a trial.
        (PROVING, True, None, FORMER, UNDONE),
        (PROVING, False, None, FORMER, PROVING),
    ],
)
def test_what_starts_after_each_cut(phase: str, switched: bool, current: str | None, starts: str, becomes: str) -> None:
    """Each state and place of `current` that a cut can leave has its one next step."""
    begun = decide_start(of(phase, switched=switched), current, {FORMER, NEW, OTHER}, now=NOW)
    assert (begun.version, begun.state.phase) == (starts, becomes)
    assert begun.relinks == (starts != current)
    assert begun.proves == (phase == PROVING and starts == NEW)
    assert not begun.proves or begun.state.switched


@given(STATES, CURRENT, LAYOUTS)
def test_something_whole_starts_where_there_is_anything(
    state: UpdateState, current: str | None, whole: set[str]
) -> None:
    """Whatever was kept, what starts is whole; nothing starts only where nothing is."""
    begun = decide_start(state, current, whole, now=NOW)
    assert (begun.version in whole) if whole else begun.version is None


@given(STATES, CURRENT, LAYOUTS)
def test_what_was_undone_never_starts_beside_another(state: UpdateState, current: str | None, whole: set[str]) -> None:
    """A version that was given up starts only where it is all there is."""
    begun = decide_start(state, current, whole, now=NOW)
    if begun.state.phase == UNDONE and whole - {NEW}:
        assert begun.version != NEW


@given(STATES, CURRENT, LAYOUTS)
def test_a_start_that_is_repeated_is_the_same(state: UpdateState, current: str | None, whole: set[str]) -> None:
    """Once what a start decides is done, the next one decides nothing new."""
    begun = decide_start(state, current, whole, now=NOW)
    again = decide_start(begun.state, begun.version if begun.relinks else current, whole, now=NOW)
    assert (again.version, again.state, again.proves) == (begun.version, begun.state, begun.proves)


@given(st.sampled_from(sorted(PHASES)), st.none() | VERSIONS)
def test_only_who_runs_on_trial_is_at_fault(phase: str, started: str | None) -> None:
    """The former one's end after the switch, and all ends of proved versions, are nobody's fault."""
    assert is_on_trial(of(phase), started) == (phase in {PROVING, PROBATION} and started == NEW)


@given(st.integers(0, 2**62))
def test_a_line_has_the_time_of_the_agents_own(at_ns: int) -> None:
    """The journal of one unit has lines of both, and what reads it knows one way of telling the time."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr("time.time_ns", lambda: at_ns)
        launcher.log("INFO", "launcher.tried", version=NEW)
    assert json.loads(said.getvalue()) == {
        "time": render_time(at_ns), "level": "INFO", "msg": "launcher.tried", "version": NEW,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "words", "exit_code"),
    [
        (("exit-code", "exited", "3"), "exit code 3", 3),
        (("success", "exited", "0"), "by itself", 0),
        (("signal", "killed", "KILL"), "killed by KILL", None),
        (("watchdog", "killed", "ABRT"), "watchdog", None),
        (("timeout", "killed", "TERM"), "in time", None),
        (("later", "", ""), "later", None),
    ],
)
def test_an_end_is_told_in_words(said: tuple[str, str, str], words: str, exit_code: int | None) -> None:
    """What systemd says of an end becomes a sentence for people."""
    message, found = describe_end(NEW, *said)
    assert words in message
    assert message.startswith(NEW)
    assert found == exit_code


@given(STATES, st.text(), st.none() | st.integers(), st.none() | st.text())
def test_a_state_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    state: UpdateState,
    message: str,
    exit_code: int | None,
    output: str | None,
) -> None:
    """Everything outlives the way to the disk."""
    folder = tmp_path_factory.mktemp("state")
    kept = replace(state, message=message, exit_code=exit_code, output=output)
    write_state(folder, kept)
    assert read_state(folder) == kept


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b"null", b"\xff", b'{"version": 5}', b"[" * 100_000])
def test_what_is_no_state_is_set_aside(tmp_path: Path, held: bytes) -> None:
    """A file that was cut off, or is of nobody, counts as none, and is kept to be looked at."""
    (tmp_path / "state.json").write_bytes(held)
    assert read_state(tmp_path) == UpdateState()
    assert (tmp_path / "state.json.unreadable").read_bytes() == held


def test_what_cannot_be_read_is_not_set_aside(tmp_path: Path) -> None:
    """A disk or a system that refuses says nothing of the state, which may be a good one."""
    (tmp_path / "state.json").symlink_to("state.json")
    with pytest.raises(OSError, match="symbolic"):
        read_state(tmp_path)
    assert (tmp_path / "state.json").is_symlink()


@given(st.none() | VERSIONS, st.none() | VERSIONS, LAYOUTS)
def test_where_nobody_can_tell_the_way_back_is_taken(current: str | None, back: str | None, whole: set[str]) -> None:
    """What `current` leads to may be one that was undone while there is a way back; something starts in any case."""
    begun = decide_blind(current, back, whole)
    assert begun.version == (back if back in whole else current if current in whole else begun.version)
    assert (begun.version in whole) == bool(whole)
    assert begun.proves == (begun.version == current)


def test_a_state_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Fields that came later are left out; of a phase that came later only what is the newest counts."""
    (tmp_path / "state.json").write_text('{"phase": "done", "version": "2.0.0", "highest": "2.0.0", "later": [1]}')
    assert read_state(tmp_path) == UpdateState(phase=DONE, version="2.0.0", highest="2.0.0")
    (tmp_path / "state.json").write_text('{"phase": "later", "version": "3.0.0", "highest": "2.0.0"}')
    assert read_state(tmp_path) == UpdateState(highest="2.0.0")


def test_it_needs_nothing_but_the_standard_library() -> None:
    """It runs with the container's Python alone, so it imports no library and nothing of ours."""
    tree = ast.parse(Path(launcher.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
