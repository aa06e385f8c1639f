"""What systemd does with the agent's unit, as far as its launcher can tell: starts it, judges its end, starts it again.

The launcher is a process of its own, and `systemctl`, `systemd-run` and `journalctl` are programs that write down what
they were asked for. Bundles are a folder with one module, whose text the test writes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from zlh_agent import launcher
from zlh_agent.launcher import Places, UpdateState, read_state, write_state

NAME = "python{}.{}".format(*sys.version_info[:2])
# The interpreter below this environment.
PYTHON = (Path(sys.base_prefix) / "bin" / NAME).resolve()
PATIENCE_S = 60.0
INVOCATION = "0" * 31 + "1"
RECORDER = """\
#!/bin/sh
printf '%s' "$(basename "$0")" >> {calls}
for word in "$@"; do printf '\\t%s' "$word" >> {calls}; done
echo >> {calls}
{does}
"""
# Dies at the n-th act on the disk, as by a power cut.
CUT = """\
import os, runpy, signal, sys
left = int(sys.argv[1])
def cut(act):
    def perform(*args, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(*args, **more)
    return perform
for name in ("fsync", "replace", "rename", "symlink", "unlink", "mkdir", "posix_fallocate", "execv"):
    setattr(os, name, cut(getattr(os, name)))
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class End:
    """How one life of the agent ended, in the words of systemd."""

    result: str
    code: str
    status: str
    printed: str


@dataclass
class SystemdLoop:
    """The unit in one container."""

    root: Path
    calls: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = Places(self.root)
        self.places.bundles.mkdir(parents=True)
        self.places.programs.mkdir(parents=True)
        (self.root / "fakes").mkdir()
        self.program = self.places.bundles / "launcher.py"
        shutil.copy(launcher.__file__, self.program)
        self.add_python(NAME)
        self.answer("systemctl")
        self.answer("systemd-run")
        self.answer("journalctl", prints="the last words")

    @property
    def state(self) -> UpdateState:
        """Return what is kept."""
        return read_state(self.places.state)

    @property
    def current(self) -> str:
        """Return where `current` leads."""
        return str((self.places.bundles / "current").readlink())

    def keep(self, **values: object) -> None:
        """Have this kept of a switch from 1.0 to 2.0."""
        said = {"version": "2.0", "former": "1.0", "started_at": "2026-01-01T00:00:00Z", **values}
        write_state(self.places.state, UpdateState(**said))  # type: ignore[arg-type] # the test's own words

    def point(self, version: str) -> None:
        """Let `current` lead to a version."""
        launcher.switch(self.places.bundles, version)

    def add_python(self, name: str) -> None:
        """Give the container a Python of that name; all of them are the same program."""
        (self.places.programs / name).symlink_to(PYTHON)

    def add(self, version: str, does: str = "", *, pythons: tuple[str, ...] = (NAME,)) -> Path:
        """Lay down a bundle whose agent prints its version and then does something."""
        bundle = self.places.bundles / version
        package = bundle / "lib/site-packages/zlh_agent"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(f"import os, signal, sys\nprint('agent {version}', flush=True)\n{does}\n")
        for name in pythons:
            (bundle / "lib" / name).mkdir()
            (bundle / "lib" / name / "site-packages").symlink_to("../site-packages")
        return bundle

    def answer(self, program: str, *, prints: str = "", code: int = 0) -> None:
        """Have a program of systemd's print this from now on."""
        path = self.root / "fakes" / program
        does = f"cat <<'END'\n{prints}\nEND\nexit {code}" if prints else f"exit {code}"
        path.write_text(RECORDER.format(calls=self.root / "calls", does=does))
        path.chmod(0o755)

    def take_calls(self) -> list[list[str]]:
        """Return what programs of systemd's were asked for since this was last asked."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return [line.split("\t") for line in lines]

    def live(self) -> End:
        """Start the agent, wait for its end, and have that judged."""
        end = self.start()
        self.judge(end)
        return end

    def start(self, *, cut: int | None = None) -> End:
        """Start the agent, and wait for its end; or cut it off at an act on the disk."""
        done = self._launch(cut=cut)
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name.removeprefix("SIG")
            return End("signal", "killed", name, done.stdout)
        return End("exit-code" if done.returncode else "success", "exited", str(done.returncode), done.stdout)

    def judge(self, end: End, *, cut: int | None = None) -> bool:
        """Have the launcher judge an end; tell whether it came to its own."""
        said = {"SERVICE_RESULT": end.result, "EXIT_CODE": end.code, "EXIT_STATUS": end.status}
        done = self._launch("ended", cut=cut, **said)
        assert done.returncode in ({0} if cut is None else {0, -signal.SIGKILL}), done.stderr
        return done.returncode == 0

    def fire(self) -> None:
        """Let the time of the timer be over."""
        assert self._launch("overdue").returncode == 0

    def _launch(self, *words: str, cut: int | None = None, **said: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'fakes'}:{os.environ['PATH']}"
        program = [str(PYTHON), "-I", "-S"]
        program += [] if cut is None else ["-c", CUT, str(cut)]
        return subprocess.run(
            [*program, str(self.program), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={"PATH": path, "INVOCATION_ID": INVOCATION, **said},
        )


def read_events(printed: str) -> list[str]:
    """Return the names of the events among lines."""
    return [json.loads(line)["msg"] for line in printed.splitlines() if line.startswith("{")]
