"""Prune: archives that nobody can be offered any more go, in an order that never takes one from under a client.

What is published goes in two runs, and only when that is asked for: the first signs a catalog without it, a later one,
when no client can believe the older catalog any more, removes the bytes. A run may be killed at any line; the next one
goes on.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from zlh_api.artifacts.errors import ArtifactsNotInitialised
from zlh_api.artifacts.model import BuildRecord, Decisions, Pruned, Removal
from zlh_api.artifacts.rules import artifacts_of
from zlh_api.artifacts.signing.decisions import plan_removals, plan_withdrawals, removal_of
from zlh_api.artifacts.signing.keys import KeyFolders
from zlh_api.artifacts.signing.metadata_chain import Current, Signing
from zlh_api.artifacts.signing.publish import sign_offer
from zlh_api.artifacts.tree import ARCHIVE_SUFFIX, SUMS, Tree
from zlh_common.durable_files import sync_folder


def prune_tree(
    folder: Path,
    keys: Path,
    *,
    now: datetime,
    keep: int,
    withdraw: bool = False,
    dry_run: bool = False,
    offline: Path | None = None,
) -> Pruned:
    """Remove what is neither offered nor among the newest `keep` versions of a name and channel; or only tell.

    With `withdraw`, published versions beyond the newest `keep`, defaults aside, are offered no more from now on.
    """
    tree = Tree(folder)
    with tree.changing():
        return _Pruning(tree, KeyFolders(keys, offline), now, keep).run(withdraw=withdraw, dry_run=dry_run)


class _Pruning:
    """One run; the tree's lock is held around its life."""

    def __init__(self, tree: Tree, keys: KeyFolders, now: datetime, keep: int) -> None:
        self._tree, self._now, self._keep = tree, now, keep
        self._signing = Signing(tree, keys, now)
        self._records = tree.records()

    def run(self, *, withdraw: bool, dry_run: bool) -> Pruned:
        decided = self._tree.read_decisions()
        withdrawn: tuple[str, ...] = ()
        if withdraw and (held := self._read_held()) is not None:
            decided, withdrawn = self._withdraw(held, decided, dry_run=dry_run)
        named = self._tree.read_catalogs()
        still_named = {record.sha256 for record in self._records if record.sha256.encode() in named}
        gone, waiting = plan_removals(self._records, decided, named=still_named, keep=self._keep, now=self._now)
        strays = self._find_strays(named)
        if not dry_run:
            self._remove(gone, strays)
        return Pruned(
            withdrawn=withdrawn,
            removed=(*(removal_of(record) for record in gone), *strays),
            waiting=tuple(waiting),
        )

    def _withdraw(self, held: Current, decisions: Decisions, *, dry_run: bool) -> tuple[Decisions, tuple[str, ...]]:
        """Sign a catalog without the older versions; also one that a killed run decided on and did not sign."""
        hashes = {artifact.sha256 for artifact in artifacts_of(held.catalog)}
        offered = [record for record in self._records if record.sha256 in hashes]
        decided = plan_withdrawals(offered, decisions, keep=self._keep, now=self._now)
        gone = sorted({record.offered_version for record in offered} & decided.withdrawn.keys())
        if gone and not dry_run:
            sign_offer(self._tree, self._signing, held, offered, decided, now=self._now)
            decided = self._tree.read_decisions()
        return decided, tuple(gone)

    def _read_held(self) -> Current | None:
        try:
            return self._signing.read_current()
        except ArtifactsNotInitialised:
            return None

    def _find_strays(self, named: bytes) -> list[Removal]:
        """Return the archives without a record: a killed build or prune left them, and no catalog names them."""
        recorded = {record.path for record in self._records}
        folders = self._tree.archive_folders()
        paths = [path for folder in folders for path in sorted(folder.glob(f"*{ARCHIVE_SUFFIX}")) if not path.is_dir()]
        found = [(str(path.relative_to(self._tree.folder)), path.lstat().st_size) for path in paths]
        return [Removal(path, size) for path, size in found if path not in recorded and path.encode() not in named]

    def _remove(self, gone: list[BuildRecord], strays: list[Removal]) -> None:
        for record in gone:
            self._tree.remove_build(record)
        for stray in strays:
            (self._tree.folder / stray.path).unlink(missing_ok=True)
        for folder in self._tree.archive_folders():
            self._tidy(folder)
        self._forget(gone)

    def _tidy(self, folder: Path) -> None:
        """Make the sums fit what is left, and remove a folder in which nothing is."""
        if any(folder.glob("*.json")):
            self._tree.write_sums(folder.name)
            return
        (folder / SUMS).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
            sync_folder(folder.parent)

    def _forget(self, gone: list[BuildRecord]) -> None:
        decisions = self._tree.read_decisions()
        known = {record.sha256 for record in self._records} - {record.sha256 for record in gone}
        left = {sha256: since for sha256, since in decisions.left.items() if sha256 in known}
        if left != decisions.left:
            self._tree.write_decisions(msgspec.structs.replace(decisions, left=left))
