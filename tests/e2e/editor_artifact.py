"""The editor as an artifact that a running platform offers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.stack import Stack
from real_parts.code_server import build_code_server

PUBLISH_LIMIT_S = 300


@pytest.fixture(scope="session")
def code_server_archive() -> Path:
    """Return the folder that holds the archive and its record, and no other artifact."""
    return build_code_server().parent


@pytest.fixture(scope="session")
def editor_on_offer(running_stack: Stack, code_server_archive: Path) -> None:
    """Have the running platform sign the archive into its catalog."""
    tree, keys = running_stack.home / "artifacts", running_stack.home / "keys/artifacts"
    shutil.copytree(code_server_archive, tree / "archives/code-server", dirs_exist_ok=True)
    publish = [sys.executable, "-m", "zlh_api", "artifacts", "publish", "--dir", str(tree), "--keys", str(keys)]
    done = subprocess.run(publish, capture_output=True, text=True, timeout=PUBLISH_LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
