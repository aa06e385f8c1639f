"""A customer's program exchanges folders with links while files are placed and edited: nothing outside is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.game_source import pin
from fakes.racer import swapping
from zlh_agent.files.refusals import Refused
from zlh_agent.games import editing, placing, telling
from zlh_agent.games.model import Commit, Edit, PlacedFile, Verify
from zlh_agent.games.server_folder import ServerFolder, staged_name
from zlh_common.errors import ZlhError
from zlh_common.schema.template import FileEdit

ROUNDS = 150
CONTENT = b"new" * 100


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What children say is heard by nobody, and nobody is asked. The user alone confines: no Landlock helps."""
    monkeypatch.setattr(telling, "say", lambda _line: None)
    monkeypatch.setattr(placing, "ask_to_go_on", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a server's folder whose `lib` is now a folder, now a link to one outside."""
    outside, folder = tmp_path / "outside", tmp_path / "game"
    for path in (outside, folder / "lib"):
        path.mkdir(parents=True)
    (outside / "a.jar").write_text("theirs")
    (outside / "b.properties").write_text("theirs=1\n")
    (folder / "link").symlink_to(outside)
    with swapping((folder / "lib", folder / "link")):
        yield folder
    assert {path.name: path.read_text() for path in outside.iterdir()} == {
        "a.jar": "theirs",
        "b.properties": "theirs=1\n",
    }


def test_files_are_placed_and_removed_inside_alone(folder: Path) -> None:
    """Each round gives a file its name and takes another away; some are refused, and none leads out."""
    file, gone = pin("lib/new.jar", CONTENT), PlacedFile(path="lib/a.jar", hash=pin("", b"theirs").hash)
    done = 0
    for number in range(ROUNDS):
        content = f"{number:032x}"
        with ServerFolder(str(folder)) as held, held.staging(content):
            (folder / ".zlh-game" / content / staged_name(file)).write_bytes(CONTENT)
        with suppress(ZlhError, OSError, Refused):
            placing.commit(Commit(folder=str(folder), content=content, files=(file,), former=(gone,)))
            done += 1
        with suppress(ZlhError, OSError, Refused):
            placing.verify(Verify(folder=str(folder), files=(PlacedFile(path=file.path, hash=file.hash), gone)))
    assert done > 0


def test_configuration_is_edited_inside_alone(folder: Path) -> None:
    """Whatever the folder is at the moment of the rename."""
    done = 0
    for number in range(ROUNDS * 4):
        edit = FileEdit(path="lib/b.properties", format="properties", set={"ours": number})
        with suppress(ZlhError, OSError, Refused):
            editing.edit_files(Edit(folder=str(folder), edits=(edit,)))
            done += 1
    assert done > 0
