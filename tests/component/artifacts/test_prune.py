"""Pruning a real tree: what is published stays, what goes goes in two runs, and a dry run tells the truth."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.errors import ArtifactAlreadyPublished, ArtifactDamaged
from zlh_api.artifacts.model import Pruned
from zlh_api.artifacts.signing.decisions import GRACE
from zlh_api.artifacts.signing.promote import Publisher
from zlh_api.artifacts.signing.prune import prune_tree
from zlh_api.artifacts.signing.publish import read_catalog, refresh_timestamp, verify_tree


@pytest.fixture
def shop(published: Workshop) -> Workshop:
    """Give a workshop that offers 4.0, 3.0, 2.0 and 1.0."""
    for version in ("2.0", "3.0", "4.0"):
        published.add_recipe(version)
    published.build()
    published.publish()
    return published


def prune(shop: Workshop, *, keep: int = 2, withdraw: bool = False, dry_run: bool = False) -> Pruned:
    """Prune at the workshop's time."""
    return prune_tree(shop.tree, shop.keys, now=shop.now, keep=keep, withdraw=withdraw, dry_run=dry_run)


def archives(shop: Workshop) -> list[str]:
    """Return the versions whose archives are there."""
    return sorted(path.name.split("-")[1] for path in (shop.tree / "archives/tiny").glob("*.tar.zst"))


def offered(shop: Workshop) -> list[str]:
    """Return the versions that clients see."""
    (runtime,) = read_catalog(shop.tree, shop.keys, now=shop.now).runtimes
    return [entry.version for entry in runtime.versions]


def pass_days(shop: Workshop, days: int) -> None:
    """Let so many days pass, each with its signature."""
    for _ in range(days):
        shop.now += timedelta(days=1)
        refresh_timestamp(shop.tree, shop.keys, now=shop.now)


def test_what_is_published_stays(shop: Workshop) -> None:
    """However few are to be kept."""
    assert prune(shop, keep=1).removed == ()
    assert archives(shop) == ["1.0", "2.0", "3.0", "4.0"]


def test_what_was_withdrawn_goes_when_nobody_can_be_fetching_it(shop: Workshop) -> None:
    """At first a catalog without it; its bytes after the grace, and nothing else."""
    done = prune(shop, withdraw=True)
    assert done.withdrawn == ("runtime/tiny/1.0", "runtime/tiny/2.0")
    assert {entry.until for entry in done.waiting} == {shop.now + GRACE}
    assert (offered(shop), archives(shop)) == (["4.0", "3.0"], ["1.0", "2.0", "3.0", "4.0"])
    pass_days(shop, GRACE.days - 1)
    waiting = prune(shop)
    assert [entry.path.split("-")[1] for entry in waiting.waiting] == ["1.0", "2.0"]
    assert waiting.removed == ()
    pass_days(shop, 1)
    assert len(prune(shop).removed) == 2
    assert archives(shop) == ["3.0", "4.0"]
    assert verify_tree(shop.tree, shop.keys, now=shop.now).ok
    assert prune(shop) == Pruned((), (), ())


def test_a_dry_run_tells_and_changes_nothing(shop: Workshop) -> None:
    """It names what the real run then does."""
    before = {path: path.read_bytes() for path in shop.tree.rglob("*") if path.is_file()}
    told = prune(shop, withdraw=True, dry_run=True)
    assert {path: path.read_bytes() for path in shop.tree.rglob("*") if path.is_file()} == before
    assert told.withdrawn == prune(shop, withdraw=True).withdrawn
    pass_days(shop, GRACE.days)
    assert prune(shop, dry_run=True) == prune(shop)


def test_a_default_stays_however_old(shop: Workshop) -> None:
    """And so do the newest of each channel."""
    publisher = Publisher(shop.tree, shop.keys, now=shop.now)
    publisher.set_default("tiny", "1.0")
    publisher.set_channel("tiny", "3.0", "candidate")
    prune(shop, keep=1, withdraw=True)
    assert offered(shop) == ["4.0", "3.0", "1.0"]


def test_promote_brings_back_what_was_withdrawn(shop: Workshop) -> None:
    """As long as its bytes are there; afterwards they are nobody's to take."""
    prune(shop, withdraw=True)
    Publisher(shop.tree, shop.keys, now=shop.now).set_channel("tiny", "2.0", "stable")
    assert offered(shop) == ["4.0", "3.0", "2.0"]
    pass_days(shop, GRACE.days)
    prune(shop)
    assert archives(shop) == ["2.0", "3.0", "4.0"]


