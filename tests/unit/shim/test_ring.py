"""The ring file: what a reader sees is what was written, whatever the writer was doing when it died."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlh_agent.shim import ring
from zlh_agent.shim.ring import BLOCK_BYTES, RingInvalid, RingReader, RingWriter

BOOT = bytes(16)
CAPACITY = 1000


def pattern(start: int, length: int) -> bytes:
    """The byte at each absolute offset, so that a byte in the wrong place shows."""
    return bytes((offset * 7 + offset // 251) % 256 for offset in range(start, start + length))


def read_all(reader: RingReader) -> tuple[int, bytes]:
    oldest, written = reader.oldest(), reader.written()
    data = reader.read(oldest, written - oldest)
    assert data is not None
    return oldest, bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


@pytest.fixture
def writer(path: Path) -> Iterator[RingWriter]:
    writer = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY)
    yield writer
    writer.close()


def test_bytes_come_back_at_their_offsets_after_many_laps(path: Path, writer: RingWriter) -> None:
    """However often the ring was lapped, the last `capacity` bytes stand at their absolute offsets."""
    reader = RingReader(path)
    for length in [1, 999, 1000, 1, BLOCK_BYTES, 17, 3 * BLOCK_BYTES + 5] * 3:
        writer.append(pattern(writer.written, length))
        oldest, data = read_all(reader)
        assert oldest == max(0, writer.written - CAPACITY)
        assert data == pattern(oldest, writer.written - oldest)
    reader.close()


def test_read_of_lapped_or_unwritten_bytes_gives_none(path: Path, writer: RingWriter) -> None:
    """A reader never gets bytes that are gone, nor such as were never written."""
    writer.append(pattern(0, 5000))
    reader = RingReader(path)
    assert reader.read(3999, 10) is None
    assert reader.read(5001, 10) is None
    assert reader.read(5000, 10) == bytearray()
    reader.close()


def test_offsets_run_on_when_the_ring_is_opened_again(path: Path) -> None:
    """A shim that takes over a kept ring goes on where the last one ended, in the same stream."""
    first = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY)
    first.append(pattern(0, 700))
    first.close()
    second = RingWriter.open(str(path), boot_id=bytes([1]) * 16, capacity=CAPACITY)
    assert (second.written, second.stream) == (700, first.stream)
    second.close()


def test_ring_left_open_under_another_boot_starts_a_new_stream(path: Path) -> None:
    """After a crash of the machine nobody knows what reached the disk, so nothing of it is shown."""
    first = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY)
    first.append(b"perhaps")
    os.close(first._fd)
    second = RingWriter.open(str(path), boot_id=bytes([1]) * 16, capacity=CAPACITY)
    assert second.written == 0
    assert second.stream != first.stream
    second.close()


def test_second_writer_is_refused_while_the_first_holds_the_ring(path: Path, writer: RingWriter) -> None:
    """Two shims never write one ring."""
    with pytest.raises(BlockingIOError):
        RingWriter.open(str(path), boot_id=BOOT)


@pytest.mark.parametrize("damage", [0, 9, 40])
def test_damaged_header_is_told_from_a_ring(path: Path, damage: int) -> None:
    """A header that was torn is no header."""
    RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY).close()
    raw = bytearray(path.read_bytes())
    raw[damage] ^= 1
    path.write_bytes(raw)
    with pytest.raises(RingInvalid):
        RingReader(path)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 2500), min_size=1, max_size=12),
    cut=st.integers(0, 10_000),
    torn=st.floats(0, 1),
)
def test_writer_killed_at_any_instruction_leaves_only_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], cut: int, torn: float
) -> None:
    """The file after any number of whole writes and part of the next one holds a prefix of the output, intact."""
    folder = tmp_path_factory.mktemp("ring")
    path = folder / "ring"
    calls: list[tuple[bytes, int]] = []
    base: list[bytes] = []

    def pwrite(fd: int, data: bytes, at: int) -> int:
        if not base:
            base.append(path.read_bytes())
        calls.append((bytes(data), at))
        return os.pwrite(fd, data, at)

    writer = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY, pwrite=pwrite)
    for length in lengths:
        writer.append(pattern(writer.written, length))
    os.close(writer._fd)

    image = bytearray(base[0])
    whole = cut % (len(calls) + 1)
    for data, at in calls[:whole]:
        image[at : at + len(data)] = data
    if whole < len(calls):
        data, at = calls[whole]
        part = data[: int(len(data) * torn)]
        image[at : at + len(part)] = part
    path.write_bytes(image)

    reader = RingReader(path)
    oldest, seen = read_all(reader)
    assert seen == pattern(oldest, len(seen))
    assert reader.written() <= sum(lengths)
    reader.close()
    resumed = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY)
    resumed.append(pattern(resumed.written, 10))
    reader = RingReader(path)
    oldest, seen = read_all(reader)
    assert seen == pattern(oldest, len(seen))
    reader.close()
    resumed.close()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 1500)), max_size=40))
def test_reader_follows_a_writer_without_loss_repeat_or_wrong_byte(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    """For every interleaving of writes and reads, a reader gets each byte once, or is told that it was lapped."""
    path = tmp_path_factory.mktemp("ring") / "ring"
    writer = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY)
    reader = RingReader(path)
    at = 0
    for writes, length in steps:
        if writes:
            writer.append(pattern(writer.written, length))
            continue
        data = reader.read(at, length)
        if data is None:
            assert at < writer.written - CAPACITY
            at = reader.oldest()
        else:
            assert data == pattern(at, len(data))
            at += len(data)
    reader.close()
    writer.close()


def test_writer_in_the_middle_of_a_lap_never_shows_through(path: Path) -> None:
    """A block that is in the file while its commit is not touches no byte that may be read."""
    seen: list[bytes] = []
    reader: list[RingReader] = []

    def pwrite(fd: int, data: bytes, at: int) -> int:
        count = os.pwrite(fd, data, at)
        if reader:
            oldest, got = read_all(reader[0])
            assert got == pattern(oldest, len(got))
            seen.append(got)
        return count

    writer = RingWriter.open(str(path), boot_id=BOOT, capacity=CAPACITY, pwrite=pwrite)
    reader.append(RingReader(path))
    for length in (5000, BLOCK_BYTES, 1, BLOCK_BYTES, 999):
        writer.append(pattern(writer.written, length))
    assert len(seen) > 10
    reader.pop().close()
    writer.close()


@given(offset=st.integers(0, 10**12), length=st.integers(0, BLOCK_BYTES), capacity=st.integers(1, 10**6))
def test_spans_cover_the_length_within_the_data_area(offset: int, length: int, capacity: int) -> None:
    """One or two stretches, adding up, none beyond the file."""
    stretches = ring.spans(offset, length, capacity)
    assert sum(size for _, size in stretches) == length
    assert all(
        at >= ring.DATA_START and at + size <= ring.DATA_START + capacity + BLOCK_BYTES for at, size in stretches
    )
