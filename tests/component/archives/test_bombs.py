"""Archives that unpack to far more than there is room for, or ask for far more memory, through real children."""

from __future__ import annotations

import asyncio
import gzip
import io
import lzma
import os
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from component.archives.harness import STAGING, Odd, Workshop, write_archive
from component.files.harness import names_in
from zlh_agent.archives.service import ArchiveLink
from zlh_agent.archives.streams import MAX_WINDOW_BYTES
from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService
from zlh_common.schema.file_refusals import ArchiveRefused

pytestmark = pytest.mark.timeout(300)
MIB = 1024 * 1024
# What a child has resident by itself with its libraries, and the blocks in its hands.
OWN_BYTES = 64 * MIB
PIECE = bytes(64 * MIB)
BOMB_BYTES = 160 * len(PIECE)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data,
    "tar.gz": lambda data: gzip.compress(data, 1),
    "tar.xz": lambda data: lzma.compress(data, preset=0),
    "tar.zst": lambda data: zstandard.compress(data, 1),
}


@pytest.fixture
def peaks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much memory each child had in its hands at most, in bytes, as the kernel tells it before the child ends."""
    found: list[int] = []
    end = ArchiveLink.end

    async def look_and_end(link: ArchiveLink) -> None:
        with open(f"/proc/{link.pid}/status", "rb") as told:  # noqa: ASYNC230, PTH123 - made by the kernel as it is read
            found.extend(int(line.split()[1]) * 1024 for line in told if line.startswith(b"VmHWM"))
        await end(link)

    monkeypatch.setattr(ArchiveLink, "end", look_and_end)
    return found


@pytest.fixture
def small_disk(workshop: Workshop) -> Iterator[Path]:
    """A disk of 32 MiB at `disk` in the root."""
    disk = workshop.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32M", "tmpfs", str(disk)], check=True)
    workshop.own()
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def header(name: str, size: int, **more: str) -> bytes:
    """Return what stands before a file in a tar."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.pax_headers = more
    return info.tobuf(tarfile.PAX_FORMAT)


