"""The launcher as a process: what it starts, what it brings back, and that no cut leaves a container without agent."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from component.agent.systemd_loop import NAME, PYTHON, SystemdLoop
from zlh_agent import launcher
from zlh_agent.launcher import DONE, PROBATION, PROVING, RESERVE_BYTES, UNDONE, UpdateState

STOPPING = "12 zlh-agent.service stop running"
RESTARTING = "12 zlh-agent.service restart running"
STARTING = "12 zlh-agent.service start running"
# No launcher acts on the disk as often as this, or the last cut of each test would be one, and it says so.
ACTS = 28


@pytest.fixture
def loop(tmp_path: Path) -> SystemdLoop:
    """A container with 1.0, and 2.0 that `current` leads to."""
    loop = SystemdLoop(tmp_path)
    loop.add("1.0")
    loop.add("2.0")
    loop.point("2.0")
    return loop


def rewrite(loop: SystemdLoop, version: str, does: str) -> None:
    """Have the agent of a version do something else."""
    path = loop.places.bundles / version / "lib/site-packages/zlh_agent/__main__.py"
    path.write_text(f"import os, signal\nprint('agent {version}', flush=True)\n{does}\n")


def test_an_agent_is_started_from_the_folder_of_its_version(loop: SystemdLoop) -> None:
    """It runs by the path of its version, writes nothing into it, and is noted with its pid; no timer runs for it."""
    rewrite(
        loop, "2.0", "import json, sys, zlh_agent; print(json.dumps([sys.executable, zlh_agent.__file__, os.getpid()]))"
    )
    end = loop.live()
    program, code, pid = json.loads(end.printed.splitlines()[-1])
    folder = loop.places.bundles / "2.0"
    assert Path(program) == folder / "bin" / NAME
    # Either name leads to the same folder; neither goes through `current`.
    assert Path(code).is_relative_to(folder)
    assert not list(folder.rglob("*.pyc"))
    assert launcher.read_started(loop.places.run) == ("2.0", pid)
    assert loop.take_calls() == []
    assert loop.state == UpdateState()


def test_a_version_on_trial_is_watched(loop: SystemdLoop) -> None:
    """Before it starts, a timer is set whatever becomes of it, and an older timer is taken back."""
    loop.keep(phase=PROVING)
    rewrite(loop, "2.0", "os.kill(os.getppid(), 0)")
    loop.answer("systemctl", prints=STOPPING)
    assert "agent 2.0" in loop.live().printed
    stop, run, *_ = loop.take_calls()
    assert stop == ["systemctl", "stop", "zlh-agent-overdue.timer"]
    assert run[0] == "systemd-run"
    assert "--on-active=85" in run
    assert run[-1] == "overdue"
    assert loop.state.switched


@pytest.mark.parametrize("phase", [PROVING, PROBATION])
@pytest.mark.parametrize(
    ("does", "exit_code", "words"),
    [
        ("import nowhere", 1, "exit code 1"),
        ("raise SystemExit(3)", 3, "exit code 3"),
        ("raise SystemExit(0)", 0, "by itself"),
        ("os.kill(os.getpid(), signal.SIGKILL)", None, "killed by KILL"),
        ("os.abort()", None, "killed by ABRT"),
    ],
)
def test_a_version_that_ends_by_itself_is_undone(
    loop: SystemdLoop, phase: str, does: str, exit_code: int | None, words: str
) -> None:
    """Broken at import, exiting, killed: the former version runs at the next start, and the reason is kept."""
    loop.keep(phase=phase, switched=True)
    rewrite(loop, "2.0", does)
    loop.live()
    assert loop.current == "1.0"
    state = loop.state
    assert (state.phase, state.code, state.exit_code, state.output) == (
        UNDONE,
        "agent_update_ended",
        exit_code,
        "the last words\n",
    )
    assert words in str(state.message)
    assert state.ended_at is not None
    assert "agent 1.0" in loop.live().printed
    assert loop.state == state, "and that stays so"


@pytest.mark.parametrize("result", ["watchdog", "timeout", "oom-kill", "core-dump", "later"])
def test_every_end_but_a_wished_one_counts(loop: SystemdLoop, result: str) -> None:
    """A hang that the watchdog ended, a start that took too long: whatever systemd calls it, with a start under way."""
    loop.keep(phase=PROVING, switched=True)
    end = loop.start()
    end.result = result
    loop.answer("systemctl", prints=STARTING)
    loop.judge(end)
    assert (loop.current, loop.state.phase) == ("1.0", UNDONE)
    is_hang = result in {"watchdog", "timeout"}
    assert loop.state.code == ("agent_update_hung" if is_hang else "agent_update_ended")


@pytest.mark.parametrize("jobs", [STOPPING, RESTARTING])
@pytest.mark.parametrize("does", ["", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_an_end_that_was_asked_for_is_nobodys_fault(loop: SystemdLoop, jobs: str, does: str) -> None:
    """A stop, a restart by an operator, the container's end: the proof begins again with the next start, and until
    then no timer runs that would start what was stopped."""
    loop.keep(phase=PROVING, switched=True)
    rewrite(loop, "2.0", does)
    loop.answer("systemctl", prints=jobs)
    end = loop.start()
    loop.take_calls()
    loop.judge(end)
    assert (loop.current, loop.state.phase) == ("2.0", PROVING)
    assert ["systemctl", "stop", "zlh-agent-overdue.timer"] in loop.take_calls()


def test_a_container_that_stops_asks_its_agent(loop: SystemdLoop) -> None:
    """While systemd as a whole is stopping no job has to name the agent."""
    loop.keep(phase=PROVING, switched=True)
    (loop.root / "fakes/systemctl").write_text('#!/bin/sh\n[ "$1" = is-system-running ] && echo stopping\nexit 0\n')
    loop.live()
    assert loop.state.phase == PROVING


@pytest.mark.parametrize(("result", "phase"), [("success", PROVING), ("exit-code", UNDONE)])
def test_without_systemd_only_an_orderly_end_counts_as_wished(loop: SystemdLoop, result: str, phase: str) -> None:
    """Where nobody can be asked for jobs, an end in order is believed."""
    loop.keep(phase=PROVING, switched=True)
    rewrite(loop, "2.0", "" if result == "success" else "raise SystemExit(1)")
    loop.answer("systemctl", code=1)
    loop.live()
    assert loop.state.phase == phase


@pytest.mark.parametrize("phase", [DONE, UNDONE])
def test_a_version_past_its_trial_may_end(loop: SystemdLoop, phase: str) -> None:
    """The end of a proved version changes nothing, and neither does the end of the former one after a switch."""
    loop.keep(phase=phase, switched=True)
    loop.point("2.0" if phase == DONE else "1.0")
    for version in ("1.0", "2.0"):
        rewrite(loop, version, "raise SystemExit(1)")
    before = loop.current
    loop.live()
    assert (loop.current, loop.state.phase) == (before, phase)


def test_the_former_one_ends_to_make_room(loop: SystemdLoop) -> None:
    """The agent that has switched ends by itself, and that is not the end of the new one's trial."""
    loop.point("1.0")
    end = loop.start()
    loop.keep(phase=PROVING, switched=True)
    loop.point("2.0")
    loop.judge(end)
    assert (loop.current, loop.state.phase) == ("2.0", PROVING)


