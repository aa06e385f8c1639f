"""What platforms of one run pack is packed once, and spoiled by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_parts import built_archives
from real_parts.built_archives import archives_in_common

LABELS = ("node-24.19.0",)


@pytest.fixture(autouse=True)
def _checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_archives, "ROOT", tmp_path / "checkout")


def _archive_of(tree: Path) -> Path:
    return tree / "archives/node/node.tar.zst"


def _pack(tree: Path) -> None:
    _archive_of(tree).parent.mkdir(parents=True)
    _archive_of(tree).write_text("packed")


def test_the_second_finds_what_the_first_has_packed(tmp_path: Path) -> None:
    """The first finds nothing, so that a platform packs by itself in each run of a fresh checkout."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    with archives_in_common(first, LABELS):
        assert not first.exists()
        _pack(first)
    with archives_in_common(second, LABELS):
        assert _archive_of(second).read_text() == "packed"
    with _archive_of(second).open("r+") as spoiled:
        spoiled.write("SPOILT")
    with archives_in_common(third, LABELS):
        assert _archive_of(third).read_text() == "packed"


def test_of_other_recipes_nothing_is_found(tmp_path: Path) -> None:
    """Also a changed one is another."""
    with archives_in_common(tmp_path / "first", LABELS):
        _pack(tmp_path / "first")
    with archives_in_common(tmp_path / "second", (*LABELS, "go-1.27.3")):
        assert not (tmp_path / "second").exists()
        _pack(tmp_path / "second")


def test_a_start_that_fails_leaves_nothing_to_others(tmp_path: Path) -> None:
    """What it has packed may be half of it."""

    def start() -> None:
        with archives_in_common(tmp_path / "first", LABELS):
            _pack(tmp_path / "first")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        start()
    with archives_in_common(tmp_path / "second", LABELS):
        assert not (tmp_path / "second").exists()
        _pack(tmp_path / "second")