def write_bomb(path: Path, form: str) -> None:
    """Write ten gigabytes of zeros as one file of an archive; each format may be written part by part."""
    if form == "zip":
        path.write_bytes(zip_bomb(size=BOMB_BYTES))
        return
    pack = PACKERS[form]
    part = pack(PIECE)
    with path.open("wb") as file:
        file.write(pack(header("bomb", BOMB_BYTES)))
        for _ in range(BOMB_BYTES // len(PIECE)):
            file.write(part)
        file.write(pack(bytes(1024)))


def zip_bomb(*, size: int) -> bytes:
    """Return a zip of one entry that says this size and holds ten gigabytes of zeros."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    part = packer.compress(PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = part * (BOMB_BYTES // len(PIECE)) + packer.flush()
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 8, 0, 33, 0, len(packed), 0xFFFFFFFF, 4, 20)
    wide = struct.pack("<HHQQ", 1, 16, size, len(packed))
    row = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 8, 0, 33, 0, len(packed), 0xFFFFFFFF, 4, 12, 0, 0, 0, 0, 0
    )
    row += b"bomb" + struct.pack("<HHQ", 1, 8, size)
    body = local + b"bomb" + wide + packed
    return body + row + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(row), len(body), 0)


@pytest.mark.real("mounts")
@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.xz", "tar.zst"])
async def test_what_is_larger_than_the_disk_ends_before_the_disk_is_full(
    workshop: Workshop, small_disk: Path, peaks: list[int], form: str
) -> None:
    """A few megabytes that hold ten gigabytes: refused, in little memory, and nothing comes to its place."""
    write_bomb(workshop.folder / "bomb", form)
    assert (workshop.folder / "bomb").stat().st_size < BOMB_BYTES / 200
    (small_disk / "kept").write_text("what was there")
    workshop.own()
    assert await workshop.code_of("bomb", "disk/new") == "disk_full"
    assert room_of(small_disk) > MIB
    assert (small_disk / "kept").read_text() == "what was there"
    assert max(peaks) < OWN_BYTES
    assert await left_after_sweep(workshop, f"disk/{STAGING}", small_disk) == ["kept"]


def room_of(disk: Path) -> int:
    """Return what a disk has left, in bytes."""
    room = os.statvfs(disk)
    return room.f_bavail * room.f_frsize


async def left_after_sweep(workshop: Workshop, staging: str, folder: Path) -> list[str]:
    """Return what a folder holds once whoever has asked has removed what the child has left."""
    service = FileService(workshop.root.place)
    async with service.borrow() as files:
        await files.remove_tree(staging)
    await service.close()
    return names_in(folder)


async def test_a_zip_that_says_less_than_it_holds_is_refused(workshop: Workshop, peaks: list[int]) -> None:
    """No more is written than it says, whatever follows."""
    (workshop.folder / "bomb").write_bytes(zip_bomb(size=1000))
    workshop.own()
    assert await workshop.code_of("bomb") == "file_archive_refused"
    assert max(peaks) < OWN_BYTES
    assert sum(path.stat().st_size for path in (workshop.folder / STAGING).iterdir()) <= 1000
    assert await left_after_sweep(workshop, STAGING, workshop.folder) == ["bomb"]


async def test_entries_that_share_their_bytes_are_refused(workshop: Workshop, peaks: list[int]) -> None:
    """Each of a thousand rows of the directory names the same megabytes: nothing of it is unpacked."""
    raw = zip_bomb(size=BOMB_BYTES)
    at = raw.rindex(b"PK\x01\x02")
    row, end = raw[at : raw.rindex(b"PK\x05\x06")], bytearray(raw[raw.rindex(b"PK\x05\x06") :])
    rows = b"".join(row.replace(b"bomb", b"%04d" % number) for number in range(1000))
    struct.pack_into("<HHI", end, 8, 1000, 1000, len(rows))
    (workshop.folder / "bomb").write_bytes(raw[:at] + rows + end)
    workshop.own()
    assert await workshop.code_of("bomb") in {"file_archive_refused", "disk_full"}
    assert max(peaks) < OWN_BYTES
    assert await left_after_sweep(workshop, STAGING, workshop.folder) == ["bomb"]


@pytest.mark.parametrize("form", ["zip", *PACKERS])
async def test_an_archive_in_an_archive_is_a_file(workshop: Workshop, form: str) -> None:
    """So none that holds itself is ever unpacked twice."""
    inner = write_archive(workshop.folder / "inner", form, [Odd("file")]).read_bytes()
    write_archive(workshop.folder / "outer", form, [Odd("inner", content=inner)])
    workshop.own()
    await workshop.unpack("outer")
    assert (workshop.folder / "new/inner").read_bytes() == inner


# ── windows ──


def xz_with_dictionary(raw: bytes, code: int) -> bytes:
    """Return an xz whose header asks for another dictionary: 2 or 3 times a power of two, by the format's own code."""
    packed = bytearray(lzma.compress(raw, preset=0))
    size = (packed[12] + 1) * 4
    assert bytes(packed[14:16]) == b"\x21\x01"
    packed[16] = code
    struct.pack_into("<I", packed, 12 + size - 4, zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def zst_with_window(raw: bytes, log: int) -> bytes:
    """Return a zst whose header asks for another window, of two to the power of `log`."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    packed = bytearray(packer.compress(raw) + packer.flush())
    assert not packed[4] & 0x20
    packed[5] = (log - 10) << 3
    return bytes(packed)


def one_file(content: bytes = b"content") -> bytes:
    """Return a tar of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


WIDE = {
    "xz, 192 MiB": xz_with_dictionary(one_file(), 31),
    "xz, 1.5 GiB": xz_with_dictionary(one_file(), 37),
    "xz, 4 GiB": xz_with_dictionary(one_file(), 40),
    "zst, 256 MiB": zst_with_window(one_file(), 28),
    "zst, 2 GiB": zst_with_window(one_file(), 31),
    "zst, 2 TiB": zst_with_window(one_file(), 41),
}
FITTING = {
    "xz, 64 MiB": xz_with_dictionary(one_file(), 28),
    "xz, 128 MiB": xz_with_dictionary(one_file(), 30),
    "zst, 64 MiB": zst_with_window(one_file(), 26),
    "zst, 128 MiB": zst_with_window(one_file(), 27),
}


@pytest.mark.parametrize("what", WIDE)
async def test_a_window_that_is_too_wide_is_refused(workshop: Workshop, peaks: list[int], what: str) -> None:
    """By its reason, before any of it is asked of the machine."""
    (workshop.folder / "bad").write_bytes(WIDE[what])
    workshop.own()
    with pytest.raises(ArchiveRefused, match="128 MiB"):
        await workshop.unpack("bad")
    assert max(peaks) < OWN_BYTES
    assert await left_after_sweep(workshop, STAGING, workshop.folder) == ["bad"]


@pytest.mark.parametrize("what", FITTING)
async def test_a_window_of_128_mib_is_unpacked(workshop: Workshop, what: str) -> None:
    """What usual programs ask for at most."""
    (workshop.folder / "good").write_bytes(FITTING[what])
    workshop.own()
    await workshop.unpack("good")
    assert (workshop.folder / "new/file").read_bytes() == b"content"


TOOLS = {
    "xz": ["xz", "-9"],
    "xz, extreme": ["xz", "-9e"],
    "zstd": ["zstd", "-q", "--ultra", "-22"],
    "zstd, long": ["zstd", "-q", "--long=27"],
}


@pytest.mark.parametrize("tool", TOOLS)
async def test_the_highest_levels_of_usual_programs_are_unpacked(workshop: Workshop, tool: str) -> None:
    """As a pipe gives it to them, so that they know nothing of its size and take the window that they have."""
    content = os.urandom(3 * MIB)
    (workshop.folder / "file").write_bytes(content)
    command = f"tar -cf - file | {' '.join(TOOLS[tool])} > packed"
    done = await asyncio.create_subprocess_shell(command, cwd=workshop.folder)
    assert await done.wait() == 0
    workshop.own()
    await workshop.unpack("packed")
    assert (workshop.folder / "new/file").read_bytes() == content


async def test_a_window_that_is_used_up_to_its_end_is_unpacked(workshop: Workshop, peaks: list[int]) -> None:
    """Bytes that are found again 120 MiB behind: what the child holds for that is bounded by the window."""
    start = os.urandom(4 * MIB)
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    size = 2 * len(start) + 120 * MIB
    pieces = [header("file", size), start, *[bytes(MIB)] * 120, start, bytes(1024)]
    packed = b"".join(packer.compress(piece) for piece in pieces) + packer.flush()
    assert len(packed) < 1.5 * len(start)
    (workshop.folder / "good").write_bytes(packed)
    workshop.own()
    await workshop.unpack("good")
    with (workshop.folder / "new/file").open("rb") as file:
        assert file.read(len(start)) == start
        file.seek(-len(start), os.SEEK_END)
        assert file.read() == start
    assert max(peaks) < MAX_WINDOW_BYTES + OWN_BYTES


def test_the_window_is_within_what_a_child_has() -> None:
    """Else it would be told that memory is short, and not why; half of it is for everything else."""
    assert (FilePlace("/", None).confinement.address_space_bytes or 0) >= MAX_WINDOW_BYTES * 2


# ── holes ──

SPARSE = {
    "GNU": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)},
    "a map in the header": {"GNU.sparse.size": str(2**40), "GNU.sparse.numblocks": "1", "GNU.sparse.map": f"{2**40},0"},
    "a name of its own": {"GNU.sparse.name": "file", "GNU.sparse.realsize": str(2**62)},
}