@pytest.mark.parametrize(("phase", "becomes"), [(PROVING, UNDONE), (PROBATION, PROBATION), (DONE, DONE)])
def test_the_timer_gives_up_who_has_not_proved_itself(loop: SystemdLoop, phase: str, becomes: str) -> None:
    """Past its time a version that hangs or proves nothing is undone, and the agent started again."""
    loop.keep(phase=phase, switched=True)
    loop.fire()
    assert loop.state.phase == becomes
    restarts = [call for call in loop.take_calls() if call[:2] == ["systemctl", "restart"]]
    assert bool(restarts) == (becomes == UNDONE)
    assert loop.current == ("1.0" if becomes == UNDONE else "2.0")
    assert loop.state.code == ("agent_update_overdue" if becomes == UNDONE else None)


def test_it_is_undone_before_its_last_words_are_fetched(loop: SystemdLoop) -> None:
    """A journal that takes its time, or is never there, keeps nothing from being undone."""
    loop.keep(phase=PROVING, switched=True)
    rewrite(loop, "2.0", "raise SystemExit(3)")
    state = loop.places.state / "state.json"
    (loop.root / "fakes/journalctl").write_text(f"#!/bin/sh\ncat {state}\nreadlink {loop.places.bundles}/current\n")
    loop.live()
    words = str(loop.state.output)
    assert '"phase": "undone"' in words
    assert words.endswith("1.0\n")
    assert (loop.state.code, loop.state.exit_code) == ("agent_update_ended", 3)


