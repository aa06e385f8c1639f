"""Unpacks a verified archive in two children: one decompresses, the other writes into one folder and no further.

Our own extractor and no `tar`: what is checked is then what is done, file by file, and the hashes for the file list
come from the same pass (ADR 12). The archive is signed and ours, and is not trusted further than needed all the same:
`archive_rules` says what is taken, and the tree on the disk is looked at once more by the parent.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

import msgspec
import zstandard

from zlh_agent.runtimes.checking.comparison import render_file
from zlh_agent.runtimes.confined import confine_unpacking
from zlh_agent.runtimes.errors import ArchiveRefused, InstallInterrupted, UnpackFailed
from zlh_agent.runtimes.installing.archive_rules import TreeRules
from zlh_agent.runtimes.installing.tar_wire import Entry, Kind, TarReader
from zlh_agent.runtimes.installing.zstd_wire import find_frame_end
from zlh_agent.runtimes.model import FILES_NAME

BLOCK_BYTES, PIPE_BYTES = 256 * 1024, 1024 * 1024
# Our publisher caps the window at this; a frame that wants more is not ours, and would take the memory it asks for.
MAX_WINDOW_BYTES = 8 * 1024 * 1024
# What tar adds to the files: headers, names, padding; more is no archive of ours.
OVERHEAD_BYTES, OVERHEAD_PER_ENTRY_BYTES = 1024 * 1024, 8 * 1024
# A child that says nothing for so long waits for a disk that does not come.
SILENCE_S = 120
SAY_INTERVAL_S = 0.1
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o644, 0o755, 0o755

Show = Callable[[int, int], None]


class Unpacked(msgspec.Struct, frozen=True, tag="unpacked"):
    """What was made: bytes of all files, and the SHA-256 of the list of files that lies in the tree."""

    size: int
    files_sha256: str


class _Done(msgspec.Struct, frozen=True, tag="done"):
    """Bytes of files that are written."""

    size: int


class _Refused(msgspec.Struct, frozen=True, tag="refused"):
    entry: str
    what: str


class _Damaged(msgspec.Struct, frozen=True, tag="damaged"):
    reason: str


class _Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """The disk refuses."""

    number: int
    reason: str


_Said = Unpacked | _Done | _Refused | _Damaged | _Trouble


def unpack(archive: BinaryIO, target: Path, *, entries: int, unpacked_size: int, show: Show) -> Unpacked:
    """Unpack into the empty folder `target`, with a list of its files.

    Raises ArchiveRefused, UnpackFailed, InstallInterrupted and OSError; the folder is for the caller to delete then.
    """
    rules = TreeRules(max_entries=entries, max_bytes=unpacked_size)
    limit = rules.stream_limit(OVERHEAD_BYTES, OVERHEAD_PER_ENTRY_BYTES)
    (heard, said), (outlet, inlet) = os.pipe(), _wide_pipe()
    with _Children() as children, os.fdopen(heard, "rb", buffering=0) as lines:
        try:
            packed = archive.fileno()
            children.start(lambda: _decompress(packed, inlet, limit), None, said, keep=(packed, inlet))
            children.start(lambda: _extract(outlet, target, rules, _sayer(said)), target, said, keep=(outlet,))
        finally:
            for descriptor in (said, outlet, inlet):
                os.close(descriptor)
        outcome = _listen(lines, lambda done: show(done, unpacked_size))
    if not isinstance(outcome, Unpacked):
        raise _failure(outcome, children.exit_codes)
    check_tree(target, msgspec.json.decode((target / FILES_NAME).read_bytes(), type=dict[str, str]))
    show(unpacked_size, unpacked_size)
    return outcome


def _wide_pipe() -> tuple[int, int]:
    outlet, inlet = os.pipe()
    with suppress(OSError):
        # More than others may have; it is faster, and not needed.
        fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return outlet, inlet


class _Children:
    """What works on an archive: each confined, and all of them gone when the block ends."""

    def __init__(self) -> None:
        self._pids: list[int] = []
        self.exit_codes: list[int] = []

    def __enter__(self) -> Self:
        return self

    def start(self, work: Callable[[], _Said | None], tree: Path | None, said: int, *, keep: Sequence[int]) -> None:
        """Do `work` in a fork that may write below `tree` and has these descriptors; what it returns is said."""
        ours = os.getpid()
        child = os.fork()
        if child == 0:
            _become_child(work, tree, said, parent=ours, keep=keep)
        self._pids.append(child)

    def __exit__(self, *_exc: object) -> None:
        for child in self._pids:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            self.exit_codes.append(os.waitstatus_to_exitcode(status))


def _become_child(
    work: Callable[[], _Said | None], tree: Path | None, said: int, *, parent: int, keep: Sequence[int]
) -> NoReturn:
    """Work, say how it went, and end; nothing of the parent is cleaned up here."""
    say = _sayer(said)
    try:
        confine_unpacking(tree, parent=parent, keep=(0, 1, 2, said, *keep))
        if (outcome := work()) is not None:
            say(outcome)
    except ArchiveRefused as error:
        say(_Refused(error.entry, error.what))
    except UnpackFailed as error:
        say(_Damaged(error.reason))
    except BrokenPipeError:
        # The other one has ended, and said why.
        pass
    except OSError as error:
        say(_Trouble(error.errno or 0, str(error)))
    finally:
        os._exit(0)


def _listen(lines: BinaryIO, show: Callable[[int], None]) -> _Said | None:
    """Return what was said in the end: the first failure, since the second follows from it."""
    for line in _lines(lines):
        said: _Said = msgspec.json.decode(line, type=_Said)
        if not isinstance(said, _Done):
            return said
        show(said.size)
    return None


def _failure(outcome: _Said | None, exit_codes: Sequence[int]) -> Exception:
    match outcome:
        case _Refused(entry=entry, what=what):
            return ArchiveRefused(entry=entry, what=what)
        case _Damaged(reason=reason):
            return UnpackFailed(reason=reason)
        case _Trouble(number=number, reason=reason):
            return OSError(number, reason)
        case _:
            return InstallInterrupted(exit_code=next((code for code in exit_codes if code), 0), output="")


def _lines(pipe: BinaryIO) -> Iterator[bytes]:
    """Yield the whole lines that come; none for too long is the end."""
    rest = b""
    while select.select([pipe], [], [], SILENCE_S)[0] and (block := pipe.read(64 * 1024)):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


def _sayer(descriptor: int) -> Callable[[_Said], None]:
    last = 0.0

    def say(what: _Said) -> None:
        nonlocal last
        now = time.monotonic()
        if not isinstance(what, _Done) or now - last >= SAY_INTERVAL_S:
            last = now
            _write(descriptor, memoryview(msgspec.json.encode(what) + b"\n"))

    return say


def _extract(stream: int, target: Path, rules: TreeRules, say: Callable[[_Said], None]) -> Unpacked:
    """Write what comes as a tar stream below `target`; return what was made."""
    reader, tree = TarReader(), _Tree(str(target), rules)
    while block := os.read(stream, BLOCK_BYTES):
        for piece in reader.feed(memoryview(block)):
            if isinstance(piece, Entry):
                tree.begin(piece)
            else:
                tree.write(piece)
        say(_Done(tree.size))
    reader.finish()
    return tree.finish()


class _Tree:
    """Writes what the rules admit, and hashes it on the way."""

    def __init__(self, root: str, rules: TreeRules) -> None:
        self.size = 0
        self._root = root
        self._rules = rules
        self._listed: dict[str, str] = {}
        # Made at the very end: while files are written there is no link that they could be written through.
        self._links: list[tuple[str, str]] = []
        self._path = ""
        self._mode = FILE_MODE
        self._file: int | None = None
        self._left = 0
        self._digest = hashlib.sha256()

    def begin(self, entry: Entry) -> None:
        """Make an entry; `entry.size` bytes are written next."""
        path, folders = self._rules.admit(entry)
        for folder in folders:
            os.mkdir(f"{self._root}/{folder}", FOLDER_MODE)  # noqa: PTH102 - one of thousands
        match entry.kind:
            case Kind.FOLDER:
                with suppress(FileExistsError):
                    os.mkdir(f"{self._root}/{path}", FOLDER_MODE)  # noqa: PTH102 - one of thousands
            case Kind.LINK:
                self._links.append((path, entry.target))
            case Kind.HARD_LINK:
                os.link(f"{self._root}/{entry.target}", f"{self._root}/{path}", follow_symlinks=False)
                self._listed[path] = self._listed[entry.target]
            case Kind.FILE:
                self._begin_file(path, PROGRAM_MODE if entry.mode & 0o111 else FILE_MODE, entry.size)

    def _begin_file(self, path: str, mode: int, size: int) -> None:
        self._file = _open_new(f"{self._root}/{path}", mode=mode)
        self._path, self._mode, self._left, self._digest = path, mode, size, hashlib.sha256()
        if not size:
            self._end_file()

    def write(self, piece: memoryview) -> None:
        """Write a piece of the file that was begun last."""
        assert self._file is not None
        _write(self._file, piece)
        self._digest.update(piece)
        self.size += len(piece)
        self._left -= len(piece)
        if not self._left:
            self._end_file()

    def _end_file(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None
        self._listed[self._path] = render_file(self._digest.hexdigest(), self._mode)

    def finish(self) -> Unpacked:
        """Make the links and the list; the tree is whole then."""
        self._rules.check_links()
        for path, target in self._links:
            os.symlink(target, f"{self._root}/{path}")  # noqa: PTH211 - one of many
            self._listed[path] = f"-> {target}"
        listed = msgspec.json.encode(dict(sorted(self._listed.items())))
        with open(f"{self._root}/{FILES_NAME}", "xb", opener=_open_new) as file:
            file.write(listed)
        return Unpacked(self.size, hashlib.sha256(listed).hexdigest())


def _open_new(path: str, _flags: int = 0, *, mode: int = FILE_MODE) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def _write(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _decompress(archive: int, stream: int, limit: int) -> None:
    """Write what the one frame of the archive holds into a pipe, at most `limit` bytes; raise UnpackFailed."""
    try:
        _check_frame(archive)
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        os.lseek(archive, 0, os.SEEK_SET)
        with open(archive, "rb", closefd=False, buffering=0) as source:
            for block in decompressor.read_to_iter(source, read_size=BLOCK_BYTES, write_size=BLOCK_BYTES):
                limit -= len(block)
                if limit < 0:
                    raise UnpackFailed(reason="it unpacks to more than it announces")
                _write(stream, memoryview(block))
    except zstandard.ZstdError as exc:
        raise UnpackFailed(reason=f"it is no whole zstd file ({exc})") from exc


def _check_frame(descriptor: int) -> None:
    start = os.pread(descriptor, 18, 0)
    parameters = zstandard.get_frame_parameters(start)
    end = find_frame_end(
        lambda offset, size: os.pread(descriptor, size, offset),
        header_bytes=zstandard.frame_header_size(start),
        has_checksum=parameters.has_checksum,
    )
    size = os.fstat(descriptor).st_size
    if end != size:
        raise UnpackFailed(reason=f"its one frame ends at byte {end}, and it has {size}")


def check_tree(root: Path, listed: dict[str, str]) -> None:
    """Raise UnpackFailed unless the disk holds exactly what is listed: our own files and links with harmless modes."""
    left = dict(listed)
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(f"{name}/")
                if found.st_uid != os.geteuid() or not _is_as_listed(found.st_mode, left.pop(name, None), name):
                    raise UnpackFailed(reason=f"{name} is on the disk as it was not in the archive")
    if left:
        raise UnpackFailed(reason=f"{min(left)} did not arrive on the disk")


def _is_as_listed(mode: int, wanted: str | None, name: str) -> bool:
    if stat.S_ISDIR(mode):
        return wanted is None and stat.S_IMODE(mode) == FOLDER_MODE
    if stat.S_ISLNK(mode):
        return wanted is not None and wanted.startswith("-> ")
    if name == FILES_NAME:
        return stat.S_ISREG(mode) and stat.S_IMODE(mode) == FILE_MODE
    is_harmless = stat.S_ISREG(mode) and stat.S_IMODE(mode) in {FILE_MODE, PROGRAM_MODE}
    return is_harmless and wanted is not None and wanted == render_file(wanted[:64], mode)
