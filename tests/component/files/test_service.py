"""File work through its child: who does it, what it costs, and how children come and go."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hostile_files import NOBODY, Ground, made_ground
from guards.leaks import is_gone
from zlh_agent.files import refusals
from zlh_agent.files.cursor_rules import render_cursor
from zlh_agent.files.link import FilePlace
from zlh_agent.files.model import EXCHANGE
from zlh_agent.files.page_rules import Order, Place
from zlh_agent.files.service import Files, FileService, FoundLine, Skipped
from zlh_agent.sandbox.landlock import find_abi
from zlh_common.schema.file_refusals import REFUSALS, FilePageUnknown, FileRefused, FilesBusy, FilesUnavailable


def pid_of(files: Files) -> int:
    """Return the child behind some files."""
    return files._link.pid


async def put(files: Files, path: str, content: bytes, **how: object) -> None:
    """Write a whole file."""
    async with files.writing(path, **{"replace": True, **how}) as fd:  # type: ignore[arg-type]
        os.write(fd, content)


async def get(files: Files, path: str) -> bytes:
    """Read a whole file."""
    fd, _ = await files.open_to_read(path)
    with os.fdopen(fd, "rb") as file:
        return file.read()


async def refused(work: object) -> str:
    """Return the code of what is refused."""
    with pytest.raises(FileRefused) as told:
        await work  # type: ignore[misc]
    return told.value.code


async def test_every_call_reaches_the_files(ground: Ground, service: FileService) -> None:
    """And what is made belongs to the customer."""
    async with service.borrow() as files:
        await files.make_folder("one/two", parents=True)
        os.mkfifo(ground.inside / "one/pipe")
        os.mknod(ground.inside / "one/socket", stat.S_IFSOCK | 0o644)
        ground.own()
        await put(files, "one/file", b"content")
        await files.copy("one/file", "/one/copy")
        await files.make_link("one/link", "two")
        await files.move("one/copy", "one/two/copy")
        await files.move("one/file", "one/two/copy", how=EXCHANGE)
        await files.change_mode("one/file", 0o600)
        await files.set_times("one/file", modified_ns=-5_000_000_000)
        fd = await files.open_to_append("one/file", offset=3)
        os.write(fd, b"!")
        os.close(fd)
        assert await get(files, "one/file") == b"con!"
        page = await files.list_folder("one")
        assert [(entry.name, entry.kind, entry.target) for entry in page.entries] == [
            ("file", "file", None), ("link", "link", "two"), ("pipe", "other", None), ("socket", "other", None),
            ("two", "dir", None),
        ]  # fmt: skip
        assert page.entries[0].mode == 0o600
        assert (await files.list_folder("one", limit=1)).has_more
        entry = await files.stat("one/link", follow=True)
        assert entry.kind == "dir"
        assert {path.lstat().st_uid for path in ground.inside.rglob("*")} == {
            NOBODY if os.geteuid() == 0 else os.getuid()
        }
        # Where Landlock holds the child, it must be told that it may do so.
        await files.move("one/pipe", "one/two/pipe")
        await files.move("one/socket", "one/two/socket")
        await files.remove("one/link")
        await files.remove_tree("one")
        assert (await files.list_folder("")).entries == ()


async def test_refusals_have_their_words(ground: Ground, service: FileService) -> None:
    """Code, status and a sentence with the path, in which nothing can hide."""
    (ground.inside / "folder/below").mkdir(parents=True)
    (ground.inside / "\x1b[31mred\n").mkdir()
    ground.own()
    async with service.borrow() as files:
        assert await refused(files.stat("../outside")) == "path_outside"
        assert await refused(files.remove("folder")) == "folder_not_empty"
        assert await refused(files.stat("bad\ud800surrogate")) == "path_invalid"
        assert await refused(files.stat("a" * 70_000)) == "name_too_long"
        assert await refused(files.change_mode("folder", 0o4755)) == "mode_not_allowed"
        with pytest.raises(FileRefused) as told:
            await files.remove_tree("none/\x1b[31m\n{path}\udcff")
        assert told.value.detail == r"There is no none/\x1b[31m\n{path}\udcff."
        assert (told.value.status, told.value.retryable) == (404, False)


def test_every_code_of_the_child_has_its_words() -> None:
    """And there are no others, but for the one that the agent says in place of a child's."""
    codes = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}
    assert codes == {*REFUSALS, FileRefused.code} - {"file_already_there"}


