"""Stages the files of a version, gives them their names, and compares them: the child's side, below the folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from zlh_agent.files.opening import Held
from zlh_agent.games.address_rules import places_of, resolve_urls
from zlh_agent.games.errors import GameFileBlocked, GameFilesMissing
from zlh_agent.games.fetching import Fetcher
from zlh_agent.games.model import Commit, DoneLine, PlacedFile, Stage, Verify
from zlh_agent.games.server_folder import ServerFolder, staged_name
from zlh_agent.games.telling import Telling, ask_to_go_on
from zlh_agent.runtimes.errors import DiskFull
from zlh_agent.runtimes.installing.disk_room import BLOCK_BYTES, RESERVE_BYTES, RESERVE_FILES
from zlh_agent.sandbox.syscalls import sync_disk
from zlh_common.schema.template import PinnedFile

AT_ONCE = 4
MAX_TOLD = 20


class _GivenUp(Exception):
    """Another file cannot be had, so nobody waits for this one."""


# ── stage ──


def stage(order: Stage) -> DoneLine:
    """Have every file that does not stand at its place lie in the staging folder, checked and synced."""
    with ServerFolder(order.folder) as folder:
        folder.forget_staging(but=order.content)
        with folder.staging(order.content) as staging:
            looked = Telling("check", sum(file.size for file in order.files))
            missing = [file for file in order.files if not _is_there(folder, staging, file, looked)]
            _require_room(staging, missing)
            _fetch(order, staging, missing)
    return DoneLine()


def _is_there(folder: ServerFolder, staging: int, file: PinnedFile, told: Telling) -> bool:
    found = folder.holds(file.path, file.hash, size=file.size)
    found = found or folder.holds(staged_name(file), file.hash, size=file.size, base=staging)
    told.add(file.size)
    return found


def _require_room(staging: int, missing: Sequence[PinnedFile]) -> None:
    had = sum(_size_of(staging, f"{staged_name(file)}.part") for file in missing)
    needed = max(0, sum(file.size + BLOCK_BYTES for file in missing) - had) + RESERVE_BYTES
    found = os.fstatvfs(staging)
    free, files = found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None
    needed_files = len(missing) + RESERVE_FILES
    if missing and (free < needed or (files is not None and files < needed_files)):
        raise DiskFull(needed_bytes=needed, free_bytes=free, needed_files=needed_files, free_files=files)


def _size_of(staging: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=staging, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _fetch(order: Stage, staging: int, missing: Sequence[PinnedFile]) -> None:
    told = Telling("download", sum(file.size for file in missing))
    private = places_of((*order.artifacts_urls, *order.private_origins))
    given_up = threading.Event()

    def note(count: int) -> None:
        told.add(count)
        if given_up.is_set():
            raise _GivenUp

    fetcher = Fetcher(staging, private=private, on_bytes=note)

    def fetch(file: PinnedFile) -> None:
        if not given_up.is_set():
            fetcher.fetch(file, resolve_urls(file.urls, order.artifacts_urls), staged_name(file))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            for done in as_completed([threads.submit(fetch, file) for file in missing]):
                done.result()
        except SystemExit:
            # Called off: threads that wait for their servers are waited for by nobody.
            os._exit(1)
        except BaseException:
            # What is under way ends with its next block, and keeps what it has for the next try.
            given_up.set()
            raise


# ── commit ──


def commit(order: Commit) -> DoneLine:
    """Give staged files their names, and remove what only the former version had; may be done again after any crash.

    Nothing is changed before the agent has been asked. A file of somebody else's in our way gets another name; one
    that we had placed and somebody has changed is removed by nobody, and replaced only by the same file's new version.
    """
    with ServerFolder(order.folder) as folder:
        with folder.staging(order.content) as staging:
            waiting = _find_waiting(folder, staging, order.files)
            for file in waiting:
                folder.require_place(file.path)
            _sync(staging)
            ask_to_go_on()
            ours = {file.path for file in order.former}
            for file in waiting:
                _place(folder, staging, file, is_ours=file.path in ours)
            _remove_former(folder, order)
            _sync(staging)
        folder.forget_staging()
    return DoneLine()


def _find_waiting(folder: ServerFolder, staging: int, files: Sequence[PinnedFile]) -> list[PinnedFile]:
    """Return the files that lie staged; raise GameFilesMissing unless each of the others stands at its place."""
    told = Telling("verify", sum(file.size for file in files))
    waiting, missing = [], []
    for file in files:
        if folder.holds(staged_name(file), file.hash, size=file.size, base=staging):
            waiting.append(file)
        elif not folder.holds(file.path, file.hash, size=file.size):
            missing.append(file.path)
        told.add(file.size)
    if missing:
        raise GameFilesMissing(paths=missing)
    return waiting


def _place(folder: ServerFolder, staging: int, file: PinnedFile, *, is_ours: bool) -> None:
    name = file.path.rpartition("/")[2]
    with Held(folder.open_parent(file.path, make=True)) as parent:
        if not is_ours and folder.find_kind(file.path) is not None:
            _set_aside(parent, name)
        os.rename(staged_name(file), name, src_dir_fd=staging, dst_dir_fd=parent)


def _set_aside(parent: int, name: str) -> None:
    """Give what the customer has put there a name of its own."""
    for number in range(1, 1000):
        aside = f"{name}.yours-{number}"
        with suppress(FileExistsError):
            # A link is made only where there is nothing of that name yet, so nothing is ever replaced by it.
            os.link(name, aside, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
            return
    raise GameFileBlocked(path=name)


def _remove_former(folder: ServerFolder, order: Commit) -> None:
    """Remove what the former version had and this one has not, as long as it is what we had placed."""
    kept = {file.path for file in order.files}
    for file in order.former:
        if file.path not in kept and folder.holds(file.path, file.hash):
            with Held(folder.open_parent(file.path)) as parent, suppress(FileNotFoundError):
                os.unlink(file.path.rpartition("/")[2], dir_fd=parent)


def _sync(folder: int) -> None:
    """Bring all of the file system to the disk: one call, where a call for each file takes a minute."""
    with Held(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)) as fd:
        sync_disk(fd)


# ── verify ──


def verify(order: Verify) -> DoneLine:
    """Compare placed files with their hashes; tell how many differ, and the first of them."""
    with ServerFolder(order.folder) as folder:
        wrong = [file.path for file in order.files if not _is_as_placed(folder, file)]
    return DoneLine(faults=len(wrong), names=tuple(wrong[:MAX_TOLD]))


def _is_as_placed(folder: ServerFolder, file: PlacedFile) -> bool:
    return folder.holds(file.path, file.hash)
