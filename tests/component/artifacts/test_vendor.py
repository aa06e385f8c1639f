"""A vendor's tarball by its published checksum: the list of releases and the file come from a server on loopback."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from component.artifacts.conftest import PLATFORM, Workshop
from fakes.debs import tar_of
from fakes.vendor import VENDOR_RECIPE, Vendor, running_vendor, vendor_tarball
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.errors import ArtifactFetchFailed, RecipeInvalid, SourceHashMismatch, SourceUnsafe
from zlh_api.artifacts.model import Built, Missing
from zlh_common.errors import ZlhError


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Give a vendor that listens."""
    with running_vendor() as made:
        yield made


def write_recipe(workshop: Workshop, *, line: str = "8.0", more: str = 'releases = "8.0/releases.json"') -> RecipeBook:
    """Put the recipe beside those that there are."""
    (workshop.recipes / "dot.toml").write_text(VENDOR_RECIPE.format(line=line, more=more))
    return RecipeBook(workshop.recipes)


def build(workshop: Workshop, vendor: Vendor, *, refresh: bool = False) -> Built:
    """Build what the vendor offers."""
    book = write_recipe(workshop)
    means = Means(mirrors={"dot": vendor.url})
    (built,) = build_artifacts(
        workshop.tree, book, book.choose(["dot"]), platforms=[PLATFORM], means=means, refresh=refresh
    )
    return built


def test_newest_release_is_fetched_by_its_published_checksum(workshop: Workshop, vendor: Vendor) -> None:
    """Through a mirror, while the record says where the vendor has it."""
    vendor.offer("8.0.99", vendor_tarball("8.0.99"))
    vendor.offer("8.0.101", vendor_tarball("8.0.101"))
    record = build(workshop, vendor).record
    assert (record.version, record.smoke_expect) == ("8.0.101", "8.0.101")
    assert record.source == "vendor:https://vendor.example/dot/Sdk/8.0.101/sdk-linux-x64.tar.gz"
    assert record.source_sha256 == hashlib.sha256(vendor_tarball("8.0.101")).hexdigest()
    asked = list(vendor.asked)
    assert build(workshop, vendor).reused
    assert vendor.asked == asked
    vendor.offer("8.0.102", vendor_tarball("8.0.102"))
    assert build(workshop, vendor, refresh=True).record.version == "8.0.102"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("gone", ArtifactFetchFailed),
        ("cut", ArtifactFetchFailed),
        ("redirect", ArtifactFetchFailed),
        ("flip", SourceHashMismatch),
    ],
)
def test_vendor_that_misbehaves_leaves_nothing(
    workshop: Workshop, vendor: Vendor, fault: str, error: type[ZlhError]
) -> None:
    """Neither an archive nor a work file."""
    vendor.offer("8.0.1", vendor_tarball("8.0.1"))
    vendor.fault = fault
    with pytest.raises(error):
        build(workshop, vendor)
    assert not list(workshop.tree.rglob("*.zst"))
    assert not (workshop.tree / ".work").exists()


def test_release_without_a_checksum_is_not_fetched(workshop: Workshop, vendor: Vendor) -> None:
    """What nobody vouches for is left alone."""
    vendor.offer("8.0.1", vendor_tarball("8.0.1"), checksum="none")
    with pytest.raises(SourceUnsafe, match="no SHA-512"):
        build(workshop, vendor)
    assert vendor.asked == ["/dot/8.0/releases.json"]


def test_hostile_tarball_with_the_right_checksum_is_refused(workshop: Workshop, vendor: Vendor) -> None:
    """A checksum says whose it is, not that it is harmless."""
    vendor.offer("8.0.1", vendor_tarball("8.0.1", **{"../out": (b"x", 0o644)}))
    with pytest.raises(SourceUnsafe, match="out"):
        build(workshop, vendor)