def test_what_was_never_started_is_not_at_fault(loop: SystemdLoop) -> None:
    """Where what comes before the start has failed, systemd has no exit to tell of."""
    loop.keep(phase=PROVING, switched=True)
    end = loop.start()
    end.result, end.code, end.status = "timeout", "", ""
    loop.judge(end)
    assert (loop.current, loop.state.phase) == ("2.0", PROVING)


@pytest.mark.real("mounts")
def test_a_start_that_could_not_be_noted_is_judged_all_the_same(loop: SystemdLoop) -> None:
    """With no room for the note, what ends is what was switched to; before the switch it is the former one."""
    loop.keep(phase=PROVING, switched=True)
    rewrite(loop, "2.0", "raise SystemExit(3)")
    with mounted(loop.places.run, "size=16k"):
        fill(loop.places.run)
        loop.live()
        assert launcher.read_started(loop.places.run) is None
        assert (loop.current, loop.state.phase) == ("1.0", UNDONE)
        loop.keep(phase=PROVING)
        loop.live()
        assert (loop.current, loop.state.phase) == ("1.0", PROVING)


@pytest.mark.real("mounts")
def test_what_was_undone_stays_so_on_a_disk_that_may_only_be_read(loop: SystemdLoop) -> None:
    """What cannot be locked can still be read: the version that was undone is not started again."""
    with mounted(loop.places.state, "size=1m"):
        loop.keep(phase=UNDONE, switched=True)
        subprocess.run(["mount", "-o", "remount,ro", loop.places.state], check=True)
        assert "agent 1.0" in loop.live().printed


@pytest.mark.real("mounts")
def test_on_a_disk_that_is_really_full_it_is_undone_with_its_reason(tmp_path: Path) -> None:
    """Not a byte and not a file more fits, and the reason is kept and the former one started."""
    disk = tmp_path / "disk"
    with mounted(disk, "size=2m,nr_inodes=200"):
        loop = SystemdLoop(disk)
        loop.add("1.0")
        loop.add("2.0", "raise SystemExit(3)")
        for version in ("1.0", "2.0"):
            loop.point(version)
            loop.start()
        launcher.lay_link(loop.places.bundles, launcher.FORMER_LINK, "1.0")
        loop.keep(phase=PROVING, switched=True)
        end = loop.start()
        (loop.root / "calls").unlink()
        (loop.root / "calls").symlink_to("/dev/null")
        fill(disk)
        loop.judge(end)
        state = loop.state
        assert (loop.current, state.phase, state.code, state.exit_code) == ("1.0", UNDONE, "agent_update_ended", 3)
        assert "agent 1.0" in loop.start().printed


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Have a file system of its own there."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Take all room that is left, in bytes and, where there are so few, in files."""
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with suppress(OSError):
        for number in range(1000):
            (folder / f"filling-{number}").touch()


