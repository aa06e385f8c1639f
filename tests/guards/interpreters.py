"""The Pythons of this machine beside the one that runs the tests."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

# Where a manager of versions keeps them, whichever of them it has chosen for programs.
_VERSIONS = Path.home() / ".pyenv/versions"


@functools.cache
def find_interpreter(python: str) -> str | None:
    """Return an interpreter of that version, such as "3.12", or None."""
    kept = [str(path) for path in sorted(_VERSIONS.glob(f"{python}.*/bin/python{python}"))]
    for name in (sys.executable, shutil.which(f"python{python}"), *kept):
        if name is not None and _version_of(name) == python:
            return name
    return None


def _version_of(name: str) -> str:
    asked = [name, "-IS", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
