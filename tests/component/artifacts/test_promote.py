"""Channels and defaults on a real tree: one command each, signed at once, undone by its opposite, and kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.errors import (
    ArtifactDamaged,
    ArtifactsNotWritable,
    DefaultNotStable,
    KeysUnusable,
    LastStableVersion,
    OfferUnknown,
)
from zlh_api.artifacts.signing.promote import Publisher
from zlh_api.artifacts.signing.prune import prune_tree
from zlh_api.artifacts.signing.publish import read_catalog, refresh_timestamp, verify_tree
from zlh_api.artifacts.signing.rotate import rotate_keys


@pytest.fixture
def shop(published: Workshop) -> Workshop:
    """Give a workshop that offers 2.0, the default, and 1.0."""
    published.add_recipe("2.0")
    published.build()
    published.publish()
    return published


def publisher(shop: Workshop) -> Publisher:
    """Return who decides in this workshop."""
    return Publisher(shop.tree, shop.keys, now=shop.now)


def offered(shop: Workshop) -> dict[str, str]:
    """Return the channel of each version that clients see, the default marked with a star."""
    (runtime,) = read_catalog(shop.tree, shop.keys, now=shop.now).runtimes
    return {entry.version: entry.channel + ("*" if entry.default else "") for entry in runtime.versions}


def test_demote_is_undone_by_promote(shop: Workshop) -> None:
    """The default goes to the newest stable version, is told, and comes back."""
    done = publisher(shop).set_channel("tiny", "2.0", "candidate")
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}
    assert (done.default_before, done.default, done.published.changed) == ("2.0", "1.0", True)
    done = publisher(shop).set_channel("tiny", "2.0", "stable")
    assert offered(shop) == {"2.0": "stable*", "1.0": "stable"}
    assert (done.default_before, done.default) == ("1.0", "2.0")
    assert verify_tree(shop.tree, shop.keys, now=shop.now).ok


def test_the_same_again_changes_nothing(shop: Workshop) -> None:
    """A promotion of what is stable signs the same catalog once more."""
    assert not publisher(shop).set_channel("tiny", "2.0", "stable").published.changed
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    assert not publisher(shop).set_channel("tiny", "2.0", "candidate").published.changed
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}


def test_a_rebuild_loses_no_decision(shop: Workshop) -> None:
    """What people decided stands apart from what a build records."""
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    shutil.rmtree(shop.tree / "archives")
    shop.build()
    shop.publish()
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}


def test_a_promotion_brings_no_fresh_build_along(shop: Workshop) -> None:
    """What was built since the last publish waits for the next one, and cannot be promoted before it."""
    shop.add_recipe("3.0")
    shop.build()
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}
    with pytest.raises(OfferUnknown):
        publisher(shop).set_channel("tiny", "3.0", "stable")
    shop.publish()
    assert offered(shop) == {"3.0": "stable*", "2.0": "candidate", "1.0": "stable"}


def test_the_last_stable_version_stays_unless_that_is_meant(shop: Workshop) -> None:
    """Nobody takes a runtime away from everybody by mistake."""
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    with pytest.raises(LastStableVersion, match="--leave-none"):
        publisher(shop).set_channel("tiny", "1.0", "candidate")
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}
    publisher(shop).set_channel("tiny", "1.0", "candidate", may_leave_none=True)
    assert offered(shop) == {"2.0": "candidate*", "1.0": "candidate"}


def test_a_default_is_a_stable_version(shop: Workshop) -> None:
    """An older version can be the default, a candidate cannot, and a promotion can do both at once."""
    publisher(shop).set_default("tiny", "1.0")
    assert offered(shop) == {"2.0": "stable", "1.0": "stable*"}
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    with pytest.raises(DefaultNotStable, match="--default"):
        publisher(shop).set_default("tiny", "2.0")
    publisher(shop).set_channel("tiny", "2.0", "stable", make_default=True)
    assert offered(shop) == {"2.0": "stable*", "1.0": "stable"}


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("tyni", "1.0", "Did you mean tiny?"),
        ("tiny", "2", "Did you mean 2.0?"),
        ("tiny", "1.0.0", "Did you mean 1.0?"),
        ("", "", "there is tiny"),
        ("--help", "\n", "there is tiny"),
        ("x" * 5000, "1", "there is tiny"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(shop: Workshop, name: str, version: str, told: str) -> None:
    """The nearest right answer, and nothing is changed."""
    before = (shop.tree / "metadata/timestamp.json").read_bytes()
    with pytest.raises(OfferUnknown) as caught:
        publisher(shop).set_channel(name, version, "stable")
    assert told in caught.value.detail
    assert len(caught.value.detail) < 1000
    assert (shop.tree / "metadata/timestamp.json").read_bytes() == before


def test_without_the_targets_key_nothing_is_decided(shop: Workshop) -> None:
    """A decision that cannot be signed is not written down either; with the key brought along it is."""
    offline = shop.home / "offline"
    offline.mkdir(mode=0o700)
    for name in ("root.pem", "targets.pem"):
        (shop.keys / name).rename(offline / name)
    with pytest.raises(KeysUnusable, match=r"targets\.pem"):
        publisher(shop).set_channel("tiny", "2.0", "candidate")
    assert not (shop.tree / ".decisions.json").exists()
    Publisher(shop.tree, shop.keys, now=shop.now, offline=offline).set_channel("tiny", "2.0", "candidate")
    assert offered(shop) == {"2.0": "candidate", "1.0": "stable*"}


def test_damaged_decisions_are_not_taken_for_none(shop: Workshop) -> None:
    """A promotion is never lost in silence: publish refuses, verify names the file."""
    publisher(shop).set_channel("tiny", "2.0", "candidate")
    (shop.tree / ".decisions.json").write_text('{"format": 1, "chan')
    with pytest.raises(ArtifactDamaged, match=r"\.decisions\.json"):
        shop.publish()
    faults = verify_tree(shop.tree, shop.keys, now=shop.now).faults
    assert [fault.file for fault in faults] == [".decisions.json"]


CHANGES: dict[str, Callable[[Workshop], Any]] = {
    "publish": lambda shop: shop.publish(),
    "refresh": lambda shop: refresh_timestamp(shop.tree, shop.keys, now=shop.now),
    "demote": lambda shop: publisher(shop).set_channel("tiny", "2.0", "candidate"),
    "withdraw": lambda shop: prune_tree(shop.tree, shop.keys, now=shop.now, keep=1, withdraw=True),
    "rotate": lambda shop: rotate_keys(shop.tree, shop.keys, roles=["timestamp"], now=shop.now),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_full_disk_is_named_and_leaves_the_offer(
    shop: Workshop, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far it came: a named error, the old offer, whole, and the same again goes through once there is room."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ArtifactsNotWritable, match="No space left on device"):
        CHANGES[change](shop)
    monkeypatch.undo()
    assert offered(shop) == {"2.0": "stable*", "1.0": "stable"}
    CHANGES[change](shop)
    assert verify_tree(shop.tree, shop.keys, now=shop.now).ok


@pytest.mark.parametrize("name", ["timestamp.json", "1.targets.json", "1.snapshot.json"])
def test_metadata_that_is_a_folder_is_named(shop: Workshop, name: str) -> None:
    """By verify as a fault of that file, and never by a traceback."""
    path = max(shop.tree.glob(f"metadata/*{name.removeprefix('1')}"), key=lambda each: each.stat().st_mtime_ns)
    path.unlink()
    path.mkdir()
    faults = verify_tree(shop.tree, shop.keys, now=shop.now).faults
    assert f"metadata/{path.name}" in {fault.file for fault in faults}