@pytest.mark.parametrize("what", SPARSE)
async def test_a_tar_with_holes_is_refused(workshop: Workshop, what: str) -> None:
    """A header of a few bytes that stands for a terabyte."""
    raw = header("file", 0, **SPARSE[what]) + bytes(1024)
    (workshop.folder / "bad").write_bytes(raw)
    workshop.own()
    with pytest.raises(ArchiveRefused, match="holes"):
        await workshop.unpack("bad")
    assert await left_after_sweep(workshop, STAGING, workshop.folder) == ["bad"]


async def test_a_tar_with_holes_of_the_usual_program_is_refused(workshop: Workshop) -> None:
    """In each of the ways that it knows."""
    with (workshop.folder / "file").open("wb") as file:
        file.truncate(2**33)
    ways = ["--format=gnu"], ["--format=posix", "--sparse-version=0.0"], ["--format=posix", "--sparse-version=1.0"]
    for number, how in enumerate(ways):
        packed = f"bad-{number}"
        done = await asyncio.create_subprocess_exec("tar", *how, "-Scf", packed, "file", cwd=workshop.folder)
        assert await done.wait() == 0
        workshop.own()
        with pytest.raises(ArchiveRefused, match="holes"):
            await workshop.unpack(packed)
        assert STAGING not in await left_after_sweep(workshop, STAGING, workshop.folder)