def test_an_agent_that_holds_the_state_cannot_stay(loop: SystemdLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that was stopped while it held the state does not keep it from being undone."""
    loop.keep(phase=PROVING, switched=True)
    monkeypatch.setattr(launcher, "PATIENCE_S", 0.2)
    with launcher.holding(loop.places.state):
        launcher.undo(loop.places.state, loop.places.bundles, code="agent_update_overdue", message="It hangs.")
    assert loop.current == "1.0"


def test_a_proof_in_the_last_moment_counts(loop: SystemdLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that proves itself while it is about to be given up as overdue stays, and nothing is restarted."""
    loop.keep(phase=PROVING, switched=True)
    real = launcher.holding

    @contextmanager
    def holding(folder: Path) -> Iterator[None]:
        loop.keep(phase=PROBATION, switched=True)
        with real(folder):
            yield

    monkeypatch.setattr(launcher, "holding", holding)
    monkeypatch.setenv("PATH", str(loop.root / "fakes"), prepend=":")
    launcher.overdue(loop.places)
    assert (loop.current, loop.state.phase, loop.take_calls()) == ("2.0", PROBATION, [])


def test_where_the_state_cannot_be_read_nothing_is_forgotten(loop: SystemdLoop) -> None:
    """The way back is taken while there is one, what was undone is not started, and what is kept stays for later."""
    loop.keep(phase=UNDONE, switched=True)
    state = loop.places.state / "state.json"
    state.rename(loop.root / "kept")
    state.symlink_to("state.json")
    launcher.lay_link(loop.places.bundles, launcher.FORMER_LINK, "1.0")
    assert "agent 1.0" in loop.live().printed
    (loop.places.bundles / launcher.FORMER_LINK).unlink()
    loop.take_calls()
    assert "agent 2.0" in loop.live().printed
    assert [call[0] for call in loop.take_calls()][:2] == ["systemctl", "systemd-run"], "it may be one on trial"
    assert state.is_symlink()
    (loop.root / "kept").replace(state)
    assert "agent 1.0" in loop.live().printed
    assert loop.current == "1.0"


def test_an_overdue_one_whose_state_cannot_be_read_is_started_anew(
    loop: SystemdLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start sees to it, instead of nobody any more."""
    loop.places.state.mkdir(parents=True)
    (loop.places.state / "state.json").symlink_to("state.json")
    monkeypatch.setenv("PATH", str(loop.root / "fakes"), prepend=":")
    launcher.overdue(loop.places)
    assert loop.take_calls() == [["systemctl", "restart", "--no-block", "zlh-agent.service"]]


def test_a_bundle_that_is_not_whole_is_not_started(loop: SystemdLoop) -> None:
    """Where the version on trial has no code, the former one runs and the reason is kept."""
    loop.keep(phase=PROVING)
    (loop.places.bundles / "2.0/lib/site-packages/zlh_agent").rename(loop.root / "away")
    assert "agent 1.0" in loop.live().printed
    assert (loop.current, loop.state.code) == ("1.0", "agent_update_broken")


def test_a_bundle_that_cannot_be_made_ready_is_not_started(loop: SystemdLoop) -> None:
    """Where its interpreter cannot be linked, as on a full disk, the former one runs instead of none."""
    loop.keep(phase=PROVING)
    (loop.places.bundles / "2.0/bin").write_text("in the way")
    end = loop.live()
    assert "agent 1.0" in end.printed
    assert (loop.current, loop.state.code) == ("1.0", "agent_update_broken")
    assert launcher.read_started(loop.places.run) is not None
    assert "agent 1.0" in loop.live().printed


def test_an_interpreter_that_is_linked_is_taken(loop: SystemdLoop) -> None:
    """Under either name, so nothing need be made on a full disk; one that leads nowhere is made anew."""
    folder = loop.places.bundles / "2.0/bin"
    folder.mkdir()
    (folder / "python3").symlink_to(loop.places.programs / NAME)
    assert "agent 2.0" in loop.live().printed
    assert [path.name for path in folder.iterdir()] == ["python3"]
    (folder / "python3").unlink()
    (folder / NAME).symlink_to("/nowhere")
    assert "agent 2.0" in loop.live().printed
    assert (folder / NAME).readlink() == loop.places.programs / NAME


def test_without_any_link_the_newest_that_is_whole_runs(loop: SystemdLoop) -> None:
    """A link that is gone, or leads nowhere, leaves no container without agent: 10.0 is newer than 2.0."""
    loop.add("10.0")
    loop.add("11.0", pythons=())
    for _ in range(2):
        (loop.places.bundles / "current").unlink()
        assert "agent 10.0" in loop.live().printed
        assert loop.current == "10.0"
        loop.point("9.9")
        assert "agent 10.0" in loop.live().printed


def test_a_container_whose_python_is_another_runs_with_that(tmp_path: Path) -> None:
    """After a release upgrade of the container the bundle's folder for its new Python is found, or an older Python."""
    loop = SystemdLoop(tmp_path)
    loop.add("1.0", pythons=("python3.99",))
    loop.point("1.0")
    assert loop.start().result == "exit-code", "nothing that it could run with"
    (loop.places.programs / "python3.99").symlink_to(PYTHON)
    link = loop.places.bundles / "1.0/bin/python3.99"
    loop.start()
    assert link.readlink() == loop.places.programs / "python3.99"


def test_nothing_to_start_is_told(tmp_path: Path) -> None:
    """Without any bundle it ends with an error that says where it looked, and systemd tries again."""
    loop = SystemdLoop(tmp_path)
    assert loop.start().status == "1"


def test_what_is_kept_is_nonsense_and_the_agent_starts(loop: SystemdLoop) -> None:
    """A state that nobody can read, or a folder that cannot be written, keeps nobody from starting."""
    loop.places.state.mkdir(parents=True)
    (loop.places.state / "state.json").write_bytes(b"{")
    assert "agent 2.0" in loop.live().printed
    (loop.places.state / "state.json").unlink(missing_ok=True)
    for path in loop.places.state.iterdir():
        path.unlink()
    loop.places.state.rmdir()
    loop.places.state.write_text("no folder")
    assert "agent 2.0" in loop.live().printed


def test_on_a_full_disk_it_is_still_written(loop: SystemdLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve makes room for the reason; where even that is not enough the link alone tells it."""
    loop.live()
    assert (loop.places.state / ".reserve").stat().st_size == RESERVE_BYTES
    real = launcher._write
    loop.keep(phase=PROVING, switched=True)

    def full(path: Path, content: bytes) -> None:
        if (loop.places.state / ".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(launcher, "_write", full)
    launcher.undo(loop.places.state, loop.places.bundles, code="c", message="m")
    assert (loop.current, loop.state.phase) == ("1.0", UNDONE)


def test_where_nothing_can_be_written_the_link_tells_it(loop: SystemdLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that takes nothing the link that was laid before leads back by one rename, and the next start knows."""
    loop.keep(phase=PROVING, switched=True)
    launcher.lay_link(loop.places.bundles, launcher.FORMER_LINK, "1.0")

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launcher, "_write", full)
    launcher.undo(loop.places.state, loop.places.bundles, code="c", message="m")
    monkeypatch.undo()
    assert (loop.current, loop.state.phase) == ("1.0", PROVING)
    assert "agent 1.0" in loop.live().printed
    assert loop.state.phase == UNDONE


@pytest.mark.parametrize("cut", range(ACTS))
def test_a_power_cut_while_it_starts(loop: SystemdLoop, cut: int) -> None:
    """Cut at any act on the disk of a start on trial, the next start puts the same version on trial."""
    loop.keep(phase=PROVING)
    is_through = "agent 2.0" in loop.start(cut=cut).printed
    assert is_through or cut < ACTS - 1
    assert "agent 2.0" in loop.start().printed
    assert (loop.current, loop.state.phase, loop.state.switched) == ("2.0", PROVING, True)


@pytest.mark.parametrize("cut", range(ACTS))
def test_a_power_cut_while_it_is_undone(loop: SystemdLoop, cut: int) -> None:
    """Cut at any act, the new version is started while nothing was written, else the former; and so it stays."""
    loop.keep(phase=PROVING, switched=True)
    rewrite(loop, "2.0", "raise SystemExit(3)")
    is_through = loop.judge(loop.start(), cut=cut)
    written = loop.state.phase == UNDONE or loop.current == "1.0"
    assert written or not is_through
    assert is_through or cut < ACTS - 1
    printed = loop.start().printed
    assert ("agent 1.0" in printed) == written
    assert ("agent 2.0" in printed) != written
    if written:
        assert (loop.current, loop.state.phase) == ("1.0", UNDONE)


@pytest.mark.parametrize("cut", range(ACTS))
def test_a_power_cut_while_it_is_led_back(loop: SystemdLoop, cut: int) -> None:
    """Cut at any act of the start that finishes an undoing, the next one finishes it."""
    loop.keep(phase=UNDONE, switched=True)
    is_through = "agent 1.0" in loop.start(cut=cut).printed
    assert is_through or cut < ACTS - 1
    assert "agent 1.0" in loop.start().printed
    assert loop.current == "1.0"


def test_an_argument_that_is_none_is_told(loop: SystemdLoop) -> None:
    """Run by hand with a word that it does not know, it says so and starts nothing."""
    done = subprocess.run([PYTHON, "-I", "-S", loop.program, "later"], check=False, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stderr)["msg"]) == (2, "launcher.argument_unknown")


def test_what_follows_start_is_for_the_agent(loop: SystemdLoop) -> None:
    """Arguments are handed on."""
    rewrite(loop, "2.0", "import sys; print(sys.argv[1:])")
    done = subprocess.run(
        [PYTHON, "-I", "-S", loop.program, "start", "--x", "y"], check=False, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "['--x', 'y']"
