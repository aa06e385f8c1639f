"""Debian packages from a signed repository made on the spot, by the real apt."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.artifacts.conftest import PLATFORM, Workshop
from fakes.debs import DebRepository, make_deb, tar_of
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.errors import ArtifactFetchFailed, RecipeInvalid, SourceHashMismatch, SourceUnsafe
from zlh_api.artifacts.model import Built
from zlh_common.errors import ZlhError

pytestmark = [pytest.mark.real("signed-packages"), pytest.mark.timeout(120)]

RECIPE = """
name = "tool"
title = "Tool"
version = "1.2"
upstream = "https://example.org"
licence = "MIT"
bin = ["bin"]
smoke_test = ["bin/tool"]
smoke_expect = "tool {version}"
[debian]
suites = ["test"]
packages = ["tool", "tool-data"]
platforms = ["linux-x86_64"]
[layout]
root = "usr/lib/tool-{arch}"
[layout.copies]
"LICENSE" = "usr/share/doc/tool/copyright"
"""
ROOT = "usr/lib/tool-amd64"


@pytest.fixture
def repository() -> Iterator[DebRepository]:
    """Give an empty repository; its key's socket needs a short path."""
    with tempfile.TemporaryDirectory(prefix="zlh-") as folder:
        made = DebRepository(Path(folder))
        made.make_key()
        try:
            yield made
        finally:
            made.end_agent()


def put_tool(
    repository: DebRepository, version: str, *, extra: bytes = b"", links: dict[str, str] | None = None
) -> None:
    """Publish the tool in a version."""
    program = f"#!/bin/sh\necho tool {version}\n".encode() + extra
    files = {f"{ROOT}/bin/tool": (program, 0o755), "usr/share/doc/tool/copyright": (b"Do as you like.", 0o644)}
    repository.packages["tool"] = (version, make_deb(tar_of(files, links)))
    data = {f"{ROOT}/share/data": (b"data", 0o644), "etc/tool.conf": (b"conf", 0o644)}
    repository.packages["tool-data"] = ("7-1", make_deb(tar_of(data), "zst"))
    repository.publish()


def build(workshop: Workshop, repository: DebRepository, *, refresh: bool = False, tree: Path | None = None) -> Built:
    """Build the tool."""
    for path in workshop.recipes.glob("*.toml"):
        path.unlink()
    (workshop.recipes / "tool.toml").write_text(RECIPE)
    book = RecipeBook(workshop.recipes)
    means = Means(apt=repository.apt)
    folder = tree or workshop.tree
    (built,) = build_artifacts(folder, book, book.recipes, platforms=[PLATFORM], means=means, refresh=refresh)
    return built