def test_recipe_with_its_own_checksum_asks_for_no_list(workshop: Workshop, vendor: Vendor) -> None:
    """The form for vendors that publish a checksum per file."""
    content = vendor_tarball("8.0.7")
    vendor.files["/dot/sdk-linux-x64.tar.gz"] = content
    more = f'checksums.linux-x86_64 = "sha256:{hashlib.sha256(content).hexdigest()}"'
    book = write_recipe(workshop, line="8.0.7", more=more)
    means = Means(mirrors={"dot": vendor.url})
    (built,) = build_artifacts(workshop.tree, book, book.choose(["dot"]), platforms=[PLATFORM], means=means)
    assert built.record.source == "vendor:https://vendor.example/dot/sdk-linux-x64.tar.gz"
    assert vendor.asked == ["/dot/sdk-linux-x64.tar.gz"]


@pytest.mark.parametrize(
    "more",
    ["", 'releases = "x"\nchecksums.linux-x86_64 = "sha256:' + "a" * 64 + '"', 'checksums.linux-arm = "sha256:x"'],
)
def test_recipe_without_exactly_one_checksum_is_refused(workshop: Workshop, more: str) -> None:
    """Nothing can be built that nothing holds."""
    with pytest.raises(RecipeInvalid, match=r"dot\.toml"):
        write_recipe(workshop, more=more)


def test_what_cannot_be_had_is_told_and_the_rest_is_built(workshop: Workshop, vendor: Vendor) -> None:
    """By name and reason, never silently, and never at the cost of the others."""
    book = write_recipe(workshop)
    means = Means(mirrors={"dot": vendor.url}, fetch_wheel=workshop.fetch)
    missing: list[Missing] = []
    made = build_artifacts(
        workshop.tree, book, book.recipes, platforms=[PLATFORM], means=means, on_missing=missing.append
    )
    assert [built.record.name for built in made] == ["tiny"]
    assert [(one.label, one.error.code, one.is_absent) for one in missing] == [
        ("dot-8.0", "artifact_fetch_failed", True)
    ]
    vendor.offer("8.0.1", vendor_tarball("8.0.1"), checksum="aa" * 64)
    missing.clear()
    build_artifacts(workshop.tree, book, book.recipes, platforms=[PLATFORM], means=means, on_missing=missing.append)
    assert [(one.error.code, one.is_absent) for one in missing] == [("artifact_source_mismatch", False)]


def test_plain_address_is_refused_where_the_vendor_is_asked_itself(workshop: Workshop, tmp_path: Path) -> None:
    """Without a mirror only https is ever spoken."""
    book = write_recipe(workshop)
    (recipe,) = book.choose(["dot"])
    assert recipe.vendor is not None
    plain = msgspec.structs.replace(recipe.vendor, base_url="http://127.0.0.1/dot")
    recipe = msgspec.structs.replace(recipe, vendor=plain)
    with pytest.raises(ArtifactFetchFailed, match="https"):
        build_artifacts(tmp_path / "tree", book, [recipe], platforms=[PLATFORM])


def test_shipped_recipe_of_dotnet_reads_its_vendor(workshop: Workshop, vendor: Vendor) -> None:
    """On a recorded list of the vendor's shape, and a small SDK in its layout: what is offered finds its way."""
    program = b"#!/bin/sh\necho 10.0.100\n"
    files = {"dotnet": (program, 0o755), "LICENSE.txt": (b"MIT", 0o644), "sdk/10.0.100/dotnet.dll": (b"x", 0o644)}
    vendor.offer_dotnet("10.0", "10.0.100", gzip.compress(tar_of(files), mtime=0))
    book = RecipeBook()
    means = Means(mirrors={"dotnet": vendor.url})
    (built,) = build_artifacts(workshop.tree, book, book.choose(["dotnet-10.0"]), platforms=[PLATFORM], means=means)
    record = built.record
    assert (record.version, record.environment["DOTNET_MULTILEVEL_LOOKUP"]) == ("10.0.100", "0")
    assert record.source.endswith("/dotnet/Sdk/10.0.100/dotnet-sdk-10.0.100-linux-x64.tar.gz")
    root = workshop.home / "unpacked"
    root.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(workshop.tree / record.path), "-C", str(root)], check=True)
    first, *rest = record.smoke_test
    done = subprocess.run([root / first, *rest], capture_output=True, text=True, check=True)
    assert record.smoke_expect in done.stdout
    assert (root / "LICENSE").read_text() == "MIT"
