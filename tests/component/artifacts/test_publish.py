"""Signing on a real tree: what clients get to see, what is renewed, and what verify finds."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.errors import ArtifactDamaged, ArtifactsNotInitialised, KeysUnusable, NothingToPublish
from zlh_api.artifacts.signing.publish import (
    initialise,
    publish_catalog,
    read_catalog,
    refresh_timestamp,
    verify_tree,
)
from zlh_common.runtime_choice import Choice, choose_offer


def test_keys_are_private_and_apart(published: Workshop) -> None:
    """One key a role, 0600 in a 0700 folder, none of them in the tree."""
    assert published.keys.stat().st_mode & 0o777 == 0o700
    keys = sorted(published.keys.glob("*.pem"))
    assert [key.stem for key in keys] == ["root", "snapshot", "targets", "timestamp"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert len({key.read_bytes() for key in keys}) == 4
    assert not any(b"PRIVATE" in path.read_bytes() for path in published.tree.rglob("*.json"))


def test_init_again_changes_nothing(published: Workshop) -> None:
    """The root that clients trust is made once."""
    before = {path: path.read_bytes() for path in published.keys.iterdir()}
    initialise(published.tree, published.keys, now=published.now + timedelta(days=9))
    assert {path: path.read_bytes() for path in published.keys.iterdir()} == before


def test_published_catalog_says_all_that_an_install_needs(published: Workshop) -> None:
    """The choice for `tiny` leads to the archive, its hash, sizes, environment and smoke test."""
    catalog = read_catalog(published.tree, published.keys, now=published.now)
    found = choose_offer(
        catalog, "runtime", name="tiny", version="1", platform="linux-x86_64", channels=frozenset({"stable"})
    )
    assert isinstance(found, Choice)
    assert (published.tree / found.artifact.path).stat().st_size == found.artifact.size
    assert found.version.environment == {"TINY_HOME": "{root}"}
    assert found.version.smoke_test == ("bin/tiny",)
    assert found.version.default
    assert found.artifact.source == "wheel:tiny-runtime==1.0"


def test_publish_again_renews_signatures_and_keeps_the_catalog(published: Workshop) -> None:
    """Nothing new on offer: the same catalog file, newer metadata."""
    published.now += timedelta(days=1)
    done = published.publish()
    assert not done.changed
    assert (done.targets_version, done.snapshot_version) == (2, 2)
    assert len(list((published.tree / "targets").iterdir())) == 1


def test_new_version_is_offered_beside_the_old_one(published: Workshop) -> None:
    """Old versions stay, also when their recipe is gone."""
    (published.recipes / "tiny-1.0.toml").unlink()
    published.add_recipe("2.0")
    published.build()
    assert published.publish().changed
    (runtime,) = read_catalog(published.tree, published.keys, now=published.now).runtimes
    assert [(version.version, version.default) for version in runtime.versions] == [("2.0", True), ("1.0", False)]
    assert verify_tree(published.tree, published.keys, now=published.now).ok


def test_refresh_renews_the_short_lived_signatures_alone(published: Workshop) -> None:
    """Targets stay as they were; old snapshots are dropped in time, and verify stays content."""
    days = [published.now + timedelta(days=day) for day in range(1, 20)]
    done = [refresh_timestamp(published.tree, published.keys, now=day) for day in days][-1]
    assert (done.targets_version, done.snapshot_version) == (1, 20)
    assert len(list((published.tree / "metadata").glob("*.snapshot.json"))) == 6
    assert verify_tree(published.tree, published.keys, now=published.now + timedelta(days=30)).ok


def test_refresh_renews_the_yearly_signature_in_time(published: Workshop) -> None:
    """Two months before it runs out, where its key is at hand; without the key the rest is renewed all the same."""
    later = published.now + timedelta(days=310)
    assert refresh_timestamp(published.tree, published.keys, now=later).targets_version == 2
    (published.keys / "targets.pem").rename(published.home / "targets.pem")
    (published.keys / "root.pem").rename(published.home / "root.pem")
    much_later = later + timedelta(days=310)
    assert refresh_timestamp(published.tree, published.keys, now=much_later).targets_version == 2


def test_refresh_does_not_sign_what_a_stranger_put_there(published: Workshop, tmp_path: Path) -> None:
    """Whoever can write the tree but has no key gets nothing signed by waiting."""
    stranger = Workshop(tmp_path / "stranger")
    stranger.add_recipe("6.6.6")
    stranger.build()
    stranger.publish()
    shutil.copy(stranger.tree / "metadata/1.targets.json", published.tree / "metadata/1.targets.json")
    with pytest.raises(ArtifactDamaged, match=r"1\.targets\.json"):
        refresh_timestamp(published.tree, published.keys, now=published.now)


def test_publish_mends_damaged_metadata(published: Workshop) -> None:
    """Everything is made anew from the records, under versions that clients have not seen."""
    (published.tree / "metadata/timestamp.json").write_text("{}")
    published.publish()
    assert verify_tree(published.tree, published.keys, now=published.now).ok


@pytest.mark.parametrize(
    "file",
    ["archives/tiny/tiny-1.0-linux-x86_64.tar.zst", "archives/tiny/SHA256SUMS", "metadata/1.root.json",
     "metadata/1.targets.json", "metadata/1.snapshot.json", "metadata/timestamp.json", "targets/*.catalog.json"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_verify_names_the_file_that_is_wrong(published: Workshop, file: str, damage: str) -> None:
    """One damaged file, one fault, its name in it."""
    (path,) = published.tree.glob(file)
    content = bytearray(path.read_bytes())
    match damage:
        case "flipped":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "cut":
            path.write_bytes(content[:-20])
        case _:
            path.unlink()
    found = verify_tree(published.tree, published.keys, now=published.now)
    assert [fault.file for fault in found.faults] == [str(path.relative_to(published.tree))]


def test_verify_finds_expired_signatures(published: Workshop) -> None:
    """After two weeks without a refresh clients refuse the catalog, and verify says why."""
    found = verify_tree(published.tree, published.keys, now=published.now + timedelta(days=15))
    assert [fault.file for fault in found.faults] == ["metadata/timestamp.json", "metadata/1.snapshot.json"]
    assert all("expired" in fault.reason for fault in found.faults)


def test_verify_without_keys_trusts_the_first_root(published: Workshop) -> None:
    """A mirror that has no keys can check itself too."""
    assert verify_tree(published.tree, now=published.now).ok


def test_publish_without_archives_is_refused(workshop: Workshop) -> None:
    """An empty catalog would take everything away from everybody."""
    initialise(workshop.tree, workshop.keys, now=workshop.now)
    with pytest.raises(NothingToPublish):
        publish_catalog(workshop.tree, workshop.keys, now=workshop.now)


def test_publish_for_a_missing_archive_is_refused(published: Workshop) -> None:
    """Nothing is signed that clients could not fetch."""
    (published.tree / "archives/tiny/tiny-1.0-linux-x86_64.tar.zst").unlink()
    with pytest.raises(ArtifactDamaged, match="build it again"):
        published.publish()


def test_refresh_before_publish_is_refused(workshop: Workshop) -> None:
    """The message says what to run."""
    initialise(workshop.tree, workshop.keys, now=workshop.now)
    with pytest.raises(ArtifactsNotInitialised, match="publish"):
        refresh_timestamp(workshop.tree, workshop.keys, now=workshop.now)


@pytest.mark.parametrize("wrong", ["mode", "folder mode", "missing", "garbage", "another"])
def test_unusable_key_is_named(published: Workshop, wrong: str) -> None:
    """Missing, readable by others, unreadable, or simply another one."""
    key = published.keys / "timestamp.pem"
    match wrong:
        case "mode":
            key.chmod(0o644)
        case "folder mode":
            published.keys.chmod(0o755)
        case "missing":
            key.unlink()
        case "garbage":
            key.write_text("-----BEGIN")
        case _:
            shutil.copy(published.keys / "root.pem", key)
    with pytest.raises(KeysUnusable):
        published.publish()


def test_lost_root_is_taken_from_the_tree_by_the_holder_of_its_key(published: Workshop) -> None:
    """Nothing is made anew over what clients already trust."""
    root = published.keys / "root.json"
    before = root.read_bytes()
    root.unlink()
    published.now += timedelta(days=5)
    published.publish()
    assert root.read_bytes() == before


def test_keys_of_another_tree_are_refused(published: Workshop, tmp_path: Path) -> None:
    """A root that clients already trust is never replaced by a fresh one."""
    with pytest.raises(KeysUnusable, match=r"root\.pem"):
        initialise(published.tree, tmp_path / "other", now=published.now)


def test_publish_leaves_no_descriptor_open(published: Workshop) -> None:
    """A server's child may run daily for years; so may a loop."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        published.publish()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
