"""The version of the product stands in several files, and is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from versions import PLACES, VersionsDiffer, read_version, write_version
from zlh_agent import __version__ as of_agent
from zlh_api import __version__ as of_api
from zlh_common import __version__ as of_common

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Lend a folder with copies of the files that say the version."""
    for file in PLACES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_all_files_say_one_version() -> None:
    """And it is what the programs say of themselves."""
    assert {read_version(ROOT)} == {of_agent, of_api, of_common}


def test_version_is_written_everywhere(copy: Path) -> None:
    """Nothing else of the files changes."""
    before = read_version(copy)
    write_version(copy, "9.87.6")
    assert read_version(copy) == "9.87.6"
    write_version(copy, before)
    assert all((copy / file).read_text() == (ROOT / file).read_text() for file in PLACES)


@pytest.mark.parametrize("file", PLACES)
def test_file_that_says_another_version_is_named(copy: Path, file: str) -> None:
    """Whichever of them it is: nothing is released of a checkout that does not know its own version."""
    version = read_version(copy)
    text = (copy / file).read_text()
    (copy / file).write_text(text.replace(f'"{version}"', '"7.7.7"', 1))
    with pytest.raises(VersionsDiffer) as told:
        read_version(copy)
    assert file in str(told.value)
    assert "7.7.7" in str(told.value)


def test_file_without_a_version_is_named(copy: Path) -> None:
    """As after it was rewritten in another style."""
    (copy / "packages/zlh_agent/pyproject.toml").write_text("[project]\n")
    with pytest.raises(VersionsDiffer, match=r"packages/zlh_agent/pyproject\.toml"):
        read_version(copy)
