"""Starts the agent of the version that is due, and brings the former one back where a new one does not prove itself.

    launcher.py            what the unit starts: it becomes the agent; `start` says so too, with arguments for the agent
    launcher.py ended      once the agent has ended: was that asked for?
    launcher.py overdue    a timer, some time after a version was switched to: has that proved itself?

A copy of it lies beside the bundles, `/opt/zlh/agent/launcher.py`. The container's own `/usr/bin/python3 -I -S` runs it
and it needs nothing but the standard library: it has to work when a bundle does not. The agent imports it too, so what
is kept of a switch has one shape.

    proving ──► probation ──► done        what the agent writes, past its proofs
       └────────────┴───────► undone      `current` leads to the former version again
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

NONE, PROVING, PROBATION, DONE, UNDONE = "none", "proving", "probation", "done", "undone"
PHASES = frozenset({NONE, PROVING, PROBATION, DONE, UNDONE})
UNIT, TIMER = "zlh-agent.service", "zlh-agent-overdue"
# From a start on trial to the end of the proof, whatever happens: well within two minutes, the former one's start
# included.
OVERDUE_S = 85
# How long another one may hold the state: an agent that was stopped in the middle must not keep it from being undone.
PATIENCE_S = 5.0
# systemd ends what is run after an end with its TimeoutStopSec. To ask and to undo comes first and has time; the last
# words of the version come after that.
COMMAND_S = 4.0
# So that a container without any agent does nothing but look, again and again.
NOTHING_S = 1.0
OUTPUT_LINES, OUTPUT_BYTES = 60, 4096
# Set aside so that on a full disk it can still be written that a version was undone.
RESERVE_BYTES = 64 * 1024
STATE, LOCK, RESERVE, STARTED = "state.json", ".lock", ".reserve", "started.json"
# Beside the bundles: which one is started, and the way back, which is laid before a switch.
CURRENT, FORMER_LINK = "current", ".former"
INTERPRETER = Path("/usr/bin/python3")
_BUNDLE = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,63}")


@dataclass(frozen=True)
class UpdateState:
    """How far the last switch is. Times are RFC 3339; the empty text stands for what nobody has said."""

    phase: str = NONE
    # The version that was switched to, and the one that was left.
    version: str = ""
    former: str = ""
    attempt: int = 0
    # `current` was seen to lead to the version; before that it is not known whether it does.
    switched: bool = False
    # The newest version that has ever proved itself here.
    highest: str = ""
    # Why it was undone, how it ended, and what it had printed.
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


@dataclass(frozen=True)
class Start:
    """What a start begins with."""

    # The bundle that is run; None where there is none that could be.
    version: str | None
    state: UpdateState
    # `current` is to lead to that version first.
    relinks: bool = False
    # It has to prove itself, and in time.
    proves: bool = False


@dataclass(frozen=True)
class Places:
    """Where things are: below the folder that `opt/zlh/agent/launcher.py` is in."""

    root: Path

    @property
    def bundles(self) -> Path:
        """One folder for each version, and `current`."""
        return self.root / "opt/zlh/agent"

    @property
    def state(self) -> Path:
        """What is kept of a switch."""
        return self.root / "var/lib/zlh/update"

    @property
    def run(self) -> Path:
        """What is of this boot."""
        return self.root / "run/zlh"

    @property
    def programs(self) -> Path:
        """Where the container's own Pythons are."""
        return self.root / "usr/bin"


# --- decisions: pure


def decide_start(state: UpdateState, current: str | None, whole: Collection[str], *, now: str) -> Start:
    """Return which version starts, and what is kept then.

    `current` is what the link says, `whole` are the bundles that could run here. A version that was undone is never
    started where there is another one.
    """
    state = settle(state, current, now=now)
    wanted = state.former if state.phase == UNDONE and current == state.version else current
    if wanted not in whole:
        if state.phase in {PROVING, PROBATION} and wanted == state.version:
            message = f"The bundle of {wanted} is not whole, or has no Python here."
            state = mark_undone(state, now=now, code="agent_update_broken", message=message)
        wanted = choose_spare(state, whole)
    proves = state.phase == PROVING and wanted == state.version
    state = replace(state, switched=True) if proves else state
    return Start(wanted, state, relinks=wanted is not None and wanted != current, proves=proves)


