"""Who runs from an installed tree or holds a file of it open, as /proc tells it. It blocks: call in a thread.

A process keeps the version that it was started from, also where it was started through `current` and that leads
elsewhere by now: the kernel tells resolved paths. Only where nothing but the command line names a tree, which is an
interpreter that has closed its script, the link is followed as it stands now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zlh_agent.runtimes.errors import RuntimeUseUnknown
from zlh_agent.runtimes.plan import Version
from zlh_common.processes import ProcessRow, parse_stat
from zlh_common.schema.runtime import RuntimeUser

MAX_PROCESSES = 10_000
# Of one process: files it has open, and bytes of the list of what it has mapped.
MAX_OPEN_FILES, MAX_MAPS_BYTES = 100_000, 16 * 1024 * 1024
MAX_COMMAND_BYTES = 16 * 1024
SCAN_S = 10.0
MAX_NAME = 100


def find_users(folders: Sequence[Path], owners: Mapping[int, str], *, agent: int) -> dict[Version, list[RuntimeUser]]:
    """Return who uses which version below `folders`; `owners` names the shims. The agent and its children are nobody.

    Raises RuntimeUseUnknown where there is more to look at than the bounds allow.
    """
    deadline = time.monotonic() + SCAN_S
    places = [_Place(os.fsencode(folder) + b"/", os.fsencode(os.path.realpath(folder)) + b"/") for folder in folders]
    with os.scandir("/proc") as entries:
        pids = list(islice((int(entry.name) for entry in entries if entry.name.isdigit()), MAX_PROCESSES + 1))
    if len(pids) > MAX_PROCESSES:
        raise RuntimeUseUnknown
    rows: dict[int, ProcessRow] = {}
    found: dict[Version, list[int]] = {}
    for pid in pids:
        if time.monotonic() > deadline:
            raise RuntimeUseUnknown
        row = _read_row(pid)
        if row is None or row.state in {"Z", "X"}:
            continue
        rows[pid] = row
        for version in _versions_of(pid, places) if agent not in {pid, row.parent} else ():
            found.setdefault(version, []).append(pid)
    return {version: [_tell(pid, rows, owners) for pid in users] for version, users in found.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder of trees as it is named, and as the kernel names it."""

    named: bytes
    real: bytes


def _versions_of(pid: int, places: Sequence[_Place]) -> set[Version]:
    real = [place.real for place in places]
    used = {version for path in _resolved_paths(pid, real) if (version := _version_in(path, real))}
    named = _named_paths(pid, [place.named for place in places]) if not used else ()
    return used | {version for path in named if (version := _version_in(path, real))}


def _version_in(path: bytes, roots: Sequence[bytes]) -> Version | None:
    root = next((root for root in roots if path.startswith(root)), None)
    if root is None:
        return None
    name, _, rest = path[len(root) :].partition(b"/")
    version = rest.partition(b"/")[0]
    return (os.fsdecode(name), os.fsdecode(version)) if version and not version.startswith(b".") else None


def _resolved_paths(pid: int, roots: Sequence[bytes]) -> Iterator[bytes]:
    """Yield what the kernel knows that it has open, mapped, or stands in."""
    base = f"/proc/{pid}"
    for name in ("exe", "cwd", "root"):
        with suppress(OSError):
            yield os.readlink(os.fsencode(f"{base}/{name}"))  # noqa: PTH115 - bytes, thousands of times
    yield from _mapped_paths(base, roots)
    with suppress(OSError), os.scandir(f"{base}/fd") as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_OPEN_FILES:
                raise RuntimeUseUnknown
            with suppress(OSError):
                yield os.readlink(os.fsencode(entry.path))  # noqa: PTH115 - as above


def _mapped_paths(base: str, roots: Sequence[bytes]) -> Iterator[bytes]:
    maps = _read(f"{base}/maps", MAX_MAPS_BYTES + 1)
    if len(maps) > MAX_MAPS_BYTES:
        raise RuntimeUseUnknown
    for root in roots:
        if root in maps:
            yield from (b"/" + line.partition(b"/")[2] for line in maps.splitlines() if root in line)


def _named_paths(pid: int, folders: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the program and the first argument, with `current` resolved; no path elsewhere is looked at."""
    for word in _read(f"/proc/{pid}/cmdline", MAX_COMMAND_BYTES).split(b"\0")[:2]:
        if word.startswith(tuple(folders)):
            yield os.path.realpath(word)


def _read(path: str, limit: int) -> bytes:
    """Return a file of /proc up to a limit, empty where it is not there or may not be read."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands of times
            said = b""
            while len(said) < limit and (block := file.read(min(256 * 1024, limit - len(said)))):
                said += block
            return said
    except OSError:
        return b""


def _read_row(pid: int) -> ProcessRow | None:
    try:
        return parse_stat(_read(f"/proc/{pid}/stat", 4096).decode("utf-8", "replace"))
    except ValueError:
        return None


def _tell(pid: int, rows: Mapping[int, ProcessRow], owners: Mapping[int, str]) -> RuntimeUser:
    name = _read(f"/proc/{pid}/comm", 256).decode("utf-8", "replace").strip()[:MAX_NAME]
    return RuntimeUser(pid=pid, name=name or "?", owner=_find_owner(pid, rows, owners))


def _find_owner(pid: int, rows: Mapping[int, ProcessRow], owners: Mapping[int, str]) -> str | None:
    for _ in range(len(rows)):
        if pid in owners:
            return owners[pid]
        row = rows.get(pid)
        if row is None:
            return None
        pid = row.parent
    return None
