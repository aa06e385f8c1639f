"""Runs what the catalog names to prove that an unpacked runtime works, with nothing in the environment."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.sandbox.lifeline import tied_to_us
from zlh_common.schema.catalog import CatalogVersion

TIMEOUT_S = 30
# So much of the end of what the program prints is kept, however much that is.
TAIL_BYTES = 4096


def smoke_test(tree: Path, version: CatalogVersion) -> None:
    """Raise SmokeTestFailed unless the command ends with 0 and prints what it should."""
    if not version.smoke_test:
        return
    command = " ".join(version.smoke_test)
    variables = {name: value.replace("{root}", str(tree)) for name, value in version.environment.items()}
    try:
        code, output = _run(
            [str(tree / version.smoke_test[0]), *version.smoke_test[1:]],
            tree,
            {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **variables},
        )
    except OSError as exc:
        raise SmokeTestFailed(command=command, reason=f"cannot be started ({exc})", exit_code=None, output="") from exc
    if code != 0:
        reason = f"did not end within {TIMEOUT_S} s" if code is None else f"ended with {code}"
        raise SmokeTestFailed(command=command, reason=reason, exit_code=code, output=output)
    if version.smoke_expect not in output:
        raise SmokeTestFailed(
            command=command, reason=f"did not print {version.smoke_expect!r}", exit_code=0, output=output
        )


def _run(argv: list[str], folder: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a program; return its exit code, or None after too long, and its last words. What it has started ends too."""
    deadline = time.monotonic() + TIMEOUT_S
    said = b""
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        preexec_fn=tied_to_us(),  # noqa: PLW1509 - the install child has no threads
    ) as process:
        assert process.stdout is not None
        code: int | None = None
        try:
            while block := _read(process.stdout.fileno(), deadline):
                said = (said + block)[-TAIL_BYTES:]
            code = process.wait(_left(deadline))
        except (TimeoutError, subprocess.TimeoutExpired):
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return code, said.decode("utf-8", "replace")


def _read(descriptor: int, deadline: float) -> bytes:
    readable, _, _ = select.select([descriptor], [], [], _left(deadline))
    if not readable:
        raise TimeoutError
    return os.read(descriptor, 64 * 1024)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
