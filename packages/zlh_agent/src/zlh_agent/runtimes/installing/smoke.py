"""Runs what the catalog names to prove that an unpacked runtime works, with nothing in the environment.

It is the first program of an archive that runs anywhere, so it is confined: the tree cannot be changed by it, no
network answers it, and whatever it has started is ended with it, however often that has forked.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from zlh_agent.runtimes.confined import leave_network_but_for_talk, testing
from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.runtimes.watched_program import lower_limit, run_watched
from zlh_agent.sandbox.confined_program import NOT_CONFINED
from zlh_agent.sandbox.launch import confined_program
from zlh_common.schema.catalog import CatalogVersion

TIMEOUT_S = 30
# What it may write and keep at most. Address space is not counted: a JVM reserves far more of it than it uses.
DATA_BYTES, FILE_BYTES = 4 * 1024**3, 256 * 1024**2


def smoke_test(tree: Path, version: CatalogVersion, *, scratch: Path) -> None:
    """Raise SmokeTestFailed unless the command ends with 0 and prints what it should; `scratch` is its own folder."""
    if not version.smoke_test:
        return
    command = " ".join(version.smoke_test)
    program = tree / version.smoke_test[0]
    if not os.access(program, os.X_OK):
        reason = "cannot be started (it is not there, or no program)"
        raise SmokeTestFailed(command=command, reason=reason, exit_code=None, output="")
    code, output = run_watched(
        confined_program(testing(tree, scratch), [str(program), *version.smoke_test[1:]]),
        environment={
            "PATH": "/usr/bin:/bin",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "LC_ALL": "C.UTF-8",
            **{name: value.replace("{root}", str(tree)) for name, value in version.environment.items()},
        },
        timeout_s=TIMEOUT_S,
        before_exec=_limited,
    )
    if code == NOT_CONFINED:
        raise SmokeTestFailed(command=command, reason="cannot be started", exit_code=None, output=output)
    if code != 0:
        reason = f"did not end within {TIMEOUT_S} s" if code is None else f"ended with {code}"
        raise SmokeTestFailed(command=command, reason=reason, exit_code=code, output=output)
    if version.smoke_expect not in output:
        raise SmokeTestFailed(
            command=command, reason=f"did not print {version.smoke_expect!r}", exit_code=0, output=output
        )


def _limited() -> None:
    """Between fork and exec: memory, the size of files, and the network."""
    lower_limit(resource.RLIMIT_DATA, DATA_BYTES)
    lower_limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    leave_network_but_for_talk()
