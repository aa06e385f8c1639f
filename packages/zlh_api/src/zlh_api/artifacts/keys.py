"""The keys folder: one ed25519 key a role, and the trusted root that clients are given by hand.

    root.pem targets.pem snapshot.pem timestamp.pem   private, PKCS #8, 0600 in a 0700 folder
    root.json                                         the root that these keys signed; public

A server that only re-signs needs `snapshot.pem`, `timestamp.pem` and `root.json`; the other two can be kept elsewhere.
"""

from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined] # no __all__ there
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined] # no __all__ there

from zlh_api.artifacts.errors import KeysUnusable
from zlh_api.artifacts.rules import ROOT_LIFE
from zlh_api.artifacts.tree import PUBLIC, remove_leftovers
from zlh_common.durable_files import write_durably

ROLES = ("root", "targets", "snapshot", "timestamp")
TRUSTED_ROOT = "root.json"


def ensure_keys(folder: Path, *, now: datetime, published: bytes | None = None) -> bytes:
    """Make the keys and the root that names them where they are missing, and return the trusted root.

    A run that was killed half-way is completed by the next. Once there is a root, here or `published` in the tree, no
    key is ever made anew: clients trust that root, and another key would be worth nothing to them.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check_private(folder, is_folder=True)
    remove_leftovers(folder)
    path = folder / TRUSTED_ROOT
    if not path.exists() and published is not None:
        # Only the holder of the very root key may take the published root for the trusted one.
        load_signer(folder, "root", parse_root(published, path).signed)
        write_durably(path, published, mode=PUBLIC)
    if not path.exists():
        signers = {role: _ensure_key(folder / f"{role}.pem") for role in ROLES}
        write_durably(path, _sign_root(signers, now), mode=PUBLIC)
    return path.read_bytes()


def read_trusted_root(folder: Path) -> bytes:
    """Return the root document that clients are given; raise KeysUnusable where there is none."""
    try:
        return (folder / TRUSTED_ROOT).read_bytes()
    except OSError as exc:
        raise KeysUnusable(key=folder / TRUSTED_ROOT, reason=exc.strerror or str(exc)) from exc


def parse_root(raw: bytes, path: Path) -> Metadata[Root]:
    """Return a root document that is signed by its own keys; raise KeysUnusable for any other."""
    try:
        root = Metadata[Root].from_bytes(raw)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    except (RepositoryError, ValueError, KeyError) as exc:
        raise KeysUnusable(key=path, reason=str(exc)) from exc
    return root


def has_signer(folder: Path, role: str) -> bool:
    """Tell whether the key of a role is kept in this folder."""
    return (folder / f"{role}.pem").exists()


def load_signer(folder: Path, role: str, root: Root) -> CryptoSigner:
    """Return the signer of a role; raise KeysUnusable where the key is missing, exposed or not the one of `root`."""
    path = folder / f"{role}.pem"
    try:
        _check_private(path, is_folder=False)
        signer = CryptoSigner(_parse_key(path.read_bytes(), path))
    except OSError as exc:
        raise KeysUnusable(key=path, reason=exc.strerror or str(exc)) from exc
    if signer.public_key.keyid not in root.roles[role].keyids:
        raise KeysUnusable(key=path, reason=f"the root names another key for {role}")
    return signer


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
    _check_private(path, is_folder=False)
    return CryptoSigner(_parse_key(path.read_bytes(), path))


def _check_private(path: Path, *, is_folder: bool) -> None:
    found = path.stat()
    if found.st_mode & 0o077:
        raise KeysUnusable(key=path, reason=f"others can read it (mode {stat.S_IMODE(found.st_mode):04o})")
    if is_folder and not stat.S_ISDIR(found.st_mode):
        raise KeysUnusable(key=path, reason="it is not a folder")


def _sign_root(signers: dict[str, CryptoSigner], now: datetime) -> bytes:
    root = Metadata(Root(expires=now.replace(microsecond=0) + ROOT_LIFE, consistent_snapshot=True))
    for role, signer in signers.items():
        public = signer.public_key
        assert isinstance(public, SSlibKey)
        root.signed.add_key(public, role)
    root.sign(signers["root"])
    return root.to_bytes()
