"""What the child says of a thing that it did not do."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zlh_agent.files.refusals import DISK_FAILED, PATH_BUSY, Refused, own_disk_code, told_of_other
from zlh_agent.files.roots import Roots
from zlh_agent.uploads.model import UploadRecord
from zlh_agent.uploads.partials import Partials
from zlh_agent.uploads.store import UploadStore
from zlh_common.schema.file_refusals import FileRefused


def test_a_place_that_lies_deep_is_told_by_its_end() -> None:
    """A message holds no path of any length, and the last names are those that tell."""
    deep = b"/".join([b"folder"] * 1000) + b"/last"
    refused = Refused(PATH_BUSY, deep)
    assert refused.where.endswith(b"/folder/last")
    assert len(refused.where) == 1000
    assert told_of_other(refused).where == refused.where


def test_a_place_that_is_near_is_told_whole() -> None:
    """Nothing is taken off a path that fits."""
    assert Refused(PATH_BUSY, b"a/b").where == b"a/b"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EROFS, "disk_read_only"),
        (errno.EIO, DISK_FAILED),
    ],
)
def test_an_own_disk_that_keeps_no_record_is_told_as_what_it_is(number: int, code: str) -> None:
    """Nobody makes room on a disk that fails."""
    assert own_disk_code(OSError(number, "")) == code
    assert own_disk_code(OSError(errno.ENOTDIR, "")) == DISK_FAILED


async def test_an_upload_whose_record_is_not_kept_is_refused_for_what_it_is(tmp_path: Path) -> None:
    """A file lies where the folder of the records is to be."""
    folder = tmp_path / "uploads"
    folder.write_bytes(b"")
    now = datetime.now(UTC)
    record = UploadRecord(
        id="one",
        kind="tus",
        root="server",
        path="a",
        partial=".a",
        size=1,
        replace=False,
        created_at=now,
        expires_at=now,
    )
    with ThreadPoolExecutor(1) as threads, pytest.raises(FileRefused) as refused:
        await Partials(Roots([]), UploadStore(folder), threads).save(record)
    assert refused.value.code == DISK_FAILED
