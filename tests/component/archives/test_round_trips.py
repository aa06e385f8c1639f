"""What is packed comes out again, and other programs read it; what they pack is read here."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tarfile
import zipfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from component.archives.harness import PARTIAL, STAGING, Odd, Workshop, read_to_end, write_archive
from fakes.hostile_files import made_ground
from zlh_agent.archives.service import MAX_CHILDREN
from zlh_common.schema.file_refusals import FileRefused
from zlh_common.schema.files import ArchiveFormat

pytestmark = pytest.mark.timeout(180)
OURS = ("zip", "tar.gz", "tar.zst")
NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda raw: raw not in {b".", b".."} and not set(raw) & set(b"\0/\\:")
)
TREES = st.dictionaries(
    st.lists(NAMES | st.just(b"n" * 120), min_size=1, max_size=3).map(b"/".join),
    st.tuples(
        st.sampled_from(["file", "dir", "link"]), st.binary(max_size=200), st.sampled_from([0o644, 0o755, 0o600])
    ),
    max_size=8,
)


def look(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Return all that an archive keeps of a tree."""
    told: dict[bytes, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        name = os.fsencode(path.relative_to(folder))
        kind = stat.S_IFMT(status.st_mode)
        if path.is_symlink():
            told[name] = (kind, 0, os.fsencode(path.readlink()), 0)
        else:
            content = path.read_bytes() if path.is_file() else b""
            told[name] = (kind, status.st_mode & 0o777, content, int(status.st_mtime))
    return told


def make_tree(folder: Path, tree: dict[bytes, tuple[str, bytes, int]]) -> None:
    """Make what can be made of it."""
    for name, (kind, content, mode) in tree.items():
        path = folder / os.fsdecode(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "dir":
                path.mkdir(mode | 0o700)
            elif kind == "link":
                path.symlink_to("there")
            else:
                path.touch(mode, exist_ok=False)
                path.write_bytes(content)
        except (FileExistsError, FileNotFoundError, NotADirectoryError):
            continue  # something else has the name, or a link that leads nowhere stands above


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.sampled_from(OURS))
@example({b".zlh-new": ("file", b"", 0o644), b"a/.zlh-part": ("file", b"x", 0o644)}, "zip")
def test_any_tree_comes_out_as_it_went_in(tree: dict[bytes, tuple[str, bytes, int]], form: str) -> None:
    """Names of any bytes, links as links, rights, times, empty folders and empty files."""
    with made_ground(in_memory=True) as ground:
        workshop = Workshop(ground)
        (workshop.folder / "tree").mkdir()
        make_tree(workshop.folder / "tree", tree)
        workshop.own()

        async def there_and_back() -> None:
            packed = await workshop.pack("tree", form=form)
            unpacked = await workshop.unpack("made")
            assert (packed.skipped, unpacked.skipped) == ((), ())
            assert packed.amount.byte_count == unpacked.amount.byte_count

        asyncio.run(there_and_back())
        assert look(workshop.folder / "new/tree") == look(workshop.folder / "tree")
        assert not list(workshop.folder.glob(".*"))


@pytest.fixture
def tree(workshop: Workshop) -> Path:
    """A tree with something of each kind."""
    folder = workshop.folder / "tree"
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "text").write_text("line\n" * 10_000)
    (folder / "sub/noise").write_bytes(os.urandom(700_000))
    (folder / "sub" / ("n" * 180)).write_text("a long name")
    (folder / "häß").write_text("letters")
    (folder / "link").symlink_to("sub/noise")
    (folder / "text").chmod(0o6750)
    workshop.own()
    (folder / "text").chmod(0o6750)
    return folder