def test_packages_become_an_archive_and_the_record_names_each(workshop: Workshop, repository: DebRepository) -> None:
    """The version is Debian's own of today; a link out of the root becomes the file that it leads to."""
    put_tool(repository, "1.2.3-4", links={f"{ROOT}/conf": "/etc/tool.conf"})
    record = build(workshop, repository).record
    assert (record.version, record.smoke_expect) == ("1.2.3", "tool 1.2.3")
    assert record.source == "debian:tool=1.2.3-4"
    hashes = {name: hashlib.sha256(content).hexdigest() for name, (_, content) in repository.packages.items()}
    assert record.source_sha256 == hashes["tool"]
    assert [(package.name, package.version, package.sha256) for package in record.packages] == [
        ("tool", "1.2.3-4", hashes["tool"]),
        ("tool-data", "7-1", hashes["tool-data"]),
    ]
    listed = subprocess.run(
        ["tar", "--zstd", "-tf", str(workshop.tree / record.path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed == ["LICENSE", "bin/", "bin/tool", "conf", "share/", "share/data"]
    assert record.entries == len(listed)


def test_same_packages_give_the_same_bytes(workshop: Workshop, repository: DebRepository, tmp_path: Path) -> None:
    """In another folder, later, under another umask and in another zone."""
    put_tool(repository, "1.2.3-4")
    first = build(workshop, repository).record
    mask, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    try:
        second = build(workshop, repository, tree=tmp_path / "other" / "place").record
    finally:
        os.umask(mask)
        os.environ.pop("TZ")
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()
    assert second == first


def test_line_is_asked_again_only_where_that_is_wanted(workshop: Workshop, repository: DebRepository) -> None:
    """A second build asks nobody; a refresh takes the newer package, and the older archive stays."""
    put_tool(repository, "1.2.3-4")
    first = build(workshop, repository)
    put_tool(repository, "1.2.4-1")
    assert build(workshop, repository) == Built(first.record, reused=True)
    newer = build(workshop, repository, refresh=True)
    assert newer.record.version == "1.2.4"
    assert build(workshop, repository, refresh=True).reused
    assert build(workshop, repository).record == newer.record
    assert (workshop.tree / first.record.path).is_file()


def test_mended_package_of_a_published_version_is_its_next_revision(
    workshop: Workshop, repository: DebRepository
) -> None:
    """Debian keeps upstream's number and changes the contents; the archive that clients know never changes."""
    put_tool(repository, "1.2.3-4")
    first = build(workshop, repository).record
    workshop.publish()
    put_tool(repository, "1.2.3-5", extra=b"# mended\n")
    second = build(workshop, repository, refresh=True).record
    assert (second.version, second.revision, second.path) == (
        "1.2.3",
        2,
        "archives/tool/tool-1.2.3-r2-linux-x86_64.tar.zst",
    )
    assert hashlib.sha256((workshop.tree / first.path).read_bytes()).hexdigest() == first.sha256


def _break_signature(repository: DebRepository) -> None:
    inrelease = repository.folder / "repository/dists/test/InRelease"
    inrelease.write_text(inrelease.read_text().replace("Suite: test", "Suite: Test"))


def _drop_signature(repository: DebRepository) -> None:
    repository.publish(sign=False)


def _change_index(repository: DebRepository) -> None:
    index = repository.folder / "repository/dists/test/main/binary-amd64/Packages"
    index.write_bytes(index.read_bytes().replace(b"Version: 1", b"Version: 2"))


def _change_package(repository: DebRepository) -> None:
    for path in (repository.folder / "repository/pool").glob("tool_*"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")


def _drop_package(repository: DebRepository) -> None:
    del repository.packages["tool-data"]
    repository.publish()


def _drop_suite(repository: DebRepository) -> None:
    (repository.apt / "sources.list").write_text(f"deb file:{repository.folder}/repository other main\n")


@pytest.mark.parametrize(
    "spoil",
    [_break_signature, _drop_signature, _change_index, _change_package, _drop_package, _drop_suite],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_what_the_signature_does_not_hold_is_never_used(
    workshop: Workshop, repository: DebRepository, spoil: object
) -> None:
    """From the signature over the index down to the bytes of a package; nothing is left of it."""
    put_tool(repository, "1.2.3-4")
    assert callable(spoil)
    spoil(repository)
    with pytest.raises((ArtifactFetchFailed, SourceHashMismatch)):
        build(workshop, repository)
    assert not list(workshop.tree.rglob("*.zst"))
    assert not (workshop.tree / ".work").exists()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (tar_of({"../../../evil": (b"x", 0o644)}), SourceUnsafe),
        (tar_of({f"{ROOT}/bin/su": (b"x", 0o4755)}), SourceUnsafe),
        (tar_of({}, {f"{ROOT}/out": "/etc/passwd"}), RecipeInvalid),
        (tar_of({}, {f"{ROOT}/out": "../../../../../etc/passwd"}), RecipeInvalid),
        (tar_of({"etc/tool.conf": (b"other", 0o644)}), SourceUnsafe),
        (b"garbage" * 100, SourceUnsafe),
    ],
    ids=["name out", "set-uid", "absolute link", "link out", "file of another package", "garbage"],
)
def test_signed_package_that_is_hostile_all_the_same_is_refused(
    workshop: Workshop, repository: DebRepository, data: bytes, error: type[ZlhError]
) -> None:
    """A signature says who made it, not that it is harmless."""
    put_tool(repository, "1.2.3-4")
    license_file = {"usr/share/doc/tool/copyright": (b"x", 0o644)}
    repository.packages["tool"] = ("1.2.3-4", make_deb(data))
    repository.packages["tool-data"] = ("7-1", make_deb(tar_of({**license_file, "etc/tool.conf": (b"c", 0o644)})))
    repository.publish()
    with pytest.raises(error):
        build(workshop, repository)
    assert not list(workshop.tree.rglob("*.zst"))
    assert not (workshop.tree / ".work").exists()


def test_another_line_is_not_offered_as_this_one(workshop: Workshop, repository: DebRepository) -> None:
    """A suite that moves on to 2.0 changes nothing for those who asked for 1.2."""
    put_tool(repository, "2.0-1")
    with pytest.raises(ZlhError, match=r"2\.0") as caught:
        build(workshop, repository)
    assert caught.value.code == "artifact_version_unexpected"


def test_program_that_would_lack_a_library_is_refused(workshop: Workshop, repository: DebRepository) -> None:
    """A real program, whose library no bare Debian has: the recipe must bring it, or say that it may be lacking."""
    put_tool(repository, "1.2.3-4")
    program = Path("/usr/bin/apt-get").read_bytes()
    files = {f"{ROOT}/bin/tool": (program, 0o755), "usr/share/doc/tool/copyright": (b"x", 0o644)}
    repository.packages["tool"] = ("1.2.3-4", make_deb(tar_of(files)))
    repository.publish()
    with pytest.raises(RecipeInvalid, match=r"would lack libapt-p.*\(for bin/tool\)"):
        build(workshop, repository)
