"""Archives that mean harm, although they are signed: refused with a stable code, and nothing of them left anywhere."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from fakes.runtime_shop import Member, member, noise, pack
from zlh_agent.runtimes import unpack as unpacking
from zlh_agent.runtimes.errors import UnpackFailed
from zlh_agent.runtimes.unpack import list_files, unpack


class Bench:
    """A folder to unpack into, with a neighbour that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "target"
        self.target.mkdir()
        self.secret = folder / "secret"
        self.secret.write_text("as it was")
        self.secret.chmod(0o600)

    def unpack(self, members: Sequence[Member], *, unpacked_size: int = 1000) -> None:
        """Unpack an archive of these entries."""
        self.unpack_raw(pack(members), unpacked_size=unpacked_size)

    def unpack_raw(self, raw: bytes, *, unpacked_size: int = 1000) -> None:
        """Unpack these bytes."""
        archive = self.folder / "archive"
        archive.write_bytes(raw)
        try:
            unpack(archive, self.target, unpacked_size=unpacked_size, show=lambda _done, _total: None)
        finally:
            archive.unlink()

    def is_unharmed(self) -> bool:
        """Tell whether nothing beside the target has changed or come."""
        held = self.secret.read_text() == "as it was" and stat.S_IMODE(self.secret.stat().st_mode) == 0o600
        return held and sorted(path.name for path in self.folder.iterdir()) == ["secret", "target"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an empty bench."""
    return Bench(tmp_path)


def test_a_good_archive_is_unpacked_whole(bench: Bench) -> None:
    """Contents, modes, links, empty folders and names of every kind."""
    odd = ["with space", "-rf", "ünï\u202ecode", "line\nbreak", "quote'\"$(x)", "a" * 200]
    bench.unpack(
        [
            member("empty", kind=tarfile.DIRTYPE, mode=0o755),
            member("bin/run", b"#!/bin/sh\n", mode=0o755),
            member("bin/also", kind=tarfile.SYMTYPE, to="run"),
            *(member(name, name.encode()) for name in odd),
        ]
    )
    files, size = list_files(bench.target)
    assert set(files) == {"bin/run", "bin/also", *odd}
    assert size == 10 + sum(len(name.encode()) for name in odd)
    assert os.access(bench.target / "bin/run", os.X_OK)
    assert files["bin/also"] == "-> run"


REFUSED: dict[str, list[Member]] = {
    "parent": [member("../evil", b"x")],
    "parent inside": [member("a/../../evil", b"x")],
    "link then file": [member("out", kind=tarfile.SYMTYPE, to=".."), member("out/evil", b"x")],
    "absolute link then file": [member("out", kind=tarfile.SYMTYPE, to="/"), member("out/evil-of-zlh", b"x")],
    "link to a parent": [member("out", kind=tarfile.SYMTYPE, to="../secret")],
    "link to a parent from below": [member("a/b/out", kind=tarfile.SYMTYPE, to="../../../secret")],
    "absolute link": [member("out", kind=tarfile.SYMTYPE, to="/etc/passwd")],
    "hard link out": [member("out", kind=tarfile.LNKTYPE, to="../secret")],
    "absolute hard link": [member("out", kind=tarfile.LNKTYPE, to="/etc/passwd")],
    "character device": [member("null", kind=tarfile.CHRTYPE)],
    "block device": [member("disk", kind=tarfile.BLKTYPE)],
    "fifo": [member("pipe", kind=tarfile.FIFOTYPE)],
    "link round a link": [
        member("a/b/c/up", kind=tarfile.SYMTYPE, to="../../.."),
        member("out", kind=tarfile.SYMTYPE, to="a/b/c/up/.."),
    ],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_leads_out_or_is_no_file_is_refused(name: str, bench: Bench) -> None:
    """`unpack_failed`, and nothing outside the folder has come or changed."""
    with pytest.raises(UnpackFailed) as caught:
        bench.unpack(REFUSED[name])
    assert caught.value.code == "unpack_failed"
    assert not caught.value.retryable
    assert bench.is_unharmed()


def test_absolute_names_land_inside(bench: Bench) -> None:
    """A leading slash is dropped."""
    bench.unpack([member("/zlh-evil", b"x")])
    assert [path.name for path in bench.target.iterdir()] == ["zlh-evil"]
    assert not Path("/zlh-evil").exists()


def test_setuid_bits_and_owners_are_dropped(bench: Bench) -> None:
    """No archive makes a program that runs as somebody else, or a file that everybody may write."""
    entry = member("bin/su", b"x", mode=0o6777)
    entry[0].uid = entry[0].gid = 12345
    folder = member("shared", kind=tarfile.DIRTYPE, mode=0o2777)
    bench.unpack([entry, folder])
    for name in ("bin/su", "shared"):
        made = (bench.target / name).stat()
        assert made.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) == 0, name
        assert (made.st_uid, made.st_gid) == (os.getuid(), os.getgid())


def test_hard_links_inside_are_files(bench: Bench) -> None:
    """A runtime may hold one file under two names."""
    bench.unpack([member("a", b"12345"), member("b", kind=tarfile.LNKTYPE, to="a")])
    files, _ = list_files(bench.target)
    assert files["a"] == files["b"]


def test_the_last_of_two_entries_of_a_name_counts(bench: Bench) -> None:
    """A duplicate writes through no link that the first one was."""
    bench.unpack([member("a", kind=tarfile.SYMTYPE, to="b"), member("b", b"1"), member("a", b"2")])
    assert (bench.target / "a").read_bytes() == b"2"
    assert (bench.target / "b").read_bytes() == b"1"


def test_a_bomb_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that unpack to far more than announced are stopped on the way."""
    monkeypatch.setattr(unpacking, "TAR_OVERHEAD_BYTES", 2 * 1024 * 1024)
    with pytest.raises(UnpackFailed, match="more than"):
        bench.unpack([member("zeros", bytes(64 * 1024 * 1024))])
    assert sum(path.stat().st_size for path in bench.target.iterdir()) <= 3 * 1024 * 1024


def test_a_window_that_takes_too_much_memory_is_refused(bench: Bench) -> None:
    """The frame says how much memory it wants; ours never want so much."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(UnpackFailed):
        bench.unpack_raw(stream.compress(noise(4096)) + stream.flush())


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no zstd": noise(5000),
    "no tar": zstandard.compress(noise(5000)),
    "no tar, and long": zstandard.compress(noise(5_000_000)),
    "cut": pack([member("a", noise(100_000))])[:50_000],
    "cut after an entry": zstandard.compress(zstandard.decompress(pack([member("a", noise(5000))]))[:2000]),
    "changed in the middle": pack([member("a", noise(5000))])[:-3000] + noise(3000, "x"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_archive_is_refused(name: str, bench: Bench) -> None:
    """Whatever is wrong with the bytes, the code is the same, and no tar is left running."""
    with pytest.raises(UnpackFailed) as caught:
        bench.unpack_raw(BROKEN[name], unpacked_size=10_000_000)
    assert caught.value.code == "unpack_failed"


@pytest.mark.timeout(30)
def test_a_tar_that_complains_of_everything_does_not_hang(bench: Bench) -> None:
    """More complaints than a pipe holds are read while there is still something to unpack."""
    entries = [member(f"../{number}-{'x' * 80}", b"x") for number in range(3000)]
    with pytest.raises(UnpackFailed):
        bench.unpack([*entries, member("filler", noise(3_000_000))], unpacked_size=10_000_000)
    assert bench.is_unharmed()
