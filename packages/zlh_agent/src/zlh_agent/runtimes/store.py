"""What is installed, as the disk tells it: a tree with a readable record is an install, anything else is not."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_agent.runtimes.current import read_current
from zlh_agent.runtimes.exchange import undo_half_exchange
from zlh_agent.runtimes.model import FILES_NAME, RECORD_FORMAT, RECORD_NAME, InstallRecord
from zlh_common.trees import delete_tree

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed version."""

    record: InstallRecord
    folder: Path
    is_current: bool


class RuntimeStore:
    """Reads `<folder>/<name>/<version>`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[Installed]:
        """Return every install, by name and version."""
        if not self._folder.is_dir():
            return []
        found = []
        for home in sorted(entry for entry in self._folder.iterdir() if entry.is_dir()):
            current = read_current(home)
            for tree in sorted(home.iterdir()):
                if tree.is_symlink() or tree.name.startswith("."):
                    continue
                record = read_record(tree)
                if record is None:
                    log.warning("runtime.unreadable", path=str(tree))
                else:
                    found.append(Installed(record, tree, tree.name == current))
        return found

    def sweep(self) -> None:
        """Delete what installs that were killed have left."""
        for home in self._folder.glob("*"):
            undo_half_exchange(home)
            for leftover in sweep_home(home):
                log.info("runtime.leftover_deleted", path=str(leftover))


def read_record(tree: Path) -> InstallRecord | None:
    """Return the record of an installed tree, or None where the tree is no install. Logs nothing: a child asks too."""
    try:
        record = msgspec.json.decode((tree / RECORD_NAME).read_bytes(), type=InstallRecord)
    except (OSError, msgspec.MsgspecError):
        return None
    fits = record.format == RECORD_FORMAT and (record.name, record.version) == (tree.parent.name, tree.name)
    return record if fits else None


def sweep_home(home: Path) -> list[Path]:
    """Delete what killed installs of one runtime have left, and return it; nobody may be installing it meanwhile.

    What cannot be deleted costs space and nothing else: it stays for the next time.
    """
    deleted = []
    for leftover in home.glob(".staging-*"):
        with contextlib.suppress(OSError):
            delete_tree(leftover)
            deleted.append(leftover)
    return deleted


def find_changed(tree: Path) -> list[str]:
    """Return the files of an install that are not what its list says: changed, missing; sorted. Reads all of it."""
    record = msgspec.json.decode((tree / RECORD_NAME).read_bytes(), type=InstallRecord)
    listed = (tree / FILES_NAME).read_bytes()
    if hashlib.sha256(listed).hexdigest() != record.files_sha256:
        return [FILES_NAME]
    return sorted(
        name
        for name, wanted in msgspec.json.decode(listed, type=dict[str, str]).items()
        if _digest(tree / name) != wanted
    )


def _digest(path: Path) -> str | None:
    try:
        if path.is_symlink():
            return f"-> {path.readlink()}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
