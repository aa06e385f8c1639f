"""Building archives on a tiny wheel: what comes out, again and again, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from component.artifacts.conftest import PLATFORM, Workshop
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.errors import (
    ArtifactAlreadyPublished,
    ArtifactFetchFailed,
    ArtifactsBusy,
    ArtifactsDiskFull,
    ArtifactsNotWritable,
    PlatformNotBuilt,
    SourceHashMismatch,
    SourceUnsafe,
)
from zlh_api.artifacts.model import Progress, Recipe, WheelFile
from zlh_api.artifacts.tree import Tree


def unpack(archive: Path, target: Path) -> None:
    """Unpack as an agent would, with the system's own tar."""
    target.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(target)], check=True)


def test_archive_holds_the_tree_of_the_recipe(workshop: Workshop, tmp_path: Path) -> None:
    """Files, modes, links and licence are there, the Python parts are not, and the record counts the bytes."""
    (built,) = workshop.build()
    record = built.record
    archive = workshop.tree / record.path
    unpack(archive, tmp_path / "out")
    out = tmp_path / "out"
    assert subprocess.run([out / "bin/tiny"], capture_output=True, check=True).stdout == b"tiny 1.0\n"
    assert subprocess.run([out / "bin/also"], capture_output=True, check=True).stdout == b"also\n"
    assert (out / "bin/also").is_symlink()
    assert (out / "LICENSE").read_text() == "Do as you like.\n"
    assert not list(out.rglob("*.py"))
    files = [path for path in out.rglob("*") if path.is_file() and not path.is_symlink()]
    assert record.unpacked_size == sum(path.stat().st_size for path in files)
    assert record.size == archive.stat().st_size
    sums = (archive.parent / "SHA256SUMS").read_text()
    assert sums == f"{record.sha256}  {archive.name}\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=archive.parent, check=True)


def test_build_twice_gives_the_same_bytes(workshop: Workshop) -> None:
    """The archive depends on wheel and recipe alone: not on time, folder, umask or number of cores."""
    first = workshop.build()[0].record
    for path in (workshop.tree / "archives/tiny").iterdir():
        path.unlink()
    old_mask, cores = os.umask(0o077), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {random.choice(sorted(cores))})
    try:
        time.sleep(1.1)
        second = workshop.build()[0]
    finally:
        os.umask(old_mask)
        os.sched_setaffinity(0, cores)
    assert not second.reused
    assert second.record == first
    assert (workshop.tree / first.path).stat().st_mode & 0o777 == 0o644


def test_build_skips_what_is_there(workshop: Workshop) -> None:
    """A second run fetches nothing."""
    workshop.build()
    for wheel in (workshop.home / "wheels").iterdir():
        wheel.unlink()
    assert [built.reused for built in workshop.build()] == [True]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "record gone", "record garbage"])
def test_build_makes_a_damaged_archive_anew(workshop: Workshop, damage: str) -> None:
    """Only an archive with the recorded hash counts as built."""
    record = workshop.build()[0].record
    archive = workshop.tree / record.path
    record_file = archive.parent / "tiny-1.0-linux-x86_64.json"
    match damage:
        case "cut":
            archive.write_bytes(archive.read_bytes()[:-1])
        case "changed":
            archive.write_bytes(archive.read_bytes()[:-1] + b"x")
        case "gone":
            archive.unlink()
        case "record gone":
            record_file.unlink()
        case _:
            record_file.write_text("{")
    (built,) = workshop.build()
    assert not built.reused
    assert built.record == record


def test_build_tells_how_far_it_is(workshop: Workshop) -> None:
    """Phases come in order and the bytes only grow to the total."""
    told: list[Progress] = []
    book = RecipeBook(workshop.recipes)
    build_artifacts(
        workshop.tree,
        book,
        book.recipes,
        platforms=[PLATFORM],
        means=Means(fetch_wheel=workshop.fetch),
        on_progress=told.append,
    )
    assert list(dict.fromkeys(progress.phase for progress in told)) == ["fetch", "repack", "built"]
    repacked = [progress.done for progress in told if progress.phase == "repack"]
    assert repacked == sorted(repacked)
    assert told[-1].done == told[-1].total > 0


def test_changed_recipe_of_a_published_version_asks_for_a_revision(published: Workshop) -> None:
    """Clients may be fetching the old bytes under that name; with a revision both are there."""
    before = (published.tree / "archives/tiny/tiny-1.0-linux-x86_64.tar.zst").read_bytes()
    published.add_recipe("1.0", extra=b"more")
    with pytest.raises(ArtifactAlreadyPublished, match="revision"):
        published.build()
    assert (published.tree / "archives/tiny/tiny-1.0-linux-x86_64.tar.zst").read_bytes() == before
    published.add_recipe("1.0", extra=b"more", revision=2)
    (built,) = published.build()
    assert built.record.path == "archives/tiny/tiny-1.0-r2-linux-x86_64.tar.zst"


