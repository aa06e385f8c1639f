"""A customer's program that swaps folders, files and links while we work: no call ever leaves the root."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from component.files.harness import all_methods, copy_tree, measure, place, search
from fakes.hostile_files import SECRET, Ground
from fakes.racer import swapping
from zlh_agent.files.beneath import Root
from zlh_agent.files.model import EXCHANGE, REPLACE
from zlh_agent.files.page_rules import Order
from zlh_agent.files.partials import Placing
from zlh_agent.files.refusals import DISK_FAILED, FILES_FAILED, FILES_LIMIT, PATH_BUSY, PATH_OUTSIDE, Refused
from zlh_agent.files.walk import code_of
from zlh_agent.files.work import Work

# Of each call; of the tries so many at least shall meet either state of the names.
TRIES, ENOUGH = 3_000, 100
# So long each at most; with ZLH_RACE_S, so long each at least, which nobody does but by hand.
LONGEST_S = 20.0
RACE_S = float(os.environ.get("ZLH_RACE_S", "0"))
# One test looks in seven ways.
pytestmark = pytest.mark.timeout(900 + 10 * RACE_S)
PATH = b"work/folder/file"


@pytest.fixture
def swapped(ground: Ground) -> Ground:
    """Folders and files whose names an attacker exchanges with links that lead out."""
    work = ground.inside / "work"
    (work / "folder").mkdir(parents=True)
    (work / "folder/file").write_text("inside")
    (work / "trap").symlink_to("../../outside")
    (work / "folder/trap").symlink_to("../../../outside/file")
    (work / "file").write_text("inside")
    (work / "source/deep").mkdir(parents=True)
    (work / "source/deep/file").write_text("inside")
    return ground


def attack(ground: Ground, call: Callable[[], object], *, enough: int = ENOUGH) -> tuple[int, int]:
    """Make the call again and again while names are swapped; return how often it worked and how often it did not.

    A swapped name has a reason that a customer can do something about.
    """
    work = ground.inside / "work"
    done = refused = 0
    codes: set[str] = set()
    began = time.monotonic()
    with swapping((work / "folder", work / "trap"), (work / "folder/file", work / "folder/trap")):
        while done + refused < TRIES or min(done, refused) < enough or time.monotonic() - began < RACE_S:
            if time.monotonic() - began > max(LONGEST_S, RACE_S):
                break
            try:
                call()
                done += 1
            except (Refused, OSError) as error:
                codes.add(code_of(error))
                refused += 1
    assert not codes & {FILES_FAILED, FILES_LIMIT, DISK_FAILED}
    return done, refused


def read_by(opening: Callable[[], int]) -> str:
    """Return what a descriptor holds."""
    fd = opening()
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


def test_the_attack_works_where_paths_are_checked_before_they_are_used(swapped: Ground) -> None:
    """The control: without it, the tests below would show nothing."""
    escapes = 0
    path = swapped.inside / os.fsdecode(PATH)

    def checked_read() -> None:
        nonlocal escapes
        try:
            if Path(os.path.realpath(path)).is_relative_to(swapped.inside):
                escapes += path.read_text() == SECRET
        except OSError as error:
            raise Refused(PATH_BUSY) from error

    attack(swapped, checked_read)
    assert escapes > 0


def test_looking_never_leads_out(swapped: Ground, root: Root) -> None:
    """Neither the content, nor what is said of a file, nor a listing is one from outside."""
    foreign = {status.st_ino for path in swapped.outside.rglob("*") for status in [path.stat()]}

    def look() -> None:
        for follow in (True, False):
            assert root.stat(PATH, follow=follow).inode not in foreign

    def read() -> None:
        assert read_by(lambda: root.open_to_read(PATH)[0]) == "inside"

    def list_folder() -> None:
        assert not {entry.inode for entry in root.list_folder(b"work/folder", limit=10)[0]} & foreign

    def list_by_size() -> None:
        order = Order("size", descending=True, folders_first=True)
        assert not {entry.inode for entry in root.list_folder(b"work/folder", order=order, limit=10)[0]} & foreign

    def check() -> None:
        assert root.checksum(PATH, work=Work()) == inside

    def count() -> None:
        # The one file may be met under either name, under both or under none.
        assert measure(root, b"work/folder").amount.byte_count in {0, len("inside"), 2 * len("inside")}

    def find() -> None:
        assert not search(root, b"work/folder", text=SECRET)

    inside = hashlib.sha256(b"inside").hexdigest()
    for call in (look, read, list_folder, list_by_size, check, count, find):
        done, refused = attack(swapped, call)
        assert min(done, refused) > ENOUGH / 5


def test_a_way_by_dots_ends_although_the_kernel_cannot_be_sure(swapped: Ground, root: Root) -> None:
    """While anything is renamed, `..` has to be asked again; it works, or it is said to be busy, and soon."""
    codes: set[str] = set()

    def look() -> None:
        try:
            assert root.stat(b"work/folder/../file").inode == inode
            codes.add("ok")
        except Refused as refused:
            codes.add(refused.code)

    inode = (swapped.inside / "work/file").stat().st_ino
    attack(swapped, look, enough=0)
    assert "ok" in codes
    assert codes <= {"ok", PATH_BUSY, PATH_OUTSIDE}


def _write(root: Root) -> None:
    _put_back(root)
    unfinished = root.begin_file(PATH, replace=True)
    try:
        os.write(unfinished.fd, b"inside")
        unfinished.finish()
    finally:
        unfinished.close()


def _append(root: Root) -> None:
    fd = root.open_to_append(PATH, offset=0)
    os.write(fd, b"inside")
    os.close(fd)


def _make_and_remove(root: Root) -> None:
    root.make_folder(b"work/folder/new/deep", parents=True)
    root.remove_tree(b"work/folder/new", work=Work())


def _link(root: Root) -> None:
    with contextlib.suppress(FileExistsError):
        root.make_link(b"work/folder/link", b"file")
    root.remove(b"work/folder/link")


def _remove(root: Root) -> None:
    _put_back(root)
    root.remove(PATH)


def _copy_to(root: Root) -> None:
    _put_back(root)
    root.copy(b"work/file", PATH, replace=True, work=Work())


def _move(root: Root) -> None:
    _put_back(root)
    root.move(PATH, b"work/moved", how=REPLACE)
    root.move(b"work/moved", PATH, how=REPLACE)


def _put_back(root: Root) -> None:
    """Make anew what calls before this have taken away; without both there is nothing to swap."""
    for name, make in ((b"trap", _make_trap), (b"file", _make_file)):
        with root._parent(b"work/folder/" + name) as (folder, last), contextlib.suppress(FileExistsError):
            make(folder, last)


def _make_trap(folder: int, name: bytes) -> None:
    os.symlink("../../../outside/file", name, dir_fd=folder)


def _make_file(folder: int, name: bytes) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL, dir_fd=folder))


def _open_folder(root: Root) -> None:
    folder = root.open_folder(b"work/folder")
    try:
        os.mkdir(b"made", dir_fd=folder)
        os.rmdir(b"made", dir_fd=folder)
    finally:
        os.close(folder)


def _copy_tree(root: Root) -> None:
    with contextlib.suppress(Refused, OSError):
        root.remove_tree(b"work/copied", work=Work())
    copy_tree(root, b"work/folder", b"work/copied")


def _copy_tree_to(root: Root) -> None:
    copy_tree(root, b"work/source", b"work/folder/copied", overwrite="replace")


def _place(root: Root) -> None:
    _put_back(root)
    # What a call before this could not take away, since its folder was another one by then.
    root.remove_if_there(b"work/folder/.part")
    place(root, b"work/folder/.part", PATH, b"inside")


def _place_from(root: Root) -> None:
    with contextlib.suppress(FileExistsError):
        root.make_partial(PATH + b"-part", parents=True)
    root.put_in_place(PATH + b"-part", b"work/placed", Placing(size=0, replace=True))


def _remove_if_there(root: Root) -> None:
    _put_back(root)
    root.remove_if_there(PATH)


CHANGES: dict[str, Callable[[Root], object]] = {
    "write": _write,
    "append": _append,
    "make folders, remove them": _make_and_remove,
    "link": _link,
    "open a folder": _open_folder,
    "remove": _remove,
    "move": _move,
    "exchange": lambda root: root.move(PATH, b"work/file", how=EXCHANGE),
    "copy from": lambda root: root.copy(PATH, b"work/copy", replace=True, work=Work()),
    "copy to": _copy_to,
    "copy tree from": _copy_tree,
    "copy tree to": _copy_tree_to,
    "place": _place,
    "place from": _place_from,
    "remove if there": _remove_if_there,
    "change mode": lambda root: root.change_mode(PATH, 0o600),
    "set times": lambda root: root.set_times(PATH, modified_ns=10**18),
}


class Spy:
    """A root that remembers what it is asked for."""

    def __init__(self, root: Root) -> None:
        self.asked: set[str] = set()
        self._root = root

    def __getattr__(self, name: str) -> object:
        """Return what the root has."""
        self.asked.add(name)
        return getattr(self._root, name)


def test_every_call_is_raced(swapped: Ground, root: Root) -> None:
    """What is new and is raced neither by looking nor by changing fails here."""
    looks = {"stat", "open_to_read", "list_folder", "checksum", "measure", "search"}
    spy = Spy(root)
    for change in CHANGES.values():
        # One takes away what the next would change; that it was asked is enough.
        with contextlib.suppress(Refused, OSError):
            change(cast("Root", spy))
    assert all_methods() <= spy.asked | looks
    assert swapped.is_untouched()


@pytest.mark.parametrize("name", CHANGES)
def test_changing_never_leads_out(swapped: Ground, root: Root, name: str) -> None:
    """Whatever becomes of the files inside; what is outside is neither made, changed, moved, removed nor copied."""
    done, refused = attack(swapped, lambda: CHANGES[name](root))
    assert min(done, refused) > ENOUGH / 5
    assert swapped.is_untouched()
    copies = [path for path in swapped.inside.rglob("*") if path.is_file() and not path.is_symlink()]
    assert SECRET not in {path.read_text() for path in copies}


def test_removing_a_tree_takes_nothing_with_it(ground: Ground, root: Root) -> None:
    """While folders in it are swapped for links, and moved out of the root and in."""
    tree, ready, away = ground.inside / "tree", ground.inside / "ready", ground.inside.parent / "away"
    (away / "kept").mkdir(parents=True)
    began = time.monotonic()
    removed = 0
    with swapping((tree / "a", tree / "trap"), (tree / "a/b", tree / "a/c"), (tree / "a/b", tree / "b"), (tree, away)):
        while time.monotonic() - began < RACE_S or (removed < 1000 and time.monotonic() - began < LONGEST_S):
            # Made where nobody swaps anything, or making it would already lead out.
            (ready / "a/b/d").mkdir(parents=True)
            (ready / "a/b/d/file").write_text("inside")
            (ready / "b").symlink_to("../../outside")
            (ready / "trap").symlink_to("../../outside")
            (ready / "a/c").symlink_to("../../../outside/folder")
            with contextlib.suppress(OSError):
                ready.rename(tree)
            for path in (b"tree", b"ready"):
                with contextlib.suppress(Refused, OSError):
                    root.remove_tree(path, work=Work())
                    removed += 1
    assert removed > 100
    assert ground.is_untouched()


def test_a_folder_that_is_filled_while_it_is_removed_ends(ground: Ground, root: Root) -> None:
    """It goes, or is said to be not empty; nobody waits for ever, and no descriptor is left."""
    tree = ground.inside / "tree"
    for name in ("a", "b"):
        (tree / name / "deep").mkdir(parents=True)
    with swapping((tree / "a", tree / "b"), (tree / "a/deep", tree / "b/deep")):
        root.remove_tree(b"tree", work=Work())
    assert not tree.exists()
