"""Publishing: the catalog of what was built becomes signed metadata that clients check from the root that they hold.

How it is written, so that clients see the old catalog or the new one, is the matter of `signing`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from zlh_api.artifacts.errors import (
    ArtifactDamaged,
    ArtifactsNotInitialised,
    CatalogTooLarge,
    KeysUnusable,
    NothingToPublish,
    TemplateInvalid,
)
from zlh_api.artifacts.model import BuildRecord, Decisions, Published
from zlh_api.artifacts.rules import is_same_offer, offers_of, render_catalog
from zlh_api.artifacts.signing.decisions import note_left
from zlh_api.artifacts.signing.keys import KeyFolders, RootShape, ensure_keys, parse_root
from zlh_api.artifacts.signing.metadata_chain import Current, Signing, follow_roots
from zlh_api.artifacts.signing.verify import verify_tree
from zlh_api.artifacts.tree import PUBLIC, Tree
from zlh_common.durable_files import write_durably
from zlh_common.schema.catalog import MAX_CATALOG_BYTES, Catalog
from zlh_common.template_rules import find_template_problems

__all__ = ["initialise", "publish_catalog", "read_catalog", "refresh_timestamp", "sign_offer", "verify_tree"]


def initialise(
    folder: Path, keys: Path, *, now: datetime, offline: Path | None = None, shape: RootShape | None = None
) -> bytes:
    """Make keys, root and an empty tree where they are missing; return the trusted root. Harmless to repeat."""
    tree, folders = Tree(folder), KeyFolders(keys, offline)
    with tree.changing():
        raw = ensure_keys(folders, now=now, published=_read_newest_root(tree), shape=shape)
        root = parse_root(raw, folders.trusted_root)
        published = tree.metadata / f"{root.signed.version}.root.json"
        if published.exists() and published.read_bytes() != raw:
            raise KeysUnusable(key=folders.trusted_root, reason=f"{published} is the root of other keys")
        for made in (tree.archives, tree.targets):
            made.mkdir(parents=True, exist_ok=True)
        if not published.exists():
            write_durably(published, raw, mode=PUBLIC)
        follow_roots(tree, root)
    return raw


def _read_newest_root(tree: Tree) -> bytes | None:
    first = tree.metadata / "1.root.json"
    if not first.exists():
        return None
    newest = follow_roots(tree, parse_root(first.read_bytes(), first))
    return (tree.metadata / f"{newest.signed.version}.root.json").read_bytes()


def publish_catalog(folder: Path, keys: Path, *, now: datetime, offline: Path | None = None) -> Published:
    """Sign the catalog of everything that is built, and make it what clients see.

    Where the same is on offer already, the catalog stays byte for byte and only the signatures are renewed.
    """
    tree = Tree(folder)
    with tree.changing():
        signing = Signing(tree, KeyFolders(keys, offline), now)
        try:
            held = signing.read_current()
        except (ArtifactsNotInitialised, ArtifactDamaged):
            # Publishing is how a damaged catalog is mended: everything in it is made anew from the records.
            held = None
        return sign_offer(tree, signing, held, tree.records(), tree.read_decisions(), now=now)


def sign_offer(
    tree: Tree,
    signing: Signing,
    held: Current | None,
    records: list[BuildRecord],
    decisions: Decisions,
    *,
    now: datetime,
) -> Published:
    """Sign what `records` and `decisions` offer; call with the lock held.

    The decisions are written first: a kill before the signature leaves them to the next run, and clients the old offer.
    """
    templates = tree.template_records()
    at = now.replace(microsecond=0)
    catalog = render_catalog(records, published_at=at, decisions=decisions, templates=templates)
    if not offers_of(catalog):
        raise NothingToPublish(folder=tree.folder)
    _check_templates(catalog)
    _check_archives(tree, [record for record in records if record.offered_version not in decisions.withdrawn])
    signing.check_keys("targets", "snapshot", "timestamp")
    is_new = held is None or not is_same_offer(held.catalog, catalog)
    following = note_left(decisions, held.catalog if held else None, catalog, now) if is_new else decisions
    if following != tree.read_decisions():
        tree.write_decisions(following)
    raw = msgspec.json.encode(catalog) if is_new or held is None else held.catalog_bytes
    if len(raw) > MAX_CATALOG_BYTES:
        raise CatalogTooLarge(size=len(raw), limit=MAX_CATALOG_BYTES)
    return signing.write_all(raw, changed=is_new)


def refresh_timestamp(folder: Path, keys: Path, *, now: datetime, offline: Path | None = None) -> Published:
    """Renew the short-lived signatures, and the yearly one where it runs out soon and its key is here."""
    tree, folders = Tree(folder), KeyFolders(keys, offline)
    with tree.changing():
        signing = Signing(tree, folders, now)
        held = signing.read_current()
        if signing.is_due_soon(held.targets.signed) and signing.can_sign("targets"):
            return signing.write_all(held.catalog_bytes, changed=False)
        return signing.write_short_lived(held.targets.signed, catalog_sha256=held.catalog_sha256, changed=False)


def read_catalog(folder: Path, keys: Path | None = None, *, now: datetime) -> Catalog:
    """Return the published catalog, its signatures checked; raise ArtifactsNotInitialised or ArtifactDamaged."""
    folders = None if keys is None else KeyFolders(keys)
    return Signing(Tree(folder), folders, now).read_current().catalog


def _check_templates(catalog: Catalog) -> None:
    """Refuse to sign a template that cannot be rendered or could hurt whoever renders it."""
    for offer in catalog.game_templates:
        if problems := find_template_problems(offer.template, offer.versions, title=offer.title):
            raise TemplateInvalid(template=offer.name, problems=[str(problem) for problem in problems])


def _check_archives(tree: Tree, records: list[BuildRecord]) -> None:
    """Refuse to sign for a file that is not there; its hash was taken when it was written."""
    for record in records:
        path = tree.archive(record)
        if not path.is_file() or path.stat().st_size != record.size:
            raise ArtifactDamaged(file=record.path, reason="it is missing or has another size; build it again")
