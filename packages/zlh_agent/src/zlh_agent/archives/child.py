"""The child that makes and unpacks archives: the calls of a child of files, and these. One job at a time.

    choose (paths)  what goes into the next archive; may come several times
    leave-out       what does not, with all that is in it; the same
    open-stream     hands over the read end of a pipe
    stream          writes the archive into it, while the agent reads; its answer says whether it is whole
    pack            writes the archive into a hidden file, and gives it its name
    unpack          unpacks into a hidden folder, and puts that in place
    skipped         what the last job has left out: as links, each from a code to a path

Decompressors are imported before it is confined: afterwards it can read nothing but the customer's folder.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys

from zlh_agent.files import files_wire as wire
from zlh_agent.files.child import FileServer, serve_as
from zlh_agent.files.model import LINK, OVERWRITES, Answer, Entry
from zlh_agent.files.opening import Held, open_below
from zlh_agent.files.refusals import (
    IS_A_FOLDER,
    IS_A_LINK,
    IS_THE_ROOT,
    NOT_A_REGULAR_FILE,
    OF_OTHER,
    PATH_INVALID,
    Refused,
)
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.rules import split_path
from zlh_agent.files.unfinished import drop_name, sync_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zlh_agent.archives.telling import Tally
    from zlh_agent.files.model import Request

# As much as everybody may have; the kernel gives less where a user has many.
PIPE_BYTES = 1024 * 1024
_MAX_TOLD_BYTES = 1000


def main(arguments: Sequence[str]) -> None:
    """Serve; the argument is where the libraries lie that are not the standard's."""
    sys.path.extend(arguments)
    from zlh_agent.archives import packing, telling, unpacking  # noqa: F401, PLC0415 - the path had to come first

    serve_as(ArchiveServer)


class ArchiveServer(FileServer):
    """Does what requests say below one root, archives included."""

    _chosen: tuple[bytes, ...] = ()
    _left_out: tuple[bytes, ...] = ()
    _pipe: int | None = None
    _last: Tally | None = None

    def _do(self, request: Request) -> tuple[Answer, int | None]:
        work = {"stream": self._stream, "pack": self._pack, "unpack": self._unpack}.get(request.call)
        if work is not None:
            return self._job(lambda tally: work(request, tally)), None
        match request.call:
            case "choose":
                self._chosen += tuple(request.other.split(b"\0"))
                return Answer(wire.DONE), None
            case "leave-out":
                self._left_out += tuple(request.other.split(b"\0"))
                return Answer(wire.DONE), None
            case "open-stream":
                outlet, self._pipe = os.pipe2(os.O_CLOEXEC)
                return Answer(wire.OPENED), outlet
            case "skipped":
                return self._tell_skipped(), None
            case _:
                return super()._do(request)

    def _job(self, work: Callable[[Tally], None]) -> Answer:
        from zlh_agent.archives.telling import Tally  # noqa: PLC0415

        tally = self._last = Tally(lambda amount: self._answer(Answer(wire.PROGRESS, amount=amount), None))
        work(tally)
        return Answer(wire.DONE, amount=tally.amount)

    def _stream(self, request: Request, tally: Tally) -> None:
        if self._pipe is None:
            raise wire.WireError("there is no pipe")
        pipe, self._pipe = self._pipe, None
        try:
            os.set_blocking(pipe, False)
            _widen(pipe)
            self._put_into(request, lambda data: _write_patiently(pipe, data, tally), tally, but=None)
        finally:
            os.close(pipe)

    def _pack(self, request: Request, tally: Tally) -> None:
        folder, (partial, name) = self._pair(request.path, request.other)
        with Held(folder):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            fd = open_below(folder, [partial], flags, mode=0o644)
            try:
                with Held(fd):
                    status = os.fstat(fd)
                    self._put_into(
                        request, lambda data: _write_all(fd, data), tally, but=(status.st_dev, status.st_ino)
                    )
                    os.fsync(fd)
                _rename(folder, partial, name, replace=request.flag)
            except BaseException:
                drop_name(folder, partial)
                raise
            sync_folder(folder)

    def _put_into(
        self, request: Request, write: Callable[[bytes], None], tally: Tally, *, but: tuple[int, int] | None
    ) -> None:
        from zlh_agent.archives.packing import Packer, make_sink  # noqa: PLC0415
        from zlh_agent.archives.rules import FORMATS, plan_names  # noqa: PLC0415

        chosen, self._chosen = self._chosen, ()
        without = {b"/".join(split_path(path) or []) for path in self._left_out}
        self._left_out = ()
        plan = plan_names(chosen)
        if plan is None or not 0 <= request.number < len(FORMATS):
            raise Refused(PATH_INVALID, next((path for path in chosen if plan_names([path]) is None), b""))
        base = self._root.open_folder(b"")
        with Held(base):
            sink = make_sink(FORMATS[request.number], write)
            packer = Packer(base, sink, tally, but=but, without=without)
            for parts, shared in plan:
                packer.add_tree(parts, shared)
            sink.finish()

    def _unpack(self, request: Request, tally: Tally) -> None:
        from zlh_agent.archives.unpacking import unpack  # noqa: PLC0415

        to, staging = request.other.split(b"\0")
        source, _ = self._root.open_to_read(request.path)
        # What is in the way beside the archive itself is at the place for it.
        with Held(source), OF_OTHER:
            folder, (hidden, name) = self._pair(staging, to)
            with Held(folder):
                unpack(source, folder, hidden, name, tally, overwrite=OVERWRITES[request.number])
                sync_folder(folder)

    def _pair(self, hidden: bytes, name: bytes) -> tuple[int, tuple[bytes, bytes]]:
        """Return the open folder that both paths are in, and their last names."""
        one, other = split_path(hidden), split_path(name)
        if not one or not other or one[:-1] != other[:-1] or b".." in (one[-1], other[-1]) or one == other:
            raise Refused(IS_THE_ROOT if other == [] else PATH_INVALID)
        return self._root.open_folder(b"/".join(one[:-1])), (one[-1], other[-1])

    def _tell_skipped(self) -> Answer:
        told = [] if self._last is None else self._last.skipped
        entries = [
            Entry(
                name=code,
                kind=LINK,
                size=0 if self._last is None else self._last.skipped_count,
                mode=0,
                modified_ns=0,
                changed_ns=0,
                inode=0,
                target=wire.decode_name(path[-_MAX_TOLD_BYTES:]),
            )
            for code, path in told
        ]
        return Answer(wire.ENTRIES, entries=entries)


def _widen(pipe: int) -> None:
    try:  # noqa: SIM105 - contextlib would cost the child 3 ms
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # it is faster, and not needed


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _write_patiently(pipe: int, data: bytes, tally: Tally) -> None:
    """Write into a pipe whose reader takes its time, and say meanwhile that it still goes on."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(pipe, rest) :]
        except BlockingIOError:
            select.select([], [pipe], [], 0.5)
        tally.note()


def _rename(folder: int, old: bytes, new: bytes, *, replace: bool) -> None:
    if not replace:
        rename_to_free(folder, old, folder, new)
        return
    try:
        status = os.stat(new, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(status.st_mode):
            codes = {stat.S_IFDIR: IS_A_FOLDER, stat.S_IFLNK: IS_A_LINK}
            raise Refused(codes.get(stat.S_IFMT(status.st_mode), NOT_A_REGULAR_FILE))
    os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
