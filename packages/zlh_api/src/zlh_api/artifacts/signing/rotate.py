"""Rotating keys: a new root names new keys, signed by the old root keys and the new ones, and clients follow.

    new keys and root in next/ → all signed for both roots → N+1.root.json in the tree
    → new keys in place, old ones set aside → all signed for the new root alone → next/ gone

A kill between any two of these leaves a tree that every client believes, with whichever root it holds: before the new
root is in the tree nobody knows of it, and from then on both kinds of keys have signed what it leads to. Running the
command again completes what was begun.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # no __all__ there
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined] # no __all__ there

from zlh_api.artifacts.errors import ArtifactsNotInitialised, KeysUnusable
from zlh_api.artifacts.model import ROLES, Rotated
from zlh_api.artifacts.rules import ROOT_LIFE
from zlh_api.artifacts.signing.keys import (
    NEXT,
    RETIRED,
    KeyFolders,
    RootShape,
    ensure_signers,
    find_signers,
    load_key,
    parse_root,
    public_key,
    shape_of,
    sign_root,
)
from zlh_api.artifacts.signing.metadata_chain import Current, Signing
from zlh_api.artifacts.tree import PUBLIC, Tree
from zlh_common.durable_files import rename_durably, sync_folder, write_durably


def rotate_keys(
    folder: Path,
    keys: Path,
    roles: Sequence[str],
    *,
    now: datetime,
    offline: Path | None = None,
    shape: RootShape | None = None,
) -> Rotated:
    """Give these roles new keys; `shape` also changes how many root keys there are.

    The keys of the root, and of each role that is named, must be at hand: raises KeysUnusable before anything changes.
    """
    tree, folders = Tree(folder), KeyFolders(keys, offline)
    wanted = tuple(role for role in ROLES if role in roles)
    with tree.changing():
        rotation = _Rotation(tree, folders, now)
        begun = rotation.complete()
        if begun is not None and begun.roles == wanted:
            return begun
        return rotation.begin(wanted, shape)


class _Rotation:
    """One rotation; the tree's lock is held around its life."""

    def __init__(self, tree: Tree, folders: KeyFolders, now: datetime) -> None:
        self._tree, self._folders, self._now = tree, folders, now.replace(microsecond=0)

    def complete(self) -> Rotated | None:
        """Go on with a rotation that was killed, and return what it has done; None where there was none."""
        signing = Signing(self._tree, self._folders, self._now)
        following = self._read_next()
        if following is None or following.signed.version not in {signing.root.version, signing.root.version + 1}:
            # Without a root nobody has ever seen the keys beside it.
            self._discard_next()
            return None
        older = signing.root
        if following.signed.version == signing.root.version:
            path = self._tree.metadata / f"{signing.root.version - 1}.root.json"
            older = parse_root(path.read_bytes(), path).signed
        return self._carry_out(older, following)

    def begin(self, roles: tuple[str, ...], shape: RootShape | None) -> Rotated:
        """Make keys and root for these roles, and bring them to the clients."""
        signing = Signing(self._tree, self._folders, self._now)
        older = signing.root
        old_signers = find_signers(self._folders, "root", older)
        signing.check_keys("snapshot", "timestamp", *roles)
        root = deepcopy(older)
        root.version, root.expires = older.version + 1, self._now + ROOT_LIFE
        wanted = shape or shape_of(older)
        new_signers: dict[str, list[CryptoSigner]] = {}
        for role in roles:
            home = self._folders.home(role) / NEXT
            home.mkdir(mode=0o700, exist_ok=True)
            new_signers[role] = ensure_signers(home, role, wanted)
            _replace_keys(root, role, new_signers[role])
        root.roles["root"].threshold = wanted.threshold if "root" in roles else older.roles["root"].threshold
        signers = _unique([*old_signers, *new_signers.get("root", old_signers)])
        raw = sign_root(root, signers)
        write_durably(self._folders.next_root, raw, mode=PUBLIC)
        return self._carry_out(older, parse_root(raw, self._folders.next_root))

    def _carry_out(self, older: Root, following: Metadata[Root]) -> Rotated:
        roles = tuple(role for role in ROLES if older.roles[role].keyids != following.signed.roles[role].keyids)
        path = self._tree.metadata / f"{following.signed.version}.root.json"
        if not path.exists():
            self._check_follows(older, following)
            self._sign_all(roles, also=following.signed)
            write_durably(path, self._folders.next_root.read_bytes(), mode=PUBLIC)
        for role in roles:
            self._put_in_place(role, following.signed)
        write_durably(self._folders.trusted_root, path.read_bytes(), mode=PUBLIC)
        self._sign_all(roles, also=None)
        self._discard_next()
        return Rotated(following.signed.version, roles)

    def _check_follows(self, older: Root, following: Metadata[Root]) -> None:
        try:
            older.verify_delegate("root", following.signed_bytes, following.signatures)
        except RepositoryError as exc:
            raise KeysUnusable(key=self._folders.next_root, reason=str(exc)) from exc

    def _sign_all(self, roles: Collection[str], *, also: Root | None) -> None:
        """Sign what is published for both roots, or for the new one alone; targets where their key changes."""
        signing = Signing(self._tree, self._folders, self._now, also=also)
        held = self._read_held(signing)
        if held is None:
            return
        if "targets" in roles:
            signing.write_all(held.catalog_bytes, changed=False)
        else:
            signing.write_short_lived(held.targets.signed, catalog_sha256=held.catalog_sha256, changed=False)

    def _read_held(self, signing: Signing) -> Current | None:
        try:
            return signing.read_current()
        except ArtifactsNotInitialised:
            return None

    def _put_in_place(self, role: str, root: Root) -> None:
        """Let the new keys take the names of the old ones, which are set aside."""
        home = self._folders.home(role)
        for path in sorted(home.glob(f"{role}*.pem")):
            if load_key(path).public_key.keyid not in root.roles[role].keyids:
                self._set_aside(path)
        for path in sorted((home / NEXT).glob(f"{role}*.pem")):
            rename_durably(path, home / path.name)

    def _set_aside(self, path: Path) -> None:
        retired = path.parent / RETIRED
        retired.mkdir(mode=0o700, exist_ok=True)
        rename_durably(path, retired / f"{path.stem}-{load_key(path).public_key.keyid[:12]}.pem")
        sync_folder(path.parent)

    def _read_next(self) -> Metadata[Root] | None:
        try:
            return parse_root(self._folders.next_root.read_bytes(), self._folders.next_root)
        except FileNotFoundError:
            return None

    def _discard_next(self) -> None:
        """Remove what was prepared, the root first: keys without it are nobody's."""
        self._folders.next_root.unlink(missing_ok=True)
        for folder in self._folders.all():
            shutil.rmtree(folder / NEXT, ignore_errors=True)


def _replace_keys(root: Root, role: str, signers: list[CryptoSigner]) -> None:
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for signer in signers:
        root.add_key(public_key(signer), role)


def _unique(signers: list[CryptoSigner]) -> list[CryptoSigner]:
    return list({signer.public_key.keyid: signer for signer in signers}.values())
