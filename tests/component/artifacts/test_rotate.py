"""Rotating keys on a real tree, with real clients that hold older roots; several root keys; keys that are elsewhere."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined] # no __all__ there

from component.artifacts.conftest import Workshop, served
from zlh_api.artifacts.errors import KeysUnusable
from zlh_api.artifacts.model import ROLES
from zlh_api.artifacts.signing.keys import KeyFolders, RootShape, ensure_keys
from zlh_api.artifacts.signing.publish import initialise, publish_catalog, refresh_timestamp, verify_tree
from zlh_api.artifacts.signing.rotate import rotate_keys
from zlh_common.signed_catalog import CatalogUntrusted, fetch_catalog


def read(shop: Workshop, root: bytes, folder: Path) -> int:
    """Return how many runtimes a client sees that was given this root."""
    with served(shop.tree) as url:
        return len(fetch_catalog(artifacts_urls=(url,), trusted_root=root, metadata_dir=folder).runtimes)


def test_clients_with_any_older_root_follow(published: Workshop, tmp_path: Path) -> None:
    """Whether they have seen every root on the way, or only the first, or are given the newest."""
    roots = [(published.keys / "root.json").read_bytes()]
    for roles in (("timestamp",), ("snapshot", "timestamp"), ("targets",), ("root",), ROLES):
        assert read(published, roots[0], tmp_path / "faithful") == 1
        assert rotate_keys(published.tree, published.keys, roles, now=published.now).roles == roles
        roots.append((published.keys / "root.json").read_bytes())
        assert verify_tree(published.tree, published.keys, now=published.now).faults == ()
    for number, root in enumerate(roots):
        assert read(published, root, tmp_path / f"late-{number}") == 1
    assert read(published, roots[0], tmp_path / "faithful") == 1
    assert [Metadata[Root].from_bytes(root).signed.version for root in roots] == [1, 2, 3, 4, 5, 6]


def test_an_old_key_signs_nothing_any_more(published: Workshop, tmp_path: Path) -> None:
    """A stolen timestamp key is worth nothing once clients have the next root."""
    first = (published.keys / "root.json").read_bytes()
    stolen = tmp_path / "stolen"
    shutil.copytree(published.keys, stolen)
    shutil.copytree(published.tree, tmp_path / "their-tree")
    rotate_keys(published.tree, published.keys, ("timestamp",), now=published.now)
    assert read(published, first, tmp_path / "client") == 1
    refresh_timestamp(tmp_path / "their-tree", stolen, now=published.now + timedelta(days=3))
    shutil.copy(tmp_path / "their-tree/metadata/timestamp.json", published.tree / "metadata/timestamp.json")
    with pytest.raises(CatalogUntrusted, match="timestamp was signed by 0/1 keys"):
        read(published, first, tmp_path / "client")


def test_init_and_publish_go_on_after_a_rotation(published: Workshop) -> None:
    """The keys folder is the one that belongs to the tree, and stays so."""
    rotate_keys(published.tree, published.keys, ROLES, now=published.now)
    published.publish()
    assert verify_tree(published.tree, published.keys, now=published.now).ok
    retired = sorted(path.name.split("-")[0] for path in (published.keys / "retired").iterdir())
    assert retired == sorted(ROLES)
    assert {path.stat().st_mode & 0o777 for path in (published.keys / "retired").iterdir()} == {0o600}


def test_a_server_with_an_older_root_document_goes_on(published: Workshop, tmp_path: Path) -> None:
    """The roots in the tree lead it to the newest one, as they lead clients."""
    old = (published.keys / "root.json").read_bytes()
    rotate_keys(published.tree, published.keys, ("targets",), now=published.now)
    (published.keys / "root.json").write_bytes(old)
    refresh_timestamp(published.tree, published.keys, now=published.now)
    assert verify_tree(published.tree, published.keys, now=published.now).ok


def test_a_root_that_does_not_follow_is_not_signed_for(published: Workshop, tmp_path: Path) -> None:
    """Whoever can write the tree cannot put a root of his own behind ours."""
    stranger = Workshop(tmp_path / "stranger")
    initialise(stranger.tree, stranger.keys, now=stranger.now)
    rotate_keys(stranger.tree, stranger.keys, ROLES, now=stranger.now)
    shutil.copy(stranger.tree / "metadata/2.root.json", published.tree / "metadata/2.root.json")
    faults = verify_tree(published.tree, published.keys, now=published.now).faults
    assert {fault.file for fault in faults} == {"metadata/2.root.json"}
    with pytest.raises(Exception, match=r"2\.root\.json"):
        refresh_timestamp(published.tree, published.keys, now=published.now)


def test_two_of_two_root_keys_must_sign(workshop: Workshop, tmp_path: Path) -> None:
    """A root that asks for two signatures and has one is believed by nobody: no client, and not ourselves."""
    workshop.build()
    raw = initialise(workshop.tree, workshop.keys, now=workshop.now, shape=RootShape(2, 2))
    workshop.publish()
    assert sorted(path.name for path in workshop.keys.glob("root*.pem")) == ["root-2.pem", "root.pem"]
    assert read(workshop, raw, tmp_path / "client") == 1
    document = Metadata[Root].from_bytes(raw)
    document.signatures.popitem()
    with pytest.raises(CatalogUntrusted, match="1/2"):
        read(workshop, document.to_bytes(), tmp_path / "other")
    (workshop.keys / "root.json").write_bytes(document.to_bytes())
    with pytest.raises(KeysUnusable, match="1/2"):
        publish_catalog(workshop.tree, workshop.keys, now=workshop.now)


def test_the_number_of_root_keys_changes_by_a_rotation(published: Workshop, tmp_path: Path) -> None:
    """From one to two of three, for which init alone will not do; then a rotation needs two of them."""
    first = (published.keys / "root.json").read_bytes()
    with pytest.raises(KeysUnusable, match="rotate-keys"):
        initialise(published.tree, published.keys, now=published.now, shape=RootShape(3, 2))
    rotate_keys(published.tree, published.keys, ("root",), now=published.now, shape=RootShape(3, 2))
    (published.keys / "root-3.pem").unlink()
    rotate_keys(published.tree, published.keys, ("timestamp",), now=published.now)
    assert read(published, first, tmp_path / "client") == 1
    (published.keys / "root-2.pem").unlink()
    with pytest.raises(KeysUnusable, match="asks for 2 keys of root and 1 are here"):
        rotate_keys(published.tree, published.keys, ("timestamp",), now=published.now)
    assert read(published, first, tmp_path / "client") == 1


def test_keys_of_root_and_targets_can_be_elsewhere(workshop: Workshop, tmp_path: Path) -> None:
    """The server's folder never holds them; without them it re-signs, and says in time that they are needed."""
    offline = tmp_path / "stick"
    workshop.build()
    root = initialise(workshop.tree, workshop.keys, now=workshop.now, offline=offline)
    publish_catalog(workshop.tree, workshop.keys, now=workshop.now, offline=offline)
    assert sorted(path.name for path in workshop.keys.glob("*.pem")) == ["snapshot.pem", "timestamp.pem"]
    assert sorted(path.name for path in offline.glob("*.pem")) == ["root.pem", "targets.pem"]
    assert not refresh_timestamp(workshop.tree, workshop.keys, now=workshop.now).needs_targets_key
    late = workshop.now + timedelta(days=310)
    assert refresh_timestamp(workshop.tree, workshop.keys, now=late).needs_targets_key
    done = refresh_timestamp(workshop.tree, workshop.keys, now=late, offline=offline)
    assert not done.needs_targets_key
    assert done.targets_version == 2
    rotate_keys(workshop.tree, workshop.keys, ROLES, now=late, offline=offline)
    assert sorted(path.name for path in workshop.keys.glob("*.pem")) == ["snapshot.pem", "timestamp.pem"]
    assert not list(tmp_path.rglob("next"))
    refresh_timestamp(workshop.tree, workshop.keys, now=workshop.now)
    assert read(workshop, root, tmp_path / "client") == 1


def test_rotation_needs_the_root_key_before_anything_changes(published: Workshop) -> None:
    """Without it nothing is written."""
    (published.keys / "root.pem").unlink()
    before = {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()}
    with pytest.raises(KeysUnusable, match=r"root\.pem"):
        rotate_keys(published.tree, published.keys, ("timestamp",), now=published.now)
    assert {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()} == before


def test_lost_root_document_is_taken_from_the_tree_after_a_rotation(published: Workshop) -> None:
    """The newest one, by whoever holds its keys."""
    rotate_keys(published.tree, published.keys, ROLES, now=published.now)
    newest = (published.keys / "root.json").read_bytes()
    (published.keys / "root.json").unlink()
    published.publish()
    assert (published.keys / "root.json").read_bytes() == newest
    ensure_keys(KeyFolders(published.keys), now=published.now)
