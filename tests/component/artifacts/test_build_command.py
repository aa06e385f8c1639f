"""`zlh-api artifacts build`: what it says of what it could not make, and how it ends."""

from __future__ import annotations

import hashlib

import pytest

from component.artifacts.conftest import Workshop
from component.artifacts.test_commands import call
from fakes.vendor import VENDOR_RECIPE, Vendor, running_vendor, vendor_tarball
from zlh_api.artifacts.errors import ArtifactFetchFailed
from zlh_api.artifacts.tree import Tree

LISTED = 'releases = "8.0/releases.json"'


@pytest.fixture(autouse=True)
def pip_finds_local_wheels(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the user's own pip configuration at the folder of wheels."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(workshop.home / "wheels"))


def build(workshop: Workshop, vendor: Vendor, *arguments: str) -> int:
    """Run the command on the workshop's recipes and one of the vendor's."""
    (workshop.recipes / "dot.toml").write_text(VENDOR_RECIPE.format(line="8.0", more=LISTED))
    place = ("--dir", str(workshop.tree), "--recipes", str(workshop.recipes), "--platform", "linux-x86_64")
    return call("build", *place, "--mirror", f"dot={vendor.url}", *arguments)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 0), (("tiny", "dot"), 3), (("tiny", "dot", "--where-possible"), 0)],
    ids=["unnamed", "named", "where possible"],
)
def test_absent_source_is_told_and_only_missed_by_who_named_it(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int
) -> None:
    """The other archive is built in any case."""
    with running_vendor() as vendor:
        assert build(workshop, vendor, *arguments) == code
    printed = capsys.readouterr().out
    assert "left out: dot-8.0 for linux-x86_64: " in printed
    assert "[artifact_fetch_failed]" in printed
    assert [record.name for record in Tree(workshop.tree).records()] == ["tiny"]


def test_a_log_has_a_line_for_each_phase_of_an_archive(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """So that who waits sees what is being made; what is there already is said to be kept."""
    with running_vendor() as vendor:
        build(workshop, vendor)
        first = capsys.readouterr().err.splitlines()
        build(workshop, vendor)
    assert first == list(dict.fromkeys(first))
    assert [line for line in first if line.startswith("tiny") and line.endswith(": built")]
    assert [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("tiny") and line.endswith(": kept")
    ]


def test_wrong_source_is_a_failure_though_nobody_named_it(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hash that does not fit is somebody's doing."""
    with running_vendor() as vendor:
        vendor.offer("8.0.1", vendor_tarball("8.0.1"), checksum=hashlib.sha512(b"another").hexdigest())
        assert build(workshop, vendor) == 3
    assert "[artifact_source_mismatch]" in capsys.readouterr().out
    assert [record.name for record in Tree(workshop.tree).records()] == ["tiny"]


def test_build_that_made_nothing_it_was_asked_for_says_why(workshop: Workshop) -> None:
    """As the error itself."""
    with running_vendor() as vendor, pytest.raises(ArtifactFetchFailed, match="404"):
        build(workshop, vendor, "dot")


def test_refresh_takes_what_is_newer(workshop: Workshop) -> None:
    """And keeps what was."""
    with running_vendor() as vendor:
        vendor.offer("8.0.1", vendor_tarball("8.0.1"))
        assert build(workshop, vendor) == 0
        vendor.offer("8.0.2", vendor_tarball("8.0.2"))
        assert build(workshop, vendor) == 0
        assert {record.version for record in Tree(workshop.tree).records()} == {"1.0", "8.0.1"}
        assert build(workshop, vendor, "--refresh") == 0
    assert {record.version for record in Tree(workshop.tree).records()} == {"1.0", "8.0.1", "8.0.2"}
