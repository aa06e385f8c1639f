"""The editor as an artifact, built once for all tests that need it, and offered by a running platform."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.stack import Stack
from guards import leaks

RECIPE = "code-server-4.139.1"
# It is compiled, of some hundreds of megabytes.
BUILD_S = 1500


@pytest.fixture(scope="session")
def code_server_archive() -> Iterator[Path]:
    """Build it by its recipe; return the folder below `archives` that holds the archive and its record."""
    folder = Path(tempfile.mkdtemp(prefix="code-server-"))
    leaks.long_lived.add(str(folder))
    _command("artifacts", "build", "--dir", str(folder / "tree"), RECIPE)
    yield folder / "tree/archives/code-server"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def editor_on_offer(running_stack: Stack, code_server_archive: Path) -> None:
    """Have the running platform sign the archive into its catalog."""
    tree, keys = running_stack.home / "artifacts", running_stack.home / "keys/artifacts"
    shutil.copytree(code_server_archive, tree / "archives/code-server", dirs_exist_ok=True)
    _command("artifacts", "publish", "--dir", str(tree), "--keys", str(keys))


def _command(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zlh_api", *arguments], capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
