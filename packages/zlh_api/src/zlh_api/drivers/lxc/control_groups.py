"""Control groups of both versions: what limits a guest, and whether anything of it runs. All of it blocks."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zlh_api.drivers.lxc.limits import Controllers, GroupFile
from zlh_api.drivers.lxc.model import group_of, groups_of
from zlh_common.names import OwnerMark

MOUNTS = Path("/proc/self/mounts")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CONTROLLERS = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Where the hierarchies are mounted."""

    # Of version 1, by controller; several controllers may share one.
    legacy: tuple[tuple[str, Path], ...]
    unified: Path | None
    controllers: Controllers

    def is_alive(self, owner: OwnerMark) -> bool:
        """Tell whether a guest runs, starts, stops or starts again: something of it or its watcher is there."""
        return any(self._is_populated(group) for group in groups_of(owner))

    def read(self, owner: OwnerMark, files: list[GroupFile]) -> dict[str, str | None]:
        """Return what stands in these files now; None where a file is not there."""
        return {file.name: _read(self._path(owner, file)) for file in files}

    def write(self, owner: OwnerMark, file: GroupFile) -> None:
        """Write one file; raises OSError."""
        self._path(owner, file).write_text(file.value)

    def kill(self, owner: OwnerMark) -> None:
        """Kill whatever is left of a guest, and then its watcher."""
        for group in groups_of(owner):
            switch = self.unified / group / "cgroup.kill" if self.unified else None
            if switch is not None and switch.exists():
                switch.write_text("1")
            else:
                self._kill_each(group)

    def exist(self, owner: OwnerMark) -> bool:
        """Tell whether a guest has groups, even without anything in them."""
        return any(path.exists() for path in self._all_paths(owner))

    def remove(self, owner: OwnerMark) -> None:
        """Remove a guest's groups, which are empty; raises OSError where one is not."""
        for path in self._all_paths(owner):
            with suppress(FileNotFoundError):
                _remove_below(path)
            with suppress(FileNotFoundError):
                path.rmdir()

    def _all_paths(self, owner: OwnerMark) -> list[Path]:
        mounts = {path for _, path in self.legacy} | ({self.unified} if self.unified else set())
        return [mount / group for mount in sorted(mounts) for group in groups_of(owner)]

    def _path(self, owner: OwnerMark, file: GroupFile) -> Path:
        mount = self.unified if file.version == 2 else dict(self.legacy)[file.controller]
        assert mount is not None
        return mount / group_of(owner) / file.name

    def _is_populated(self, group: str) -> bool:
        if self.unified is not None:
            return "populated 1" in (_read(self.unified / group / "cgroup.events") or "")
        return (_read(dict(self.legacy)["pids"] / group / "pids.current") or "0") != "0"

    def _kill_each(self, group: str) -> None:
        top = self.unified or dict(self.legacy)["pids"]
        for folder, _names, _files in os.walk(top / group):
            for pid in (_read(Path(folder, "cgroup.procs")) or "").split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def _remove_below(top: Path) -> None:
    """Remove all groups below one, step by step: a customer may have nested them deeper than any path can say."""
    at, names = os.open(top, _FOLDER), list[str]()
    try:
        while True:
            inner = _find_inner(at)
            if inner is not None:
                names.append(inner)
                at = _step(at, inner)
            elif names:
                at = _step(at, "..")
                os.rmdir(names.pop(), dir_fd=at)
            else:
                return
    finally:
        os.close(at)


def _find_inner(folder: int) -> str | None:
    with os.scandir(folder) as entries:
        return next((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), None)


def _step(folder: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return there


def find_control_groups() -> ControlGroups:
    """Return what this host has."""
    legacy: dict[str, Path] = {}
    unified: Path | None = None
    for line in MOUNTS.read_text().splitlines():
        _device, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = unified or Path(where)
        elif kind == "cgroup":
            legacy |= {word: Path(where) for word in options.split(",") if word.isalpha() or word.startswith("name=")}
    legacy = {name: path for name, path in legacy.items() if name not in {"rw", "ro", "relatime", "noatime"}}
    legacy = {name: path for name, path in legacy.items() if not name.startswith("no")}
    offered = (_read(unified / "cgroup.controllers") or "").split() if unified else []
    versions = [(name, 1 if _is_usable(legacy, name) else 2 if name in offered else 0) for name in _CONTROLLERS]
    controllers = Controllers(tuple(versions), has_swap_limit=_limits_swap(legacy, unified))
    return ControlGroups(tuple(sorted(legacy.items())), unified, controllers)


def _is_usable(legacy: dict[str, Path], controller: str) -> bool:
    # A kernel may have the controller and no quota.
    return controller in legacy and (controller != "cpu" or (legacy["cpu"] / "cpu.cfs_quota_us").exists())


def _limits_swap(legacy: dict[str, Path], unified: Path | None) -> bool:
    if "memory" in legacy:
        return (legacy["memory"] / "memory.memsw.limit_in_bytes").exists()
    return unified is not None and any(unified.glob("*/memory.swap.max"))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