async def test_names_of_any_bytes_go_there_and_back(service: FileService) -> None:
    """Whatever the language of the machine: the child is told none."""
    names = ["\udcff\udcfe", "line\nfeed", "ü€𝄞", "a\udce4b", "-rf *"]
    async with service.borrow() as files:
        for name in names:
            await put(files, name, b"x")
        entries = (await files.list_folder("")).entries
        assert [entry.name for entry in entries] == sorted(names)
        for name in names:
            assert await get(files, name) == b"x"
            await files.move(name, f"{name}{name}")
            await files.remove(f"{name}{name}")


async def _write_half(files: Files) -> None:
    async with files.writing("file", replace=True) as fd:
        os.write(fd, b"half")
        raise ZeroDivisionError


async def test_a_file_that_is_not_finished_leaves_nothing(ground: Ground, service: FileService) -> None:
    """Whether the writer fails, or the version was another one by then; and the child goes on."""
    async with service.borrow() as files:
        await put(files, "file", b"old")
        version = (await files.stat("file")).version
        with pytest.raises(ZeroDivisionError):
            await _write_half(files)
        await put(files, "file", b"new", expected=version)
        assert await refused(put(files, "file", b"newer", expected=version)) == "file_changed"
        assert await refused(put(files, "file", b"newer", replace=False)) == "file_exists"
        assert await get(files, "file") == b"new"
    assert [path.name for path in ground.inside.iterdir()] == ["file"]


async def test_a_name_that_is_taken_is_the_one_that_is_told(service: FileService) -> None:
    """Not the name of what was to be moved there."""
    async with service.borrow() as files:
        await put(files, "mine", b"mine")
        await put(files, "taken", b"taken")
        with pytest.raises(FileRefused, match="already something at taken") as told:
            await files.move("mine", "taken")
        assert told.value.code == "file_exists"
        assert await get(files, "taken") == b"taken"


@pytest.mark.real("root")
async def test_the_child_has_the_rights_of_its_user_alone(ground: Ground, service: FileService) -> None:
    """What belongs to root in a customer's folder stays root's, hard links to it included."""
    ground.own()
    (ground.inside / "secret").write_text("of root")
    (ground.inside / "secret").chmod(0o600)
    os.link(ground.inside / "secret", ground.inside / "hard")
    (ground.inside / "folder").mkdir(0o755)
    (ground.inside / "folder/file").touch(0o644)
    async with service.borrow() as files:
        for path in ("secret", "hard"):
            assert await refused(files.open_to_read(path)) == "permission_denied"
            assert await refused(files.change_mode(path, 0o644)) == "permission_denied"
        assert await refused(files.remove("folder/file")) == "permission_denied"
        assert await refused(files.remove_tree("folder")) == "permission_denied"
        assert await refused(put(files, "folder/file", b"x")) == "permission_denied"
        assert await refused(files.open_to_append("folder/file", offset=0)) == "permission_denied"
        assert await get(files, "folder/file") == b""
        # The folder is the customer's, and so is the right to take names out of it.
        await files.remove("hard")
    assert (ground.inside / "secret").read_text() == "of root"
    (ground.inside / "secret").unlink()
    (ground.inside / "folder/file").unlink()


async def test_what_is_refused_leaves_no_descriptor_in_the_child(ground: Ground, service: FileService) -> None:
    """Nor what is given up; root sees what the child holds."""
    (ground.inside / "folder").mkdir()
    (ground.inside / "circle").symlink_to("circle")
    ground.own()
    async with service.borrow() as files:
        held = Path(f"/proc/{pid_of(files)}/fd")
        for turn in range(40):
            for path in ("none/none", "circle/a", "../outside/a", "folder", "a" * 300):
                await refused(files.open_to_read(path))
                await refused(files.open_to_append(path, offset=9))
                await refused(files.copy(path, "copy"))
                await refused(files.move(path, "folder/" + path))
            with pytest.raises(ZeroDivisionError):
                await _write_half(files)
            await refused(put(files, "folder", b""))
            if os.geteuid() == 0:
                count = await asyncio.to_thread(lambda: len(list(held.iterdir())))
                # Its three streams and the root.
                assert count == 4, turn


@pytest.mark.real("root")
async def test_a_file_that_a_program_holds_by_a_lease_is_busy(ground: Ground, service: FileService) -> None:
    """Nobody waits for its holder, who may take a minute to let go."""
    ground.own()
    path = ground.inside / "file"
    path.write_text("x")
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with path.open() as holder:
            fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            async with service.borrow() as files:
                assert await refused(files.open_to_read("file")) == "path_busy"
                assert (await files.stat("file")).size == 1
        async with service.borrow() as files:
            assert await get(files, "file") == b"x"
    finally:
        signal.signal(signal.SIGIO, before)
        path.unlink()