def decide_blind(current: str | None, way_back: str | None, whole: Collection[str]) -> Start:
    """Return which version starts where nobody can tell what is kept, which stays as it is.

    While there is a way back, `current` may lead to one on trial, or to one whose undoing was cut off. Without one it
    is looked after all the same.
    """
    wanted = next((each for each in (way_back, current) if each in whole), None)
    version = wanted or choose_spare(UpdateState(), whole)
    return Start(version, UpdateState(), proves=version == current)


def settle(state: UpdateState, current: str | None, *, now: str) -> UpdateState:
    """Return the state as it is once what was cut off counts as done."""
    if state.phase in {PROVING, PROBATION} and state.switched and current != state.version:
        message = f"{state.version} was undone, and cut off in that: why is lost."
        return mark_undone(state, now=now, code="agent_update_cut", message=message)
    return state


def choose_spare(state: UpdateState, whole: Collection[str]) -> str | None:
    """Return which version runs where the one that should cannot: the last that was good, or else the newest."""
    bad = {state.version} if state.phase == UNDONE else set()
    known = [each for each in (state.former, state.highest, state.version) if each in whole and each not in bad]
    if known:
        return known[0]
    others = sorted(set(whole) - bad, key=version_key) or sorted(whole, key=version_key)
    return others[-1] if others else None


def version_key(version: str) -> list[tuple[int, str]]:
    """Return what versions are ordered by here, where nothing but the newest is asked for."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.+_-]", version)]


def mark_undone(state: UpdateState, *, now: str, code: str, message: str, **more: Any) -> UpdateState:
    """Return a state as it is once its version was given up."""
    return replace(state, phase=UNDONE, code=code, message=message, ended_at=now, **more)


def is_on_trial(state: UpdateState, started: str | None) -> bool:
    """Tell whether a version that was started has yet to show its worth."""
    return state.phase in {PROVING, PROBATION} and started == state.version


def describe_end(version: str, result: str, code: str, status: str) -> tuple[str, int | None]:
    """Return how a version ended, as a sentence, and its exit code; from what systemd says of it."""
    exit_code = int(status) if code == "exited" and status.isdigit() else None
    how = {
        "success": "ended by itself",
        "exit-code": f"ended by itself with exit code {status}",
        "signal": f"was killed by {status}",
        "core-dump": f"crashed ({status})",
        "watchdog": "hung, and was ended by the watchdog",
        "timeout": "did not start in time",
        "oom-kill": "was ended since memory ran out",
    }.get(result, f"failed ({result})")
    return f"{version} {how} before it had proved itself.", exit_code


# --- what is kept


def read_state(folder: Path) -> UpdateState:
    """Return what is kept; what is no state is set aside and counts as not there.

    Raises OSError where the disk or the system does not let it be read: what it says still holds then.
    """
    path = folder / STATE
    try:
        held = json.loads(path.read_bytes())
        return _to_state(held)
    except (FileNotFoundError, NotADirectoryError):
        return UpdateState()
    except (IsADirectoryError, ValueError, TypeError, RecursionError) as exc:
        log("WARN", "launcher.state_set_aside", error=str(exc))
        with suppress(OSError):
            path.replace(path.with_name(f"{STATE}.unreadable"))
        return UpdateState()


def _to_state(held: Any) -> UpdateState:
    """Return a document as a state: fields that another version added are left out, and so is a phase of its own."""
    if not isinstance(held, dict):
        raise TypeError("it is no object")
    known = {each.name: held[each.name] for each in fields(UpdateState) if each.name in held}
    for name, value in known.items():
        kind = type(getattr(UpdateState(), name))
        is_right = isinstance(value, str | int) if kind is type(None) else type(value) is kind
        if not (is_right or (value is None and kind is type(None))):
            raise ValueError(f"{name} is {value!r}")
    state = UpdateState(**known)
    return state if state.phase in PHASES else replace(UpdateState(), highest=state.highest)


def write_state(folder: Path, state: UpdateState) -> None:
    """Keep a state; once this has returned it outlives a power cut. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = json.dumps(asdict(state)).encode()
    try:
        _write(folder / STATE, content)
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        (folder / RESERVE).unlink(missing_ok=True)
        _write(folder / STATE, content)


