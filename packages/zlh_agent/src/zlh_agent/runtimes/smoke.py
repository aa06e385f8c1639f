"""Runs what the catalog names to prove that an unpacked runtime works, with nothing in the environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_common.schema.catalog import CatalogVersion

TIMEOUT_S = 30


def smoke_test(tree: Path, version: CatalogVersion) -> None:
    """Raise SmokeTestFailed unless the command ends with 0 and prints what it should."""
    if not version.smoke_test:
        return
    command = " ".join(version.smoke_test)
    variables = {name: value.replace("{root}", str(tree)) for name, value in version.environment.items()}
    try:
        done = subprocess.run(
            [str(tree / version.smoke_test[0]), *version.smoke_test[1:]],
            cwd=tree,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
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


def _text(output: bytes | None) -> str:
    return (output or b"")[-4096:].decode("utf-8", "replace")
