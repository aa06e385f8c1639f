"""Reads which commands the versions in use hold. Their trees are signed, and belong to nobody who is a customer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from zlh_agent.runtimes.current import CURRENT
from zlh_agent.runtimes.store import Installed
from zlh_agent.shells.command_rules import is_command
from zlh_agent.shells.model import RuntimeInUse


def read_in_use(installed: Sequence[Installed]) -> list[RuntimeInUse]:
    """Return the version in use of each runtime, with its commands; a folder that cannot be read has none. Blocks."""
    return [_read(entry) for entry in installed if entry.is_current]


def _read(entry: Installed) -> RuntimeInUse:
    current = entry.folder.parent / CURRENT
    commands: dict[str, str] = {}
    for folder in entry.record.bin:
        inside = PurePosixPath(folder)
        if inside.is_absolute() or ".." in inside.parts:
            continue
        for name in _list_commands(entry.folder, entry.folder / inside):
            # Of two folders the first has it, as on a PATH.
            commands.setdefault(name, str(current / inside / name))
    return RuntimeInUse(entry.record.name, entry.record.version, str(current), commands, entry.record.environment)


def _list_commands(tree: Path, folder: Path) -> Iterator[str]:
    root = os.path.realpath(tree)
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return
    for name in names:
        if is_command(name) and _is_program(os.path.realpath(folder / name), root):
            yield name


def _is_program(path: str, root: str) -> bool:
    """Tell whether a file of the tree itself can be run; what lies outside of it was not signed."""
    try:
        status = Path(path).lstat()
    except OSError:
        return False
    return path.startswith(f"{root}/") and stat.S_ISREG(status.st_mode) and status.st_mode & 0o111 == 0o111
