"""The keys folder: ed25519 keys by role, and the trusted root that clients are given by hand.

    root.pem targets.pem snapshot.pem timestamp.pem   private, PKCS #8, 0600 in a 0700 folder
    root-2.pem …                                      further root keys, where a root must be signed by several
    root.json                                         the root that these keys signed; public
    next/  retired/                                   new keys of a rotation that is under way; keys of earlier ones

A server that only re-signs needs `snapshot.pem`, `timestamp.pem` and `root.json`. The keys of root and targets can be
kept in a folder of their own, which is only there while it is needed. A key counts by its id in the root and not by
the name of its file, so a rotation that was killed between two files is no obstacle to anybody.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined] # no __all__ there
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined] # no __all__ there

from zlh_api.artifacts.errors import KeysUnusable
from zlh_api.artifacts.model import ROLES
from zlh_api.artifacts.rules import ROOT_LIFE
from zlh_api.artifacts.tree import PUBLIC, remove_leftovers
from zlh_common.durable_files import write_durably

# Of these no server needs the keys.
OFFLINE_ROLES = ("root", "targets")
TRUSTED_ROOT = "root.json"
NEXT, RETIRED = "next", "retired"


@dataclass(frozen=True, slots=True)
class KeyFolders:
    """Where keys are: `online` holds the root document, and all keys where there is no `offline` folder."""

    online: Path
    offline: Path | None = None

    def home(self, role: str) -> Path:
        """Return the folder in which the keys of a role belong."""
        return self.offline if self.offline is not None and role in OFFLINE_ROLES else self.online

    @property
    def trusted_root(self) -> Path:
        """The root document that clients are given."""
        return self.online / TRUSTED_ROOT

    @property
    def next_root(self) -> Path:
        """The root of a rotation that is under way."""
        return self.online / NEXT / TRUSTED_ROOT

    def all(self) -> list[Path]:
        """Return the folders that there are."""
        return [self.online] if self.offline is None else [self.online, self.offline]


@dataclass(frozen=True, slots=True)
class RootShape:
    """How many root keys there are, and how many of them must sign."""

    keys: int = 1
    threshold: int = 1


def ensure_keys(
    folders: KeyFolders, *, now: datetime, published: bytes | None = None, shape: RootShape | None = None
) -> bytes:
    """Make the keys and the root that names them where they are missing, and return the trusted root.

    A run that was killed half-way is completed by the next. Once there is a root, here or `published` in the tree, no
    key is ever made anew: clients trust that root, and another key would be worth nothing to them.
    """
    for folder in folders.all():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_private(folder, is_folder=True)
        remove_leftovers(folder)
    path = folders.trusted_root
    if not path.exists() and published is not None:
        # Only the holder of the very root keys may take the published root for the trusted one.
        find_signers(folders, "root", parse_root(published, path).signed)
        write_durably(path, published, mode=PUBLIC)
    if not path.exists():
        wanted = shape or RootShape()
        signers = {role: ensure_signers(folders.home(role), role, wanted) for role in ROLES}
        write_durably(path, _make_first_root(signers, wanted, now), mode=PUBLIC)
    raw = path.read_bytes()
    if shape is not None and shape_of(parse_root(raw, path).signed) != shape:
        raise KeysUnusable(key=path, reason="it has other numbers of keys; `rotate-keys root` changes them")
    return raw


def shape_of(root: Root) -> RootShape:
    """Return how many keys a root has for itself, and how many must sign."""
    role = root.roles["root"]
    return RootShape(len(role.keyids), role.threshold)


def read_trusted_root(folder: Path) -> bytes:
    """Return the root document that clients are given; raise KeysUnusable where there is none."""
    try:
        return (folder / TRUSTED_ROOT).read_bytes()
    except OSError as exc:
        raise KeysUnusable(key=folder / TRUSTED_ROOT, reason=exc.strerror or str(exc)) from exc


def parse_root(raw: bytes, path: Path) -> Metadata[Root]:
    """Return a root document that is signed by as many of its own keys as it asks for; raise KeysUnusable."""
    try:
        root = Metadata[Root].from_bytes(raw)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    except (RepositoryError, ValueError, KeyError, AttributeError) as exc:
        raise KeysUnusable(key=path, reason=str(exc)) from exc
    return root


def find_signers(folders: KeyFolders, role: str, root: Root) -> list[CryptoSigner]:
    """Return as many signers of a role as `root` asks for; raise KeysUnusable where they are missing or exposed."""
    home = folders.home(role)
    found: dict[str, CryptoSigner] = {}
    reason = "No such file or directory"
    for path in [*_key_files(home, role), *_key_files(home / NEXT, role)]:
        signer = load_key(path)
        if signer.public_key.keyid in root.roles[role].keyids:
            found[signer.public_key.keyid] = signer
        else:
            reason = f"the root names another key for {role}"
    threshold = root.roles[role].threshold
    if len(found) < threshold:
        if found:
            reason = f"the root asks for {threshold} keys of {role} and {len(found)} are here"
        raise KeysUnusable(key=home / f"{role}.pem", reason=reason)
    return list(found.values())


def load_key(path: Path) -> CryptoSigner:
    """Return the signer of one key file; raise KeysUnusable where it is no key, or others can read it."""
    try:
        _check_private(path, is_folder=False)
        return CryptoSigner(_parse_key(path.read_bytes(), path))
    except OSError as exc:
        raise KeysUnusable(key=path, reason=exc.strerror or str(exc)) from exc


def ensure_signers(folder: Path, role: str, shape: RootShape) -> list[CryptoSigner]:
    """Return the signers of a role in `folder`, made where they are missing: several for root, one for the others."""
    count = shape.keys if role == "root" else 1
    names = [f"{role}.pem", *(f"{role}-{number}.pem" for number in range(2, count + 1))]
    return [_ensure_key(folder / name) for name in names]


def sign_root(root: Root, signers: list[CryptoSigner]) -> bytes:
    """Return a root document with the signatures of all `signers`."""
    document = Metadata(root)
    for signer in signers:
        document.sign(signer, append=True)
    return document.to_bytes()


def public_key(signer: CryptoSigner) -> SSlibKey:
    """Return the public half of a key as a root names it."""
    public = signer.public_key
    assert isinstance(public, SSlibKey)
    return public


def _key_files(folder: Path, role: str) -> list[Path]:
    pattern = re.compile(rf"{role}(-[2-9])?\.pem")
    return sorted(path for path in folder.glob(f"{role}*.pem") if pattern.fullmatch(path.name))


def _parse_key(raw: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError) as exc:
        raise KeysUnusable(key=path, reason="it is not an unencrypted PEM key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeysUnusable(key=path, reason="it is not an ed25519 key")
    return key


def _ensure_key(path: Path) -> CryptoSigner:
    if not path.exists():
        write_durably(path, CryptoSigner.generate_ed25519().private_bytes)
    return load_key(path)


def _check_private(path: Path, *, is_folder: bool) -> None:
    found = path.stat()
    if found.st_mode & 0o077:
        raise KeysUnusable(key=path, reason=f"others can read it (mode {stat.S_IMODE(found.st_mode):04o})")
    if is_folder and not stat.S_ISDIR(found.st_mode):
        raise KeysUnusable(key=path, reason="it is not a folder")


def _make_first_root(signers: dict[str, list[CryptoSigner]], shape: RootShape, now: datetime) -> bytes:
    root = Root(expires=now.replace(microsecond=0) + ROOT_LIFE, consistent_snapshot=True)
    for role, of_role in signers.items():
        for signer in of_role:
            root.add_key(public_key(signer), role)
    root.roles["root"].threshold = shape.threshold
    return sign_root(root, signers["root"])