@pytest.mark.real("landlock")
async def test_landlock_holds_the_child_beside_all_else(service: FileService) -> None:
    """It is told, so that somebody can see where it is missing."""
    async with service.borrow() as files:
        assert files.landlock_abi == find_abi()


async def test_children_are_used_again_and_end_when_nobody_wants_them(ground: Ground) -> None:
    """The second in line takes the first one's; work at the same time has children of its own."""
    service = FileService(FilePlace(str(ground.inside), ground.own()), idle_s=0.3)
    async with service.borrow() as files:
        first = pid_of(files)
        await files.stat("")
    async with service.borrow() as files, service.borrow() as others:
        assert pid_of(files) == first
        assert pid_of(others) != first
        second = pid_of(others)
        await asyncio.sleep(0.5)
        assert not is_gone(first)
    async with asyncio.timeout(5):
        while not (is_gone(first) and is_gone(second)):
            await asyncio.sleep(0.02)
    async with service.borrow() as files:
        await files.stat("")
    await service.close()


async def test_a_folder_that_was_replaced_is_worked_in_anew(ground: Ground, service: FileService) -> None:
    """A customer may remove their workspace and make another; a child that still held the first would see nothing."""
    async with service.borrow() as files:
        await put(files, "file", b"first")
        first = pid_of(files)
    ground.inside.rename(ground.inside.with_name("former"))
    ground.inside.mkdir()
    ground.own()
    async with service.borrow() as files:
        assert pid_of(files) != first
        assert (await files.list_folder("")).entries == ()
        await put(files, "file", b"second")
    assert (ground.inside / "file").read_bytes() == b"second"
    ground.inside.rename(ground.inside.with_name("latter"))
    with pytest.raises(FilesUnavailable):
        async with service.borrow():
            pass
    ground.inside.mkdir()
    ground.own()
    async with service.borrow() as files:
        await files.stat("")


async def test_a_child_that_is_given_back_late_ends(ground: Ground) -> None:
    """The agent may be on its way out by then."""
    service = FileService(FilePlace(str(ground.inside), ground.own()))
    async with service.borrow() as files:
        pid = pid_of(files)
        await service.close()
        await files.stat("")
    await service.close()
    assert is_gone(pid)


async def test_only_so_many_work_at_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one waits, and is told when it was too long."""
    monkeypatch.setattr("zlh_agent.files.service.WAIT_FOR_CHILD_S", 0.2)
    service = FileService(FilePlace(str(ground.inside), ground.own()), limit=1)
    async with service.borrow() as files:
        await files.stat("")
        with pytest.raises(FilesBusy):
            async with service.borrow():
                pass
    async with service.borrow() as files:
        await files.stat("")
    await service.close()


@pytest.mark.parametrize("name", ["none", "link", "file"])
async def test_without_a_root_there_is_no_work(ground: Ground, name: str) -> None:
    """A root that is missing, a link or a file is told as such."""
    (ground.inside / "link").symlink_to(ground.outside)
    (ground.inside / "file").touch()
    service = FileService(FilePlace(str(ground.inside / name), ground.own()))
    with pytest.raises(FilesUnavailable, match="folder cannot be opened"):
        async with service.borrow():
            pass
    await service.close()


@pytest.fixture
def large_folder() -> Iterator[Path]:
    """A folder of a hundred thousand files."""
    with made_ground(in_memory=True) as ground:
        for number in range(100_000):
            os.mknod(ground.inside / str(number))
        yield ground.inside


async def test_a_large_folder_is_listed_in_pages(large_folder: Path) -> None:
    """Each name once, and the loop is free meanwhile; the child does not grow with it."""
    service = FileService(FilePlace(str(large_folder), None))
    async with service.borrow() as files:
        seen: list[str] = []
        page = await files.list_folder("")
        while True:
            seen += [entry.name for entry in page.entries]
            if not page.has_more or len(seen) > 5000:
                break
            page = await files.list_folder("", after=page.next or "")
        assert seen == sorted(map(str, range(100_000)))[: len(seen)]
        last = await files.list_folder("", after=render_cursor(Order(), Place(0, 0, "99990")))
        assert ([entry.name for entry in last.entries], last.has_more) == ([f"9999{n}" for n in range(1, 10)], False)
        memory = await asyncio.to_thread(Path(f"/proc/{pid_of(files)}/status").read_text)
    peak_kib = int(next(line for line in memory.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak_kib < 16 * 1024
    await service.close()


async def test_trees_sums_and_searches_go_through_the_child(ground: Ground, service: FileService) -> None:
    """As a customer's user, with all that they tell."""
    (ground.inside / "tree/deep").mkdir(parents=True)
    (ground.inside / "tree/deep/file").write_bytes(b"one\ntwo \x1b[31m\n")
    os.mkfifo(ground.inside / "tree/pipe")
    ground.own()
    async with service.borrow() as files:
        copied = await files.copy_tree("tree", "copy", staging=".copy.zlh-part")
        assert (copied.amount.files, copied.amount.folders, copied.skipped_count) == (1, 1, 1)
        assert copied.skipped == (Skipped("pipe", "not_a_regular_file"),)
        assert (await files.measure("copy")).amount.byte_count == 14
        assert await files.checksum("copy/deep/file") == hashlib.sha256(b"one\ntwo \x1b[31m\n").hexdigest()
        result = await files.search("", text="TWO")
        assert [(found.path, found.lines) for found in result.found] == [
            ("copy/deep/file", (FoundLine(2, "two \N{REPLACEMENT CHARACTER}[31m"),)),
            ("tree/deep/file", (FoundLine(2, "two \N{REPLACEMENT CHARACTER}[31m"),)),
        ]
        assert (result.stopped_by, result.skipped_count) == (None, 0)
        assert (await files.room()).total_bytes > 0
        assert await refused(files.copy_tree("tree", "tree/a", staging="tree/.a.zlh-part")) == "into_itself"
        assert (await files.remove_tree("copy")).amount.files == 1


