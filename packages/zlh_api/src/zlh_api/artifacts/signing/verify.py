"""Verify: every file of a tree against what is signed; goes on after the first fault, so that all of them are named."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed  # type: ignore[attr-defined] # no __all__ there

from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactsNotInitialised, KeysUnusable
from zlh_api.artifacts.model import BuildRecord, Fault, Verification
from zlh_api.artifacts.rules import artifacts_of
from zlh_api.artifacts.signing.keys import KeyFolders, parse_root, read_trusted_root
from zlh_api.artifacts.signing.metadata_chain import Current, Signing
from zlh_api.artifacts.tree import SUMS, Tree, hash_file
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import Artifact, Catalog


def verify_tree(folder: Path, keys: Path | None = None, *, now: datetime) -> Verification:
    """Read every file that the catalog leads to, and every build, and compare; changes nothing.

    Without the keys folder, the first root of the tree is taken for granted.
    """
    return _Check(Tree(folder), keys, now).run()


class _Check:
    """One run of verify."""

    def __init__(self, tree: Tree, keys: Path | None, now: datetime) -> None:
        self._tree, self._keys, self._now = tree, keys, now
        self._faults: list[Fault] = []
        self._files = self._bytes = 0

    def run(self) -> Verification:
        current = self._check_metadata()
        self._check_decisions()
        named = artifacts_of(current.catalog) if current is not None else []
        for artifact in named:
            self._check_archive(artifact.path, artifact.sha256, artifact.size)
        records = self._read_records()
        if current is not None:
            self._check_records(current.catalog, records)
        hashed = {artifact.path for artifact in named}
        for record in records:
            if record.path not in hashed:
                self._check_archive(record.path, record.sha256, record.size)
        for name in sorted({Path(artifact.path).parent.name for artifact in named}):
            self._check_sums(name, [artifact for artifact in named if Path(artifact.path).parent.name == name])
        return Verification(files=self._files, bytes=self._bytes, faults=tuple(self._faults))

    def _check_metadata(self) -> Current | None:
        self._check_roots()
        try:
            current = Signing(self._tree, self._folders(), self._now).read_current()
        except (ArtifactDamaged, ArtifactsNotInitialised, KeysUnusable) as exc:
            self._fault(_file_of(exc), exc.detail)
            return None
        self._files += 4
        self._check_pinned(current)
        chain: dict[str, Signed] = {
            "metadata/timestamp.json": current.timestamp.signed,
            f"metadata/{current.snapshot.signed.version}.snapshot.json": current.snapshot.signed,
            f"metadata/{current.targets.signed.version}.targets.json": current.targets.signed,
        }
        for name, signed in chain.items():
            if signed.is_expired(self._now):
                self._fault(name, f"it expired on {signed.expires:%Y-%m-%d}")
        return current

    def _folders(self) -> KeyFolders | None:
        return None if self._keys is None else KeyFolders(self._keys)

    def _check_roots(self) -> None:
        """Hold the roots against each other, oldest first, and the trusted one against the tree's."""
        roots: list[Metadata[Root]] = []
        version = 1
        while (path := self._tree.metadata / f"{version}.root.json").is_file():
            self._files += 1
            try:
                roots.append(parse_root(path.read_bytes(), path))
            except KeysUnusable as exc:
                self._fault(f"metadata/{path.name}", exc.detail)
            version += 1
        for older, newer in pairwise(roots):
            self._check_follows(older, newer)
        if roots and roots[-1].signed.is_expired(self._now):
            expired = roots[-1].signed
            self._fault(f"metadata/{expired.version}.root.json", f"it expired on {expired.expires:%Y-%m-%d}")
        self._check_trusted()

    def _check_follows(self, older: Metadata[Root], newer: Metadata[Root]) -> None:
        name = f"metadata/{newer.signed.version}.root.json"
        try:
            if newer.signed.version == older.signed.version + 1:
                older.signed.verify_delegate("root", newer.signed_bytes, newer.signatures)
        except RepositoryError as exc:
            self._fault(name, f"the root before it has not signed it: {exc}")

    def _check_trusted(self) -> None:
        if self._keys is None:
            return
        try:
            raw = read_trusted_root(self._keys)
            version = parse_root(raw, self._keys).signed.version
        except KeysUnusable as exc:
            self._fault("keys", exc.detail)
            return
        name = f"metadata/{version}.root.json"
        path = self._tree.folder / name
        is_known = any(fault.file == name for fault in self._faults)
        if not is_known and (not path.is_file() or path.read_bytes() != raw):
            self._fault(name, "it is not the root of these keys")

    def _check_pinned(self, current: Current) -> None:
        pinned = current.timestamp.signed.snapshot_meta
        name = f"metadata/{pinned.version}.snapshot.json"
        try:
            pinned.verify_length_and_hashes((self._tree.folder / name).read_bytes())
        except RepositoryError as exc:
            self._fault(name, str(exc))

    def _check_decisions(self) -> None:
        try:
            self._tree.read_decisions()
        except ArtifactDamaged as exc:
            self._fault(_file_of(exc), exc.detail)

    def _read_records(self) -> list[BuildRecord]:
        records = []
        for path in self._tree.record_paths():
            self._files += 1
            try:
                records.append(self._tree.read_record(path))
            except ArtifactDamaged as exc:
                self._fault(_file_of(exc), exc.detail)
        return records

    def _check_records(self, catalog: Catalog, records: list[BuildRecord]) -> None:
        """Each archive that is offered has a record that says the same: the next publish is made from the records."""
        by_path = {record.path: record for record in records}
        for artifact in artifacts_of(catalog):
            record = by_path.get(artifact.path)
            name = artifact.path.replace(".tar.zst", ".json")
            if record is None:
                if not any(fault.file == name for fault in self._faults):
                    self._fault(name, "the record of a published archive is missing")
            elif (record.sha256, record.size) != (artifact.sha256, artifact.size):
                self._fault(name, f"it says SHA-256 {record.sha256}, {artifact.sha256} is signed")

    def _check_archive(self, path: str, sha256: str, size: int) -> None:
        self._files += 1
        try:
            found, found_size = hash_file(self._tree.folder / path)
        except OSError as exc:
            self._fault(path, exc.strerror or str(exc))
            return
        self._bytes += found_size
        if found_size != size:
            self._fault(path, f"it has {found_size} bytes, {size} are signed")
        elif found != sha256:
            self._fault(path, f"its SHA-256 is {found}, {sha256} is signed")

    def _check_sums(self, folder: str, artifacts: list[Artifact]) -> None:
        """Hold SHA256SUMS, which is not signed, against the catalog; it may list builds that are not published yet."""
        name = f"archives/{folder}/{SUMS}"
        self._files += 1
        try:
            rows = (row.split("  ", 1) for row in (self._tree.folder / name).read_text().splitlines())
            listed = {file: sha256 for sha256, file in rows}
        except (OSError, ValueError) as exc:
            self._fault(name, str(exc))
            return
        for artifact in artifacts:
            if listed.get(Path(artifact.path).name) != artifact.sha256:
                self._fault(name, f"it does not give the signed hash of {Path(artifact.path).name}")

    def _fault(self, file: str, reason: str) -> None:
        self._faults.append(Fault(file, reason))


def _file_of(exc: ZlhError) -> str:
    return str(exc.data.get("file") or exc.data.get("missing") or "keys")
