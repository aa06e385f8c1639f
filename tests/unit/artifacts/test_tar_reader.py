"""Archives of others: whatever they say, nothing is ever written but numbered files of one folder."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.debs import ar_archive, make_deb
from zlh_api.artifacts.building.tar_reader import (
    ArchiveUnsafe,
    Blobs,
    Bounds,
    add_deb,
    materialise,
    open_compressed,
)

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **fields: object) -> Member:
    """Return one member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def make_tar(*members: Member) -> bytes:
    """Write a tar archive of the members as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(folder: Path, archive: bytes, bounds: Bounds | None = None) -> Blobs:
    """Read an archive into `folder`."""
    blobs = Blobs(folder)
    blobs.add_tar(io.BytesIO(archive), bounds or Bounds())
    return blobs


HOSTILE = {
    "parent": [member("../x", b"1")],
    "parent within": [member("a/../../x", b"1")],
    "absolute": [member("/etc/x", b"1")],
    "empty part": [member("a//x", b"1")],
    "backslash": [member("a\\x", b"1")],
    "control character": [member("a\nx", b"1")],
    "escape character": [member("a\x1b[2J", b"1")],
    "very long": [member("a/" * 600 + "x", b"1")],
    "twice": [member("x", b"1"), member("./x", b"2")],
    "device": [member("x", type=tarfile.CHRTYPE)],
    "block device": [member("x", type=tarfile.BLKTYPE)],
    "pipe": [member("x", type=tarfile.FIFOTYPE)],
    "unknown kind": [member("x", type=b"Z")],
    "set-uid": [member("x", b"1", mode=0o4755)],
    "set-gid": [member("x", b"1", mode=0o2755)],
    "hard link out": [member("x", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "hard link ahead": [member("x", type=tarfile.LNKTYPE, linkname="y"), member("y", b"1")],
    "hard link to a link": [
        member("y", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("x", type=tarfile.LNKTYPE, linkname="y"),
    ],
    "link to nothing": [member("x", type=tarfile.SYMTYPE, linkname="")],
    "link with control character": [member("x", type=tarfile.SYMTYPE, linkname="a\nb")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_no_archive_of_ours_may_come_from_is_refused(tmp_path: Path, members: list[Member]) -> None:
    """Whatever was read before stands in numbered files, and nothing anywhere else."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    with pytest.raises(ArchiveUnsafe):
        read(folder, make_tar(*members))
    assert [path for path in tmp_path.rglob("*") if folder not in {path, path.parent}] == []
    assert all(path.name.isdigit() and not path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize(
    "bounds", [Bounds(entries=2), Bounds(file_bytes=3), Bounds(bytes=10)], ids=["entries", "file", "bytes"]
)
def test_more_than_the_bounds_allow_is_refused_while_it_is_read(tmp_path: Path, bounds: Bounds) -> None:
    """A bomb is stopped at its first byte too many."""
    archive = make_tar(*(member(str(number), b"1234") for number in range(5)))
    with pytest.raises(ArchiveUnsafe, match="more than"):
        read(tmp_path, archive, bounds)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 16


def test_ordinary_archive_is_read_whole(tmp_path: Path) -> None:
    """Files with their modes, hard links as files, links with where they point; owners and times are not asked for."""
    archive = make_tar(
        member("./bin", type=tarfile.DIRTYPE, mode=0o2755),
        member("./bin/tool", b"tool", mode=0o755, uid=0),
        member("./bin/same", type=tarfile.LNKTYPE, linkname="./bin/tool"),
        member("./bin/link", type=tarfile.SYMTYPE, linkname="/etc/tool"),
        member("./ä", b""),
    )
    blobs = read(tmp_path, archive)
    assert {name: (entry.size, entry.executable, entry.target) for name, entry in blobs.entries.items()} == {
        "bin/tool": (4, True, None),
        "bin/same": (4, True, None),
        "bin/link": (0, False, "/etc/tool"),
        "ä": (0, False, None),
    }
    with blobs.open("bin/same") as file:
        assert file.read() == b"tool"


def zstd(data: bytes) -> bytes:
    """Compress as one frame with a check sum."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.tar.gz", gzip.compress), ("a.tar.xz", lzma.compress), ("a.tar.zst", zstd), ("a.tar", bytes)],
)
def test_every_cut_is_noticed_or_harmless(tmp_path: Path, name: str, compress: Callable[[bytes], bytes]) -> None:
    """A shorter archive is refused, or holds no file that is shorter than it says."""
    whole = compress(make_tar(*(member(f"f{number}", bytes([number]) * 3000) for number in range(4))))
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        blobs = Blobs(folder)
        try:
            blobs.add_tar(open_compressed(io.BytesIO(whole[:cut]), name))
        except ArchiveUnsafe:
            continue
        for entry in blobs.entries.values():
            assert blobs.path(entry.name).stat().st_size == entry.size == 3000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=1500), name=st.sampled_from(["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"]))
def test_garbage_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    """No input whatever ends in anything but a tree or the one error."""
    folder = tmp_path_factory.mktemp("garbage")
    blobs = Blobs(folder)
    try:
        blobs.add_tar(open_compressed(io.BytesIO(data), name))
    except ArchiveUnsafe:
        return
    assert all(path.name.isdigit() for path in folder.iterdir())


def open_deb(tmp_path: Path, content: bytes) -> Blobs:
    """Read a package from bytes."""
    path = tmp_path / "x.deb"
    path.write_bytes(content)
    (tmp_path / "blobs").mkdir()
    blobs = Blobs(tmp_path / "blobs")
    add_deb(blobs, path)
    return blobs


@pytest.mark.parametrize("compression", ["xz", "gz", "zst", ""])
def test_files_of_a_package_are_read_and_its_scripts_are_not(tmp_path: Path, compression: str) -> None:
    """In every compression that Debian uses."""
    blobs = open_deb(tmp_path, make_deb(make_tar(member("./usr/bin/x", b"x", mode=0o755)), compression))
    assert list(blobs.entries) == ["usr/bin/x"]


DATA = make_tar(member("x", b"1"))
BROKEN_DEBS = {
    "empty": b"",
    "no archive": b"hello",
    "no package": ar_archive([("hello", b"x")]),
    "no data": ar_archive([("debian-binary", b"2.0\n"), ("control.tar", DATA)]),
    "two data": ar_archive([("debian-binary", b"2.0\n"), ("data.tar", DATA), ("data.tar.gz", gzip.compress(DATA))]),
    "unknown compression": ar_archive([("debian-binary", b"2.0\n"), ("data.tar.lz4", DATA)]),
    "negative size": b"!<arch>\n" + b"debian-binary   0           0     0     100644  -4        `\n2.0\n",
    "size beyond the end": b"!<arch>\n" + b"debian-binary   0           0     0     100644  9999999999`\n2.0\n",
    "cut": make_deb(DATA, "xz")[:-20],
}


@pytest.mark.parametrize("content", BROKEN_DEBS.values(), ids=BROKEN_DEBS.keys())
def test_broken_package_is_refused(tmp_path: Path, content: bytes) -> None:
    """Each with the one error."""
    with pytest.raises(ArchiveUnsafe):
        open_deb(tmp_path, content)


@pytest.mark.parametrize(
    "members",
    [
        [member("p/x", type=tarfile.SYMTYPE, linkname="/tmp"), member("p/x/y", b"1")],
        [member("p/x", type=tarfile.SYMTYPE, linkname="../../out")],
        [member("p/x", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
        [member("p/x", b"1"), member("p/x/y", b"1")],
    ],
    ids=["through a link", "link out", "absolute link", "below a file"],
)
def test_real_tree_is_only_made_of_what_stays_inside(tmp_path: Path, members: list[Member]) -> None:
    """What npm works on is a tree that cannot reach beyond itself."""
    (tmp_path / "blobs").mkdir()
    blobs = read(tmp_path / "blobs", make_tar(*members))
    with pytest.raises(ArchiveUnsafe):
        materialise(blobs, tmp_path / "tree", below="p")
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_real_tree_has_files_modes_and_links(tmp_path: Path) -> None:
    """Only what lies below the folder that is asked for."""
    (tmp_path / "blobs").mkdir()
    archive = make_tar(
        member("p/bin/tool", b"tool", mode=0o755),
        member("p/link", type=tarfile.SYMTYPE, linkname="bin/tool"),
        member("q/other", b"1"),
    )
    materialise(read(tmp_path / "blobs", archive), tmp_path / "tree", below="p")
    assert (tmp_path / "tree/link").read_text() == "tool"
    assert (tmp_path / "tree/bin/tool").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["bin", "link"]