@pytest.mark.parametrize("form", OURS)
async def test_other_programs_unpack_what_is_made_here(
    workshop: Workshop, tree: Path, tmp_path: Path, form: str
) -> None:
    """With the same content; and the stream is the same archive, byte for byte, each time."""
    packed = await workshop.pack("tree", form=form)
    assert (packed.amount.files, packed.skipped_count) == (5, 0)
    made = workshop.folder / "made"
    assert await workshop.stream("tree", form=form) == made.read_bytes()
    if form == "zip":
        archive = zipfile.ZipFile(made)
        assert archive.testzip() is None
        assert "tree/häß" in archive.namelist()
        command = ["unzip", "-q", str(made), "-d", str(tmp_path)]
    else:
        command = ["tar", "--no-same-owner", "-xf", str(made), "-C", str(tmp_path)]
    done = await asyncio.create_subprocess_exec(*command)
    assert await done.wait() == 0
    expected = {name: row[:1] + row[2:] for name, row in look(tree).items() if row[0] != stat.S_IFDIR}
    found = {name: row[:1] + row[2:] for name, row in look(tmp_path / "tree").items() if row[0] != stat.S_IFDIR}
    assert found == expected
    assert (tmp_path / "tree/text").stat().st_mode & 0o7777 == 0o750


WRITERS = {
    "zip": ["zip", "-qry"], "tar": ["tar", "-cf"], "tar, GNU": ["tar", "--format=gnu", "-cf"],
    "tar, v7": ["tar", "--format=v7", "-cf"], "tar.gz": ["tar", "-czf"], "tar.xz": ["tar", "-cJf"],
    "tar.zst": ["tar", "--zstd", "-cf"], "tar, pax": ["tar", "--format=posix", "-cf"],
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
async def test_what_other_programs_pack_is_unpacked(workshop: Workshop, tree: Path, writer: str) -> None:
    """By its content: the name of the archive says nothing."""
    if writer == "tar, v7":
        (tree / "sub" / ("n" * 180)).unlink()
    done = await asyncio.create_subprocess_exec(*WRITERS[writer], "packed", "tree", cwd=workshop.folder)
    assert await done.wait() == 0
    packed = next(path for path in workshop.folder.iterdir() if path.name in {"packed", "packed.zip"})
    await workshop.unpack(packed.name)
    expected = {name: row[:1] + row[2:3] for name, row in look(tree).items()}
    assert {name: row[:1] + row[2:3] for name, row in look(workshop.folder / "new/tree").items()} == expected


async def test_a_tree_of_hostile_things_is_packed(workshop: Workshop) -> None:
    """Links to what is another's stay links; pipes, sockets and what may not be read are left out, and told."""
    tree = workshop.folder / "tree"
    tree.mkdir()
    (tree / "shadow").symlink_to("/etc/shadow")
    (tree / "out").symlink_to("../../outside/file")
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tree / "socket"))
    (tree / "file").write_text("inside")
    workshop.own()
    (tree / "roots").write_text("of root")
    (tree / "roots").chmod(0o600)
    packed = await workshop.pack("tree", form="tar.gz")
    with tarfile.open(workshop.folder / "made") as archive:
        members = {member.name: (member.type, member.linkname, member.uid) for member in archive.getmembers()}
    assert members["tree/shadow"] == (tarfile.SYMTYPE, "/etc/shadow", 0)
    assert members["tree/out"] == (tarfile.SYMTYPE, "../../outside/file", 0)
    told = {left.path: left.code for left in packed.skipped}
    assert told.pop("tree/roots", "permission_denied") == "permission_denied"
    assert told == {"tree/pipe": "not_a_regular_file", "tree/socket": "not_a_regular_file"}


@pytest.mark.parametrize("form", OURS)
async def test_files_that_change_while_they_are_read_leave_an_archive_that_is_whole(
    workshop: Workshop, form: str
) -> None:
    """A program makes a file longer and shorter all the time."""
    (workshop.folder / "tree").mkdir()
    for number in range(40):
        (workshop.folder / f"tree/{number}").write_bytes(os.urandom(200_000))
    workshop.own()
    change = "while :; do for n in tree/*; do truncate -s 1000 $n; truncate -s 300000 $n; done; done"
    changer = await asyncio.create_subprocess_exec("sh", "-c", change, cwd=workshop.folder)
    try:
        for turn in range(5):
            await workshop.pack("tree", form=form, to=f"made-{turn}")
    finally:
        changer.kill()
        await changer.wait()
    for turn in range(5):
        await workshop.unpack(f"made-{turn}", f"new-{turn}")
        assert len(list((workshop.folder / f"new-{turn}/tree").iterdir())) == 40


