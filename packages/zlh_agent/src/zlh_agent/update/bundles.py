"""The agent's bundles on the disk: which there are, what of them processes run from, and how one is made ready or goes.

All of it blocks: call in a thread.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog

from zlh_agent.launcher import CURRENT, FORMER_LINK, is_bundle_name, lay_link
from zlh_agent.runtimes.model import STAGING
from zlh_agent.runtimes.store import sweep_home
from zlh_common.durable_files import sync_folder
from zlh_common.trees import delete_tree

log = structlog.get_logger()
# Beside `current`: what it will be.
NEXT_LINK = ".next"
MAX_COMMAND_BYTES = 16 * 1024


def find_bundles(folder: Path) -> list[str]:
    """Return the versions that lie in the folder; none where there is no folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if is_bundle_name(entry.name) and entry.is_dir(follow_symlinks=False)
        )
    return []


def find_used(folder: Path) -> set[str]:
    """Return the versions that processes of our own user run from, this one left out.

    A shim is started from the folder of its version, which stands in its command for as long as it lives. Anybody may
    write what they like into a command, so those of other users do not count.
    """
    root = os.fsencode(os.path.realpath(folder)) + b"/"
    words = (word for command in _own_commands() for word in command.split(b"\0") if word.startswith(root))
    versions = (os.fsdecode(word.removeprefix(root).partition(b"/")[0]) for word in words)
    return {version for version in versions if is_bundle_name(version)}


def _own_commands() -> Iterator[bytes]:
    """Yield the command of every process of our user but this one."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, of thousands
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123 - of thousands
            if os.stat(f"/proc/{name}").st_uid == os.geteuid():  # noqa: PTH116 - of thousands
                yield file.read(MAX_COMMAND_BYTES)


def lay_back(folder: Path, former: str) -> None:
    """Lay a link to the former version beside `current`: going back takes a rename alone, on a full disk too."""
    lay_link(folder, FORMER_LINK, former)


def forget_way_back(folder: Path) -> None:
    """Take that link away: from now on nobody goes back. Raises OSError."""
    (folder / FORMER_LINK).unlink(missing_ok=True)


def switch_current(folder: Path, version: str) -> None:
    """Let `current` lead to a version, by one rename and durably; the way back stays. Raises OSError."""
    lay_link(folder, NEXT_LINK, version)
    (folder / NEXT_LINK).rename(folder / CURRENT)
    sync_folder(folder)


def remove(folder: Path, version: str) -> None:
    """Take a bundle away: its name by one rename, so a kill at any line leaves it whole or gone. Raises OSError.

    That makes no file, so it works on a full disk. What an earlier removal has left goes before.
    """
    aside = folder / f"{STAGING}{version}"
    delete_tree(aside)
    (folder / version).rename(aside)
    sync_folder(folder)
    delete_tree(aside)


def sweep(folder: Path) -> None:
    """Delete what installs and removals that were killed have left; nobody may be at it meanwhile."""
    for leftover in sweep_home(folder):
        log.info("agent.leftover_deleted", path=str(leftover))


def python_version() -> str:
    """Return which Python runs this, such as "3.11"."""
    return "{}.{}".format(*sys.version_info[:2])


def find_code() -> Path:
    """Return the folder in which this agent's code really lies."""
    return Path(__file__).resolve().parents[2]
