"""The agent's end of one file child: started, asked, and ended at the first thing that it should not say.

The child has the customer's user, so it is treated as the customer's: its answers are bounded in size, number and
time, and a descriptor that it hands over is looked at before anybody uses it. Nothing here waits without a limit, and
nothing blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from zlh_agent.files import files_wire as wire
from zlh_agent.files.descriptors import RIGHTS_BYTES, check_descriptor, close_all, parse_descriptors
from zlh_agent.files.model import ROOT_STEP, Amount, Answer, Request
from zlh_agent.sandbox.confinement import Confinement, render_confinement
from zlh_agent.sandbox.launch import bare_child
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import FileRefused, FilesNotSafe, FilesUnavailable

log = structlog.get_logger()
START_TIMEOUT_S = 10.0
# Without a word for so long, it hangs or is stopped.
SILENCE_S = 20.0
# One that was idle has nothing else to do.
CHECK_SILENCE_S = 2.0
# The disk may take its time for what was written.
SYNC_SILENCE_S = 300.0
# Work that goes on for so long is given up; what is done is done.
LONGEST_S = 24 * 3600.0
# A child that works says so twice a second.
_MAX_PROGRESS_PER_S = 5
_PROGRESS_ALLOWANCE = 100
_SEND_BUFFER_BYTES = 2 * wire.MAX_MESSAGE_BYTES
_END_TIMEOUT_S = 5.0
_OPEN_FILES = 128
_ADDRESS_SPACE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FilePlace:
    """The folder whose files are worked on, and who does it: (uid, gid, further groups), None is the agent's user."""

    root: str
    user: tuple[int, int, tuple[int, ...]] | None

    @property
    def confinement(self) -> Confinement:
        """What a child of this place is confined to: nothing but the folder."""
        return Confinement(
            user=self.user,
            writable=[self.root],
            open_files=_OPEN_FILES,
            processes=0,
            address_space_bytes=_ADDRESS_SPACE_BYTES,
        )


@dataclass(frozen=True, slots=True)
class _Ears:
    """Who hears what is said before the answer."""

    on_progress: Callable[[Amount], None] | None = None
    on_found: Callable[[Answer], None] | None = None

    def hear(self, answer: Answer) -> None:
        if answer.kind == wire.FOUND:
            if self.on_found is None:
                raise wire.WireError("has found what nobody looks for")
            self.on_found(answer)
        elif self.on_progress is not None:
            self.on_progress(answer.amount)


