"""What an addon is as a process, what is told of it, and when it is brought to another version: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from zlh_agent.addons.code_server import MARK, clean_environment, code_server
from zlh_agent.addons.last_use import parse_last_use
from zlh_agent.addons.rules import Renewal, decide_renewal, tell_addon, with_last_use
from zlh_agent.supervision.process import fingerprint
from zlh_common.schema.process import ProcessReason, ProcessState, WantedProcess
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AddonState, InstalledRuntime, ProcessStatus, Step, StepState

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WANTED = WantedRuntime(name="code-server", version="2")
RUNS = ProcessStatus(name="code-server", state="running", pid=7, started_at=NOW, ready=True)


def made(
    *, version: str = "1", attempt: int = 0, address: str = "0.0.0.0", origins: tuple[str, ...] = ("a.b",)
) -> WantedProcess:
    """Return the process of one install."""
    folder = Path("/opt/zlh/services/code-server")
    return code_server(folder, version=version, attempt=attempt, address=address, origins=origins)


def installed(version: str, *, default: bool) -> InstalledRuntime:
    """Return one version on the disk."""
    return InstalledRuntime(
        name="code-server",
        version=version,
        default=default,
        verified=True,
        size=1,
        sha256="",
        source="",
        installed_at=NOW,
    )


def test_the_command_says_all_that_counts() -> None:
    """Through `current`, on its one port, with no file but an empty one, no password, and no way to other ports."""
    argv = made(origins=("a.b", "c.d:8443")).argv
    assert argv[0] == "/opt/zlh/services/code-server/current/bin/code-server"
    text = " ".join(argv[1:])
    for part in (
        "--config /dev/null", "--bind-addr 0.0.0.0:6000", "--auth none",
        "--trusted-origins a.b --trusted-origins c.d:8443",
        "--disable-proxy", "--disable-telemetry", "--disable-update-check",
    ):  # fmt: skip
        assert part in text
    assert "--bind-addr [::]:6000" in " ".join(made(address="::").argv)


def test_each_install_and_each_set_of_hosts_is_a_command_of_its_own() -> None:
    """So what runs from another one is known to be outdated."""
    others = [made(version="2"), made(attempt=1), made(origins=()), made(address="127.0.0.1")]
    assert len({fingerprint(each) for each in (made(), *others)}) == 5
    assert fingerprint(made()) == fingerprint(made())


@pytest.mark.parametrize(
    "name",
    ["PORT", "PASSWORD", "HASHED_PASSWORD", "GITHUB_TOKEN", "LOG_LEVEL", "CODE_SERVER_HOST", "CODE_SERVER_CONFIG",
     "CS_DISABLE_PROXY", "VSCODE_PROXY_URI", "VSCODE_OPTIONS", "NODE_OPTIONS", "XDG_CONFIG_HOME", MARK],
)  # fmt: skip
def test_what_it_would_obey_is_left_out(name: str) -> None:
    """Whoever has put it into the environment."""
    assert clean_environment({name: "1", "PATH": "/bin", "SUPPORT": "1"}) == {"PATH": "/bin", "SUPPORT": "1"}


@pytest.mark.parametrize(
    ("state", "is_outdated", "was_tried", "found"),
    [
        ("running", True, False, Renewal.RESTART),
        ("starting", True, True, Renewal.RESTART),
        ("error", True, False, Renewal.RETRY),
        ("error", True, True, None),
        ("stopping", True, False, None),
        ("backoff", True, False, Renewal.RETRY),
        ("backoff", True, True, None),
        # Somebody has killed it.
        ("stopped", True, False, None),
        ("running", False, False, None),
        ("error", False, False, None),
    ],
)
def test_what_is_outdated_is_renewed_once(
    state: ProcessState, is_outdated: bool, was_tried: bool, found: Renewal | None
) -> None:
    """What runs is restarted; what failed is tried once with what is new; all else comes to it by itself."""
    assert decide_renewal(state, is_outdated=is_outdated, was_tried=was_tried) is found


def tell(
    *, wanted: WantedRuntime | None = WANTED, process: ProcessStatus | None = None, step: Step | None = None
) -> tuple[AddonState, str | None, str | None]:
    """Return state, version and message of an addon whose version 1 is in use."""
    versions = [installed("1", default=True), installed("0", default=False)] if process else []
    told = tell_addon(
        "code-server", wanted=wanted, is_known=True, versions=versions, steps=[step] if step else [], process=process
    )
    return told.state, told.version, told.message


def step(state: StepState, message: str | None = None, *, name: str = "install-code-server") -> Step:
    """Return a step."""
    return Step(name=name, state=state, message=message)


def test_what_is_told_before_anything_runs() -> None:
    """It is being installed, or that has failed, with the words of its step."""
    assert tell() == (AddonState.INSTALLING, None, None)
    assert tell(step=step(StepState.RUNNING, "unpacking")) == (AddonState.INSTALLING, None, "unpacking")
    assert tell(step=step(StepState.FAILED, "no room")) == (AddonState.ERROR, None, "no room")
    beside = step(StepState.FAILED, "no room", name="install-code-server-0")
    assert tell(step=beside) == (AddonState.INSTALLING, None, None)


def test_what_is_told_of_one_that_runs() -> None:
    """Running means that it answers; what runs from another version is being stopped."""
    change = msgspec.structs.replace
    busy = ProcessReason(code="port_busy", message="Port 6000 is held by x.")
    assert tell(process=RUNS) == (AddonState.RUNNING, "1", None)
    assert tell(process=change(RUNS, ready=False))[0] is AddonState.STARTING
    assert tell(process=change(RUNS, outdated=True))[0] is AddonState.STOPPING
    for state in ("starting", "stopping", "stopped", "backoff", "error"):
        assert tell(process=change(RUNS, state=state, ready=False))[0] == state
    down = change(RUNS, state="backoff", pid=None, ready=False, reason=busy)
    assert tell(process=down) == (AddonState.BACKOFF, "1", busy.message)
    failed = step(StepState.FAILED, "no room")
    text = "code-server 2 could not be installed: no room"
    assert tell(process=RUNS, step=failed) == (AddonState.RUNNING, "1", text)


def test_what_is_told_of_one_that_goes_or_that_nobody_knows() -> None:
    """On its way out it says what it waits for; one that this agent cannot run is an error that says so."""
    waits = step(StepState.PENDING, "in use by bash", name="remove-code-server-1")
    assert tell(wanted=None, step=waits, process=RUNS)[::2] == (AddonState.STOPPING, "in use by bash")
    told = tell_addon("x", wanted=WANTED, is_known=False, versions=[], steps=[], process=None)
    assert (told.state, told.message) == (
        AddonState.ERROR, "This agent does not know how x is run; a newer one may.",
    )  # fmt: skip


def test_only_one_that_runs_was_used() -> None:
    """What the one before it has said is nothing of now."""
    up = tell_addon("x", wanted=WANTED, is_known=True, versions=[], steps=[], process=RUNS)
    down = tell_addon("x", wanted=WANTED, is_known=True, versions=[], steps=[], process=None)
    assert with_last_use(up, NOW).last_used_at == NOW
    assert with_last_use(down, NOW).last_used_at is None


def answer(body: bytes, *, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return an answer of HTTP."""
    return line + b"\r\nContent-Type: application/json\r\n\r\n" + body