async def test_several_paths_are_named_below_the_folder_that_holds_them(workshop: Workshop) -> None:
    """What is in another one is there once."""
    for path in ("a/b/one", "a/b/two", "a/c/three", "d/four"):
        (workshop.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (workshop.folder / path).write_text(path)
    workshop.own()
    await workshop.pack("a/b/one", "a/c", "a/c/three", form="zip")
    assert zipfile.ZipFile(workshop.folder / "made").namelist() == ["b/one", "c/", "c/three"]
    await workshop.pack("", form="zip", to="whole")
    names = zipfile.ZipFile(workshop.folder / "whole").namelist()
    assert "d/four" in names
    assert not [name for name in names if PARTIAL in name]


async def test_an_archive_gets_its_name_when_it_is_whole(workshop: Workshop) -> None:
    """What stands there is replaced only where that is asked for, and what is missing leaves nothing."""
    write_archive(workshop.folder / "file", "tar", [Odd("x")])
    (workshop.folder / "made").write_text("old")
    workshop.own()
    for paths, replace, code in ((["file"], False, "file_exists"), (["missing"], True, "path_not_found")):
        with pytest.raises(FileRefused) as refused:
            await workshop.pack(*paths, replace=replace)
        assert refused.value.code == code
        assert (workshop.folder / "made").read_text() == "old"
        assert not (workshop.folder / PARTIAL).exists()
    await workshop.pack("file", replace=True)
    with tarfile.open(workshop.folder / "made") as archive:
        assert archive.getnames() == ["file"]


async def test_a_stream_whose_reader_goes_is_an_error_and_ends_its_child(workshop: Workshop) -> None:
    """And so is one that is asked for what is not there: its end says that it is not whole."""
    (workshop.folder / "large").write_bytes(os.urandom(8_000_000))
    workshop.own()
    with pytest.raises(FileRefused):
        async with workshop.archives.streaming(workshop.root, ["large"], ArchiveFormat.TAR_ZST) as fd:
            await asyncio.to_thread(os.read, fd, 10)
    with pytest.raises(FileRefused) as refused:
        await workshop.stream("missing")
    assert refused.value.code == "path_not_found"


async def test_merging_refuses_skips_or_replaces(workshop: Workshop) -> None:
    """Without leave nothing at all is done; folders are merged, and what the archive does not have stays."""
    write_archive(workshop.folder / "good", "zip", [Odd("d/a"), Odd("d/b"), Odd("e/c")])
    (workshop.folder / "new/d").mkdir(parents=True)
    (workshop.folder / "new/d/a").write_text("old")
    (workshop.folder / "new/d/kept").write_text("kept")
    workshop.own()
    before = look(workshop.folder / "new")
    assert await workshop.code_of("good") == "file_exists"
    assert look(workshop.folder / "new") == before
    (workshop.folder / STAGING).rename(workshop.folder / "left")
    done = await workshop.unpack("good", overwrite="skip")
    assert [(left.path, left.code) for left in done.skipped] == [("d/a", "file_exists")]
    assert (workshop.folder / "new/d/a").read_text() == "old"
    assert (workshop.folder / "new/e/c").read_text() == "from the archive"
    await workshop.unpack("good", overwrite="replace")
    texts = {path.name: path.read_text() for path in (workshop.folder / "new").rglob("*") if path.is_file()}
    assert texts == {"a": "from the archive", "b": "from the archive", "c": "from the archive", "kept": "kept"}
    assert not (workshop.folder / STAGING).exists()


async def test_who_reads_slowly_keeps_nobody_from_packing(workshop: Workshop) -> None:
    """As many streams as may be are open and not read; an archive is made and unpacked beside them."""
    (workshop.folder / "file").write_bytes(os.urandom(3 * 1024 * 1024))
    workshop.own()
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(workshop.archives.streaming(workshop.root, ["file"], ArchiveFormat.ZIP))
            for _ in range(MAX_CHILDREN)
        ]
        await workshop.pack("file", form="zip", to="made")
        await workshop.unpack("made")
        await asyncio.gather(*(asyncio.to_thread(read_to_end, fd) for fd in streams))
    assert (workshop.folder / "new/file").stat().st_size == 3 * 1024 * 1024
