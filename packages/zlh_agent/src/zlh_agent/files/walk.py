"""Going through a tree: a folder before what is in it, names in the order of their code points, links as they are.

Other file systems that are mounted inside are not entered, and no link is followed, whatever a customer swaps
meanwhile: each folder is opened below the first one. What vanishes is left out without a word.
"""

from __future__ import annotations

import os
import stat

from zlh_agent.files.descent import VANISHED, Descent
from zlh_agent.files.listing import first_names
from zlh_agent.files.opening import FILE_FLAGS, FOLDER_FLAGS, INSIDE, open_below
from zlh_agent.files.refusals import Refused, refusal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ENTERED, LEFT, FOUND, SHUT = "entered", "left", "found", "shut"
# Names of one folder that are held; of one with more the next are looked for when these are done.
_BATCH = 10_000


class Step:
    """What comes next: a folder ENTERED (`fd` is open on it) or LEFT, something else FOUND in `fd`, or SHUT.

    `fd` is open until the next step. SHUT has the code of why it cannot be looked at.
    """

    __slots__ = ("code", "depth", "fd", "kind", "name", "status")

    def __init__(
        self, kind: str, depth: int, name: bytes, *, fd: int = -1, status: os.stat_result | None = None, code: str = ""
    ) -> None:
        self.kind = kind
        # Of the folder, or of the folder that it was found in; the first one has 0.
        self.depth = depth
        self.name = name
        self.fd = fd
        self.status = status
        self.code = code


class Walk:
    """Below an open folder, which its opener closes; whoever walks calls `close` in any case."""

    def __init__(self, base: int) -> None:
        self._way = Descent(base, enter)
        self._levels = [_Level()]
        self._base = base

    @property
    def path(self) -> list[bytes]:
        """Return the names that lead to the folder in hand."""
        return self._way.path

    def where(self, name: bytes = b"") -> bytes:
        """Return the path of a name in the folder in hand, or of that folder."""
        return b"/".join([*self._way.path, name] if name else self._way.path)

    def close(self) -> None:
        """Let go of all folders."""
        self._way.close()

    def skip_folder(self) -> None:
        """Look no further into the folder that was entered last."""
        self._levels[-1].end()

    def steps(self) -> Iterator[Step]:
        """Go through all of it. What is entered is left, even where it has gone meanwhile."""
        yield Step(ENTERED, 0, b"", fd=self._base, status=os.fstat(self._base))
        while self._levels:
            depth = len(self._levels) - 1
            name, shut = self._next_name(depth)
            if shut:
                yield Step(SHUT, depth, b"", code=shut)
            if name is not None:
                yield from self._look_at(depth, name)
                continue
            yield Step(LEFT, depth, self._way.path[-1] if depth else b"")
            self._levels.pop()
            if depth:
                self._way.go_up()

    def _next_name(self, depth: int) -> tuple[bytes | None, str]:
        """Return the next name of the folder in hand, None at its end, and why it cannot be told any more."""
        level = self._levels[-1]
        if not level.names and level.has_more:
            fd, shut = self._try_folder(depth)
            if fd is None or shut:
                level.end()
                return None, shut
            try:
                level.fill(fd)
            except OSError as exc:
                level.end()
                return None, refusal_of(exc).code
        return (os.fsencode(level.names.pop()), "") if level.names else (None, "")

    def _try_folder(self, depth: int) -> tuple[int | None, str]:
        try:
            return self._way.folder(depth), ""
        except (OSError, Refused) as exc:
            return None, code_of(exc)

    def _look_at(self, depth: int, name: bytes) -> Iterator[Step]:
        fd, shut = self._try_folder(depth)
        if fd is None:
            self._levels[-1].end()
            if shut:
                yield Step(SHUT, depth, name, code=shut)
            return
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in VANISHED:
                yield Step(SHUT, depth, name, code=refusal_of(exc).code)
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._go_down(depth, name)
        else:
            yield Step(FOUND, depth, name, fd=fd, status=status)

    def _go_down(self, depth: int, name: bytes) -> Iterator[Step]:
        self._way.go_down(name)
        fd, shut = self._try_folder(depth + 1)
        if fd is None:
            self._way.go_up()
            if shut:
                yield Step(SHUT, depth, name, code=shut)
            return
        self._levels.append(_Level())
        yield Step(ENTERED, depth + 1, name, fd=fd, status=os.fstat(fd))


class _Level:
    """The names of one folder that are still to come, the next one last."""

    __slots__ = ("_last", "has_more", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.has_more = True
        self._last = ""

    def fill(self, fd: int) -> None:
        found = first_names(fd, self._last, _BATCH)
        self.has_more = len(found) == _BATCH
        if found:
            self._last = found[-1]
        self.names = found[::-1]

    def end(self) -> None:
        self.names = []
        self.has_more = False


def enter(start: int, parts: list[bytes]) -> int:
    """Open a folder below another, through no link and on no other file system."""
    return open_below(start, parts, FOLDER_FLAGS, resolve=INSIDE)


def code_of(error: OSError | Refused) -> str:
    """Return the code of why something was not done."""
    return error.code if isinstance(error, Refused) else refusal_of(error).code


def open_found(step: Step) -> int:
    """Return a descriptor of a regular file that was found; raises OSError or Refused where it is another by now."""
    return open_below(step.fd, [step.name], os.O_RDONLY | FILE_FLAGS, resolve=INSIDE)
