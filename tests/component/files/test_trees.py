"""Whole trees: copied, measured, hashed and searched; folders in any order; files that come in piece by piece."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from pathlib import Path

import pytest

from component.files.harness import code_of, copy_tree, measure, names_in, place, read, search
from fakes.deep_tree import make_deep_tree
from fakes.hostile_files import Ground, made_ground, opened
from zlh_agent.files import refusals
from zlh_agent.files.beneath import Root
from zlh_agent.files.model import Entry
from zlh_agent.files.page_rules import SORTS, Order, place_of
from zlh_agent.files.partials import Placing
from zlh_agent.files.work import Work


def make_tree(folder: Path) -> None:
    """Make something of everything."""
    (folder / "deep/er").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "file").chmod(0o4751)
    (folder / "deep/er/file").write_bytes(b"x" * 5000)
    (folder / "shut").mkdir()
    (folder / "shut/file").touch(0o400)
    (folder / "shut").chmod(0o2555)
    (folder / "inside").symlink_to("deep/er")
    (folder / "outside").symlink_to("../../outside")
    (folder / "dangling").symlink_to("/none")
    os.utime(folder / "deep", (5, 5))
    os.utime(folder / "file", (7, 7))


def shape_of(folder: Path) -> dict[str, object]:
    """Return all that is in a folder, with content, rights and times."""
    shape: dict[str, object] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
        time_ns = 0 if path.is_symlink() else status.st_mtime_ns
        shape[str(path.relative_to(folder))] = (what, oct(status.st_mode & 0o1777), time_ns)
    return shape


def test_a_tree_is_copied_as_it_is(ground: Ground, root: Root) -> None:
    """Content, rights without set-uid, times, and links as the text that they are, wherever it leads."""
    make_tree(ground.inside / "tree")
    work = copy_tree(root, b"tree", b"copy")
    assert shape_of(ground.inside / "copy") == shape_of(ground.inside / "tree")
    assert (ground.inside / "copy/file").stat().st_mode & 0o7000 == 0
    assert (work.amount.files, work.amount.folders, work.skipped) == (6, 3, [])
    assert names_in(ground.inside) == ["copy", "tree"]
    assert code_of(copy_tree, root, b"tree", b"copy") == refusals.FILE_EXISTS


def test_what_cannot_be_copied_is_told(ground: Ground, root: Root) -> None:
    """Pipes and sockets; by path and code, and the rest is there."""
    make_tree(ground.inside / "tree")
    os.mkfifo(ground.inside / "tree/deep/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(ground.inside / "tree/socket"))
        work = copy_tree(root, b"tree", b"copy")
    assert work.skipped == [(b"deep/pipe", "not_a_regular_file"), (b"socket", "not_a_regular_file")]
    assert code_of(copy_tree, root, b"tree/socket", b"other") == refusals.NOT_A_REGULAR_FILE
    assert len(shape_of(ground.inside / "copy")) == len(shape_of(ground.inside / "tree")) - 2


def test_more_is_counted_than_told(ground: Ground, root: Root) -> None:
    """A message is bounded."""
    (ground.inside / "tree").mkdir()
    for number in range(150):
        os.mkfifo(ground.inside / f"tree/{number:03}")
    work = copy_tree(root, b"tree", b"copy")
    assert (len(work.skipped), work.skipped_count) == (100, 150)


@pytest.mark.parametrize("overwrite", ["refuse", "skip", "replace"])
def test_a_folder_that_is_there_is_merged(ground: Ground, root: Root, overwrite: str) -> None:
    """What is there in both stays, is replaced, or nothing is done at all; what is in the target alone stays."""
    for name in ("a", "b"):
        (ground.inside / name / "both").mkdir(parents=True)
        (ground.inside / name / "both/file").write_text(name)
        (ground.inside / name / f"only-{name}").write_text(name)
    (ground.inside / "b/both/file").chmod(0o600)
    before = shape_of(ground.inside / "b")
    if overwrite == "refuse":
        assert code_of(copy_tree, root, b"a", b"b") == refusals.FILE_EXISTS
        assert shape_of(ground.inside / "b") == before
        return
    work = copy_tree(root, b"a", b"b", overwrite=overwrite)
    assert names_in(ground.inside / "b") == ["both", "only-a", "only-b"]
    assert (ground.inside / "b/both/file").read_text() == ("a" if overwrite == "replace" else "b")
    assert (ground.inside / "b/both/file").stat().st_mode & 0o777 == 0o600
    assert work.skipped == ([] if overwrite == "replace" else [(b"both/file", "file_exists")])


def test_a_tree_does_not_go_into_itself(ground: Ground, root: Root) -> None:
    """By its own name, below it, or by a link that leads there; nothing is left of the try."""
    make_tree(ground.inside / "tree")
    (ground.inside / "link").symlink_to("tree/deep")
    before = shape_of(ground.inside)
    for target in (b"tree", b"tree/new", b"tree/deep/er/new", b"link/new", b"tree/deep"):
        assert code_of(copy_tree, root, b"tree", target, overwrite="replace") == refusals.INTO_ITSELF
    assert shape_of(ground.inside) == before
    copy_tree(root, b"tree/deep", b"tree", overwrite="replace")
    assert (ground.inside / "tree/er/file").is_file()


def test_single_things_are_copied(ground: Ground, root: Root) -> None:
    """A file as a file, and a link as a link."""
    (ground.inside / "file").write_text("x")
    (ground.inside / "link").symlink_to("/etc/passwd")
    copy_tree(root, b"file", b"file-2")
    copy_tree(root, b"link", b"link-2")
    assert ((ground.inside / "link-2").readlink(), read(root, b"file-2")) == (Path("/etc/passwd"), b"x")
    for name in (b"file", b"link"):
        assert code_of(copy_tree, root, name, b"link-2") == refusals.FILE_EXISTS or name == b"file"
        assert copy_tree(root, b"link", b"link-2", overwrite="skip").skipped == [(b"", "file_exists")]
    copy_tree(root, b"link", b"file-2", overwrite="replace")
    assert (ground.inside / "file-2").is_symlink()


def test_a_tree_of_four_thousand_levels_is_copied_and_measured() -> None:
    """Deeper than a path may be long, and than one may hold folders open."""
    with made_ground(in_memory=True) as ground, opened(ground.inside) as root:
        make_deep_tree(ground.inside, depth=4000)
        before = len(names_in(Path("/proc/self/fd")))
        copy_tree(root, b"deep", b"copy")
        assert measure(root, b"copy").amount.folders == 4000
        assert len(names_in(Path("/proc/self/fd"))) == before
        root.remove_tree(b"copy", work=Work())


@pytest.mark.real("mounts")
def test_what_is_mounted_inside_is_left_out(ground: Ground, root: Root) -> None:
    """And told; what is mounted is neither counted nor copied."""
    (ground.inside / "tree/mounted").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(ground.inside / "tree/mounted")], check=True)
    try:
        (ground.inside / "tree/mounted/file").write_bytes(b"x" * 10_000)
        assert copy_tree(root, b"tree", b"copy").skipped == [(b"mounted", "other_file_system")]
        work = measure(root, b"tree")
        assert (work.amount.byte_count, work.skipped) == (0, [(b"mounted", "other_file_system")])
        assert measure(root, b"tree/mounted").amount.byte_count == 10_000
    finally:
        subprocess.run(["umount", str(ground.inside / "tree/mounted")], check=True)
    assert list((ground.inside / "copy").iterdir()) == []


def test_a_tree_is_measured_as_du_does(ground: Ground, root: Root) -> None:
    """A file with several names once; names are counted each."""
    make_tree(ground.inside / "tree")
    os.link(ground.inside / "tree/deep/er/file", ground.inside / "tree/hard")
    du = subprocess.run(
        ["du", "-s", "--block-size=1", str(ground.inside / "tree")], check=True, capture_output=True, text=True
    )
    amount = measure(root, b"tree").amount
    assert amount.disk_bytes == int(du.stdout.split()[0])
    assert (amount.files, amount.folders, amount.byte_count) == (7, 3, len("content") + 5000)
    assert measure(root, b"tree/file").amount.files == 1


def test_a_sparse_file_of_a_terabyte_is_copied_in_a_tree(ground: Ground, root: Root) -> None:
    """With its holes, and measured by what it takes."""
    (ground.inside / "tree").mkdir()
    with (ground.inside / "tree/sparse").open("wb") as file:
        file.write(b"begin")
        file.truncate(1 << 40)
    copy_tree(root, b"tree", b"copy")
    assert (ground.inside / "copy/sparse").stat().st_size == 1 << 40
    assert measure(root, b"copy").amount.disk_bytes < 1 << 20


def test_a_hash_is_that_of_the_content(ground: Ground, root: Root) -> None:
    """Of nothing, of less and of more than a block."""
    for size in (0, 5, (1 << 20) + 1):
        content = os.urandom(size)
        (ground.inside / "file").write_bytes(content)
        assert root.checksum(b"file", work=Work()) == hashlib.sha256(content).hexdigest()


def names_of(entries: list[Entry]) -> list[str]:
    """Return the names of entries."""
    return [entry.name for entry in entries]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("folders_first", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_in_any_order_are_the_whole(
    ground: Ground, root: Root, sort: str, descending: bool, folders_first: bool
) -> None:
    """Each name once, in the order, whatever else comes and goes between two pages."""
    for number in range(40):
        path = ground.inside / f"{number % 7}-{number}"
        path.write_bytes(b"x" * (number % 5)) if number % 3 else path.mkdir()
        os.utime(path, (number % 4, number % 4))
    order = Order(sort, descending=descending, folders_first=folders_first)
    whole, _ = root.list_folder(b"", order=order, limit=1000)
    expected = sorted((path.name for path in ground.inside.iterdir()), reverse=descending and sort == "name")
    if sort != "name":
        sign = -1 if descending else 1
        by_name = {entry.name: entry.size if sort == "size" else entry.modified_ns for entry in whole}
        expected.sort(key=lambda name: sign * by_name[name])
    if folders_first:
        expected.sort(key=lambda name: not (ground.inside / name).is_dir())
    assert names_of(whole) == expected
    paged: list[str] = []
    after, has_more = None, True
    while has_more:
        entries, has_more = root.list_folder(b"", order=order, after=after, limit=7)
        paged += names_of(entries)
        after = place_of(order, entries[-1])
        # The one that a page has ended with is gone when the next one begins.
        root.remove(os.fsencode(entries[-1].name))
    assert paged == expected


def test_hidden_names_are_left_out_where_that_is_asked(ground: Ground, root: Root) -> None:
    """Those that begin with a dot."""
    for name in (".hidden", "shown"):
        (ground.inside / name).touch()
    assert names_of(root.list_folder(b"", order=Order(hidden=False), limit=9)[0]) == ["shown"]


def test_a_search_finds_names_and_lines(ground: Ground, root: Root) -> None:
    """In the order of paths; not through links, not in what is no text."""
    (ground.inside / "a/b").mkdir(parents=True)
    (ground.inside / "a/b/one.TXT").write_text("first\nNeedle here\nlast needle")
    (ground.inside / "a/two.txt").write_text("nothing")
    (ground.inside / "binary.txt").write_bytes(b"needle\0")
    (ground.inside / "link.txt").symlink_to("../outside/file")
    os.mkfifo(ground.inside / "pipe.txt")
    found = search(root, b"", name="*.txt")
    assert [answer.where for answer in found] == [
        b"a/b/one.TXT", b"a/two.txt", b"binary.txt", b"link.txt", b"pipe.txt",
    ]  # fmt: skip
    (hit,) = search(root, b"", text="needle")
    assert (hit.where, hit.lines) == (b"a/b/one.TXT", ((2, b"Needle here"), (3, b"last needle")))
    (exact,) = search(root, b"a", text="needle", match_case=True)
    assert exact.lines == ((3, b"last needle"),)
    assert search(root, b"", text="outside") == []
    assert [answer.where for answer in search(root, b"", name="tw")] == [b"a/two.txt"]


def test_a_long_line_is_cut_around_what_was_found(ground: Ground, root: Root) -> None:
    """Also one of many megabytes, which is found once."""
    (ground.inside / "long").write_bytes(b"first\n" + b"x" * 3_000_000 + b"needle" + b"y" * 3_000_000 + b"\nneedle")
    (hit,) = search(root, b"", text="needle")
    assert [number for number, _ in hit.lines] == [2, 3]
    assert len(hit.lines[0][1]) == 1000
    assert b"needle" in hit.lines[0][1]


def test_a_search_stops_at_its_limit(ground: Ground, root: Root) -> None:
    """Of lines where a text is sought, else of names."""
    (ground.inside / "file").write_text("needle\n" * 50)
    (ground.inside / "other").write_text("needle\n")
    assert sum(len(answer.lines) for answer in search(root, b"", text="needle", limit=20)) == 20
    assert len(search(root, b"", name="e", limit=1)) == 1


def test_a_partial_file_gets_its_place(ground: Ground, root: Root) -> None:
    """New with the rights that were asked for, in another's place with that one's; links stay."""
    (ground.inside / "old").write_text("old")
    (ground.inside / "old").chmod(0o640)
    (ground.inside / "link").symlink_to("old")
    place(root, b".part", b"link", b"one")
    assert (read(root, b"old"), (ground.inside / "old").stat().st_mode & 0o777) == (b"one", 0o640)
    root.make_partial(b"new/folder/.part", parents=True)
    entry, before = root.put_in_place(
        b"new/folder/.part", b"new/folder/file", Placing(size=0, replace=False, mode=0o755, modified_ns=10**9)
    )
    assert (entry.mode, entry.modified_ns, before) == (0o755, 10**9, None)
    assert names_in(ground.inside / "new/folder") == ["file"]


def test_a_partial_file_that_is_not_what_it_should_be_is_not_placed(ground: Ground, root: Root) -> None:
    """Another size, another name, a link, or a target that has changed; what was there stays."""
    (ground.inside / "file").write_text("old")
    root.make_partial(b".part", parents=False)
    assert code_of(root.make_partial, b".part", parents=False) == refusals.FILE_EXISTS
    good = Placing(size=0, replace=True)
    assert code_of(root.put_in_place, b".part", b"file", Placing(size=1, replace=True)) == refusals.FILE_CHANGED
    assert code_of(root.put_in_place, b".part", b"file", Placing(size=0, replace=False)) == refusals.FILE_EXISTS
    stale = Placing(size=0, replace=True, expected="1-1-1-1")
    assert code_of(root.put_in_place, b".part", b"file", stale) == refusals.FILE_CHANGED
    setuid = Placing(size=0, replace=True, mode=0o4755)
    assert code_of(root.put_in_place, b".part", b"file", setuid) == refusals.MODE_NOT_ALLOWED
    os.link(ground.inside / ".part", ground.inside / "hard")
    assert code_of(root.put_in_place, b".part", b"file", good) == refusals.FILE_CHANGED
    (ground.inside / "link").symlink_to("hard")
    assert code_of(root.put_in_place, b"link", b"file", good) == refusals.IS_A_LINK
    assert (ground.inside / "file").read_text() == "old"
    for name in (b".part", b".part", b"none/none", b"link"):
        root.remove_if_there(name)
    assert names_in(ground.inside) == ["file", "hard"]


def test_an_upload_that_goes_on_is_not_touched(ground: Ground, root: Root) -> None:
    """Where it has the size that it should have, not even its time changes."""
    path = ground.inside / "part"
    path.write_bytes(b"1234")
    os.utime(path, (5, 5))
    os.close(root.open_to_append(b"part", offset=4))
    assert path.stat().st_mtime == 5


def test_the_room_of_the_disk_is_told(ground: Ground, root: Root) -> None:
    """As df has it."""
    total, free, _, _ = root.room()
    told = os.statvfs(ground.inside)
    assert total == told.f_blocks * told.f_frsize
    assert 0 <= free <= total
