"""Files that are old or new, whoever writes them, whenever it is killed and whatever stands in the way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zlh_common.durable_files import rename_durably, write_durably


def test_content_and_mode_are_what_was_asked_for(tmp_path: Path) -> None:
    """Private where nothing is said; the folder is made, and nothing else stays in it."""
    path = tmp_path / "state/file"
    write_durably(path, b"a much longer content", mode=0o644)
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fchmod", "ftruncate", "fsync", "rename"])
def test_a_writer_that_is_killed_leaves_the_old_file_and_no_obstacle(tmp_path: Path, moment: str) -> None:
    """Between any two steps; the next one writes over what is left."""
    path = tmp_path / "file"
    write_durably(path, b"old and longer than what comes")
    code = (
        "import os, pathlib, sys\n"
        "from zlh_common.durable_files import write_durably\n"
        "setattr(os, sys.argv[2], lambda *_: os._exit(9))\n"
        "write_durably(pathlib.Path(sys.argv[1]), b'never')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), moment], check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"old and longer than what comes"
    write_durably(path, b"next")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"next")]


def test_many_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """None of them sees the half-written file of another."""
    path = tmp_path / "file"
    contents = [bytes([65 + number]) * 50_000 * (1 + number % 3) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_durably(path, content), contents * 4))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_stands_in_the_way_is_an_error_and_not_touched(tmp_path: Path, kind: str) -> None:
    """Nothing is written through it, and nobody waits for it."""
    elsewhere, planted = tmp_path / "elsewhere", tmp_path / ".file.new"
    elsewhere.write_text("as it was")
    match kind:
        case "link":
            planted.symlink_to(elsewhere)
        case "pipe":
            os.mkfifo(planted)
        case _:
            planted.mkdir()
    with pytest.raises(OSError, match=r"\.file\.new"):
        write_durably(tmp_path / "file", b"x")
    assert elsewhere.read_text() == "as it was"


def test_a_full_rename_replaces_what_stood_there(tmp_path: Path) -> None:
    """A finished file over an older one."""
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    rename_durably(tmp_path / "new", tmp_path / "old")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("old", "new")]
