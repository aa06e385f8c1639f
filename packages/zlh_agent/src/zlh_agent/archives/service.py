"""Archives of a container's files for the rest of the agent: made and unpacked by a child for each, which ends then."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from zlh_agent.archives.rules import FORMATS, LONGEST_S, render_reason
from zlh_agent.files.calls import encode_path
from zlh_agent.files.files_wire import decode_name
from zlh_agent.files.link import SYNC_SILENCE_S, FileLink
from zlh_agent.files.model import OVERWRITES, Amount, Answer, Request
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.told import Outcome, Skipped
from zlh_agent.sandbox.launch import bare_child
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import ArchiveRefused, FileRefused, FilesBusy, show_path
from zlh_common.schema.files import ArchiveFormat, Overwrite

MAX_CHILDREN = 4
WAIT_FOR_CHILD_S = 10.0
# Paths go to the child in messages, each of so many bytes at most.
_MESSAGE_BYTES = 96 * 1024
OnProgress = Callable[[Amount], None]
OnSkipped = Callable[[Sequence[Skipped], int], None]


class ArchiveLink(FileLink):
    """A child that knows archives, and has reasons of its own."""

    def refusal(self, request: Request, answer: Answer) -> ZlhError:
        """Return what is wrong with the archive, or what is in the way of the rest."""
        code, where = answer.code, decode_name(answer.where)
        reason = render_reason(code, show_path(where) if where else "")
        if reason is not None:
            return ArchiveRefused(path=decode_name(request.path), reason=reason)
        if request.call == "unpack" and answer.of_other:
            return FileRefused(code, path=decode_name(request.other.partition(b"\0")[0]), where=where)
        if request.call in {"pack", "stream"} and where:
            return FileRefused(code, path=where)
        path = request.other if request.call == "pack" else request.path
        return FileRefused(code, path=decode_name(path), where=where)


class Archives:
    """Makes and unpacks archives below the roots. Paths and names are as Python holds them, relative to the root.

    Every call raises FileRefused or ArchiveRefused where the answer is no, FilesUnavailable, FilesNotSafe or FilesBusy
    where there is none. A call that is cancelled kills its child; what it had begun stays at the hidden name that the
    caller has given, for the caller to remove.
    """

    def __init__(self, roots: Roots, *, limit: int = MAX_CHILDREN) -> None:
        self._roots = roots
        self._limit = limit
        self._seats = asyncio.Semaphore(limit)
        # A stream takes as long as its reader does, who may only read: nobody is kept by it from packing or unpacking.
        self._stream_seats = asyncio.Semaphore(limit)

    @asynccontextmanager
    async def streaming(
        self,
        root: OfferedRoot,
        paths: Sequence[str],
        form: ArchiveFormat,
        *,
        without: Sequence[str] = (),
        on_skipped: OnSkipped | None = None,
    ) -> AsyncIterator[int]:
        """Lend the read end of a pipe, to be read in a thread until its end; then the block ends, well or by an error.

        Only a block that ends well has read a whole archive, so an answer may be ended as whole only after it. A block
        that is left by an error or cancelled kills the child, which ends whoever still reads. The descriptor is
        closed by this block. What is named in `without` is left out, with all that is in it. `on_skipped` hears at the
        end what else had to be left out, the first of it, and how many in all.
        """
        async with self._child(root, self._stream_seats) as link:
            await _choose(link, paths)
            if without:
                await _choose(link, without, call="leave-out")
            request = Request("stream", _encode(paths[0]), number=_number(form))
            fd, _ = await link.open(Request("open-stream", b""), access=os.O_RDONLY, is_kind=stat.S_ISFIFO)
            work = asyncio.create_task(_amount(link, request, None))
            try:
                try:
                    yield fd
                finally:
                    # First of all, so that the child hears of a reader who went before the end.
                    os.close(fd)
                await work
                if on_skipped is not None:
                    on_skipped(*await _skipped(link))
            except BaseException:
                work.cancel()
                with contextlib.suppress(BaseException):
                    await work
                raise

    async def pack(
        self,
        root: OfferedRoot,
        paths: Sequence[str],
        to: str,
        form: ArchiveFormat,
        *,
        partial: str,
        replace: bool,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """Make an archive at `to`; until it is whole and on the disk it lies at `partial`, in the same folder."""
        async with self._child(root, self._seats) as link:
            await _choose(link, paths)
            request = Request("pack", _encode(partial), other=_encode(to), number=_number(form), flag=replace)
            amount = await _amount(link, request, on_progress)
            return Outcome(amount, *await _skipped(link))

    async def unpack(
        self,
        root: OfferedRoot,
        path: str,
        to: str,
        *,
        staging: str,
        overwrite: Overwrite,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """Unpack an archive into the folder `to`; until all of it is there it lies in `staging`, in the same folder.

        Where `to` is new, it is there whole or not at all. Where it is there, files are merged into it, each whole;
        with REFUSE nothing is done where one of them is there already.
        """
        async with self._child(root, self._seats) as link:
            other = _encode(to) + b"\0" + _encode(staging)
            request = Request("unpack", _encode(path), other=other, number=OVERWRITES.index(overwrite.value))
            amount = await _amount(link, request, on_progress)
            return Outcome(amount, *await _skipped(link))

    @asynccontextmanager
    async def _child(self, root: OfferedRoot, seats: asyncio.Semaphore) -> AsyncIterator[FileLink]:
        try:
            async with asyncio.timeout(WAIT_FOR_CHILD_S):
                await seats.acquire()
        except TimeoutError as exc:
            raise FilesBusy(limit=self._limit) from exc
        try:
            link = await ArchiveLink.start(root.place, command=_command())
            try:
                yield link
            finally:
                await link.end()
        finally:
            seats.release()


def _command() -> list[str]:
    found = importlib.util.find_spec("zstandard")
    libraries = [] if found is None or found.origin is None else [str(Path(found.origin).parent.parent)]
    return bare_child("zlh_agent.archives.child", "zlh-archives", *libraries)


async def _choose(link: FileLink, paths: Sequence[str], *, call: str = "choose") -> None:
    """Name what goes into the archive, or what does not, in messages that are not too long."""
    batch: list[bytes] = []
    for path in map(_encode, paths):
        if batch and sum(map(len, batch)) + len(path) > _MESSAGE_BYTES:
            await link.call(Request(call, b"", other=b"\0".join(batch)))
            batch = []
        batch.append(path)
    await link.call(Request(call, b"", other=b"\0".join(batch)))


async def _amount(link: FileLink, request: Request, on_progress: OnProgress | None) -> Amount:
    # A reader may take its time for a stream; how long the rest may take is the child's to watch.
    longest_s = None if request.call in {"stream", "pack"} else LONGEST_S + SYNC_SILENCE_S
    answer = await link.call(request, silence_s=SYNC_SILENCE_S, longest_s=longest_s, on_progress=on_progress)
    return answer.amount


async def _skipped(link: FileLink) -> tuple[tuple[Skipped, ...], int]:
    answer = await link.call(Request("skipped", b""))
    told = tuple(Skipped(entry.target or "", entry.name) for entry in answer.entries)
    return told, max((entry.size for entry in answer.entries), default=0)


def _number(form: ArchiveFormat) -> int:
    return FORMATS.index(form.value)


def _encode(path: str) -> bytes:
    """Return a path for a message that holds several, with a zero byte between them; raise FileRefused."""
    raw = encode_path(path)
    if b"\0" in raw:
        raise FileRefused("path_invalid", path=path)
    return raw
