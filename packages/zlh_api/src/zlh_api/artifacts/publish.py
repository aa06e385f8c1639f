"""Signing: the catalog of what was built becomes TUF metadata that clients can check from the root that they hold.

Order of writing: catalog, targets, snapshot, timestamp. Only the timestamp is ever replaced; all else gets a new name,
so a crash after any line leaves the catalog that the old timestamp leads to. Versions count on from the highest file
that is there, also from one that a killed run left behind and nobody ever saw.

Before anything is signed again, what is there is checked against the root in the keys folder: who can write the tree
but has no key cannot get a file signed by waiting for the daily run.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (  # type: ignore[attr-defined] # no __all__ there
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from zlh_api.artifacts.errors import (
    ArtifactDamaged,
    ArtifactsNotInitialised,
    KeysUnusable,
    NothingToPublish,
)
from zlh_api.artifacts.keys import TRUSTED_ROOT, ensure_keys, has_signer, load_signer, parse_root, read_trusted_root
from zlh_api.artifacts.model import BuildRecord, Fault, Published, Verification
from zlh_api.artifacts.rules import (
    SHORT_LIFE,
    TARGETS_LIFE,
    TARGETS_RENEWAL,
    is_same_offer,
    render_catalog,
    versions_to_drop,
)
from zlh_api.artifacts.tree import PUBLIC, SUMS, Tree, hash_file, remove_leftovers
from zlh_common.durable_files import write_durably
from zlh_common.errors import InvalidBody, ZlhError
from zlh_common.schema.catalog import CATALOG_TARGET, Catalog, CatalogRuntime
from zlh_common.schema.structs import decode

# Snapshots kept behind the current one, for clients that are between two of their requests.
KEPT_SNAPSHOTS = 5

_VERSIONED = re.compile(r"([1-9]\d*)\.(root|targets|snapshot)\.json")
S = TypeVar("S", Snapshot, Targets, Timestamp)


@dataclass(frozen=True, slots=True)
class _Current:
    """The chain that the timestamp on disk leads to, its signatures checked."""

    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    catalog: Catalog
    catalog_sha256: str


def initialise(folder: Path, keys: Path, *, now: datetime) -> bytes:
    """Make keys, root and an empty tree where they are missing; return the trusted root. Harmless to repeat."""
    tree = Tree(folder)
    with tree.locked():
        published = tree.metadata / "1.root.json"
        raw = ensure_keys(keys, now=now, published=published.read_bytes() if published.exists() else None)
        parse_root(raw, keys / TRUSTED_ROOT)
        if published.exists() and published.read_bytes() != raw:
            raise KeysUnusable(key=keys / TRUSTED_ROOT, reason=f"{published} is the root of other keys")
        for made in (tree.archives, tree.targets):
            made.mkdir(parents=True, exist_ok=True)
        if not published.exists():
            write_durably(published, raw, mode=PUBLIC)
    return raw


def publish_catalog(folder: Path, keys: Path, *, now: datetime) -> Published:
    """Sign the catalog of everything that is built, and make it what clients see.

    Where the same is on offer already, the catalog stays byte for byte and only the signatures are renewed.
    """
    tree = Tree(folder)
    with tree.locked():
        signing = _Signing(tree, keys, now)
        records = tree.records()
        if not records:
            raise NothingToPublish(folder=folder)
        _check_archives(tree, records)
        try:
            held = signing.read_current()
        except (ArtifactsNotInitialised, ArtifactDamaged):
            # Publishing is how a damaged catalog is mended: everything in it is made anew from the records.
            held = None
        catalog = render_catalog(records, published_at=now.replace(microsecond=0))
        is_new = held is None or not is_same_offer(held.catalog, catalog)
        if held is not None and not is_new:
            catalog = held.catalog
        return signing.write_all(msgspec.json.encode(catalog), changed=is_new)


def refresh_timestamp(folder: Path, keys: Path, *, now: datetime) -> Published:
    """Renew the short-lived signatures, and the yearly one where it runs out soon and its key is here."""
    tree = Tree(folder)
    with tree.locked():
        signing = _Signing(tree, keys, now)
        held = signing.read_current()
        if held.targets.signed.expires - now <= TARGETS_RENEWAL and has_signer(keys, "targets"):
            return signing.write_all(msgspec.json.encode(held.catalog), changed=False)
        return signing.write_short_lived(held.targets.signed.version, catalog_sha256=held.catalog_sha256, changed=False)


def verify_tree(folder: Path, keys: Path | None = None, *, now: datetime) -> Verification:
    """Read every file that the catalog leads to and compare it with what is signed; changes nothing.

    Without the keys folder, the first root of the tree is taken for granted.
    """
    return _Check(Tree(folder), keys, now).run()


def read_catalog(folder: Path, keys: Path | None = None, *, now: datetime) -> Catalog:
    """Return the published catalog, its signatures checked; raise ArtifactsNotInitialised or ArtifactDamaged."""
    return _Signing(Tree(folder), keys, now).read_current().catalog


def _check_archives(tree: Tree, records: list[BuildRecord]) -> None:
    """Refuse to sign for a file that is not there; its hash was taken when it was written."""
    for record in records:
        path = tree.archive(record)
        if not path.is_file() or path.stat().st_size != record.size:
            raise ArtifactDamaged(file=record.path, reason="it is missing or has another size; build it again")


class _Signing:
    """Reads and writes the metadata of one tree; the tree's lock is held by whoever writes."""

    def __init__(self, tree: Tree, keys: Path | None, now: datetime) -> None:
        self._tree, self._keys, self._now = tree, keys, now.replace(microsecond=0)
        self._root = self._read_root()

    def read_current(self) -> _Current:
        """Return the published chain; raise ArtifactDamaged, which names the file, where it does not hold."""
        timestamp = self._read("timestamp.json", "timestamp", Timestamp)
        version = timestamp.signed.snapshot_meta.version
        snapshot = self._read(f"{version}.snapshot.json", "snapshot", Snapshot)
        meta = snapshot.signed.meta.get("targets.json")
        if meta is None:
            raise ArtifactDamaged(file=f"metadata/{version}.snapshot.json", reason="it names no targets.json")
        targets = self._read(f"{meta.version}.targets.json", "targets", Targets)
        target = targets.signed.targets.get(CATALOG_TARGET)
        if target is None:
            raise ArtifactDamaged(file=f"metadata/{meta.version}.targets.json", reason=f"no {CATALOG_TARGET} in it")
        sha256 = target.hashes["sha256"]
        raw = self._read_bytes(self._tree.targets / f"{sha256}.{CATALOG_TARGET}")
        name = f"targets/{sha256}.{CATALOG_TARGET}"
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise ArtifactDamaged(file=name, reason="its SHA-256 is another")
        try:
            catalog = decode(raw, Catalog)
        except InvalidBody as exc:
            raise ArtifactDamaged(file=name, reason=exc.detail) from exc
        return _Current(timestamp, snapshot, targets, catalog, sha256)

    def write_all(self, catalog: bytes, *, changed: bool) -> Published:
        """Write catalog and targets, then what leads to them."""
        remove_leftovers(self._tree.targets)
        sha256 = hashlib.sha256(catalog).hexdigest()
        write_durably(self._tree.targets / f"{sha256}.{CATALOG_TARGET}", catalog, mode=PUBLIC)
        version = self._highest("targets") + 1
        targets = Targets(version=version, expires=self._now + TARGETS_LIFE)
        targets.targets[CATALOG_TARGET] = TargetFile.from_data(CATALOG_TARGET, catalog, ["sha256"])
        self._write(f"{version}.targets.json", targets)
        return self.write_short_lived(version, catalog_sha256=sha256, changed=changed)

    def write_short_lived(self, targets_version: int, *, catalog_sha256: str, changed: bool) -> Published:
        """Write a new snapshot, then the timestamp that makes it the current one; drop what nobody needs."""
        remove_leftovers(self._tree.metadata)
        version, expires = self._highest("snapshot") + 1, self._now + SHORT_LIFE
        snapshot = Snapshot(version=version, expires=expires, meta={"targets.json": MetaFile(targets_version)})
        raw = self._write(f"{version}.snapshot.json", snapshot)
        pinned = MetaFile.from_data(version, raw, ["sha256"])
        self._write("timestamp.json", Timestamp(version=version, expires=expires, snapshot_meta=pinned))
        self._drop_old(version, targets_version)
        return Published(
            catalog_sha256=catalog_sha256,
            targets_version=targets_version,
            snapshot_version=version,
            expires=expires.isoformat().replace("+00:00", "Z"),
            changed=changed,
        )

    def _write(self, name: str, signed: S) -> bytes:
        assert self._keys is not None
        document = Metadata(signed)
        document.sign(load_signer(self._keys, signed.type, self._root))
        raw = document.to_bytes()
        write_durably(self._tree.metadata / name, raw, mode=PUBLIC)
        return raw

    def _drop_old(self, snapshot: int, targets: int) -> None:
        """Remove old snapshots, and the targets and catalogs that no kept one leads to."""
        for version in versions_to_drop(self._versions("snapshot"), current=snapshot, keep=KEPT_SNAPSHOTS):
            (self._tree.metadata / f"{version}.snapshot.json").unlink(missing_ok=True)
        needed = {targets} | {self._targets_of(version) for version in self._versions("snapshot")}
        catalogs = set()
        for version in self._versions("targets"):
            path = self._tree.metadata / f"{version}.targets.json"
            if version not in needed:
                path.unlink(missing_ok=True)
                continue
            catalogs |= set(re.findall(rb'"sha256"\s*:\s*"([0-9a-f]{64})"', path.read_bytes()))
        for path in self._tree.targets.glob(f"*.{CATALOG_TARGET}"):
            if path.name.partition(".")[0].encode() not in catalogs:
                path.unlink(missing_ok=True)

    def _targets_of(self, snapshot: int) -> int | None:
        try:
            document = Metadata[Snapshot].from_file(str(self._tree.metadata / f"{snapshot}.snapshot.json"))
            return document.signed.meta["targets.json"].version
        except (RepositoryError, KeyError, ValueError):
            return None

    def _versions(self, role: str) -> list[int]:
        names = (_VERSIONED.fullmatch(path.name) for path in self._tree.metadata.glob(f"*.{role}.json"))
        return sorted(int(match[1]) for match in names if match)

    def _highest(self, role: str) -> int:
        return max(self._versions(role), default=0)

    def _read_root(self) -> Root:
        if self._keys is not None:
            return parse_root(read_trusted_root(self._keys), self._keys / TRUSTED_ROOT).signed
        path = self._tree.metadata / "1.root.json"
        return parse_root(self._read_bytes(path), path).signed

    def _read(self, name: str, role: str, _shape: type[S]) -> Metadata[S]:
        raw = self._read_bytes(self._tree.metadata / name)
        try:
            document = Metadata[S].from_bytes(raw)
            if document.signed.type != role:
                raise ArtifactDamaged(file=f"metadata/{name}", reason=f"it is a {document.signed.type}")
            self._root.verify_delegate(role, document.signed_bytes, document.signatures)
        except (RepositoryError, ValueError, KeyError) as exc:
            raise ArtifactDamaged(file=f"metadata/{name}", reason=str(exc)) from exc
        return document

    def _read_bytes(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError as exc:
            relative = path.relative_to(self._tree.folder)
            if path.name in {"timestamp.json", "1.root.json"}:
                raise ArtifactsNotInitialised(folder=self._tree.folder, missing=str(relative)) from exc
            raise ArtifactDamaged(file=str(relative), reason="it is missing") from exc


class _Check:
    """One run of verify: goes on after the first fault, so that all of them are named."""

    def __init__(self, tree: Tree, keys: Path | None, now: datetime) -> None:
        self._tree, self._keys, self._now = tree, keys, now
        self._faults: list[Fault] = []
        self._files = self._bytes = 0

    def run(self) -> Verification:
        current = self._check_metadata()
        if current is not None:
            for runtime in current.catalog.runtimes:
                for artifact in (artifact for version in runtime.versions for artifact in version.artifacts):
                    self._check_archive(artifact.path, artifact.sha256, artifact.size)
                self._check_sums(runtime)
        return Verification(files=self._files, bytes=self._bytes, faults=tuple(self._faults))

    def _check_metadata(self) -> _Current | None:
        try:
            current = _Signing(self._tree, self._keys, self._now).read_current()
        except (ArtifactDamaged, ArtifactsNotInitialised, KeysUnusable) as exc:
            self._fault(_file_of(exc), exc.detail)
            return None
        self._files += 4
        self._check_root()
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

    def _check_root(self) -> None:
        if self._keys is None:
            return
        self._files += 1
        path = self._tree.metadata / "1.root.json"
        if not path.is_file() or path.read_bytes() != read_trusted_root(self._keys):
            self._fault("metadata/1.root.json", "it is not the root of these keys")

    def _check_pinned(self, current: _Current) -> None:
        pinned = current.timestamp.signed.snapshot_meta
        name = f"metadata/{pinned.version}.snapshot.json"
        try:
            pinned.verify_length_and_hashes((self._tree.folder / name).read_bytes())
        except RepositoryError as exc:
            self._fault(name, str(exc))

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

    def _check_sums(self, runtime: CatalogRuntime) -> None:
        """Hold SHA256SUMS, which is not signed, against the catalog; it may list builds that are not published yet."""
        name = f"archives/{runtime.name}/{SUMS}"
        self._files += 1
        try:
            rows = (row.split("  ", 1) for row in (self._tree.folder / name).read_text().splitlines())
            listed = {file: sha256 for sha256, file in rows}
        except (OSError, ValueError) as exc:
            self._fault(name, str(exc))
            return
        for artifact in (artifact for version in runtime.versions for artifact in version.artifacts):
            if listed.get(Path(artifact.path).name) != artifact.sha256:
                self._fault(name, f"it does not give the signed hash of {Path(artifact.path).name}")

    def _fault(self, file: str, reason: str) -> None:
        self._faults.append(Fault(file, reason))


def _file_of(exc: ZlhError) -> str:
    return str(exc.data.get("file") or exc.data.get("missing") or "keys")
