"""Makes the links in /usr/local/bin what they should be. Each is old or new whenever somebody looks; blocks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from zlh_agent.shells.command_rules import FRESH_PREFIX, FRESH_SUFFIX, LinkPlan, is_ours, plan_links


def ensure_links(folder: Path, wanted: Mapping[str, str], *, runtimes: str) -> LinkPlan:
    """Make the links, change and remove those of ours; return what was to be done, and what stands in the way.

    Never touches what is not ours. Raises OSError where the disk does not keep it; the next call goes on from there.
    """
    with _opened(folder) as descriptor:
        plan = plan_links(wanted, _look(descriptor, wanted), runtimes=runtimes)
        foreign = set(plan.foreign)
        for name in plan.remove:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
        for name, target in plan.make:
            try:
                # Nothing has its name, so this is all or nothing by itself.
                os.symlink(target, name, dir_fd=descriptor)
            except FileExistsError:
                foreign.add(name)
        for name, target in plan.change:
            _change(descriptor, name, target, runtimes=runtimes)
        if not plan.is_empty:
            os.fsync(descriptor)
    return LinkPlan(plan.remove, plan.make, plan.change, tuple(sorted(foreign)))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _look(descriptor: int, wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Return all links, and whatever else has a name that is wanted."""
    found: dict[str, str | None] = {}
    with os.scandir(descriptor) as entries:
        for entry in entries:
            target = _read_link(descriptor, entry.name) if entry.is_symlink() else None
            if target is not None or entry.name in wanted:
                found[entry.name] = target
    return found


def _read_link(descriptor: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=descriptor)
    except OSError as exc:
        # It has gone meanwhile, or is something else now.
        if exc.errno in {errno.ENOENT, errno.EINVAL}:
            return None
        raise


def _change(descriptor: int, name: str, target: str, *, runtimes: str) -> None:
    fresh = f"{FRESH_PREFIX}{name}{FRESH_SUFFIX}"
    with suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=descriptor)
    os.symlink(target, fresh, dir_fd=descriptor)
    # Somebody who is root here may have put something of his own in its place a moment ago.
    if is_ours(name, _read_link(descriptor, name), runtimes):
        os.rename(fresh, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    else:
        os.unlink(fresh, dir_fd=descriptor)
