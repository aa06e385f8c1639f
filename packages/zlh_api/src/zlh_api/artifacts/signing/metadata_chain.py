"""Reading what is published, its signatures checked, and writing the next of it: TUF metadata of one tree.

Order of writing: catalog, targets, snapshot, timestamp. Only the timestamp is ever replaced; all else gets a new name,
so a crash after any line leaves the catalog that the old timestamp leads to. Versions count on from the highest file
that is there, also from one that a killed run left behind and nobody ever saw.

Before anything is signed again, what is there is checked against the root in the keys folder, and against the roots
that it leads to: who can write the tree but has no key cannot get a file signed by waiting for the daily run.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # no __all__ there
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (  # type: ignore[attr-defined] # no __all__ there
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactsNotInitialised, KeysUnusable
from zlh_api.artifacts.model import Published
from zlh_api.artifacts.rules import SHORT_LIFE, TARGETS_LIFE, TARGETS_RENEWAL, versions_to_drop
from zlh_api.artifacts.signing.keys import KeyFolders, find_signers, parse_root, read_trusted_root
from zlh_api.artifacts.tree import PUBLIC, Tree, remove_leftovers
from zlh_common.durable_files import write_durably
from zlh_common.errors import InvalidBody
from zlh_common.schema.catalog import CATALOG_TARGET, Catalog
from zlh_common.schema.structs import decode

# Snapshots kept behind the current one, for clients that are between two of their requests.
KEPT_SNAPSHOTS = 5

_VERSIONED = re.compile(r"([1-9]\d*)\.(root|targets|snapshot)\.json")
S = TypeVar("S", Snapshot, Targets, Timestamp)


@dataclass(frozen=True, slots=True)
class Current:
    """The chain that the timestamp on disk leads to, its signatures checked."""

    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    catalog: Catalog
    catalog_bytes: bytes
    catalog_sha256: str


class Signing:
    """Reads and writes the metadata of one tree; the tree's lock is held by whoever writes.

    `also` is the root that is to follow the current one: until it does, all is signed for both of them.
    """

    def __init__(self, tree: Tree, keys: KeyFolders | None, now: datetime, *, also: Root | None = None) -> None:
        self._tree, self._keys, self._now = tree, keys, now.replace(microsecond=0)
        self.root = self._read_newest_root()
        self._roots = [self.root] if also is None else [self.root, also]

    def read_current(self) -> Current:
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
        return Current(timestamp, snapshot, targets, catalog, raw, sha256)

    def check_keys(self, *roles: str) -> None:
        """Raise KeysUnusable where a key of these roles is missing, before anything is written."""
        for role in roles:
            self._signers(role)

    def write_all(self, catalog: bytes, *, changed: bool) -> Published:
        """Write catalog and targets, then what leads to them."""
        self.check_keys("targets", "snapshot", "timestamp")
        remove_leftovers(self._tree.targets)
        sha256 = hashlib.sha256(catalog).hexdigest()
        write_durably(self._tree.targets / f"{sha256}.{CATALOG_TARGET}", catalog, mode=PUBLIC)
        targets = Targets(version=self._highest("targets") + 1, expires=self._now + TARGETS_LIFE)
        targets.targets[CATALOG_TARGET] = TargetFile.from_data(CATALOG_TARGET, catalog, ["sha256"])
        self._write(f"{targets.version}.targets.json", targets)
        return self.write_short_lived(targets, catalog_sha256=sha256, changed=changed)

    def write_short_lived(self, targets: Targets, *, catalog_sha256: str, changed: bool) -> Published:
        """Write a new snapshot, then the timestamp that makes it the current one; drop what nobody needs."""
        self.check_keys("snapshot", "timestamp")
        remove_leftovers(self._tree.metadata)
        version, expires = self._highest("snapshot") + 1, self._now + SHORT_LIFE
        snapshot = Snapshot(version=version, expires=expires, meta={"targets.json": MetaFile(targets.version)})
        raw = self._write(f"{version}.snapshot.json", snapshot)
        pinned = MetaFile.from_data(version, raw, ["sha256"])
        self._write("timestamp.json", Timestamp(version=version, expires=expires, snapshot_meta=pinned))
        self._drop_old(version, targets.version)
        return Published(
            catalog_sha256=catalog_sha256,
            targets_version=targets.version,
            snapshot_version=version,
            expires=_show(expires),
            changed=changed,
            targets_expires=_show(targets.expires),
            needs_targets_key=self.is_due_soon(targets) and not self.can_sign("targets"),
        )

    def is_due_soon(self, targets: Targets) -> bool:
        """Tell whether the yearly signature should be renewed."""
        return targets.expires - self._now <= TARGETS_RENEWAL

    def can_sign(self, role: str) -> bool:
        """Tell whether the keys of a role are here and can be used."""
        try:
            self.check_keys(role)
        except KeysUnusable:
            return False
        return True

    def _signers(self, role: str) -> list[CryptoSigner]:
        assert self._keys is not None
        found = {
            signer.public_key.keyid: signer for root in self._roots for signer in find_signers(self._keys, role, root)
        }
        return list(found.values())

    def _write(self, name: str, signed: S) -> bytes:
        document = Metadata(signed)
        for signer in self._signers(signed.type):
            document.sign(signer, append=True)
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

    def _read_newest_root(self) -> Root:
        if self._keys is not None:
            trusted = parse_root(read_trusted_root(self._keys.online), self._keys.trusted_root)
        else:
            path = self._tree.metadata / "1.root.json"
            trusted = parse_root(self._read_bytes(path), path)
        return follow_roots(self._tree, trusted).signed

    def _read(self, name: str, role: str, _shape: type[S]) -> Metadata[S]:
        raw = self._read_bytes(self._tree.metadata / name)
        try:
            document = Metadata[S].from_bytes(raw)
            if document.signed.type != role:
                raise ArtifactDamaged(file=f"metadata/{name}", reason=f"it is a {document.signed.type}")
            self.root.verify_delegate(role, document.signed_bytes, document.signatures)
        except (RepositoryError, ValueError, KeyError, AttributeError) as exc:
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
        except OSError as exc:
            raise ArtifactDamaged(file=str(path.relative_to(self._tree.folder)), reason=exc.strerror or "?") from exc


def follow_roots(tree: Tree, trusted: Metadata[Root]) -> Metadata[Root]:
    """Return the newest root that `trusted` leads to, each signed by the one before it as a client checks it.

    Raises ArtifactDamaged, which names the file, for a root that does not follow.
    """
    while True:
        path = tree.metadata / f"{trusted.signed.version + 1}.root.json"
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return trusted
        try:
            following = parse_root(raw, path)
            trusted.signed.verify_delegate("root", following.signed_bytes, following.signatures)
        except (RepositoryError, KeysUnusable) as exc:
            raise ArtifactDamaged(file=f"metadata/{path.name}", reason=str(exc)) from exc
        if following.signed.version != trusted.signed.version + 1:
            raise ArtifactDamaged(file=f"metadata/{path.name}", reason=f"it says version {following.signed.version}")
        trusted = following


def _show(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