def test_publish_offers_no_withdrawn_version(shop: Workshop) -> None:
    """A build of everything does not undo the decision."""
    prune(shop, withdraw=True)
    shop.build()
    shop.publish()
    assert offered(shop) == ["4.0", "3.0"]


def test_an_archive_that_waits_is_not_made_of_other_bytes(shop: Workshop) -> None:
    """Somebody may be fetching it by the hash of an older catalog."""
    prune(shop, withdraw=True)
    pass_days(shop, 7)
    shop.add_recipe("1.0", extra=b"# other\n")
    with pytest.raises(ArtifactAlreadyPublished):
        shop.build()


def test_builds_that_were_never_published_go_beyond_the_newest(published: Workshop) -> None:
    """At once: no catalog ever named them. What a killed build left without a record goes as well."""
    for version in ("2.0", "3.0", "4.0"):
        published.add_recipe(version)
    published.build()
    (published.tree / "archives/tiny/tiny-9.0-linux-x86_64.tar.zst").write_bytes(b"half")
    done = prune(published)
    assert sorted(removal.path.split("-")[1] for removal in done.removed) == ["2.0", "9.0"]
    assert archives(published) == ["1.0", "3.0", "4.0"]
    assert verify_tree(published.tree, published.keys, now=published.now).ok


@pytest.mark.parametrize(
    "path",
    ["../keys/root.pem", "archives/../../keys/root.pem", "archives/tiny/tiny-2.0-linux-x86_64.tar.zst",
     "archives/other/tiny-0.1-linux-x86_64.tar.zst", "", "archives/tiny"],
)  # fmt: skip
def test_a_record_that_speaks_for_another_file_removes_and_signs_nothing(shop: Workshop, path: str) -> None:
    """Who can write the tree and has no key could else have a key removed, or any file of the publisher's."""
    folder = shop.tree / "archives/tiny"
    record = json.loads((folder / "tiny-1.0-linux-x86_64.json").read_bytes())
    stray = folder / "tiny-0.1-linux-x86_64.json"
    stray.write_text(json.dumps(record | {"version": "0.1", "sha256": "1" * 64, "path": path}))
    for change in (lambda: prune(shop, keep=1), lambda: prune(shop, keep=1, withdraw=True), shop.publish):
        with pytest.raises(ArtifactDamaged, match=r"tiny-0\.1"):
            change()
    assert [fault.file for fault in verify_tree(shop.tree, shop.keys, now=shop.now).faults] == [
        "archives/tiny/tiny-0.1-linux-x86_64.json"
    ]
    assert (shop.keys / "root.pem").exists()
    assert archives(shop) == ["1.0", "2.0", "3.0", "4.0"]


@pytest.mark.parametrize(
    "text",
    ['{"x":' + "[" * 100_000 + "]" * 100_000 + "}", '{"path":"\\ud800"}', "null", "", None],
    ids=["deep", "no text", "null", "empty", "folder"],
)
def test_a_record_that_is_none_is_named(shop: Workshop, text: str | None) -> None:
    """Whatever it is instead: by publish, prune and verify, each with its file."""
    path = shop.tree / "archives/tiny/tiny-0.1-linux-x86_64.json"
    path.mkdir() if text is None else path.write_text(text)
    for change in (lambda: prune(shop), shop.publish):
        with pytest.raises(ArtifactDamaged, match=r"tiny-0\.1"):
            change()
    assert [fault.file for fault in verify_tree(shop.tree, shop.keys, now=shop.now).faults] == [
        "archives/tiny/tiny-0.1-linux-x86_64.json"
    ]


def test_nothing_behind_a_link_is_removed(shop: Workshop) -> None:
    """Not in a folder that a link leads to, nor what a link that is called an archive leads to."""
    outside = shop.home / "outside"
    outside.mkdir()
    (outside / "mine.tar.zst").write_text("mine")
    (shop.tree / "archives/out").symlink_to(outside)
    (shop.tree / "archives/tiny/stray.tar.zst").symlink_to(outside / "mine.tar.zst")
    (shop.tree / "archives/tiny/folder.tar.zst").mkdir()
    assert [entry.path for entry in prune(shop).removed] == ["archives/tiny/stray.tar.zst"]
    assert (outside / "mine.tar.zst").read_text() == "mine"
    assert (shop.tree / "archives/out").is_symlink()
