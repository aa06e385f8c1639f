"""File children that lie, hang, are stopped or killed: the agent believes nothing, waits a bounded time, goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import structlog

from fakes.hostile_files import NOBODY, Ground
from guards.leaks import is_gone
from zlh_agent.files.cursor_rules import render_cursor
from zlh_agent.files.link import FileLink, FilePlace
from zlh_agent.files.model import HASHING, Request
from zlh_agent.files.page_rules import Order, Place
from zlh_agent.files.service import Files, FileService
from zlh_agent.sandbox.launch import bare_child
from zlh_common.schema.file_refusals import FileRefused, FilesNotSafe, FilesUnavailable

log = structlog.get_logger()
PLACE = FilePlace("/nowhere", None)
_TESTS = Path(__file__).parents[2]
_LIAR = f"""
import sys; sys.path += {[str(_TESTS), *bare_child("x", "x")[6:8]]!r}
import os, socket, time
from zlh_agent.files import files_wire as wire
from zlh_agent.files.model import Answer, Entry
sock = socket.socket(fileno=0)
order = sock.recv(300000)

def entry(name, **other):
    return Entry(name=name, kind="file", size=1, mode=0o644, modified_ns=1, changed_ns=1, inode=1, **other)

def answer(kind, *names, fds=(), **other):
    message = wire.render_answer(Answer(kind, entries=[entry(name) for name in names], **other))
    socket.send_fds(sock, [message], fds) if fds else sock.send(message)

def opened(path, flags):
    return os.open(path, flags | os.O_CREAT if flags & os.O_WRONLY else flags)
"""
_READY = "sock.send(wire.render_ready(landlock_abi=1)); sock.recv(300000)\n"


def liar(program: str) -> list[str]:
    """Return the command of a child that does this after its order."""
    return [sys.executable, "-I", "-c", _LIAR + program]


@pytest.mark.parametrize(
    "program",
    [
        "sock.send(b'hello')",
        "sock.send(bytes(100_000))",
        "sock.send(wire.render_answer(Answer(wire.DONE)))",
        "sock.close()",
        "raise SystemExit(3)",
        "socket.send_fds(sock, [b'x'], [0, 0])",
        "time.sleep(60)",
        "os.kill(os.getpid(), 19)",
    ],
)
async def test_a_first_word_that_is_none(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the child, in time, with everything that it has handed over."""
    monkeypatch.setattr("zlh_agent.files.link.START_TIMEOUT_S", 1.0)
    with pytest.raises(FilesUnavailable):
        await FileLink.start(PLACE, command=liar(program))


@pytest.mark.parametrize("program", ["/none", "/etc/passwd"])
async def test_a_child_that_cannot_be_started(program: str) -> None:
    """Is said to be so."""
    with pytest.raises(FilesUnavailable, match="no child can be started"):
        await FileLink.start(PLACE, command=[program])


LOOKING = {
    "ends": "sock.close()",
    "dies": "os.kill(os.getpid(), 9)",
    "hangs": "time.sleep(60)",
    "stops": "os.kill(os.getpid(), 19)",
    "noise": "sock.send(b'noise')",
    "empty": "sock.send(b'')",
    "too large": "sock.setsockopt(1, 7, 1 << 20); sock.send(bytes([wire.ENTRIES]) + bytes(250_000))",
    "first word again": "sock.send(wire.render_ready(landlock_abi=1))",
    "progress for ever": "while True: answer(wire.PROGRESS)",
    "progress with a file": "answer(wire.PROGRESS, fds=[0])",
    "one too many": "answer(wire.ENTRIES, 'a', 'b')",
    "none": "answer(wire.ENTRIES)",
    "a path for a name": "answer(wire.ENTRIES, '../../etc/passwd')",
    "a file with it": "answer(wire.ENTRIES, 'a', fds=[0])",
    "many files with it": "answer(wire.ENTRIES, 'a', fds=[0] * 200)",
    "something opened": "answer(wire.OPENED, 'a', fds=[os.open('/dev/null', os.O_RDONLY)])",
    "done": "answer(wire.DONE)",
    "no code": "sock.send(wire._render(wire.REFUSED, [b'<script>', b'', b'']))",
}


