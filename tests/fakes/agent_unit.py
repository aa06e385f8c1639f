"""What systemd does for the agent, without systemd: starts the launcher as the unit says, hears of ends, starts again.

`systemctl`, `systemd-run` and `journalctl` are programs of our own in front of PATH, which answer from files and write
down what they were asked. A timer runs out when a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROGRAMS = {
    "systemctl": """\
echo "$@" >> {folder}/asked
case "$1" in
  list-jobs) cat {folder}/jobs ;;
  is-system-running) cat {folder}/running ;;
esac
""",
    "systemd-run": 'echo "systemd-run $@" >> {folder}/asked\n',
    "systemd-analyze": 'echo "systemd-analyze $@" >> {folder}/asked\n',
    "journalctl": "tail -n 60 {log}\n",
}
_RESTART_S = 0.05


@dataclass
class AgentUnit:
    """The unit of one agent below `root`; `arguments` are given to the agent."""

    root: Path
    folder: Path
    log: Path
    arguments: Sequence[str]
    # Ends that were seen: results as systemd names them.
    results: list[str] = field(default_factory=list)
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    _task: asyncio.Task[None] | None = None
    _environment: dict[str, str] = field(default_factory=dict)

    def lay_out(self) -> None:
        """Make the programs."""
        self.folder.mkdir(parents=True)
        for name, script in _PROGRAMS.items():
            program = self.folder / name
            program.write_text("#!/bin/sh\n" + script.format(folder=self.folder, log=self.log))
            program.chmod(0o755)
        self.tell(jobs="", running="running")
        self._environment = {"PATH": f"{self.folder}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "INVOCATION_ID": "0" * 32}

    def tell(self, *, jobs: str = "", running: str = "running") -> None:
        """Have systemctl say this of jobs and of the whole system."""
        (self.folder / "jobs").write_text(jobs)
        (self.folder / "running").write_text(f"{running}\n")

    def asked(self) -> list[str]:
        """Return what was asked of systemd, line by line."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def launcher(self) -> list[str]:
        """The command that the unit has, without its argument."""
        return ["/usr/bin/python3", "-I", "-S", str(self.root / "opt/zlh/agent/launcher.py")]

    def start(self) -> None:
        """Start the unit: it runs, and is started again, until `stop` or `power_off`."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.starts += 1
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.launcher, "start", *self.arguments,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                )  # fmt: skip
            await self._post(await self.process.wait())
            await asyncio.sleep(_RESTART_S)

    async def _post(self, code: int, result: str = "") -> None:
        """Do what ExecStopPost does after an end."""
        result = result or ("success" if code in {0, -signal.SIGTERM} else "exit-code" if code > 0 else "signal")
        self.results.append(result)
        told = {
            "SERVICE_RESULT": result,
            "EXIT_CODE": "exited" if code >= 0 else "killed",
            "EXIT_STATUS": str(code) if code >= 0 else signal.Signals(-code).name.removeprefix("SIG"),
        }
        await self.run_launcher("ended", **told)

    async def run_launcher(self, mode: str, **told: str) -> None:
        """Run the launcher in one of its other modes, to its end."""
        with self.log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *self.launcher, mode, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env={**self._environment, **told},
            )  # fmt: skip
        assert await child.wait() == 0

    async def stop(self) -> None:
        """Stop the unit as `systemctl stop` does."""
        self.tell(jobs=" 101 zlh-agent.service stop running\n")
        process = self.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        await self._call_off()
        if process is not None:
            await self._post(process.returncode or 0)
        self.tell()

    async def power_off(self) -> None:
        """Kill the agent, and run nothing after it."""
        process = self.process
        await self._call_off()
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()

    async def _call_off(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