async def test_an_upload_is_put_in_place_by_the_child(ground: Ground, service: FileService) -> None:
    """And what it has replaced is told."""
    async with service.borrow() as files:
        for content, was_there in ((b"one", False), (b"three", True)):
            await files.make_partial("new/.part", parents=True)
            fd = await files.open_to_append("new/.part", offset=0)
            os.write(fd, content)
            os.close(fd)
            entry, replaced = await files.put_in_place("new/.part", "new/file", size=len(content), replace=True)
            assert (entry.size, replaced) == (len(content), was_there)
        await files.remove_if_there("new/.part")
    assert (ground.inside / "new/file").read_bytes() == b"three"


async def test_a_hash_of_a_terabyte_says_how_far_it_is_and_can_be_cancelled(
    ground: Ground, service: FileService
) -> None:
    """Its child ends, and the next call has another."""
    with (ground.inside / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    ground.own()
    told = asyncio.Event()
    async with service.borrow() as files:
        work = asyncio.create_task(files.checksum("sparse", on_progress=lambda _amount: told.set()))
        await told.wait()
        pid = pid_of(files)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    async with service.borrow() as files:
        assert pid_of(files) != pid
        await files.stat("sparse")


async def test_a_copy_that_is_cancelled_leaves_its_staging_alone(ground: Ground, service: FileService) -> None:
    """Which the caller knows by name and removes."""
    (ground.inside / "tree").mkdir()
    for number in range(3000):
        (ground.inside / f"tree/{number}").write_bytes(b"x" * 5000)
    ground.own()
    async with service.borrow() as files:
        work = asyncio.create_task(files.copy_tree("tree", "copy", staging=".copy.zlh-part"))
        while not (ground.inside / ".copy.zlh-part").exists():
            await asyncio.sleep(0)
            assert not work.done()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    async with service.borrow() as files:
        await files.remove_tree(".copy.zlh-part")
    assert [path.name for path in ground.inside.iterdir()] == ["tree"]


@pytest.mark.parametrize("sort", ["name", "size", "modified"])
async def test_pages_go_on_by_their_cursor(ground: Ground, service: FileService, sort: str) -> None:
    """In its order alone; what nobody has given is refused."""
    for number in range(10):
        (ground.inside / str(number)).write_bytes(b"x" * number)
    ground.own()
    async with service.borrow() as files:
        seen: list[str] = []
        last = ""
        after: str | None = ""
        while after is not None:
            page = await files.list_folder("", after=after, limit=3, sort=sort, descending=True)
            seen += [entry.name for entry in page.entries]
            last, after = after, page.next
        assert seen == [str(number) for number in range(9, -1, -1)]
        for wrong in (last[:-1], "nonsense", last + "=", "\udcff"):
            with pytest.raises(FilePageUnknown):
                await files.list_folder("", after=wrong, sort=sort, descending=True)
        with pytest.raises(FilePageUnknown):
            await files.list_folder("", after=last, sort=sort)