class FileLink:
    """One live child. Whoever started it ends it by `end`; calls come one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket, place: FilePlace, loads: str) -> None:
        self.place = place
        self.loads = loads
        self._process = process
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._in_call = False
        # 0 where the kernel has no Landlock: the user and `openat2` are then all that holds it.
        self.landlock_abi = 0

    @classmethod
    async def start(cls, place: FilePlace, *, command: list[str] | None = None, loads: str = "") -> FileLink:
        """Start a child and hear that it is confined; raise FilesNotSafe or FilesUnavailable.

        `loads` is what it shall be able to do beside the rest: HASHING, or nothing. `command` is another
        program in its place: one that can do more, or in tests a hostile one.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link: FileLink | None = None
        try:
            ours.setblocking(False)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            process = await asyncio.create_subprocess_exec(
                *(command or bare_child("zlh_agent.files.child", "zlh-files")),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
            )
            theirs.close()
            link = cls(process, ours, place, loads)
            await link._greet()
        except BaseException as exc:
            theirs.close()
            ours.close()
            if link is not None:
                await link.end()
            if isinstance(exc, OSError):
                raise FilesUnavailable(reason=f"no child can be started ({exc.strerror or exc})") from exc
            raise
        return link

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Tell whether another call may be made: it lives, and has said nothing that it was not asked."""
        if self._in_call or self._process.returncode is not None or self._sock.fileno() < 0:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def is_current(self) -> bool:
        """Tell whether it answers, and the folder that it works in is still the one at its path."""
        if not self.is_usable:
            return False
        try:
            await self.call(Request("check", b""), silence_s=CHECK_SILENCE_S)
        except (FileRefused, FilesUnavailable):
            return False
        return True

    async def call(
        self,
        request: Request,
        *,
        silence_s: float = SILENCE_S,
        longest_s: float | None = LONGEST_S,
        on_progress: Callable[[Amount], None] | None = None,
        on_found: Callable[[Answer], None] | None = None,
    ) -> Answer:
        """Return the answer to a request that brings no descriptor; raise FileRefused or FilesUnavailable.

        `on_progress` hears now and then how much is done, `on_found` what a search finds; it raises WireError where
        that is too much. After FilesUnavailable, and after a cancelled call, the child is of no use any more.
        """
        answer, fds = await self._exchange(request, silence_s, _Ears(on_progress, on_found), longest_s)
        close_all(fds)
        if fds or answer.kind == wire.OPENED:
            raise self.distrust("handed over what nobody had asked for")
        return answer

    async def open(
        self, request: Request, *, access: int, is_kind: Callable[[int], bool] = stat.S_ISREG
    ) -> tuple[int, Answer]:
        """Return a descriptor of a regular file, or what `is_kind` wants by its mode, and the answer with it.

        It is open for `access` (O_RDONLY or O_WRONLY), and the caller closes it. What is read from it or written to it
        may take its time: do so in a thread.
        """
        answer, fds = await self._exchange(request, SILENCE_S)
        if answer.kind != wire.OPENED or len(fds) != 1:
            close_all(fds)
            raise self.distrust("handed over no descriptor, or several")
        try:
            check_descriptor(fds[0], access, is_kind)
        except ValueError as exc:
            close_all(fds)
            raise self.distrust(str(exc)) from exc
        return fds[0], answer

    async def end(self) -> None:
        """Kill the child, and return once it is gone."""
        self._sock.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            # The kernel holds it in a call to a disk that does not answer; it ends when that does.
            log.warning("files.child_stays", pid=self._process.pid)

    def refusal(self, request: Request, answer: Answer) -> ZlhError:
        """Return the error for a call that was refused; children that can do more have words of their own."""
        path = request.other if answer.of_other else request.path
        return FileRefused(answer.code, path=wire.decode_name(path), where=wire.decode_name(answer.where))

    async def _greet(self) -> None:
        confinement = render_confinement(self.place.confinement)
        order = wire.render_order(parent=os.getpid(), root=self.place.root, confinement=confinement, loads=self.loads)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._loop.sock_sendall(self._sock, order)
                message, fds = await self._receive()
            close_all(fds)
            ready = wire.parse_ready(message)
        except (OSError, TimeoutError, wire.WireError) as exc:
            raise FilesUnavailable(reason=f"the child did not start ({str(exc) or 'in time'})") from exc
        if isinstance(ready, tuple):
            step, reason = ready
            if step == ROOT_STEP:
                raise FilesUnavailable(reason=f"their folder cannot be opened ({reason})")
            raise FilesNotSafe(step=step, reason=reason)
        self.landlock_abi = ready

    async def _exchange(
        self, request: Request, silence_s: float, ears: _Ears | None = None, longest_s: float | None = LONGEST_S
    ) -> tuple[Answer, list[int]]:
        if self._in_call:
            raise FilesUnavailable(reason="the call before was not answered")
        self._in_call = True
        try:
            async with asyncio.timeout(longest_s):
                await self._loop.sock_sendall(self._sock, wire.render_request(request))
                answer, fds = await self._wait_for_answer(silence_s, ears or _Ears())
        except TimeoutError as exc:
            raise self.distrust("does not answer in time") from exc
        except (OSError, wire.WireError) as exc:
            raise self.distrust(str(exc)) from exc
        self._in_call = False
        if answer.kind == wire.REFUSED:
            close_all(fds)
            raise self.refusal(request, answer)
        return answer, fds

    async def _wait_for_answer(self, silence_s: float, ears: _Ears) -> tuple[Answer, list[int]]:
        began = self._loop.time()
        shown = 0
        while True:
            async with asyncio.timeout(silence_s):
                message, fds = await self._receive()
            try:
                answer = wire.parse_answer(message)
                if answer.kind not in {wire.PROGRESS, wire.FOUND}:
                    return answer, fds
                shown += answer.kind == wire.PROGRESS
                if fds or shown > _PROGRESS_ALLOWANCE + _MAX_PROGRESS_PER_S * (self._loop.time() - began):
                    raise wire.WireError("says too much")  # noqa: TRY301 - one way out for all that it says
                ears.hear(answer)
            except wire.WireError:
                close_all(fds)
                raise

    async def _receive(self) -> tuple[bytes, list[int]]:
        """Return the next message and the descriptors with it; raise WireError at the end, or where it is too large."""
        while True:
            try:
                flags = socket.MSG_CMSG_CLOEXEC
                message, ancillary, told, _ = self._sock.recvmsg(wire.MAX_MESSAGE_BYTES, RIGHTS_BYTES, flags)
            except BlockingIOError:
                await self._wait_readable()
                continue
            fds = parse_descriptors(ancillary)
            if not message or told & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                close_all(fds)
                raise wire.WireError("has ended" if not message else "said more than it may")
            return message, fds

    async def _wait_readable(self) -> None:
        readable = asyncio.Event()
        self._loop.add_reader(self._sock, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(self._sock)

    def distrust(self, reason: str) -> FilesUnavailable:
        """Make no further call to this child; return the error that says so."""
        self._in_call = True
        log.warning("files.child_given_up", pid=self._process.pid, reason=reason)
        return FilesUnavailable(reason=f"the child {reason}")