def _write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Have a file hold this, whole and durably, or what it held before. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def reserve(folder: Path) -> None:
    """Take the room that `write_state` gives back where there is no other. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / RESERVE
    if path.exists() and path.stat().st_size == RESERVE_BYTES:
        return
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the state against others for the length of the block; after PATIENCE_S without it all the same."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + PATIENCE_S
        while not _lock(descriptor):
            if time.monotonic() > end:
                log("WARN", "launcher.state_held_by_another", waited_s=PATIENCE_S)
                break
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- bundles


def read_current(bundles: Path) -> str | None:
    """Return the version that `current` leads to, None where that is no folder beside it."""
    return read_link(bundles, CURRENT)


def is_bundle_name(name: str) -> bool:
    """Tell whether a folder beside the launcher is a version of the agent."""
    return _BUNDLE.fullmatch(name) is not None


def read_link(bundles: Path, name: str) -> str | None:
    """Return the version that a link leads to, None where that is no folder beside it."""
    with suppress(OSError):
        target = str((bundles / name).readlink())
        return target if is_bundle_name(target) else None
    return None


def lay_link(bundles: Path, name: str, version: str) -> None:
    """Have a link lead to a version. Raises OSError."""
    if not ((bundles / name).is_symlink() and str((bundles / name).readlink()) == version):
        (bundles / name).unlink(missing_ok=True)
        (bundles / name).symlink_to(version)
        _sync(bundles)


def switch(bundles: Path, version: str) -> None:
    """Have `current` lead to a version, by one rename. Raises OSError."""
    lay_link(bundles, FORMER_LINK, version)
    (bundles / FORMER_LINK).replace(bundles / CURRENT)
    _sync(bundles)


def undo(
    folder: Path,
    bundles: Path,
    *,
    code: str,
    message: str,
    only: Collection[str] = frozenset({PROVING, PROBATION}),
    **more: Any,
) -> UpdateState:
    """Give up the version that has yet to show its worth, in `only` these phases; return what is kept then.

    Raises OSError where the state cannot be read or `current` not be led back; that it is not written down matters
    less, since the link tells it.
    """
    with holding(folder):
        state = read_state(folder)
        if state.phase not in only:
            return state
        undone = mark_undone(state, now=_now(), code=code, message=message, **more)
        _write_or_tell(folder, undone)
        switch(bundles, undone.former)
    log("WARN", "agent.update_undone", version=undone.version, back_to=undone.former, code=code, reason=message)
    return undone


def _write_or_tell(folder: Path, state: UpdateState) -> None:
    try:
        write_state(folder, state)
    except OSError as exc:
        log("ERROR", "launcher.state_not_written", error=str(exc), phase=state.phase)


def find_pythons(programs: Path) -> list[Path]:
    """Return the Pythons that could run an agent: that which runs this, then the newest of the others."""
    own = f"python3.{sys.version_info[1]}"
    others = sorted(programs.glob("python3.[0-9]*"), key=lambda path: version_key(path.name), reverse=True)
    names = [own, *(path.name for path in others if re.fullmatch(r"python3\.[0-9]+", path.name) and path.name != own)]
    return [programs / name for name in names if (programs / name).exists()]


def find_python(bundle: Path, pythons: Iterable[Path]) -> Path | None:
    """Return the first of these Pythons that a bundle has a folder for; None where it is not whole, or has none."""
    return next((each for each in pythons if (bundle / "lib" / each.name / "site-packages/zlh_agent").is_dir()), None)


def complete(bundle: Path, python: Path = INTERPRETER) -> Path:
    """Return the interpreter of a bundle that sees its modules alone; makes what archives cannot hold, or OSError."""
    program = _find_link(bundle / "bin", python) or bundle / "bin" / python.name
    program.parent.mkdir(exist_ok=True)
    if not program.exists():
        program.unlink(missing_ok=True)
        program.symlink_to(python)
        _sync(program.parent)
    configuration = bundle / "pyvenv.cfg"
    if not configuration.is_file():
        content = f"home = {python.resolve().parent}\ninclude-system-site-packages = false\n"
        _write(configuration, content.encode(), mode=0o644)
    return program


def _find_link(folder: Path, python: Path) -> Path | None:
    """Return a link in the folder that leads to that Python: then nothing has to be made, on a full disk either."""
    links = (folder / name for name in (python.name, INTERPRETER.name))
    return next((link for link in links if link.exists() and link.resolve() == python.resolve()), None)


# --- what is run


def start(places: Places, arguments: Sequence[str] = ()) -> None:
    """Become the agent, with these arguments. Returns only where there is none."""
    pythons = find_pythons(places.programs)
    whole = {each.name: python for each in _find_bundles(places.bundles) if (python := find_python(each, pythons))}
    while (begun := _settle_start(places, whole)).version is not None:
        if begun.proves:
            _arm(places)
        _note_started(places.run, begun.version)
        try:
            _become(places.bundles / begun.version, whole.pop(begun.version), arguments)
        except OSError as exc:
            log("ERROR", "launcher.version_not_started", version=begun.version, error=str(exc))
    log("ERROR", "launcher.no_bundle", folder=str(places.bundles), pythons=[path.name for path in pythons])


def _become(bundle: Path, python: Path, arguments: Sequence[str]) -> None:
    """Run a version in this very process. Raises OSError."""
    # By the path of the version and not through `current`: what it starts later is of this version too.
    program = complete(bundle, python)
    # Without writing what it compiles: a bundle stays as it was published.
    os.execv(program, [str(program), "-I", "-B", "-m", "zlh_agent", *arguments])  # noqa: S606 - to become it is the purpose


def _settle_start(places: Places, whole: Collection[str]) -> Start:
    """Return what starts, with all that has to be kept before kept; whatever fails here, something starts."""
    try:
        with holding(places.state):
            state = read_state(places.state)
            begun = decide_start(state, read_current(places.bundles), whole, now=_now())
            if begun.state != state:
                _write_or_tell(places.state, begun.state)
            if begun.relinks and begun.version is not None:
                log("WARN", "launcher.version_put_back", version=begun.version, reason=begun.state.message)
                switch(places.bundles, begun.version)
        with suppress(OSError):
            reserve(places.state)
    except OSError as exc:
        log("ERROR", "launcher.state_unusable", error=str(exc))
        return _decide_unsettled(places, whole)
    return begun


def _decide_unsettled(places: Places, whole: Collection[str]) -> Start:
    """Return what starts where nothing can be kept: on a disk that may only be read what it says still counts."""
    current = read_current(places.bundles)
    try:
        return decide_start(read_state(places.state), current, whole, now=_now())
    except OSError:
        return decide_blind(current, read_link(places.bundles, FORMER_LINK), whole)


def _find_bundles(bundles: Path) -> list[Path]:
    try:
        return [path for path in bundles.iterdir() if is_bundle_name(path.name) and path.is_dir()]
    except OSError:
        return []


def _note_started(folder: Path, version: str) -> None:
    """Note which version this process becomes; exec keeps its pid. Where it cannot be noted, no other note stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder / STARTED, json.dumps({"version": version, "pid": os.getpid()}).encode())
    except OSError as exc:
        log("WARN", "launcher.start_not_noted", error=str(exc))
        with suppress(OSError):
            (folder / STARTED).unlink(missing_ok=True)