def heartbeat(at: datetime) -> bytes:
    """Return what code-server says of its last use."""
    return msgspec.json.encode({"status": "alive", "lastHeartbeat": int(at.timestamp() * 1000)})


def test_the_last_use_is_read_from_its_answer() -> None:
    """Milliseconds since 1970; 0 before anybody has used it; a clock may be off by a little."""
    assert parse_last_use(answer(heartbeat(NOW - timedelta(hours=1))), now=NOW) == NOW - timedelta(hours=1)
    assert parse_last_use(answer(heartbeat(NOW + timedelta(seconds=5))), now=NOW) == NOW
    assert parse_last_use(answer(b'{"status":"expired","lastHeartbeat":0}'), now=NOW) is None


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\r\n\r\n", answer(b""), answer(b"{}"), answer(b"[" * 10_000),
        answer(b'{"x":' + b"[" * 15_000), answer(b'{"lastHeartbeat":"now"}'),
        answer(b'{"lastHeartbeat":1e300}'), answer(b'{"lastHeartbeat":-1}'), answer(b'{"lastHeartbeat":null}'),
        answer(heartbeat(NOW + timedelta(hours=1))), answer(heartbeat(NOW), line=b"HTTP/1.1 500 No"),
        answer(b'{"lastHeartbeat":\xff}'), b"SSH-2.0-x\r\n\r\n" + heartbeat(NOW),
    ],
)  # fmt: skip
def test_what_says_nothing_of_its_use_is_nothing(said: bytes) -> None:
    """The customer may have put anything there."""
    assert parse_last_use(said, now=NOW) is None
