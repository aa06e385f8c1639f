"""Starts the agent: the version that `current` leads to, or the former one where that has not proved itself.

    launcher.py start      decides which version runs, and becomes it
    launcher.py ended      after its end: one on trial that ended without being asked to is undone
    launcher.py overdue    by a timer: one that has not proved itself by now is undone

It is one file of the standard library alone, runs as `/usr/bin/python3 -I -S`, and is replaced only by a version past
its probation, so whatever an update brings, this stays what it was. What it knows is one file, written before and
after each step: a power cut between any two lines leaves a version that starts. The agent imports what is about it.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

NONE, PROVING, PROBATION, DONE, UNDONE = "none", "proving", "probation", "done", "undone"
PHASES = frozenset({NONE, PROVING, PROBATION, DONE, UNDONE})
ON_TRIAL = frozenset({PROVING, PROBATION})
STATE, RESERVE, LOCK = "state.json", ".reserve", ".lock"
# So that an undo can be written on a disk that is full.
RESERVE_BYTES = 64 * 1024
MAX_STATE_BYTES = 64 * 1024
MAX_SET_ASIDE = 5
# Beside the bundles: which one is started, and the way back, laid before a switch.
CURRENT, FORMER_LINK = "current", ".former"
INTERPRETER = "/usr/bin/python3"
ENVIRONMENT = "home = /usr/bin\ninclude-system-site-packages = false\n"
UNIT, TIMER = "zlh-agent", "zlh-agent-overdue"
# Of the switch; the agent itself gives up sooner and can say what was lacking.
OVERDUE_S = 100
COMMAND_LIMIT_S = 3.0
OUTPUT_BYTES = 4096
_HUNG = frozenset({"watchdog", "timeout"})


# What is known of an update


@dataclass(frozen=True, slots=True)
class UpdateState:
    """Which version is on trial, or was last. Of `none` only `highest` counts."""

    phase: str = NONE
    version: str = ""
    former: str = ""
    attempt: int = 0
    # Whether `current` is known to have been led to the version.
    switched: bool = False
    # The newest version that was ever accepted.
    highest: str = ""
    # Why it was undone, with the exit code and the last words of the one that ended.
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None
    # ISO 8601 with a zone.
    started_at: str | None = None
    ended_at: str | None = None


_TYPES = {
    "attempt": (int,),
    "switched": (bool,),
    "exit_code": (int, type(None)),
    **dict.fromkeys(("code", "message", "output", "started_at", "ended_at"), (str, type(None))),
}


def read_state(folder: Path) -> UpdateState:
    """Return what is known; where that cannot be read it is set aside, and nothing is known."""
    path = folder / STATE
    try:
        with path.open("rb") as file:
            return parse_state(file.read(MAX_STATE_BYTES + 1))
    except FileNotFoundError:
        return UpdateState()
    except (OSError, ValueError, RecursionError) as error:
        _say("launcher.state_set_aside", error=str(error))
        _set_aside(path)
        return UpdateState()


def parse_state(raw: bytes) -> UpdateState:
    """Return a state; what else it holds is left out. Raise ValueError where it is none."""
    held = json.loads(raw)
    if len(raw) > MAX_STATE_BYTES or not isinstance(held, dict):
        raise ValueError("it is no state of an update")
    known = {field.name: held[field.name] for field in fields(UpdateState) if field.name in held}
    if any(not isinstance(value, _TYPES.get(name, (str,))) for name, value in known.items()):
        raise ValueError("a field of it is of another kind")
    state = UpdateState(**known)
    if state.phase not in PHASES or (state.phase != NONE and not _are_names(state.version, state.former)):
        raise ValueError("it names no phase or no version")
    return state


def _are_names(*versions: str) -> bool:
    return all(version and "/" not in version and not version.startswith(".") for version in versions)


def _set_aside(path: Path) -> None:
    for number in range(1, MAX_SET_ASIDE + 1):
        aside = path.with_name(f"{path.name}.unreadable-{number}")
        if number == MAX_SET_ASIDE or not aside.exists():
            with suppress(OSError):
                path.replace(aside)
            return


def write_state(folder: Path, state: UpdateState) -> None:
    """Keep the state, durably: a cut leaves the old one or the new one. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = json.dumps(asdict(state)).encode()
    try:
        _write(folder / STATE, content)
    except OSError:
        # The disk is full, and this is what the reserve is for.
        (folder / RESERVE).unlink()
        _write(folder / STATE, content)
        return
    if not (folder / RESERVE).exists():
        with suppress(OSError):
            _write(folder / RESERVE, bytes(RESERVE_BYTES))


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Let one at a time change the state and where `current` leads to; whoever dies lets go. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def undo(
    folder: Path, bundles: Path, *, code: str, message: str, exit_code: int | None = None, output: str | None = None
) -> UpdateState:
    """Have the former version be started next, if one is on trial; return what is known then. Raises OSError.

    What was written first is finished by the next start, whichever it was.
    """
    with holding(folder):
        state = read_state(folder)
        if state.phase not in ON_TRIAL:
            return state
        ended = replace(
            state, phase=UNDONE, code=code, message=message, exit_code=exit_code, output=output, ended_at=_now()
        )
        try:
            write_state(folder, ended)
        finally:
            lead_back(bundles, state.former)
        return ended


