"""The child that installs one runtime, and ends: catalog, download, hash, unpack, smoke test, record, rename.

Every name that counts is given last, by one rename, so a kill at any line leaves the old state or the new one. What it
had begun lies in folders that nobody reads and that the next start of the agent sweeps. Orders come on standard input,
and progress and the outcome go out as JSON lines, so that no argument and no variable says anything.

It gives up its rights before it reads a byte that others wrote (`confined.py`): in a container it is a user of its own,
whose are the trees and the folders that it works in.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zlh_agent.runtimes.checking.comparison import compare_tree
from zlh_agent.runtimes.confined import confine_install
from zlh_agent.runtimes.current import point_current, read_current
from zlh_agent.runtimes.errors import DiskFailed, DiskFull, NotInCatalog, RuntimeChanged
from zlh_agent.runtimes.installing.agent_bundle import check_bundle, own_smoke_test
from zlh_agent.runtimes.installing.disk_room import NO_ROOM, Need, ensure_room, told_when_full, tree_need
from zlh_agent.runtimes.installing.download import download, partial_path, sweep_partials
from zlh_agent.runtimes.installing.exchange import put_in_place
from zlh_agent.runtimes.installing.smoke import smoke_test
from zlh_agent.runtimes.installing.telling import Teller, say
from zlh_agent.runtimes.installing.unpack import Unpacked, unpack
from zlh_agent.runtimes.lock import only_one
from zlh_agent.runtimes.model import (
    RECORD_FORMAT,
    RECORD_NAME,
    STAGING,
    FailedLine,
    InstalledLine,
    InstallOrder,
    InstallRecord,
)
from zlh_agent.runtimes.ownership import ensure_folders
from zlh_agent.runtimes.store import read_record, sweep_home, undo_half_exchange
from zlh_agent.sandbox.lifeline import die_with
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import Choice, choose_offer
from zlh_common.schema.catalog import Catalog, CatalogProblem, Channel
from zlh_common.signed_catalog import CatalogUnavailable, fetch_catalog


def main() -> None:
    """Carry out the order on standard input; exit 0 whenever the outcome was said."""
    die_with(os.getppid())
    # As an exception, so that what was started is ended and what was begun is deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=InstallOrder)
    try:
        trusted_root = Path(order.trusted_root).read_bytes()
        private = [Path(folder) for folder in (order.downloads_dir, order.metadata_dir, order.locks_dir)]
        ensure_folders(Path(order.trees_dir), private, order.user)
        confine_install(order, [_writable_trees(order), *private])
        # The system's own is out of reach; nothing in it has a name.
        tempfile.tempdir = order.downloads_dir
        with only_one(Path(order.locks_dir), order.name):
            version = install(order, trusted_root)
        say(InstalledLine(version=version))
    except ZlhError as error:
        say(
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
        code = DiskFull.code if error.errno in NO_ROOM else broken.code
        say(FailedLine(code=code, detail=broken.detail, retryable=True))


def _writable_trees(order: InstallOrder) -> Path:
    """Return where an install may write trees: the agent's own folder lies beside those of runtimes and addons."""
    trees = Path(order.trees_dir)
    return trees / order.name if order.kind == "agent" else trees


def install(order: InstallOrder, trusted_root: bytes) -> str:
    """Make sure that the ordered version is installed, and current where that was asked for; return it."""
    home = Path(order.trees_dir) / order.name
    target = home / order.version
    teller = Teller()
    # The lock is ours, so whatever is begun here was begun by a child that is gone.
    undo_half_exchange(home)
    sweep_home(home)
    sweep_partials(Path(order.downloads_dir), now=time.time())
    record = read_record(target)
    if record is None or (order.replace and record.attempt < order.attempt):
        teller.show("catalog")
        catalog = _fetch_catalog(order, trusted_root)
        _install_tree(order, _choose(order, catalog), catalog, target, teller)
    else:
        # Killed after the tree had its name: what it was made of is needed no more.
        partial_path(Path(order.downloads_dir), record.sha256).unlink(missing_ok=True)
        if order.make_current and read_current(home) != order.version:
            teller.show("verify")
            _refuse_changed(order, target)
    if order.make_current:
        point_current(home, order.version)
    # Also what was replaced, now that nothing leads there any more.
    sweep_home(home)
    return order.version


