"""Starting a shim so that it outlives the agent: forked away, or as a unit of its own under systemd.

In a container the unit matters: the agent's own unit ends with everything in its control group, and the kernel's
verdict on memory is then told for this one process instead of for all of them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal, Protocol

import msgspec

import zlh_agent
import zlh_common
from zlh_agent.shim.config import Config, render_config
from zlh_agent.shim.errors import LaunchFailed
from zlh_common.names import CONTAINER_MARK

START_TIMEOUT_S = 10.0
# More than any ladder takes: the shim sees to the end of its child by itself.
UNIT_STOP_TIMEOUT_S = 3600
# Everything of the customer's together is held to what this slice says (deploy/agent/zlh.slice), and each shim with all
# below it to less: a fork bomb in one leaves room for the terminal in which it is ended.
SLICE, UNIT_TASKS = "zlh.slice", "70%"
# Where the kernel lets us: a shim is none of those who use up the memory.
SHIM_OOM_SCORE = -500

_BOOT = "import sys; sys.path += sys.argv[2:]; from zlh_agent.shim.start import main; main()"


class ShimStarter(Protocol):
    """How a shim comes to life."""

    # Whether it is to be told that it is a unit.
    makes_units: bool

    async def start(self, config: Config) -> None:
        """Start a shim; return once its socket listens, or raise LaunchFailed.

        Where one already runs for this ring (an agent that died had just started it) that is as good.
        """
        ...


class ForkedShims:
    """Shims that fork away from the agent: what a laptop and the tests use."""

    makes_units = False

    async def start(self, config: Config) -> None:
        """See ShimStarter."""
        await asyncio.to_thread(self._start, config)

    def _start(self, config: Config) -> None:
        # The process that is started here ends as soon as it has made the daemon; that one answers on standard output.
        # Nothing is inherited but the mark by which a container's processes are known.
        environment = {CONTAINER_MARK: os.environ[CONTAINER_MARK]} if CONTAINER_MARK in os.environ else {}
        done = _run(_command(config.name), render_config(config), environment)
        number, _, reason = done.stdout.decode("utf-8", "replace").partition(" ")
        if number not in {"0", str(errno.EWOULDBLOCK)}:
            raise LaunchFailed(step="shim", reason=reason or done.stderr.decode("utf-8", "replace")[-400:])


def choose_starter(how: Literal["unit", "fork"], kind: str) -> ShimStarter:
    """Return how shims of one kind (`process`, `terminal`, `script`) are started."""
    return UnitShims(kind) if how == "unit" else ForkedShims()


def unit_name(kind: str, name: str) -> str:
    """Return the unit, and so the control group, of a shim under systemd."""
    return f"zlh-{kind}-{name}.service"


class UnitShims:
    """Shims that are transient units of systemd, named `zlh-<kind>-<name>`."""

    makes_units = True

    def __init__(self, kind: str) -> None:
        self._kind = kind

    async def start(self, config: Config) -> None:
        """See ShimStarter."""
        await asyncio.to_thread(self._start, config)

    def _start(self, config: Config) -> None:
        folder = Path(config.state_folder)
        # In memory: a disk that is full keeps nobody from a terminal.
        stdin = Path(config.socket_folder) / f"{config.name}.config"
        try:
            stdin.write_bytes(render_config(config))
        except OSError as exc:
            raise LaunchFailed(step="shim", reason=exc.strerror or str(exc)) from exc
        try:
            self._start_unit(config, folder, stdin)
        finally:
            stdin.unlink(missing_ok=True)

    def _start_unit(self, config: Config, folder: Path, stdin: Path) -> None:
        properties = {
            "Type": "notify",
            "StandardInput": f"file:{stdin}",
            # One child that is killed for its memory is the shim's business, not the end of the unit.
            "OOMPolicy": "continue",
            "Slice": SLICE,
            "TasksMax": UNIT_TASKS,
            "OOMScoreAdjust": str(SHIM_OOM_SCORE),
            # SIGTERM for the shim alone, which takes its child down the ladder; what is left then is killed.
            "KillMode": "mixed",
            "TimeoutStopSec": str(UNIT_STOP_TIMEOUT_S),
        }
        command = ["systemd-run", "--quiet", "--collect", f"--unit={unit_name(self._kind, config.name)}"]
        command += [f"--property={key}={value}" for key, value in properties.items()]
        done = _run([*command, "--", *_command(config.name)], b"", None)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            if "already" not in said:
                raise LaunchFailed(step="shim", reason=_last_word(folder) or said[-400:])


def _command(name: str) -> list[str]:
    # One folder where both are installed into a bundle, two in a checkout.
    # The real one, not `current`: it is in the command line of a shim that runs, so nobody prunes it meanwhile.
    folders = dict.fromkeys(str(Path(package.__path__[0]).resolve().parent) for package in (zlh_agent, zlh_common))
    return [sys.executable, "-I", "-S", "-c", _BOOT, f"zlh-shim:{name}", *folders]


def _run(command: list[str], stdin: bytes, environment: dict[str, str] | None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, timeout=START_TIMEOUT_S, cwd="/", env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LaunchFailed(step="shim", reason=str(exc)) from exc


def _last_word(folder: Path) -> str:
    """Return why a shim did not start, as its log has it; empty where that does not say."""
    try:
        line = (folder / "shim.log").read_bytes().splitlines()[-1]
        return str(msgspec.json.decode(line)["error"])[:400]
    except (OSError, LookupError, TypeError, msgspec.MsgspecError):
        return ""
