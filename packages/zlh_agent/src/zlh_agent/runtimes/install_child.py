"""The child that installs one runtime, and ends: catalog, download, hash, unpack, smoke test, record, rename.

Every name that counts is given last, by one rename, so a kill at any line leaves the old state or the new one. What it
had begun lies in folders that nobody reads and that the next start of the agent sweeps. Orders come on standard input,
and progress and the outcome go out as JSON lines, so that no argument and no variable says anything.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zlh_agent.runtimes.current import point_current
from zlh_agent.runtimes.download import download, partial_path, sweep_partials
from zlh_agent.runtimes.errors import DiskFailed, DiskFull, NotInCatalog
from zlh_agent.runtimes.model import (
    FILES_NAME,
    RECORD_FORMAT,
    RECORD_NAME,
    ChildLine,
    FailedLine,
    InstalledLine,
    InstallOrder,
    InstallRecord,
    ProgressLine,
)
from zlh_agent.runtimes.smoke import smoke_test
from zlh_agent.runtimes.store import read_record, sweep_home
from zlh_agent.runtimes.unpack import list_files, unpack
from zlh_agent.sandbox.lifeline import die_with
from zlh_common.durable_files import rename_durably
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import Choice, choose_runtime
from zlh_common.schema.catalog import Catalog, CatalogProblem, Channel
from zlh_common.signed_catalog import fetch_catalog

# Room that an install leaves to the customer and to the agent's own records.
DISK_RESERVE_BYTES = 64 * 1024 * 1024
SHOW_INTERVAL_S = 0.1


def main() -> None:
    """Carry out the order on standard input; exit 0 whenever the outcome was said."""
    die_with(os.getppid())
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=InstallOrder)
    try:
        with _only_one(Path(order.locks_dir), order.name):
            version = install(order)
        _say(InstalledLine(version=version))
    except ZlhError as error:
        _say(
            FailedLine(
                code=str(error.data.get("reasonCode", error.code)),
                detail=error.detail,
                retryable=error.retryable,
                exit_code=error.data.get("exitCode"),
                output=error.data.get("output"),
            )
        )
    except OSError as error:
        broken = DiskFailed(reason=str(error))
        code = DiskFull.code if error.errno in {errno.ENOSPC, errno.EDQUOT} else broken.code
        _say(FailedLine(code=code, detail=broken.detail, retryable=True))


def install(order: InstallOrder) -> str:
    """Make sure that the ordered version is installed and current; return it."""
    home = Path(order.runtimes_dir) / order.name
    target = home / order.version
    # The lock is ours, so whatever is begun here was begun by a child that is gone.
    sweep_home(home)
    sweep_partials(Path(order.downloads_dir), now=time.time())
    record = read_record(target)
    if record is None or (order.replace and record.attempt < order.attempt):
        catalog = fetch_catalog(
            artifacts_urls=order.artifacts_urls,
            trusted_root=Path(order.trusted_root).read_bytes(),
            metadata_dir=Path(order.metadata_dir),
        )
        _install_tree(order, _choose(order, catalog), catalog, target)
    else:
        # Killed after the tree had its name: what it was made of is needed no more.
        partial_path(Path(order.downloads_dir), record.sha256).unlink(missing_ok=True)
    if order.make_current:
        point_current(home, order.version)
    return order.version


def _choose(order: InstallOrder, catalog: Catalog) -> Choice:
    channels: frozenset[Channel] = frozenset(msgspec.convert(order.channels, tuple[Channel, ...]))
    found = choose_runtime(catalog, name=order.name, version=order.version, platform=order.platform, channels=channels)
    if isinstance(found, CatalogProblem):
        raise NotInCatalog(reason_code=found.code, message=found.message)
    if found.version.version != order.version:
        raise NotInCatalog(reason_code="version_not_offered", message=f"{order.name} {order.version} is not offered.")
    return found


def _install_tree(order: InstallOrder, choice: Choice, catalog: Catalog, target: Path) -> None:
    artifact = choice.artifact
    _check_room(Path(order.runtimes_dir), artifact.size + artifact.unpacked_size)
    archive = download(
        artifact,
        artifacts_url=order.artifacts_urls[0],
        folder=Path(order.downloads_dir),
        show=_shower("download"),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=target.parent))
    try:
        staging.chmod(0o755)
        unpack(archive, staging, unpacked_size=artifact.unpacked_size, show=_shower("unpack"))
        smoke_test(staging, choice.version)
        _record(staging, order, choice, catalog)
        if target.exists():
            # A tree without a valid record is what a broken disk leaves; ours is whole, so it takes the name.
            target.rename(Path(tempfile.mkdtemp(prefix=".staging-", dir=target.parent)) / "broken")
        rename_durably(staging, target)
    finally:
        sweep_home(target.parent)
    archive.unlink(missing_ok=True)


def _record(staging: Path, order: InstallOrder, choice: Choice, catalog: Catalog) -> None:
    """Write the file list and the record, and put all of it on the disk before it gets its name."""
    files, size = list_files(staging)
    listed = msgspec.json.encode(files)
    (staging / FILES_NAME).write_bytes(listed)
    record = InstallRecord(
        format=RECORD_FORMAT,
        name=order.name,
        version=choice.version.version,
        sha256=choice.artifact.sha256,
        size=size,
        source=choice.artifact.source,
        catalog_published_at=catalog.published_at,
        installed_at=datetime.now(UTC),
        bin=choice.version.bin,
        environment=dict(choice.version.environment),
        files_sha256=hashlib.sha256(listed).hexdigest(),
        attempt=order.attempt,
    )
    (staging / RECORD_NAME).write_bytes(msgspec.json.encode(record))
    _sync_file_system(staging)


def _check_room(folder: Path, needed_bytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < needed_bytes + DISK_RESERVE_BYTES:
        raise DiskFull(needed_bytes=needed_bytes + DISK_RESERVE_BYTES, free_bytes=free)


@contextmanager
def _only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of one runtime; the kernel lets go of it however this process ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f"runtime-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shower(stage: str) -> Callable[[int, int], None]:
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SHOW_INTERVAL_S or done == total:
            last = now
            _say(ProgressLine(stage=stage, done=done, total=total))

    return show


def _say(line: ChildLine) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _sync_file_system(path: Path) -> None:
    """Put everything on this file system on the disk: one call, where a call per file takes a minute."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
