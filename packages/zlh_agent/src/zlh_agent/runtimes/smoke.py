"""Runs what the catalog names to prove that an unpacked runtime works, with nothing in the environment."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.runtimes.lifeline import tied_to_us
from zlh_common.schema.catalog import CatalogVersion

TIMEOUT_S = 30


def smoke_test(tree: Path, version: CatalogVersion) -> None:
    """Raise SmokeTestFailed unless the command ends with 0 and prints what it should."""
    if not version.smoke_test:
        return
    command = " ".join(version.smoke_test)
    variables = {name: value.replace("{root}", str(tree)) for name, value in version.environment.items()}
    try:
        done = _run(
            [str(tree / version.smoke_test[0]), *version.smoke_test[1:]],
            tree,
            {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **variables},
        )
    except subprocess.TimeoutExpired as exc:
        raise SmokeTestFailed(
            command=command, reason=f"did not end within {TIMEOUT_S} s", exit_code=None, output=_text(exc.stdout)
        ) from exc
    except OSError as exc:
        raise SmokeTestFailed(command=command, reason=f"cannot be started ({exc})", exit_code=None, output="") from exc
    output = _text(done.stdout)
    if done.returncode != 0:
        raise SmokeTestFailed(
            command=command, reason=f"ended with {done.returncode}", exit_code=done.returncode, output=output
        )
    if version.smoke_expect not in output:
        raise SmokeTestFailed(
            command=command, reason=f"did not print {version.smoke_expect!r}", exit_code=0, output=output
        )


def _run(argv: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a program for a while; whatever it has started ends with it."""
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
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(argv, process.returncode, output)


def _text(output: bytes | None) -> str:
    return (output or b"")[-4096:].decode("utf-8", "replace")