def lead_back(bundles: Path, former: str) -> None:
    """Let `current` lead to the former version, by a rename of the link that was laid for it."""
    link = bundles / FORMER_LINK
    if _read_link(link) != former:
        with suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(former)
    link.rename(bundles / CURRENT)
    _sync(bundles)


def _read_link(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat()


# Which version is started


@dataclass(frozen=True, slots=True)
class Start:
    """What is known from this start on, and where `current` must lead to."""

    state: UpdateState
    current: str | None
    # Whether the version that starts has yet to prove itself.
    is_on_trial: bool


def decide_start(state: UpdateState, current: str | None, *, now: str) -> Start:
    """Return what a start finds itself in, from what is known and where `current` leads to."""
    is_new = current == state.version
    match state.phase:
        case "proving" if is_new:
            return Start(replace(state, switched=True), current, is_on_trial=True)
        case "proving" | "probation" if current == state.former and (state.switched or state.phase == PROBATION):
            # An undo that was cut off.
            ended = replace(
                state,
                phase=UNDONE,
                ended_at=now,
                code="agent_update_cut",
                message="It was undone, and cut off in that.",
            )
            return Start(ended, current, is_on_trial=False)
        case "undone" if is_new:
            return Start(state, state.former, is_on_trial=False)
        case _:
            return Start(state, current, is_on_trial=False)


def order_candidates(start: Start, present: Sequence[str]) -> list[str]:
    """Return the bundles in the order in which they are tried: what was undone comes last of all."""
    state = start.state
    known = [start.current, state.former, state.version, *sorted(present, reverse=True)]
    found = [version for version in dict.fromkeys(known) if version and version in present]
    is_undone = {version: state.phase == UNDONE and version == state.version for version in found}
    return sorted(found, key=lambda version: is_undone[version])


def is_whole(bundle: Path) -> bool:
    """Tell whether a folder is a version that this Python can run."""
    return (bundle / "bin").is_dir() and (_site(bundle) / "zlh_agent/__main__.py").is_file()


def _site(bundle: Path) -> Path:
    return bundle / "lib/python{}.{}/site-packages".format(*sys.version_info[:2])


def find_present(bundles: Path) -> list[str]:
    """Return the names of all folders that could be a version."""
    try:
        return sorted(
            path.name
            for path in bundles.iterdir()
            if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
        )
    except OSError:
        return []


def settle(folder: Path, bundles: Path) -> Start:
    """Finish what was cut off; return what is started. What the disk refuses keeps nothing from starting."""
    try:
        with holding(folder):
            return _settle(folder, bundles, read_state(folder))
    except OSError as error:
        _say("launcher.not_settled", error=str(error))
        return decide_start(read_state(folder), _read_link(bundles / CURRENT), now=_now())


def _settle(folder: Path, bundles: Path, state: UpdateState) -> Start:
    current = _read_link(bundles / CURRENT)
    start = decide_start(state, current, now=_now())
    if start.current != current and start.current is not None:
        lead_back(bundles, start.current)
    if start.state != state:
        write_state(folder, start.state)
    return start


def choose(start: Start, bundles: Path) -> str | None:
    """Return the first bundle that is whole."""
    for version in order_candidates(start, find_present(bundles)):
        if is_whole(bundles / version):
            return version
        _say("launcher.bundle_broken", version=version)
    return None


def complete(bundle: Path) -> None:
    """Make what an archive may not hold, where it is missing."""
    link, configuration = bundle / "bin/python3", bundle / "pyvenv.cfg"
    if not link.is_symlink():
        link.symlink_to(INTERPRETER)
        _sync(link.parent)
    if not configuration.is_file():
        configuration.write_text(ENVIRONMENT)
        configuration.chmod(0o644)


def render_command(bundle: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command of a version: from its own folder and not through `current`, so that one sees who runs it."""
    compiled = "zlh_agent/__pycache__/__main__.cpython-{}{}.pyc".format(*sys.version_info[:2])
    # Its list of files is checked, so nothing may be written into it.
    bare = [] if (_site(bundle) / compiled).is_file() else ["-B"]
    return [str(bundle / "bin/python3"), "-I", *bare, "-m", "zlh_agent", *arguments]


# The three commands


@dataclass(frozen=True, slots=True)
class Container:
    """Where things are in a container, or below a folder that stands for one."""

    root: Path

    @property
    def bundles(self) -> Path:
        """The folder that this file lies in."""
        return self.root / "opt/zlh/agent"

    @property
    def folder(self) -> Path:
        """Of the state."""
        return self.root / "var/lib/zlh/update"

    @property
    def started(self) -> Path:
        """Which version was started, by which process: of this life of the container."""
        return self.root / "run/zlh/started.json"


def start(container: Container, arguments: Sequence[str]) -> None:
    """Become the agent; return only where there is none."""
    found = settle(container.folder, container.bundles)
    version = choose(found, container.bundles)
    if version is None:
        _say("launcher.no_bundle", folder=str(container.bundles))
        return
    if found.is_on_trial and version == found.state.version:
        _arm()
    bundle = container.bundles / version
    with suppress(OSError):
        complete(bundle)
    _note_started(container.started, version)
    command = render_command(bundle, arguments)
    os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


def _note_started(path: Path, version: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, json.dumps({"version": version, "pid": os.getpid()}).encode())
    except OSError as error:
        _say("launcher.start_not_noted", error=str(error))


def _arm() -> None:
    """Have systemd ask, when the time is over, whether the version has proved itself."""
    _run("systemctl", "stop", f"{TIMER}.timer")
    command = [INTERPRETER, "-I", "-S", str(Path(__file__).resolve()), "overdue"]
    said = _run("systemd-run", "--quiet", "--collect", f"--on-active={OVERDUE_S}", f"--unit={TIMER}", "--", *command)
    if said is None:
        _say("launcher.timer_not_armed")


def ended(container: Container) -> None:
    """Undo the version that has ended, where it is on trial and nobody had asked it to end."""
    state = read_state(container.folder)
    if state.phase not in ON_TRIAL or _started_version(container.started) != state.version or _is_asked_to_end():
        return
    result, status = os.environ.get("SERVICE_RESULT", ""), os.environ.get("EXIT_STATUS", "")
    exit_code = int(status) if os.environ.get("EXIT_CODE") == "exited" and status.isdigit() else None
    output = _run("journalctl", f"--unit={UNIT}", "--lines=60", "--output=cat", "--no-pager", "--quiet")
    told = (
        f"{state.version} ended by itself ({result or 'without a word'} {status}) before it had proved itself".strip()
    )
    last_words = None if output is None else output[-OUTPUT_BYTES:]
    if result in _HUNG:
        undo(
            container.folder, container.bundles, code="agent_update_hung",
            message=f"{state.version} did not answer systemd any more ({result}).", output=last_words,
        )  # fmt: skip
    else:
        undo(
            container.folder, container.bundles, code="agent_update_ended",
            message=f"{told}.", exit_code=exit_code, output=last_words,
        )  # fmt: skip
    _say("launcher.undone", version=state.version, result=result, status=status)


def _started_version(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_asked_to_end() -> bool:
    """Tell whether somebody stops or restarts the agent, or the container itself goes."""
    jobs = (_run("systemctl", "list-jobs", "--no-legend", "--plain") or "").splitlines()
    if any({f"{UNIT}.service"} & set(job.split()) and {"stop", "restart"} & set(job.split()) for job in jobs):
        return True
    return (_run("systemctl", "is-system-running", any_code=True) or "").strip() == "stopping"


def overdue(container: Container) -> None:
    """Undo a version that has not proved itself, and have the former one started."""
    state = read_state(container.folder)
    if state.phase != PROVING:
        return
    message = f"{state.version} had not proved itself {OVERDUE_S} s after its start."
    undo(container.folder, container.bundles, code="agent_update_overdue", message=message)
    _say("launcher.undone", version=state.version, result="overdue")
    _run("systemctl", "restart", "--no-block", f"{UNIT}.service")


def _run(*command: str, any_code: bool = False) -> str | None:
    """Return what a program prints, or None where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if any_code or not done.returncode else None


def _say(event: str, **facts: str) -> None:
    line = {"time": _now(), "level": "WARN", "msg": event, **facts}
    with suppress(OSError):
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()


def main(argv: Sequence[str]) -> int:
    """Do what the first argument says; what follows `start` is for the agent."""
    container = Container(Path(__file__).resolve().parents[3])
    match argv[:1]:
        case ["ended"]:
            ended(container)
        case ["overdue"]:
            overdue(container)
        case ["start"] | []:
            start(container, argv[1:])
            # systemd starts it again at once; a little later may be better.
            time.sleep(1)
            return 1
        case _:
            _say("launcher.argument_unknown", argument=argv[0])
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