def _fetch_catalog(order: InstallOrder, trusted_root: bytes) -> Catalog:
    """Return the catalog; raise OSError where it is this disk, and no server, that is in the way."""
    try:
        return fetch_catalog(
            artifacts_urls=order.artifacts_urls, trusted_root=trusted_root, metadata_dir=Path(order.metadata_dir)
        )
    except CatalogUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            raise cause from error
        raise


def _refuse_changed(order: InstallOrder, target: Path) -> None:
    """Raise RuntimeChanged where a tree that shall be used again has lost what was installed, or has it changed."""
    if files := compare_tree(target).changed_or_missing():
        raise RuntimeChanged(name=order.name, version=order.version, files=files)


def _choose(order: InstallOrder, catalog: Catalog) -> Choice:
    channels: frozenset[Channel] = frozenset(msgspec.convert(order.channels, tuple[Channel, ...]))
    found = choose_offer(
        catalog,
        order.kind,
        name=order.offer or order.name,
        version=order.version,
        platform=order.platform,
        channels=channels,
    )
    if isinstance(found, CatalogProblem):
        raise NotInCatalog(reason_code=found.code, message=found.message)
    if found.version.version != order.version:
        raise NotInCatalog(reason_code="version_not_offered", message=f"{order.name} {order.version} is not offered.")
    return found


def _install_tree(order: InstallOrder, choice: Choice, catalog: Catalog, target: Path, teller: Teller) -> None:
    """Download, unpack beside the target, prove that it works, and give it its name."""
    artifact, downloads = choice.artifact, Path(order.downloads_dir)
    part = partial_path(downloads, artifact.sha256)
    had = part.stat().st_size if part.exists() else 0
    tree = tree_need(target.parent, size=artifact.unpacked_size, files=artifact.entries)
    archive = Need(downloads, max(0, artifact.size - had), 1)
    ensure_room([archive, tree])
    try:
        with (
            told_when_full(archive),
            download(artifact, artifacts_urls=order.artifacts_urls, folder=downloads, show=teller.show) as packed,
            told_when_full(tree),
            _staging(target.parent) as staging,
        ):
            made = unpack(
                packed,
                staging / "tree",
                entries=artifact.entries,
                unpacked_size=artifact.unpacked_size,
                show=lambda done, total: teller.show("unpack", done, total),
            )
            teller.show("smoke")
            _prove(order, choice, staging)
            teller.show("record")
            _record(staging / "tree", order, choice, catalog, made)
            put_in_place(staging / "tree", target, attic=staging)
    except DiskFull:
        # It would take what little room there is from the customer, and is not what is missing.
        part.unlink(missing_ok=True)
        raise
    part.unlink(missing_ok=True)


def _prove(order: InstallOrder, choice: Choice, staging: Path) -> None:
    """Run what proves that the unpacked tree works; of an agent that is nothing that a catalog chooses."""
    tested = choice.version
    if order.kind == "agent":
        check_bundle(staging / "tree", order.version)
        tested = own_smoke_test(tested)
    smoke_test(staging / "tree", tested, scratch=staging / "scratch")


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """Make a folder for a tree that has no name yet, and for what its test writes; it is swept where that failed."""
    home.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=home))
    try:
        for name in ("tree", "scratch"):
            (staging / name).mkdir(mode=0o755)
        yield staging
    except BaseException:
        sweep_home(home)
        raise


def _record(tree: Path, order: InstallOrder, choice: Choice, catalog: Catalog, made: Unpacked) -> None:
    """Write the record, and put all of the tree on the disk before it gets its name."""
    record = InstallRecord(
        format=RECORD_FORMAT,
        name=order.name,
        version=choice.version.version,
        sha256=choice.artifact.sha256,
        size=made.size,
        source=choice.artifact.source,
        catalog_published_at=catalog.published_at,
        installed_at=datetime.now(UTC),
        bin=choice.version.bin,
        environment=dict(choice.version.environment),
        files_sha256=made.files_sha256,
        attempt=order.attempt,
    )
    (tree / RECORD_NAME).write_bytes(msgspec.json.encode(record))
    _sync_file_system(tree)


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
    # All that was said is said, and to take so many modules down in order takes longer than to hash a runtime.
    os._exit(0)
