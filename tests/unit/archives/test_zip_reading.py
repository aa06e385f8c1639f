"""The directory of a zip is read once, however many rows it has."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from zlh_agent.archives.zip_reading import ZipReader


@pytest.mark.parametrize("count", [10, 12_000])
def test_a_directory_is_read_once(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fits into the window, and one that is read in several; each look takes its rows and little more."""
    path, name = tmp_path / "a.zip", "folder-with-a-name/entry-{:06}.txt"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(name.format(number), b"")
    taken: list[int] = []
    pread = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        data = pread(fd, size, at)
        taken.append(len(data))
        return data

    fd = os.open(path, os.O_RDONLY)
    try:
        reader = ZipReader(fd)
        monkeypatch.setattr(os, "pread", counted)
        names = [item.name.decode() for item, _ in reader.read()]
    finally:
        os.close(fd)
    assert names == [name.format(number) for number in range(count)]
    # A window begins anew where its last half is reached.
    assert sum(taken) < 3 * path.stat().st_size
