"""The `current` link of a runtime: which installed version is in use, switched by one rename."""

from __future__ import annotations

import tempfile
from pathlib import Path

from zlh_agent.runtimes.model import STAGING
from zlh_common.durable_files import sync_folder

CURRENT = "current"


def point_current(home: Path, version: str) -> None:
    """Let `<home>/current` lead to `<home>/<version>`; whoever looks meanwhile sees the old one or the new one."""
    link = home / CURRENT
    if link.is_symlink() and str(link.readlink()) == version:
        return
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=home) as folder:
        fresh = Path(folder) / CURRENT
        fresh.symlink_to(version)
        if link.is_dir() and not link.is_symlink():
            # No rename replaces a folder. Nothing leads through it to a version, so it may be gone for a moment.
            link.rename(Path(folder) / "foreign")
        fresh.rename(link)
    sync_folder(home)


def read_current(home: Path) -> str | None:
    """Return the version in use, or None."""
    try:
        return str((home / CURRENT).readlink())
    except OSError:
        return None
