"""Room for one more history: laid out ahead, handed on by renaming, and no less of the disk for it."""

from __future__ import annotations

from pathlib import Path

from zlh_agent.shim.ring import RingReader, RingWriter, file_bytes
from zlh_agent.shim.spare import NAME, ensure_spare, put_back, take_spare

CAPACITY = 256 * 1024
BOOT = bytes(16)


def test_a_spare_becomes_a_ring_without_letting_go_of_its_blocks(tmp_path: Path) -> None:
    """It is a fresh one then, whatever was in the file before."""
    ensure_spare(tmp_path, file_bytes(CAPACITY))
    spare, ring = tmp_path / NAME, tmp_path / "ring"
    before = spare.stat()
    assert take_spare(tmp_path, ring)
    assert not take_spare(tmp_path, tmp_path / "other")
    writer = RingWriter.open(str(ring), boot_id=BOOT, capacity=CAPACITY)
    writer.append(b"hello")
    writer.close()
    after = ring.stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)
    reader = RingReader(ring)
    assert bytes(reader.read(0, 100) or b"") == b"hello"
    reader.close()


def test_what_comes_back_shows_nothing_of_whose_it_was(tmp_path: Path) -> None:
    """The next terminal has a history of its own, from zero."""
    ring = tmp_path / "ring"
    writer = RingWriter.open(str(ring), boot_id=BOOT, capacity=CAPACITY)
    writer.append(b"secret" * 1000)
    writer.close()
    put_back(tmp_path, ring)
    assert not ring.exists()
    assert take_spare(tmp_path, ring)
    again = RingWriter.open(str(ring), boot_id=BOOT, capacity=CAPACITY)
    assert again.written == 0
    again.close()


def test_there_is_one_spare(tmp_path: Path) -> None:
    """A second one that comes back stays where it is."""
    ensure_spare(tmp_path, file_bytes(CAPACITY))
    ring = tmp_path / "ring"
    ring.write_bytes(b"x")
    put_back(tmp_path, ring)
    assert ring.exists()
    inode = (tmp_path / NAME).stat().st_ino
    ensure_spare(tmp_path, file_bytes(CAPACITY))
    assert (tmp_path / NAME).stat().st_ino == inode
