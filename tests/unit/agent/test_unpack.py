"""Archives that mean harm, although they are signed: refused with a stable code, and nothing of them left anywhere."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import stat
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import zstandard

from fakes.runtime_shop import Member, member, noise, pack
from zlh_agent.runtimes.errors import ArchiveRefused, InstallInterrupted, UnpackFailed
from zlh_agent.runtimes.installing import unpack as unpacking
from zlh_agent.runtimes.installing.unpack import Unpacked, check_tree, unpack
from zlh_agent.runtimes.model import FILES_NAME


class Bench:
    """A folder to unpack into, with a neighbour that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "target"
        self.target.mkdir(mode=0o755)
        self.secret = folder / "secret"
        self.secret.write_text("as it was")
        self.secret.chmod(0o600)

    def unpack(self, members: Sequence[Member], *, size: int = 1000, entries: int = 100) -> Unpacked:
        """Unpack an archive of these entries."""
        return self.unpack_raw(pack(members), size=size, entries=entries)

    def unpack_raw(self, raw: bytes, *, size: int = 1000, entries: int = 100) -> Unpacked:
        """Unpack these bytes."""
        path = self.folder / "archive"
        path.write_bytes(raw)
        try:
            with path.open("rb") as archive:
                return unpack(
                    archive, self.target, entries=entries, unpacked_size=size, show=lambda _done, _total: None
                )
        finally:
            path.unlink()

    def unpack_tar(self, plain: bytes, **options: int) -> Unpacked:
        """Unpack a tar stream of these bytes."""
        return self.unpack_raw(zstandard.compress(plain), **options)

    def files(self) -> dict[str, str]:
        """Return the list that lies in the tree."""
        return msgspec.json.decode((self.target / FILES_NAME).read_bytes(), type=dict[str, str])

    def is_unharmed(self) -> bool:
        """Tell whether nothing beside the target has changed or come."""
        held = self.secret.read_text() == "as it was" and stat.S_IMODE(self.secret.stat().st_mode) == 0o600
        return held and sorted(path.name for path in self.folder.iterdir()) == ["secret", "target"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an empty bench."""
    return Bench(tmp_path)


def test_a_good_archive_is_unpacked_whole(bench: Bench) -> None:
    """Contents, modes, links, empty folders and names of every kind; the list says what is there."""
    odd = ["with space", "-rf", "ünï\u202ecode", "quote'\"$(x)", "a" * 200, "deep/" * 100 + "down", "..x", "a..", "\\"]
    made = bench.unpack(
        [
            member("empty", kind=tarfile.DIRTYPE, mode=0o755),
            member("bin/run", b"#!/bin/sh\n", mode=0o755),
            member("bin/also", kind=tarfile.SYMTYPE, to="run"),
            member("none", b""),
            *(member(name, name.encode()) for name in odd),
        ],
        size=3000,
        entries=200,
    )
    files = bench.files()
    assert set(files) == {"bin/run", "bin/also", "none", *odd}
    assert made.size == 10 + sum(len(name.encode()) for name in odd)
    assert made.files_sha256 == hashlib.sha256((bench.target / FILES_NAME).read_bytes()).hexdigest()
    assert files["bin/run"].split()[0] == hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    assert files["bin/also"] == "-> run"
    assert all((bench.target / name).read_bytes() == name.encode() for name in odd)
    assert list((bench.target / "empty").iterdir()) == []


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_format_of_names_is_understood(form: int, bench: Bench) -> None:
    """Names and targets too long for a header, in the way of each format that has one."""
    name = "/".join(["folder-of-some-length"] * 9) + "/file"
    entries = [member(name, b"x"), member("short", kind=tarfile.SYMTYPE, to=name[:90])]
    if form != tarfile.USTAR_FORMAT:
        entries += [member("ä" * 120, b"y"), member("long", kind=tarfile.SYMTYPE, to="ö" * 110)]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    bench.unpack_tar(plain.getvalue())
    assert (bench.target / name).read_bytes() == b"x"
    assert set(bench.files()) == {info.name for info, _ in entries}


def with_mode(name: str, mode: int, kind: bytes = tarfile.REGTYPE) -> Member:
    """Return an entry of that mode."""
    return member(name, b"x" if kind == tarfile.REGTYPE else b"", mode=mode, kind=kind)


def link(name: str, to: str) -> Member:
    """Return a link."""
    return member(name, kind=tarfile.SYMTYPE, to=to)


def chain(length: int) -> list[Member]:
    """Return links that lead from one to the next, and out in the end."""
    return [link(f"l{number}", f"l{number + 1}") for number in range(length)] + [link(f"l{length}", "..")]


REFUSED: dict[str, list[Member]] = {
    "parent": [member("../evil", b"x")],
    "parent inside": [member("a/../../evil", b"x")],
    "parent that stays": [member("a/b", b"x"), member("a/../c", b"x")],
    "here": [member("./a", b"x")],
    "nothing between": [member("a//b", b"x")],
    "nothing": [member("", b"x")],
    "absolute": [member("/zlh-evil", b"x")],
    "link then file": [link("out", ".."), member("out/evil", b"x")],
    "link inside then file": [member("in/a", b"x"), link("also", "in"), member("also/evil", b"x")],
    "absolute link then file": [link("out", "/"), member("out/evil-of-zlh", b"x")],
    "link to a parent": [link("out", "../secret")],
    "link to a parent from below": [link("a/b/out", "../../../secret")],
    "link to the folder above": [link("out", "..")],
    "absolute link": [link("out", "/etc/passwd")],
    "empty link": [link("out", "")],
    "link round a link": [link("a/b/c/up", "../../.."), link("out", "a/b/c/up/..")],
    "link through a later one": [link("out", "a/b/.."), link("a", ".."), member("c", b"x")],
    "links in a circle": [link("a", "b"), link("b", "a")],
    "a long chain": chain(30),
    "a chain too long to follow": [*(link(f"l{n}", f"l{n + 1}") for n in range(60)), member("l60", b"x")],
    "a target beyond a path": [link("e", "d/" * 200 + "../" * 201 + "secret")],
    "a target longer than any": [link("e", "d/" * 600)],
    "hard link out": [member("out", kind=tarfile.LNKTYPE, to="../secret")],
    "absolute hard link": [member("out", kind=tarfile.LNKTYPE, to="/etc/passwd")],
    "hard link to a link": [member("b", b"x"), link("a", "b"), member("c", kind=tarfile.LNKTYPE, to="a")],
    "hard link to a folder": [member("b/x", b"x"), member("c", kind=tarfile.LNKTYPE, to="b")],
    "hard link to what comes later": [member("c", kind=tarfile.LNKTYPE, to="b"), member("b", b"x")],
    "hard link by another name": [member("a/b", b"x"), member("c", kind=tarfile.LNKTYPE, to="a/../a/b")],
    "character device": [member("null", kind=tarfile.CHRTYPE)],
    "block device": [member("disk", kind=tarfile.BLKTYPE)],
    "pipe": [member("pipe", kind=tarfile.FIFOTYPE)],
    "reserved file": [member("contiguous", b"x", kind=tarfile.CONTTYPE)],
    "sparse file": [member("sparse", kind=tarfile.GNUTYPE_SPARSE)],
    "unknown type": [member("what", kind=b"Z")],
    "set-uid": [with_mode("su", 0o4755)],
    "set-gid": [with_mode("su", 0o2755)],
    "sticky": [with_mode("su", 0o1755)],
    "set-gid folder": [with_mode("shared", 0o2777, tarfile.DIRTYPE)],
    "duplicate": [member("a", b"1"), member("a", b"2")],
    "file twice in two kinds": [link("a", "b"), member("b", b"1"), member("a", b"2")],
    "folder twice": [with_mode("a", 0o755, tarfile.DIRTYPE), with_mode("a", 0o755, tarfile.DIRTYPE)],
    "file and folder": [member("a", b"1"), member("a/b", b"2")],
    "case clash": [member("Readme", b"1"), member("README", b"2")],
    "case clash of folders": [member("a/x", b"1"), member("A/y", b"2")],
    "case clash beyond ASCII": [member("straße", b"1"), member("STRASSE", b"2")],
    "clash of composed letters": [member("caf\u00e9", b"1"), member("cafe\u0301", b"2")],
    "clash of composed letters and case": [member("CAF\u00c9/x", b"1"), member("cafe\u0301/y", b"2")],
    "clash of letters that fold together once apart": [member("\u1fb4", b"1"), member("\u03b1\u0301\u03b9", b"2")],
    "line break": [member("line\nbreak", b"x")],
    "escape": [member("\x1b[2J", b"x")],
    "delete": [member("a\x7f", b"x")],
    "second control set": [member("a\x9b", b"x")],
    "control characters in a target": [link("a", "b\r")],
    "name too long": [member("a" * 256, b"x")],
    "path too long": [member("/".join(["a" * 200] * 6), b"x")],
    "our own names": [member(".zlh-files.json", b"{}")],
    "our own names as a folder": [member(".zlh-record.json/x", b"{}")],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_leads_out_or_is_no_file_is_refused(name: str, bench: Bench) -> None:
    """`archive_refused` with the entry's name, and nothing outside the folder has come or changed."""
    with pytest.raises(ArchiveRefused) as caught:
        bench.unpack(REFUSED[name])
    assert caught.value.code == "archive_refused"
    assert not caught.value.retryable
    assert repr(caught.value.data["entry"]) in caught.value.detail
    named = [info.name for info, _ in REFUSED[name]]
    assert any(caught.value.entry.rstrip("/") in whole for whole in named)
    assert bench.is_unharmed()
    assert not Path("/zlh-evil").exists()


def test_a_name_that_is_no_text_is_refused(bench: Bench) -> None:
    """Its bytes are told in a way that can be read."""
    plain = bytearray(zstandard.decompress(pack([member("abc", b"x")])))
    plain[1] = 0xFF
    fix_checksum(plain)
    with pytest.raises(ArchiveRefused, match=r"a\\\\xffc"):
        bench.unpack_tar(bytes(plain))


def fix_checksum(plain: bytearray, at: int = 0) -> None:
    """Make a changed header valid again."""
    plain[at + 148 : at + 156] = b" " * 8
    plain[at + 148 : at + 156] = b"%06o\0 " % sum(plain[at : at + 512])


PAX: dict[str, dict[str, str]] = {
    "attributes": {"SCHILY.xattr.user.evil": "x"},
    "capabilities": {"SCHILY.xattr.security.capability": "x"},
    "attributes of another tar": {"LIBARCHIVE.xattr.security.capability": "x"},
    "access list": {"SCHILY.acl.access": "user::rwx"},
    "sparse": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    "another size": {"size": "5000"},
    "charset": {"hdrcharset": "BINARY"},
    "comment": {"comment": "x"},
}


@pytest.mark.parametrize("name", PAX)
def test_what_a_pax_header_adds_is_refused(name: str, bench: Bench) -> None:
    """Whatever it is, but names and times."""
    info, content = member("file", b"x")
    info.pax_headers = PAX[name]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(ArchiveRefused, match="described by"):
        bench.unpack_tar(plain.getvalue())


def test_a_header_for_all_entries_is_refused(bench: Bench) -> None:
    """It would change what every other header says."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "evil"}) as tar:
        tar.addfile(member("file")[0])
    with pytest.raises(ArchiveRefused, match="for all entries"):
        bench.unpack_tar(plain.getvalue())


def test_two_names_for_one_entry_are_refused(bench: Bench) -> None:
    """Which of them counts is what programs differ in."""
    long = zstandard.decompress(pack([member("a" * 150, b"x")]))
    pax = io.BytesIO()
    with tarfile.open(fileobj=pax, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("b" * 150, b"")[0])
    naming = {"gnu": long[:1024], "pax": pax.getvalue()[:1024]}
    for first, second in (("gnu", "gnu"), ("gnu", "pax"), ("pax", "gnu"), ("pax", "pax")):
        with pytest.raises(ArchiveRefused, match="a second name"):
            bench.unpack_tar(naming[first] + naming[second] + long[1024:])


def test_modes_and_owners_are_ours(bench: Bench) -> None:
    """A file may be run or not; nobody else may write, and nobody else owns."""
    entries = [with_mode("run", 0o777), with_mode("data", 0o666), with_mode("none", 0o000), with_mode("read", 0o444)]
    for info, _ in entries:
        info.uid = info.gid = 12345
    bench.unpack([*entries, with_mode("folder", 0o000, tarfile.DIRTYPE)])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in bench.target.iterdir()}
    assert modes == {
        "run": 0o755, "data": 0o644, "none": 0o644, "read": 0o644, "folder": 0o755, FILES_NAME: 0o644,
    }  # fmt: skip
    assert {(path.stat().st_uid, path.stat().st_gid) for path in bench.target.iterdir()} == {(os.getuid(), os.getgid())}


def test_hard_links_inside_are_files(bench: Bench) -> None:
    """A runtime may hold one file under two names."""
    bench.unpack([member("a", b"12345"), member("b", kind=tarfile.LNKTYPE, to="a")])
    files = bench.files()
    assert files["a"] == files["b"]
    assert (bench.target / "b").read_bytes() == b"12345"


def test_a_link_may_lead_to_nothing(bench: Bench) -> None:
    """As long as that nothing is inside."""
    bench.unpack([link("a", "b/c"), link("d/e", "../f/../g")])
    assert set(bench.files()) == {"a", "d/e"}


def test_more_bytes_than_announced_are_refused_before_they_are_written(bench: Bench) -> None:
    """A few kilobytes that unpack to a thousand times as much."""
    with pytest.raises(ArchiveRefused, match="beyond the 1000 bytes"):
        bench.unpack([member("small", b"x"), member("zeros", bytes(64 * 1024 * 1024))])
    assert sorted(path.name for path in bench.target.iterdir()) == ["small"]


def test_more_entries_than_announced_are_refused_early(bench: Bench) -> None:
    """The rest of a million is not even looked at."""
    headers = b"".join(b"%06d" % number + _EMPTY_FILE[6:] for number in range(1000))
    plain = bytearray(headers)
    for number in range(1000):
        fix_checksum(plain, number * 512)
    with pytest.raises(ArchiveRefused, match="beyond the 100 entries"):
        bench.unpack_tar(bytes(plain) * 100 + bytes(1024))
    assert len(list(bench.target.iterdir())) <= 101


_EMPTY_FILE = zstandard.decompress(pack([member("000000", b"")]))[:512]


def test_folders_that_are_implied_count(bench: Bench) -> None:
    """A path of a hundred folders is a hundred and one entries."""
    with pytest.raises(ArchiveRefused, match="beyond the 100 entries"):
        bench.unpack([member("d/" * 100 + "file", b"x")])


def test_what_is_behind_the_end_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros do not go on for ever."""
    monkeypatch.setattr(unpacking, "OVERHEAD_BYTES", 64 * 1024)
    plain = zstandard.decompress(pack([member("a", b"x")]))
    with pytest.raises(UnpackFailed, match="more than it announces"):
        bench.unpack_tar(plain + bytes(8 * 1024 * 1024), entries=1)


def compressed(plain: bytes, **parameters: int) -> bytes:
    """Return one frame with these parameters."""
    chosen = zstandard.ZstdCompressionParameters.from_level(3, **parameters)
    stream = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return stream.compress(plain) + stream.flush()


def test_a_window_that_takes_too_much_memory_is_refused(bench: Bench) -> None:
    """The frame says how much memory it wants; ours never want so much."""
    with pytest.raises(UnpackFailed):
        bench.unpack_raw(compressed(noise(4096), window_log=27))


GOOD_TAR = zstandard.decompress(pack([member("a", noise(5000)), member("b", b"x")]))
GOOD = compressed(GOOD_TAR, write_checksum=1)
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no zstd": noise(5000),
    "magic alone": GOOD[:4],
    "no tar": zstandard.compress(noise(5000)),
    "no tar, and long": zstandard.compress(noise(5_000_000)),
    "cut": GOOD[: len(GOOD) // 2],
    "cut by one": GOOD[:-1],
    "cut after an entry": zstandard.compress(GOOD_TAR[:2000]),
    "no end": zstandard.compress(GOOD_TAR[: 512 + 5120 + 1024]),
    "one block of an end": zstandard.compress(GOOD_TAR[: 512 + 5120 + 1024] + bytes(512)),
    "changed in the middle": GOOD[:2000] + bytes(byte ^ 1 for byte in GOOD[2000:2100]) + GOOD[2100:],
    "wrong checksum": GOOD[:-4] + bytes(4),
    "garbage behind": GOOD + b"x",
    "zeros behind": GOOD + bytes(512),
    "second frame": GOOD + zstandard.compress(b""),
    "second archive": GOOD + GOOD,
    "skippable frame behind": GOOD + b"\x50\x2a\x4d\x18\x04\x00\x00\x00evil",
    "skippable frame before": b"\x50\x2a\x4d\x18\x04\x00\x00\x00evil" + GOOD,
    "second archive inside": compressed(GOOD_TAR + GOOD_TAR),
    "wrong header checksum": zstandard.compress(b"c" + GOOD_TAR[1:]),
    "base-256 size": zstandard.compress(GOOD_TAR[:124] + b"\x80" + bytes(11) + GOOD_TAR[136:]),
    "signs in numbers": zstandard.compress(GOOD_TAR[:100] + b"-000644\0" + GOOD_TAR[108:]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_archive_is_refused(name: str, bench: Bench) -> None:
    """Whatever is wrong with the bytes, the code is the same."""
    with pytest.raises(UnpackFailed) as caught:
        bench.unpack_raw(BROKEN[name], size=10_000_000)
    assert caught.value.code == "unpack_failed"
    assert bench.is_unharmed()


def test_a_disk_that_is_full_is_told_as_such(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error that the disk gave, in the parent."""

    real = unpacking._write

    def write(descriptor: int, content: memoryview) -> None:
        if bytes(content) == b"x":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, content)

    monkeypatch.setattr(unpacking, "_write", write)
    with pytest.raises(OSError, match="No space left") as caught:
        bench.unpack([member("a", b"x")])
    assert caught.value.errno == errno.ENOSPC


def test_a_child_that_dies_was_interrupted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed by whomever: it is tried again."""
    monkeypatch.setattr(unpacking, "_extract", lambda *_: os.kill(os.getpid(), 9))
    with pytest.raises(InstallInterrupted) as caught:
        bench.unpack([member("a", b"x")])
    assert caught.value.data["exitCode"] == -9


def test_a_child_that_stands_still_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a disk for ever."""
    monkeypatch.setattr(unpacking, "SILENCE_S", 0.2)
    monkeypatch.setattr(unpacking, "_extract", lambda *_: time.sleep(60))
    with pytest.raises(InstallInterrupted):
        bench.unpack([member("a", b"x")])


@pytest.mark.real("landlock")
def test_a_child_that_was_taken_over_reaches_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever bytes make of it: no file beside the tree, no program, no socket."""

    def attack(_stream: int, target: Path, *_: object) -> Unpacked:
        (target / "in").write_text("x")
        attempts: list[Callable[[], object]] = [
            bench.secret.read_text,
            lambda: (bench.folder / "evil").write_text("x"),
            lambda: Path("/etc/passwd").read_text(),
            lambda: (target / "in").rename(bench.folder / "evil"),
            lambda: os.link(bench.secret, target / "mine"),
            lambda: os.execv("/bin/true", ["true"]),
            socket.socket,
        ]
        for number, attempt in enumerate(attempts):
            try:
                attempt()
            except OSError:
                continue
            raise UnpackFailed(reason=f"attempt {number} got through")
        raise UnpackFailed(reason="all refused")

    monkeypatch.setattr(unpacking, "_extract", attack)
    with pytest.raises(UnpackFailed, match="all refused"):
        bench.unpack([member("a", b"x")])
    assert bench.is_unharmed()


def _spoil_mode(tree: Path) -> None:
    (tree / "a").chmod(0o4755)


def _spoil_kind(tree: Path) -> None:
    (tree / "a").unlink()
    (tree / "a").symlink_to("/etc/passwd")


def _spoil_pipe(tree: Path) -> None:
    os.mkfifo(tree / "pipe")


SPOILS: dict[str, Callable[[Path], object]] = {
    "set-uid": _spoil_mode,
    "a link for a file": _spoil_kind,
    "a pipe": _spoil_pipe,
    "one more": lambda tree: (tree / "c").write_text("x"),
    "one less": lambda tree: (tree / "a").unlink(),
    "a folder for everybody": lambda tree: (tree / "d").chmod(0o777),
}


@pytest.mark.parametrize("how", SPOILS)
def test_the_tree_on_the_disk_is_looked_at_once_more(how: str, bench: Bench) -> None:
    """What a child did beyond its list is refused."""
    bench.unpack([member("a", b"x"), member("d/e", b"x")])
    files = bench.files()
    check_tree(bench.target, files)
    SPOILS[how](bench.target)
    with pytest.raises(UnpackFailed, match="on the disk"):
        check_tree(bench.target, files)
