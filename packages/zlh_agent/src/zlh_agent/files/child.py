"""The child that touches a customer's files: confined to one folder as the customer's user, before it reads a request.

It answers one request after the other on the socket that is its standard input, and ends when that is closed. It holds
one descriptor for long, the root's, and at most one file that is being written.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

from zlh_agent.files import files_wire as wire
from zlh_agent.files.beneath import Root
from zlh_agent.files.entries import entry_of
from zlh_agent.files.model import HASHING, ROOT_STEP, Amount, Answer, Request
from zlh_agent.files.page_rules import parse_asked
from zlh_agent.files.partials import Placing
from zlh_agent.files.refusals import FILES_LIMIT, Refused, refusal_of
from zlh_agent.files.searching import Sought
from zlh_agent.files.work import Work
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import parse_confinement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zlh_agent.files.unfinished import Unfinished

PROGRESS_INTERVAL_S = 0.5
_DONE = Answer(wire.DONE)


def main(_arguments: Sequence[str] = ()) -> None:
    """Serve what every child of files does."""
    serve_as(FileServer)


def serve_as(make: Callable[[_socket.socket, Root], FileServer]) -> None:
    """Confine this process as its first message says, tell whether that worked, and serve what `make` can do."""
    sock = _socket.socket(fileno=0)
    parent, path, line, loads = wire.parse_order(sock.recv(wire.MAX_MESSAGE_BYTES))
    if loads == HASHING:
        import hashlib  # noqa: F401, PLC0415 - now: it is out of reach once this process is confined
    try:
        confined = enter(parse_confinement(line), parent=parent)
        root = _open_root(path)
    except NotConfined as exc:
        sock.send(wire.render_unready(step=exc.step, reason=exc.reason))
        return
    sock.send(wire.render_ready(landlock_abi=confined.landlock_abi))
    make(sock, root).serve()


def _open_root(path: str) -> Root:
    try:
        root = Root(path)
    except OSError as exc:
        raise NotConfined(ROOT_STEP, exc.strerror or str(exc)) from exc
    if not root.is_safe:
        raise NotConfined("openat2", "the kernel does not have it, or a filter hides it")
    return root


class FileServer:
    """Does what requests say below one root."""

    def __init__(self, sock: _socket.socket, root: Root) -> None:
        self._sock = sock
        self._root = root
        self._unfinished: Unfinished | None = None
        self._shown_at = 0.0

    def serve(self) -> None:
        """Answer requests until the agent closes its end."""
        while message := self._sock.recv(wire.MAX_MESSAGE_BYTES):
            request = wire.parse_request(message)
            self._shown_at = time.monotonic()
            fd: int | None = None
            try:
                answer, fd = self._do(request)
            except Refused as refused:
                answer = _refusal(refused)
            except OSError as exc:
                answer = _refusal(refusal_of(exc))
            except MemoryError:
                answer = _refusal(Refused(FILES_LIMIT))
            self._answer(answer, fd)

    def _do(self, request: Request) -> tuple[Answer, int | None]:
        """Return the answer, and a descriptor that goes with it."""
        match request.call:
            case "read":
                fd, entry = self._root.open_to_read(request.path)
                return Answer(wire.OPENED, entries=[entry]), fd
            case "append":
                fd = self._root.open_to_append(request.path, offset=request.number)
                return Answer(wire.OPENED), fd
            case "begin":
                return Answer(wire.OPENED), os.dup(self._begin(request).fd)
            case _:
                return self._answer_to(request), None

    def _answer_to(self, request: Request) -> Answer:
        match request.call:
            case "finish":
                return Answer(wire.ENTRIES, entries=[entry_of(b"", self._finish())])
            case "place":
                return self._put_in_place(request)
            case "stat" | "list" | "room":
                return self._look(request)
            case "remove-tree" | "copy" | "copy-tree" | "measure" | "checksum" | "search":
                return self._work(request, Work(self._tell))
            case _:
                self._change(request)
                return _DONE

    def _look(self, request: Request) -> Answer:
        match request.call:
            case "stat":
                return Answer(wire.ENTRIES, entries=[self._root.stat(request.path, follow=request.flag)])
            case "list":
                order, after = parse_asked(request.more)
                entries, has_more = self._root.list_folder(request.path, order=order, after=after, limit=request.number)
                return Answer(wire.ENTRIES, entries=entries, has_more=has_more)
            case _:
                numbers = ("" if number is None else str(number) for number in self._root.room())
                return Answer(wire.TOLD, words=[number.encode() for number in numbers])

    def _work(self, request: Request, work: Work) -> Answer:
        """Do what may take long, and say how much was done."""
        root, path, other = self._root, request.path, request.other
        words: list[bytes] = []
        match request.call:
            case "remove-tree":
                root.remove_tree(path, work=work)
            case "copy":
                root.copy(path, other, replace=request.flag, work=work)
            case "copy-tree":
                overwrite, staging = request.more
                root.copy_tree(path, other, staging=staging, overwrite=overwrite.decode(), work=work)
            case "measure":
                root.measure(path, work=work)
            case "checksum":
                words.append(root.checksum(path, work=work).encode())
            case _:
                words.append(self._search(request, work))
        amount = work.amount
        return Answer(wire.DONE, amount=amount, skipped=work.skipped, skipped_count=work.skipped_count, words=words)

    def _search(self, request: Request, work: Work) -> bytes:
        name, text = (word.decode("utf-8", "surrogateescape") for word in request.more)
        sought = Sought(name=name, text=text, match_case=request.flag, limit=request.number)
        return self._root.search(request.path, sought, tell=self._tell_found, work=work).encode()

    def _put_in_place(self, request: Request) -> Answer:
        """Answer with what stands there now, and what had stood there where there was something."""
        expected, mode, modified_ns = (word.decode() for word in request.more)
        placing = Placing(
            size=request.number,
            replace=request.flag,
            expected=expected or None,
            mode=int(mode) if mode else None,
            modified_ns=int(modified_ns) if modified_ns else None,
        )
        entry, before = self._root.put_in_place(request.path, request.other, placing)
        return Answer(wire.ENTRIES, entries=[entry] if before is None else [entry, before])

    def _change(self, request: Request) -> None:
        root, path, other = self._root, request.path, request.other
        match request.call:
            case "check":
                root.require_current()
            case "abandon":
                self._let_go()
            case "make-partial":
                root.make_partial(path, parents=request.flag)
            case "make-folder":
                root.make_folder(path, parents=request.flag)
            case "make-link":
                root.make_link(path, other)
            case "move":
                root.move(path, other, how=request.number)
            case "remove":
                root.remove(path)
            case "remove-if-there":
                root.remove_if_there(path)
            case "change-mode":
                root.change_mode(path, request.number)
            case "set-times":
                root.set_times(path, modified_ns=request.number)
            case _:
                raise wire.WireError(f"{request.call} is no call")

    def _begin(self, request: Request) -> Unfinished:
        self._let_go()
        self._unfinished = self._root.begin_file(
            request.path, replace=request.flag, expected=request.other.decode() or None
        )
        return self._unfinished

    def _finish(self) -> os.stat_result:
        if self._unfinished is None:
            raise wire.WireError("there is nothing to finish")
        try:
            return self._unfinished.finish()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._unfinished is not None:
            self._unfinished.close()
            self._unfinished = None

    def _tell(self, amount: Amount) -> None:
        """Say now and then how much is done."""
        if time.monotonic() - self._shown_at > PROGRESS_INTERVAL_S:
            self._shown_at = time.monotonic()
            self._answer(Answer(wire.PROGRESS, amount=amount), None)

    def _tell_found(self, answer: Answer) -> None:
        self._answer(answer, None)

    def _answer(self, answer: Answer, fd: int | None) -> None:
        rights = [] if fd is None else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", fd))]
        try:
            self._sock.sendmsg([wire.render_answer(answer)], rights)
        finally:
            if fd is not None:
                os.close(fd)


def _refusal(refused: Refused) -> Answer:
    return Answer(wire.REFUSED, code=refused.code, where=refused.where, of_other=refused.of_other)
