"""What each call does, and what it refuses, on a folder that nobody else touches meanwhile."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from component.files.harness import CALLS, all_methods, code_of, methods_of, names_in, read, write
from fakes.hostile_files import SECRET, Ground
from zlh_agent.files import refusals
from zlh_agent.files.beneath import Root
from zlh_agent.files.model import EXCHANGE, KEEP, REPLACE, Entry
from zlh_agent.files.opening import open_below
from zlh_agent.files.page_rules import Place
from zlh_agent.files.refusals import refusal_of
from zlh_agent.files.work import Work

WAYS_OUT = [
    b"..", b"../outside", b"/../outside", b"folder/../../outside", b"absolute", b"relative", b"chain", b"file-outside",
    b"proc/self/root", b"absolute/..", b"folder/relative", b"...//../../outside",
]  # fmt: skip


# Calls that follow a link at the end of a path.
FOLLOWING = {
    "stat", "list", "read", "write", "copy from", "copy to", "measure", "checksum", "search", "place to",
}  # fmt: skip


def test_every_call_is_asked() -> None:
    """A new call that no row is written for fails here."""
    assert methods_of(CALLS) == all_methods()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_way_leads_out(ground: Ground, root: Root, call: str, way: bytes) -> None:
    """By `..`, by links of any kind, for any call; nothing outside is as much as looked at, and nothing stays open."""
    inside = ground.inside
    (inside / "file").write_text("inside")
    (inside / "folder").mkdir()
    (inside / "absolute").symlink_to(ground.outside)
    (inside / "relative").symlink_to("../outside")
    (inside / "folder/relative").symlink_to("../../outside")
    (inside / "file-outside").symlink_to("../outside/file")
    (inside / "proc").symlink_to("/proc")
    for number in range(5):
        (inside / f"chain-{number}").symlink_to(f"chain-{number + 1}")
    (inside / "chain").symlink_to("chain-0")
    (inside / "chain-5").symlink_to("relative")
    before = sorted(inside.rglob("*"))
    if way == b"...//../../outside":
        (inside / "...").mkdir()
        before = sorted(inside.rglob("*"))
    expected = {refusals.PATH_OUTSIDE}
    if way == b"file-outside" and call not in FOLLOWING:
        expected |= {refusals.NOT_A_FOLDER, refusals.IS_A_LINK}
    if call == "append":
        # The last name is not followed.
        expected |= {refusals.IS_A_LINK, refusals.PATH_INVALID}
    if call in {"write", "copy to", "place to"} and way.endswith(b".."):
        expected |= {refusals.PATH_INVALID}
    if call == "make link":
        expected |= {refusals.LINK_OUTSIDE}
    assert code_of(CALLS[call], root, way) in expected
    assert sorted(inside.rglob("*")) == before
    assert (inside / "file").read_text() == "inside"


def test_magic_links_are_refused_in_proc_itself(tmp_path: Path) -> None:
    """Where /proc would be the root, its links still lead nowhere."""
    root = Root("/proc")
    try:
        with (tmp_path / "file").open("w") as file:
            for path in (b"self/root/etc/passwd", b"self/cwd", b"self/fd/%d" % file.fileno()):
                code = code_of(root.stat, path, follow=True)
                assert code in {refusals.TOO_MANY_LINKS, refusals.PATH_OUTSIDE}
    finally:
        root.close()


def test_links_inside_are_followed_where_that_is_meant(ground: Ground, root: Root) -> None:
    """To read, to list, to write whole files; never to remove, move or change what they lead to."""
    (ground.inside / "folder").mkdir()
    (ground.inside / "folder/file").write_text("one")
    (ground.inside / "link").symlink_to("folder/file")
    (ground.inside / "to-folder").symlink_to("folder/../folder")
    assert read(root, b"link") == b"one"
    assert [entry.name for entry in root.list_folder(b"to-folder", limit=5)[0]] == ["file"]
    write(root, b"link", b"two")
    assert (ground.inside / "link").is_symlink()
    assert (ground.inside / "folder/file").read_text() == "two"
    write(root, b"to-folder/file", b"three")
    assert read(root, b"folder/../to-folder/../folder/file") == b"three"
    entry = root.stat(b"link")
    assert (entry.kind, entry.target) == ("link", "folder/file")
    assert root.stat(b"link", follow=True).kind == "file"
    root.set_times(b"link", modified_ns=1_000)
    assert (ground.inside / "folder/file").stat().st_mtime > 1
    assert code_of(root.change_mode, b"link", 0o600) == refusals.IS_A_LINK
    assert code_of(root.open_to_append, b"link", offset=0) == refusals.IS_A_LINK
    root.move(b"link", b"folder/link", how=KEEP)
    root.remove_tree(b"to-folder", work=Work())
    assert names_in(ground.inside / "folder") == ["file", "link"]


def test_a_link_to_nothing_is_written_through(ground: Ground, root: Root) -> None:
    """As an editor would: the file that it names comes into being."""
    (ground.inside / "link").symlink_to("new")
    write(root, b"link", b"x")
    assert (ground.inside / "new").read_text() == "x"


def test_circles_and_long_chains_of_links_end(ground: Ground, root: Root) -> None:
    """At forty, as for the kernel."""
    (ground.inside / "circle").symlink_to("circle")
    (ground.inside / "one").symlink_to("two")
    (ground.inside / "two").symlink_to("one")
    (ground.inside / "link-100").touch()
    for number in range(100):
        (ground.inside / f"link-{number}").symlink_to(f"link-{number + 1}")
    for path in (b"circle", b"one", b"two", b"circle/below", b"link-0"):
        for call in ("stat", "read", "list", "write", "copy from"):
            assert code_of(CALLS[call], root, path) == refusals.TOO_MANY_LINKS
    assert read(root, b"link-70") == b""
    root.remove(b"circle")


def test_the_root_stays(ground: Ground, root: Root) -> None:
    """Under each of its names."""
    (ground.inside / "file").touch()
    (ground.inside / "folder").mkdir()
    for path in (b"", b"/", b".", b"./."):
        assert root.stat(path).kind == "dir"
        assert {
            code_of(root.remove, path),
            code_of(root.remove_tree, path, work=Work()),
            code_of(root.move, path, b"x", how=KEEP),
            code_of(root.move, b"file", path, how=REPLACE),
            code_of(root.change_mode, path, 0),
            code_of(root.make_folder, path, parents=True),
            code_of(root.set_times, path, modified_ns=0),
        } == {refusals.IS_THE_ROOT}
    assert {
        code_of(root.remove, b"folder/.."),
        code_of(root.remove_tree, b"folder/..", work=Work()),
        code_of(root.move, b"folder/..", b"x", how=KEEP),
        code_of(root.change_mode, b"folder/..", 0),
    } == {refusals.PATH_INVALID}
    assert (ground.inside / "folder").is_dir()


def test_a_root_that_is_a_link_or_a_file_is_none(ground: Ground) -> None:
    """A customer who puts a link in its place does not choose another one."""
    (ground.inside / "link").symlink_to(ground.outside)
    (ground.inside / "file").touch()
    for name in ("link", "file", "none"):
        with pytest.raises(OSError, match=name):
            Root(str(ground.inside / name))


def test_what_is_no_file_is_not_opened(ground: Ground, root: Root) -> None:
    """Pipes do not make us wait, sockets and folders are told apart, and none of them is overwritten."""
    os.mkfifo(ground.inside / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(ground.inside / "socket"))
        (ground.inside / "folder").mkdir()
        (ground.inside / "file").touch()
        for path in (b"pipe", b"socket"):
            for call in ("read", "append", "write", "copy from", "copy to"):
                assert code_of(CALLS[call], root, path) == refusals.NOT_A_REGULAR_FILE
            assert root.stat(path).kind == "other"
        for call in ("read", "append", "write", "copy from", "copy to"):
            assert code_of(CALLS[call], root, b"folder") == refusals.IS_A_FOLDER
        root.move(b"pipe", b"folder/pipe", how=KEEP)
        root.change_mode(b"folder/pipe", 0o600)
        root.remove(b"socket")
        root.remove_tree(b"folder", work=Work())


@pytest.mark.real("root")
def test_a_device_is_not_opened(ground: Ground, root: Root) -> None:
    """Neither read nor written, whoever has put it there."""
    os.mknod(ground.inside / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(ground.inside / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 250))
    for path in (b"null", b"disk"):
        for call in ("read", "append", "write"):
            assert code_of(CALLS[call], root, path) == refusals.NOT_A_REGULAR_FILE


def test_a_file_is_replaced_whole_and_keeps_its_rights(ground: Ground, root: Root) -> None:
    """Who reads it meanwhile has the old one; what is given up leaves nothing."""
    path = ground.inside / "file"
    path.write_text("old")
    path.chmod(0o6751)
    with path.open() as reader:
        work = root.begin_file(b"file", replace=True)
        os.write(work.fd, b"new and longer")
        assert path.read_text() == "old"
        assert names_in(ground.inside) == ["file"]
        work.finish()
        work.close()
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"
    # Its rights without set-uid and set-gid: it is another content.
    assert path.stat().st_mode & 0o7777 == 0o751
    given_up = root.begin_file(b"file", replace=True)
    os.write(given_up.fd, b"half")
    given_up.close()
    assert (path.read_text(), names_in(ground.inside)) == ("new and longer", ["file"])


def test_a_file_is_replaced_only_where_it_is_the_one_that_was_seen(ground: Ground, root: Root) -> None:
    """Before the work begins, and again before it counts."""
    path = ground.inside / "file"
    path.write_text("one")
    seen = root.stat(b"file").version
    write(root, b"file", b"two", expected=seen)
    assert code_of(write, root, b"file", b"three", expected=seen) == refusals.FILE_CHANGED
    assert code_of(write, root, b"none", b"three", expected=seen) == refusals.FILE_CHANGED
    work = root.begin_file(b"file", replace=True, expected=root.stat(b"file").version)
    path.write_text("meanwhile")
    assert code_of(work.finish) == refusals.FILE_CHANGED
    work.close()
    assert code_of(write, root, b"file", b"x", replace=False) == refusals.FILE_EXISTS
    new = root.begin_file(b"new", replace=False)
    (ground.inside / "new").write_text("meanwhile")
    assert code_of(new.finish) == refusals.FILE_EXISTS
    new.close()
    assert {file.name: file.read_text() for file in ground.inside.iterdir()} == {
        "file": "meanwhile",
        "new": "meanwhile",
    }


def test_where_a_file_must_have_a_name_it_goes_with_the_work(
    ground: Ground, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that keeps none without (NFS): one that begins with a dot, until it is finished or given up."""

    def open_with_a_name(folder: int, parts: Sequence[bytes], flags: int, **how: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return open_below(folder, parts, flags, **how)

    monkeypatch.setattr("zlh_agent.files.unfinished.open_below", open_with_a_name)
    for is_finished, replace in ((True, False), (True, True), (False, True)):
        work = root.begin_file(b"file", replace=replace)
        os.write(work.fd, b"x")
        (temporary,) = (name for name in names_in(ground.inside) if name != "file")
        assert temporary.startswith(".")
        assert temporary.endswith(".zlh-new")
        if is_finished:
            work.finish()
        work.close()
        assert names_in(ground.inside) == ["file"]
    write(root, b"file", b"y")
    assert read(root, b"file") == b"y"


def test_an_upload_goes_on_where_it_stopped(ground: Ground, root: Root) -> None:
    """What was written beyond that is cut; what is missing is told."""
    for offset, part in ((0, b"12345678"), (4, b"abc"), (7, b"!"), (0, b"anew")):
        fd = root.open_to_append(b"upload", offset=offset)
        os.write(fd, part)
        os.close(fd)
        if offset == 7:
            assert (ground.inside / "upload").read_bytes() == b"1234abc!"
    assert (ground.inside / "upload").read_bytes() == b"anew"
    assert code_of(root.open_to_append, b"upload", offset=5) == refusals.FILE_CHANGED
    assert code_of(root.open_to_append, b"none", offset=5) == refusals.PATH_NOT_FOUND


def test_folders_are_made(ground: Ground, root: Root) -> None:
    """One, or all that are missing; through links inside, and not where a file is in the way."""
    root.make_folder(b"one", parents=False)
    assert code_of(root.make_folder, b"one", parents=False) == refusals.FILE_EXISTS
    assert code_of(root.make_folder, b"none/one", parents=False) == refusals.PATH_NOT_FOUND
    root.make_folder(b"one/two/three", parents=True)
    root.make_folder(b"one/two/three", parents=True)
    (ground.inside / "link").symlink_to("one/two")
    root.make_folder(b"link/four/five", parents=True)
    assert (ground.inside / "one/two/four/five").is_dir()
    (ground.inside / "file").touch()
    (ground.inside / "dangling").symlink_to("nothing")
    assert code_of(root.make_folder, b"file/below", parents=True) == refusals.NOT_A_FOLDER
    assert code_of(root.make_folder, b"file", parents=True) == refusals.NOT_A_FOLDER
    assert code_of(root.make_folder, b"dangling/below", parents=True) == refusals.PATH_NOT_FOUND
    assert code_of(root.make_folder, b"none/../below", parents=True) == refusals.PATH_NOT_FOUND
    assert not (ground.inside / "below").exists()


def test_moves(ground: Ground, root: Root) -> None:
    """Nothing is overwritten unasked; a folder does not go into itself."""
    for name in ("a", "b"):
        (ground.inside / name).write_text(name)
    (ground.inside / "folder/deep").mkdir(parents=True)
    assert code_of(root.move, b"a", b"b", how=KEEP) == refusals.FILE_EXISTS
    root.move(b"a", b"b", how=EXCHANGE)
    assert (ground.inside / "a").read_text() == "b"
    root.move(b"a", b"b", how=REPLACE)
    assert (ground.inside / "b").read_text() == "b"
    assert code_of(root.move, b"folder", b"folder/deep/er", how=KEEP) == refusals.INTO_ITSELF
    assert code_of(root.move, b"none", b"x", how=KEEP) == refusals.PATH_NOT_FOUND
    assert code_of(root.move, b"b", b"folder", how=REPLACE) == refusals.IS_A_FOLDER
    root.move(b"folder/deep", b"up", how=KEEP)
    assert names_in(ground.inside) == ["b", "folder", "up"]


def test_where_a_disk_cannot_tell_whether_a_name_is_free_we_look(
    ground: Ground, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an old ZFS: still nothing is overwritten unasked, and a folder does not go into itself."""

    def rename_without_flags(*_given: object) -> None:
        raise OSError(errno.EINVAL, "no flags here")

    monkeypatch.setattr("zlh_agent.files.renaming.renameat2", rename_without_flags)
    for name in ("a", "b"):
        (ground.inside / name).write_text(name)
    (ground.inside / "folder").mkdir()
    assert code_of(root.move, b"a", b"b", how=KEEP) == refusals.FILE_EXISTS
    assert code_of(root.move, b"folder", b"folder/deep", how=KEEP) == refusals.INTO_ITSELF
    root.move(b"a", b"folder/a", how=KEEP)
    assert (ground.inside / "folder/a").read_text() == "a"
    assert (ground.inside / "b").read_text() == "b"


def test_copies_have_content_rights_and_holes(ground: Ground, root: Root) -> None:
    """A file of a terabyte without content is copied in no time."""
    path = ground.inside / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle")
        file.truncate(1 << 40)
    path.chmod(0o4711)
    root.copy(b"sparse", b"copy", replace=False, work=Work())
    copied = (ground.inside / "copy").stat()
    assert (copied.st_size, copied.st_mode & 0o7777) == (1 << 40, 0o711)
    assert copied.st_blocks * 512 < 1 << 20
    with (ground.inside / "copy").open("rb") as file:
        assert file.read(5) == b"begin"
        file.seek(1 << 30)
        assert file.read(6) == b"middle"
    assert code_of(root.copy, b"sparse", b"copy", replace=False, work=Work()) == refusals.FILE_EXISTS
    root.copy(b"copy", b"copy", replace=True, work=Work())
    assert (ground.inside / "copy").stat().st_size == 1 << 40


def test_rights(ground: Ground, root: Root) -> None:
    """Of files and folders, also of those that nobody may read; never with set-uid or set-gid."""
    path = ground.inside / "file"
    path.touch(0)
    root.change_mode(b"file", 0o640)
    assert path.stat().st_mode & 0o7777 == 0o640
    (ground.inside / "folder").mkdir(0)
    root.change_mode(b"folder", 0o1777)
    for mode in (0o4755, 0o2755, 0o100644, -1):
        assert code_of(root.change_mode, b"file", mode) == refusals.MODE_NOT_ALLOWED
    assert path.stat().st_mode & 0o7777 == 0o640


def test_names_of_any_bytes_come_back(ground: Ground, root: Root) -> None:
    """Not UTF-8, control characters, and what looks like an option: listed, opened and removed by their names."""
    names = [b"\xff\xfe", b"new\nline", b"-rf *", b" ", b"\x1b[31m", "ü".encode("latin-1"), "ü€𝄞".encode(), b"a" * 255]
    for name in names:
        (ground.inside / os.fsdecode(name)).write_bytes(name)
    entries, has_more = root.list_folder(b"", limit=100)
    assert not has_more
    assert {os.fsencode(entry.name) for entry in entries} == set(names)
    for entry in entries:
        name = os.fsencode(entry.name)
        assert read(root, name) == name
        root.remove(name)


def test_what_is_no_path(root: Root) -> None:
    """Is told as such, and not as missing."""
    assert code_of(root.stat, b"a\0b") == refusals.PATH_INVALID
    assert code_of(root.stat, b"a" * 256) == refusals.NAME_TOO_LONG
    assert code_of(root.stat, b"a/" * 40_000) == refusals.NAME_TOO_LONG
    assert code_of(write, root, b"x/..", b"") == refusals.PATH_INVALID


def test_pages_of_a_folder_hold_each_name_once(ground: Ground, root: Root) -> None:
    """In order, whatever the size of a page, and long names end a page before it is too large to be sent."""
    for number in range(1500):
        (ground.inside / f"{number:04}{'x' * 250}").touch()
    seen: list[Entry] = []
    has_more = True
    while has_more:
        entries, has_more = root.list_folder(b"", after=Place(0, 0, seen[-1].name) if seen else None, limit=1000)
        assert sum(len(entry.name) for entry in entries) < 150_000
        seen += entries
    assert [entry.name[:4] for entry in seen] == [f"{number:04}" for number in range(1500)]


def test_errors_of_the_kernel_have_a_code() -> None:
    """What file calls can answer with; the rest has one for all."""
    expected = {"ENOSPC": "disk_full", "EDQUOT": "disk_full", "EROFS": "disk_read_only", "EIO": "disk_error"}
    assert {name: refusal_of(OSError(getattr(errno, name), "")).code for name in expected} == expected
    assert refusal_of(OSError(errno.ENOTTY, "")).code == refusals.FILES_FAILED


def test_rejected_paths_leave_no_descriptor(ground: Ground, root: Root) -> None:
    """A hundred of each."""
    (ground.inside / "file").write_text(SECRET)
    (ground.inside / "circle").symlink_to("circle")
    before = len(names_in(Path("/proc/self/fd")))
    for call in CALLS.values():
        for path in (b"none/none", b"file/below", b"circle", b"../outside", b"a" * 300, b"/" + b"deep/" * 2000):
            for _ in range(5):
                code_of(call, root, path)
    assert len(names_in(Path("/proc/self/fd"))) == before