@pytest.mark.parametrize("lie", LOOKING)
async def test_a_lie_about_a_file_is_the_last(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, the caller hears that files are unavailable, and the child is never asked again."""
    monkeypatch.setattr("zlh_agent.files.link.LONGEST_S", 1.0)
    link = await FileLink.start(PLACE, command=liar(_READY + LOOKING[lie] + "\ntime.sleep(60)"))
    try:
        with pytest.raises(FilesUnavailable):
            await Files(link).stat("file")
        assert not link.is_usable
        with pytest.raises(FilesUnavailable):
            await Files(link).stat("file")
    finally:
        await link.end()
    assert is_gone(link.pid)


LISTING = {
    "out of order": "answer(wire.ENTRIES, 'b', 'a')",
    "twice": "answer(wire.ENTRIES, 'a', 'a')",
    "before the page": "answer(wire.ENTRIES, 'A')",
    "without an end": "answer(wire.ENTRIES, has_more=True)",
    "more than asked for": "answer(wire.ENTRIES, 'b', 'c', 'd')",
}


@pytest.mark.parametrize("lie", LISTING)
async def test_a_listing_that_would_never_end_is_the_last(lie: str) -> None:
    """A page goes forward, and holds no more than was asked for."""
    link = await FileLink.start(PLACE, command=liar(_READY + LISTING[lie] + "\ntime.sleep(60)"))
    try:
        with pytest.raises(FilesUnavailable):
            await Files(link).list_folder("", after=render_cursor(Order(), Place(0, 0, "a")), limit=2)
        assert not link.is_usable
    finally:
        await link.end()


CLAIMS = {
    "a hash that is none": ("checksum", "answer(wire.DONE, words=[b'z' * 64])"),
    "no hash": ("checksum", "answer(wire.DONE)"),
    "no reason": ("search", "answer(wire.DONE, words=[b'mood'])"),
    "more than was asked for": ("search", "while True: answer(wire.FOUND, 'a', lines=[(1, b'x')])"),
    "what nobody looks for": ("measure", "answer(wire.FOUND, 'a')"),
    "more told than left out": ("measure", "answer(wire.DONE, skipped=[(b'a', 'is_a_link')], skipped_count=0)"),
    "no numbers": ("room", "answer(wire.TOLD, words=[b'a'] * 4)"),
    "numbers without an end": ("room", "answer(wire.TOLD, words=[b'9' * 50] * 4)"),
    "a page for a room": ("room", "answer(wire.ENTRIES, 'a')"),
}


@pytest.mark.parametrize("lie", CLAIMS)
async def test_what_is_claimed_is_looked_at(lie: str) -> None:
    """Hashes, finds, amounts and the room of a disk; after a lie there is no further question."""
    call, program = CLAIMS[lie]
    link = await FileLink.start(PLACE, command=liar(_READY + program + "\ntime.sleep(60)"), loads=HASHING)
    files = Files(link)
    calls = {
        "checksum": lambda: files.checksum("a"),
        "search": lambda: files.search("", name="a", limit=5),
        "measure": lambda: files.measure("a"),
        "room": files.room,
    }
    try:
        with pytest.raises(FilesUnavailable):
            await calls[call]()
        assert not link.is_usable
    finally:
        await link.end()


HANDING = {
    "nothing": "answer(wire.OPENED, 'a')",
    "a folder": "answer(wire.OPENED, 'a', fds=[os.open('/', os.O_RDONLY)])",
    "a name without rights": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_PATH)])",
    "a device": "answer(wire.OPENED, 'a', fds=[os.open('/dev/zero', os.O_RDONLY)])",
    "a pipe": "answer(wire.OPENED, 'a', fds=[os.pipe()[0]])",
    "a socket": "answer(wire.OPENED, 'a', fds=[0])",
    "open to write": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_WRONLY)])",
    "open to both": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_RDWR)])",
    "two": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_RDONLY)] * 2)",
    "a hundred": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_RDONLY)] * 100)",
    "one that does not wait": "answer(wire.OPENED, 'a', fds=[os.open(__file, os.O_RDONLY | os.O_NONBLOCK)])",
    "without a word about it": "answer(wire.OPENED, fds=[os.open(__file, os.O_RDONLY)])",
    "with a refusal for nothing": "answer(wire.DONE, fds=[os.open(__file, os.O_RDONLY)])",
}  # fmt: skip


@pytest.mark.parametrize("lie", HANDING)
async def test_what_is_handed_over_is_looked_at(lie: str, tmp_path: Path) -> None:
    """Only one regular file that is open as it should be is taken; the rest is closed."""
    (tmp_path / "file").touch()
    program = _READY + f"__file = {str(tmp_path / 'file')!r}\n" + HANDING[lie] + "\ntime.sleep(60)"
    link = await FileLink.start(PLACE, command=liar(program))
    try:
        with pytest.raises(FilesUnavailable):
            await Files(link).open_to_read("file")
        assert not link.is_usable
    finally:
        await link.end()


async def test_a_refusal_that_brings_a_file_is_a_refusal(tmp_path: Path) -> None:
    """And the file is closed."""
    (tmp_path / "file").touch()
    opened = f"[os.open({str(tmp_path / 'file')!r}, os.O_RDONLY)]"
    program = f"{_READY}answer(wire.REFUSED, code='path_not_found', where=b'\\xff', fds={opened})\ntime.sleep(60)"
    link = await FileLink.start(PLACE, command=liar(program))
    try:
        with pytest.raises(FileRefused):
            await Files(link).open_to_read("file")
    finally:
        await link.end()


async def test_who_speaks_unasked_is_not_asked_again() -> None:
    """An answer that lies ready before its question is nobody's."""
    link = await FileLink.start(PLACE, command=liar(_READY + "answer(wire.ENTRIES, 'a')\n" * 2 + "time.sleep(60)"))
    try:
        await Files(link).stat("file")
        async with asyncio.timeout(5):
            while link.is_usable:
                await asyncio.sleep(0.01)
    finally:
        await link.end()


async def test_a_child_that_is_stopped_is_ended_and_the_next_one_works(ground: Ground, service: FileService) -> None:
    """The customer may send it any signal: it is the same user."""
    async with service.borrow() as files:
        pid = files._link.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(FilesUnavailable):
            await files._link.call(Request("stat", b""), silence_s=0.3)
    async with asyncio.timeout(5):
        while not is_gone(pid):
            await asyncio.sleep(0.01)
    async with service.borrow() as files:
        assert files._link.pid != pid
        await files.stat("")


async def test_a_child_that_dies_while_it_is_idle_is_not_lent(service: FileService) -> None:
    """Nobody sees an error for it."""
    async with service.borrow() as files:
        pid = files._link.pid
    os.kill(pid, signal.SIGKILL)
    while not is_gone(pid):
        await asyncio.sleep(0.01)
    async with service.borrow() as files:
        await files.stat("")


async def test_limits_that_a_customer_lowers_are_an_error_and_no_more(ground: Ground, service: FileService) -> None:
    """Who is the same user may do so; the work fails, and the next child has its own."""
    (ground.inside / "file").touch()
    owner = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ground.own() else {}
    async with service.borrow() as files:
        lower = ["/usr/bin/prlimit", f"--pid={files._link.pid}", "--nofile=4:4"]
        prlimit = await asyncio.create_subprocess_exec(*lower, **owner)  # type: ignore[arg-type]
        assert await prlimit.wait() == 0
        with pytest.raises(FileRefused) as told:
            await files.list_folder("")
        assert told.value.code == "files_limit"


async def test_a_call_that_is_cancelled_ends_its_child(ground: Ground, service: FileService) -> None:
    """Its answer would be taken for the next one's."""
    async with service.borrow() as files:
        pid = files._link.pid
        os.kill(pid, signal.SIGSTOP)
        call = asyncio.create_task(files.stat(""))
        await asyncio.sleep(0.05)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        os.kill(pid, signal.SIGCONT)
    async with service.borrow() as files:
        assert files._link.pid != pid
        assert (await files.stat("")).kind == "dir"


async def test_a_child_that_is_killed_at_any_moment_leaves_old_or_new(ground: Ground, service: FileService) -> None:
    """Of a file that is written, of one that is copied, and of a tree that is removed; and nothing half-made."""
    seed = random.randrange(2**32)
    log.info("test.seed", seed=seed)
    chance = random.Random(seed)
    old, new = b"old" * 50_000, b"new" * 60_000
    (ground.inside / "file").write_bytes(old)
    (ground.inside / "source").write_bytes(new)
    ground.own()

    async def work(files: Files) -> None:
        while True:
            await files.make_folder("tree/a/b/c", parents=True)
            async with files.writing("file", replace=True) as fd:
                os.write(fd, new)
            await files.copy("source", "file", replace=True)
            await files.remove_tree("tree")

    for _ in range(60):
        async with service.borrow() as files:
            task = asyncio.create_task(work(files))
            await asyncio.sleep(chance.uniform(0, 0.05))
            os.kill(files._link.pid, signal.SIGKILL)
            with pytest.raises(FilesUnavailable):
                await task
        assert (ground.inside / "file").read_bytes() in {old, new}
        left = {path.name for path in ground.inside.iterdir()} - {"file", "source", "tree"}
        # Between its name for an instant and its own there is one rename.
        assert all(name.endswith(".zlh-new") for name in left)
        for name in left:
            assert (ground.inside / name).read_bytes() in {old, new}
            (ground.inside / name).unlink()


async def test_a_child_ends_with_its_agent(ground: Ground) -> None:
    """However that ended, and whoever the child has become."""
    program = (
        "import asyncio, sys\n"
        "from zlh_agent.files.link import FileLink, FilePlace\n"
        f"place = FilePlace({str(ground.inside)!r}, {ground.own()!r})\n"
        "async def run():\n"
        "    link = await FileLink.start(place)\n"
        "    print(link.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(run())"
    )
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert agent.stdout is not None
    pid = int(await agent.stdout.readline())
    assert not is_gone(pid)
    agent.kill()
    await agent.wait()
    async with asyncio.timeout(5):
        while not is_gone(pid):
            await asyncio.sleep(0.01)


def without(*calls: tuple[int, int]) -> list[str]:
    """Return the command of a real child on a kernel that lacks system calls."""
    program = (
        f"import os, sys; sys.path.append({str(_TESTS)!r})\n"
        f"from fakes.seccomp import take_away; take_away({dict(calls)!r})\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-I", "-c", program, *bare_child("zlh_agent.files.child", "zlh-files")]


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
async def test_without_openat2_there_is_no_file_work(ground: Ground, error: int) -> None:
    """It is refused with the reason, and not done in another way."""
    with pytest.raises(FilesNotSafe, match="openat2"):
        await FileLink.start(FilePlace(str(ground.inside), ground.own()), command=without((437, error)))


async def test_without_landlock_and_fchmodat2_it_goes_on(ground: Ground) -> None:
    """As on Debian 12: rights are set by way of the descriptor; that Landlock is missing is told."""
    (ground.inside / "file").touch(0)
    command = without((444, errno.EOPNOTSUPP), (452, errno.ENOSYS))
    link = await FileLink.start(FilePlace(str(ground.inside), ground.own()), command=command)
    try:
        assert link.landlock_abi == 0
        await Files(link).change_mode("file", 0o640)
        with pytest.raises(FileRefused):
            await Files(link).stat("../outside/file")
        async with Files(link).writing("file", replace=True) as fd:
            os.write(fd, b"x")
    finally:
        await link.end()
    assert (ground.inside / "file").stat().st_mode & 0o777 == 0o640


async def test_a_child_that_is_not_confined_does_nothing(ground: Ground) -> None:
    """A step that the kernel refuses is named."""
    with pytest.raises(FilesNotSafe, match="landlock"):
        await FileLink.start(FilePlace(str(ground.inside), ground.own()), command=without((446, errno.EPERM)))