def read_started(folder: Path) -> tuple[str, int] | None:
    """Return the version that was started last in this boot and its pid, or None where no such note is there."""
    try:
        noted = json.loads((folder / STARTED).read_bytes())
        return str(noted["version"]), int(noted["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _arm(places: Places) -> None:
    """Have systemd look at the version on trial in time, whatever has become of it; counted from this start."""
    _disarm()
    launcher = [sys.executable, "-I", "-S", str(places.bundles / "launcher.py"), "overdue"]
    options = ["--quiet", "--collect", f"--unit={TIMER}", f"--on-active={OVERDUE_S}", "--timer-property=AccuracySec=1s"]
    if _run("systemd-run", *options, *launcher) is None:
        log("WARN", "launcher.not_armed", reason="systemd-run has not taken the timer; the agent looks after itself")


def _disarm() -> None:
    _run("systemctl", "stop", f"{TIMER}.timer")


def ended(places: Places) -> None:
    """Judge how the agent has ended, from what systemd says in the environment."""
    try:
        state, started = read_state(places.state), read_started(places.run)
    except OSError as exc:
        # What is on trial stays so: the next start and the timer see to it.
        log("ERROR", "launcher.end_not_judged", error=str(exc))
        return
    # Without a note it was the one that was switched to: a former one that has none cannot switch.
    ran = started[0] if started is not None else state.version if state.switched else None
    result, code, status = (os.environ.get(name, "") for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"))
    # Without EXIT_CODE nothing was started yet that could have ended.
    if not code or not is_on_trial(state, ran):
        return
    if _was_asked():
        # It is nobody's fault, and the trial begins again with the next start, whenever that is.
        _disarm()
        return
    message, exit_code = describe_end(state.version, result, code, status)
    give_up = partial(undo, places.state, places.bundles, message=message, exit_code=exit_code)
    if result in {"watchdog", "timeout"}:
        undone = give_up(code="agent_update_hung")
    else:
        undone = give_up(code="agent_update_ended")
    _add_output(places.state, undone, _read_output(os.environ.get("INVOCATION_ID", "")))


def _add_output(folder: Path, undone: UpdateState, output: str | None) -> None:
    """Keep the last words too, unless something else has happened since."""
    if output is None:
        return
    with suppress(OSError), holding(folder):
        if read_state(folder) == undone:
            _write_or_tell(folder, replace(undone, output=output))


def _was_asked() -> bool:
    """Tell whether somebody has asked the agent to end, or the container; it counts as so where that cannot be told."""
    if (jobs := _run("systemctl", "list-jobs", "--no-legend", "--plain")) is None:
        return os.environ.get("SERVICE_RESULT") == "success"
    of_ours = (line.split() for line in jobs.splitlines())
    if any(UNIT in words and {"stop", "restart"} & set(words) for words in of_ours):
        return True
    return (_run("systemctl", "is-system-running", ok=None) or "").strip() == "stopping"


def _read_output(invocation: str) -> str | None:
    if not re.fullmatch(r"[0-9a-f]{32}", invocation):
        return None
    # What it printed last is still on its way.
    _run("journalctl", "--sync")
    said = _run("journalctl", "-q", "-o", "cat", "-n", str(OUTPUT_LINES), f"_SYSTEMD_INVOCATION_ID={invocation}")
    return said.encode()[-OUTPUT_BYTES:].decode("utf-8", "replace") if said else None


def overdue(places: Places) -> None:
    """Give up a version that has not proved itself by now, and start the former one."""
    try:
        state = read_state(places.state)
        if state.phase != PROVING:
            return
        message = f"{state.version} has not proved itself within {OVERDUE_S} s."
        # It may prove itself at this very moment.
        give_up = partial(undo, places.state, places.bundles, only={PROVING})
        if give_up(code="agent_update_overdue", message=message).phase != UNDONE:
            return
    except OSError as exc:
        # The next start tries again to see what is on trial, and has it looked at in time.
        log("ERROR", "launcher.overdue_unknown", error=str(exc))
    _run("systemctl", "restart", "--no-block", UNIT)


def _run(*command: str, ok: int | None = 0) -> str | None:
    """Return what a program printed; None where it is not there, took too long, or ended otherwise than with `ok`."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if ok is None or done.returncode == ok else None


def log(level: str, msg: str, **more: Any) -> None:
    """Print one event as the agent prints its own."""
    line = {"time": _now(), "level": level, "msg": msg, **more}
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()


def _now() -> str:
    """Return the time as the agent's own lines have it: to the nanosecond, without zeros at the end."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(argv: Sequence[str]) -> int:
    """Do what the first argument says; what follows `start` is for the agent. Return the exit code."""
    places = Places(Path(__file__).resolve().parents[3])
    match argv[:1]:
        case ["ended"]:
            ended(places)
        case ["overdue"]:
            overdue(places)
        case ["start"] | []:
            start(places, argv[1:])
            time.sleep(NOTHING_S)
            return 1
        case _:
            log("ERROR", "launcher.argument_unknown", argument=argv[0])
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
