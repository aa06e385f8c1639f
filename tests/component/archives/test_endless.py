"""Archives that claim what no disk holds, or go on without ever holding anything: refused by name, in little memory."""

from __future__ import annotations

import io
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from component.archives.harness import Odd, Workshop, write_archive
from zlh_agent.archives.rules import LONGEST_S, TOO_LONG
from zlh_agent.archives.streams import Stream
from zlh_agent.archives.tar_reading import read_tar
from zlh_agent.archives.telling import Tally
from zlh_agent.archives.unpacking import watched
from zlh_agent.files.refusals import Refused

pytestmark = pytest.mark.timeout(180)
FAR = 2**64 - 1


def wide_zip(*, size: int, packed: int, offset: int) -> bytes:
    """Return a zip of one entry whose row in the directory says these numbers, in 64 bits."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("file", b"content")
    raw = bytearray(out.getvalue())
    row, end = raw.index(b"PK\x01\x02"), raw.index(b"PK\x05\x06")
    raw[row + 20 : row + 28] = b"\xff" * 8
    raw[row + 42 : row + 46] = b"\xff" * 4
    extra = struct.pack("<HHQQQ", 1, 24, size, packed, offset)
    raw[row + 30 : row + 32] = struct.pack("<H", len(extra))
    raw[end + 12 : end + 16] = struct.pack("<I", end - row + len(extra))
    raw[end:end] = extra
    return bytes(raw)


@pytest.mark.parametrize(
    ("size", "packed", "offset"),
    [(7, 7, FAR), (7, 7, 2**63), (7, 7, 2**63 - 1), (7, FAR, 0), (FAR, FAR, FAR), (7, 2**63, 0), (FAR, 7, 0)],
)
async def test_numbers_that_no_file_has_are_refused(workshop: Workshop, size: int, packed: int, offset: int) -> None:
    """As an archive that is damaged, or a disk that has no room; never by a child that breaks."""
    (workshop.folder / "bad").write_bytes(wide_zip(size=size, packed=packed, offset=offset))
    workshop.own()
    assert await workshop.code_of("bad") in {"file_archive_refused", "disk_full"}
    assert not (workshop.folder / "new").exists()


async def test_the_writer_of_wide_numbers_writes_zips(workshop: Workshop) -> None:
    """The control: with numbers that are right, the same zip is unpacked."""
    (workshop.folder / "good").write_bytes(wide_zip(size=7, packed=7, offset=0))
    workshop.own()
    await workshop.unpack("good")
    assert (workshop.folder / "new/file").read_bytes() == b"content"


@pytest.mark.parametrize("number", ["9" * 18, "-" + "9" * 18])
async def test_a_time_that_no_disk_holds_is_one_that_it_does(workshop: Workshop, number: str) -> None:
    """A moment far away is taken for the nearest that can be kept."""
    write_archive(workshop.folder / "odd", "tar", [Odd("file", pax={"mtime": number})])
    workshop.own()
    await workshop.unpack("odd")
    assert (workshop.folder / "new/file").stat().st_mtime >= 0


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_what_is_said_of_nothing_is_not_kept(kind: bytes) -> None:
    """Headers that describe an entry may come without end: what is no word of ours is forgotten at once."""

    def flood() -> Iterator[bytes]:
        for number in range(60):
            body = b"".join(b"%d KEY%06d=%s\n" % (212, number * 1000 + row, b"v" * 197) for row in range(1000))
            yield header(kind, len(body)) + body + bytes(-len(body) % 512)

    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            list(read_tar(Stream(flood())))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_what_is_unpacked_and_thrown_away_is_watched_too() -> None:
    """Bytes that belong to no file count as work: it is said to go on, and it ends with its time."""
    said: list[object] = []
    blocks = watched(iter([b"x", b"y"]), Tally(said.append, limit_s=-1.0))
    with pytest.raises(Refused) as refused:
        next(blocks)
    assert refused.value.code == TOO_LONG
    assert list(watched(iter([b"x", b"y"]), Tally(said.append, limit_s=LONGEST_S))) == [b"x", b"y"]


def header(kind: bytes, size: int) -> bytes:
    """Return a header of a tar."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)
