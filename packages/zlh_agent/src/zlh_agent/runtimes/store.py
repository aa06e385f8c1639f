"""What is installed, as the disk tells it: a tree with a readable record is an install, anything else is not."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_agent.runtimes.current import CURRENT, read_current
from zlh_agent.runtimes.model import FILES_NAME, RECORD_FORMAT, RECORD_NAME, STAGING, InstallRecord, Kind
from zlh_common.durable_files import rename_durably
from zlh_common.trees import delete_tree

log = structlog.get_logger()
# What an exchange in two steps puts aside, where the file system has none in one (`exchange.py`).
REPLACED_PREFIX = ".replaced-"
# A child that was killed this moment may have a program that still writes.
SWEEP_TRIES, SWEEP_PAUSE_S = 3, 0.05


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed version."""

    record: InstallRecord
    folder: Path
    is_current: bool
    kind: Kind = "runtime"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.record.name, self.record.version


@dataclass(frozen=True, slots=True)
class Broken:
    """A tree of ours whose record says nothing that holds."""

    name: str
    version: str
    is_current: bool
    kind: Kind = "runtime"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is, by name and version."""

    installed: tuple[Installed, ...] = ()
    broken: tuple[Broken, ...] = ()
    # Paths that are none of ours, and are left alone; folders that cannot be read.
    foreign: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: Inventory) -> Inventory:
        """Return what there is of both."""
        return Inventory(
            self.installed + other.installed,
            self.broken + other.broken,
            self.foreign + other.foreign,
            self.unreadable + other.unreadable,
        )


class RuntimeStore:
    """Reads `<folder>/<name>/<version>`, all of one kind."""

    def __init__(self, folder: Path, kind: Kind = "runtime") -> None:
        self.folder = folder
        self._kind: Kind = kind

    def load(self) -> Inventory:
        """Return what there is; what cannot be read is told, and stops nobody."""
        reader = _Reader(self._kind)
        for home in reader.list_folder(self.folder):
            if _is_folder(home):
                reader.read_home(home)
            else:
                reader.foreign.append(str(home))
        return Inventory(tuple(reader.installed), tuple(reader.broken), tuple(reader.foreign), tuple(reader.unreadable))

    def sweep(self) -> None:
        """Delete what installs and removals that were killed have left."""
        with contextlib.suppress(OSError):
            for home in [home for home in self.folder.iterdir() if _is_folder(home)]:
                undo_half_exchange(home)
                for leftover in tidy_home(home):
                    log.info("runtime.leftover_deleted", path=str(leftover))


class _Reader:
    """Goes through the folders, and notes what it finds."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self.installed: list[Installed] = []
        self.broken: list[Broken] = []
        self.foreign: list[str] = []
        self.unreadable: list[str] = []

    def list_folder(self, folder: Path) -> list[Path]:
        """Return what is in a folder, hidden names left out; nothing where there is none."""
        try:
            return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unreadable.append(f"{folder}: {error.strerror or error}")
            return []

    def read_home(self, home: Path) -> None:
        """Take up the versions of one runtime."""
        current = read_current(home)
        for tree in self.list_folder(home):
            record = read_record(tree) if _is_folder(tree) else None
            if record is not None:
                self.installed.append(Installed(record, tree, tree.name == current, self._kind))
            elif _is_folder(tree) and any(_is_there(tree / name) for name in (RECORD_NAME, FILES_NAME)):
                self.broken.append(Broken(home.name, tree.name, tree.name == current, self._kind))
            elif tree.name != CURRENT:
                self.foreign.append(str(tree))


def read_record(tree: Path) -> InstallRecord | None:
    """Return the record of an installed tree, or None where the tree is no install. Logs nothing: a child asks too."""
    try:
        record = msgspec.json.decode((tree / RECORD_NAME).read_bytes(), type=InstallRecord)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
    fits = record.format == RECORD_FORMAT and (record.name, record.version) == (tree.parent.name, tree.name)
    return record if fits else None


def sweep_home(home: Path) -> list[Path]:
    """Delete what killed installs of one runtime have left, and return it; nobody may be installing it meanwhile.

    What cannot be deleted costs space and nothing else: it stays for the next time.
    """
    return [leftover for leftover in home.glob(f"{STAGING}*") if _is_deleted(leftover)]


def undo_half_exchange(home: Path) -> None:
    """Bring back what a crash has left aside, where nothing has its name; else it is a leftover like others."""
    for aside in home.glob(f"{REPLACED_PREFIX}*"):
        target = home / aside.name.removeprefix(REPLACED_PREFIX)
        if os.path.lexists(target):
            aside.rename(home / f"{STAGING}{aside.name}")
        else:
            rename_durably(aside, target)


def tidy_home(home: Path) -> list[Path]:
    """Sweep, and delete the folder itself where no version is left in it; nobody may be installing meanwhile."""
    deleted = sweep_home(home)
    with contextlib.suppress(OSError):
        if not set(_names(home)) - {CURRENT}:
            if (home / CURRENT).is_symlink():
                (home / CURRENT).unlink()
            home.rmdir()
            deleted.append(home)
    return deleted


def _is_deleted(leftover: Path) -> bool:
    for _ in range(SWEEP_TRIES):
        with contextlib.suppress(OSError):
            delete_tree(leftover)
            return True
        time.sleep(SWEEP_PAUSE_S)
    return False


def _names(folder: Path) -> Iterator[str]:
    return (entry.name for entry in folder.iterdir())


def _is_folder(path: Path) -> bool:
    """Tell whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