def test_changed_recipe_of_an_unpublished_version_is_built(workshop: Workshop) -> None:
    """Before anybody can have seen it, a recipe is worked on freely."""
    old = workshop.build()[0].record
    workshop.add_recipe("1.0", extra=b"more")
    assert workshop.build()[0].record.sha256 != old.sha256


def test_wheel_with_another_hash_is_refused(workshop: Workshop) -> None:
    """Whatever fetched it, the hash is taken again; nothing is left of it."""
    workshop.add_recipe("1.0", sha256="0" * 64)
    with pytest.raises(SourceHashMismatch, match="0000"):
        workshop.build()
    assert not list(workshop.tree.rglob("*.whl")) + list(workshop.tree.rglob("*.zst"))


def test_wheel_that_is_no_archive_is_refused(workshop: Workshop) -> None:
    """A recipe that pins garbage says so."""
    workshop.wheel_path("1.0").write_bytes(b"not a zip")

    def fetch(_recipe: Recipe, wheel: WheelFile, folder: Path) -> Path:
        path = folder / "x.whl"
        path.write_bytes(b"")
        return path

    workshop.add_recipe("1.0", sha256=hashlib.sha256(b"").hexdigest())
    book = RecipeBook(workshop.recipes)
    with pytest.raises(SourceUnsafe, match="not a zip"):
        build_artifacts(workshop.tree, book, book.recipes, platforms=[PLATFORM], means=Means(fetch_wheel=fetch))


def test_unknown_platform_is_refused_before_anything_is_fetched(workshop: Workshop) -> None:
    """The message lists what the recipe knows."""
    book = RecipeBook(workshop.recipes)
    with pytest.raises(PlatformNotBuilt, match="linux-x86_64"):
        build_artifacts(workshop.tree, book, book.recipes, platforms=["linux-riscv64"])
    assert not workshop.tree.exists()


def test_build_waits_for_the_lock_and_then_gives_up(workshop: Workshop) -> None:
    """Two writers never work in one tree."""
    tree, held, release = Tree(workshop.tree), threading.Event(), threading.Event()

    def hold() -> None:
        with tree.locked():
            # Whoever may read it may hold it, and the tree is read by everybody.
            assert (tree.folder / ".lock").stat().st_mode & 0o777 == 0o600
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(ArtifactsBusy), tree.locked(wait_s=0.2):
        pass
    release.set()
    thread.join()
    assert len(workshop.build()) == 1


def test_full_disk_is_named_and_leaves_no_archive(workshop: Workshop) -> None:
    """The error says where, and the work folder is gone."""

    def fetch(_recipe: Recipe, _wheel: WheelFile, _folder: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    book = RecipeBook(workshop.recipes)
    with pytest.raises(ArtifactsDiskFull):
        build_artifacts(workshop.tree, book, book.recipes, platforms=[PLATFORM], means=Means(fetch_wheel=fetch))
    assert not (workshop.tree / ".work").exists()


def test_folder_that_cannot_be_written_is_named(workshop: Workshop) -> None:
    """A file stands where the tree should be."""
    workshop.tree.write_text("in the way")
    with pytest.raises(ArtifactsNotWritable, match="tree"):
        workshop.build()


@pytest.fixture
def pip_finds_local_wheels(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the user's own pip configuration at the folder of wheels."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(workshop.home / "wheels"))


@pytest.mark.usefixtures("pip_finds_local_wheels")
def test_pip_fetches_by_hash_as_the_user_configured_it(workshop: Workshop) -> None:
    """The real pip, told nothing but name and hash."""
    book = RecipeBook(workshop.recipes)
    (built,) = build_artifacts(workshop.tree, book, book.recipes, platforms=[PLATFORM])
    assert built.record.source == "wheel:tiny-runtime==1.0"


@pytest.mark.usefixtures("pip_finds_local_wheels")
@pytest.mark.parametrize("wrong", ["hash", "version"])
def test_pip_failure_is_told_in_its_own_words(workshop: Workshop, wrong: str) -> None:
    """A hash that pip refuses and a version that it cannot find are both named."""
    workshop.add_recipe("1.0", sha256="0" * 64 if wrong == "hash" else "")
    if wrong == "version":
        workshop.wheel_path("1.0").unlink()
    book = RecipeBook(workshop.recipes)
    with pytest.raises(ArtifactFetchFailed, match="tiny-runtime"):
        build_artifacts(workshop.tree, book, book.recipes, platforms=[PLATFORM])
    assert not (workshop.tree / ".work").exists()
