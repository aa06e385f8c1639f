"""The folders on the way down a tree, deeper than a path may be long and than one may hold folders open.

A few are open; each of the others is opened again from the first, by its path and through no link. None is ever
reached by `..`, which leads wherever somebody has moved us.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_OPEN = 32
VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Descent:
    """`path` leads from an open folder, at depth 0, down; `enter(folder, parts)` opens what lies below a folder."""

    def __init__(self, base: int, enter: Callable[[int, list[bytes]], int]) -> None:
        self.path: list[bytes] = []
        self._base = base
        self._enter = enter
        # Folders that are open, by their depth: the first and the last few.
        self._open: dict[int, int] = {}

    def close(self) -> None:
        """Let go of all folders but the one that it began with."""
        while self._open:
            os.close(self._open.popitem()[1])

    def go_down(self, name: bytes) -> None:
        """Make the path longer; nothing is opened yet."""
        self.path.append(name)

    def go_up(self) -> bytes:
        """Leave the last folder of the path; return its name."""
        self.let_go(len(self.path))
        return self.path.pop()

    def let_go(self, depth: int) -> None:
        """Have a folder opened anew when it is needed again."""
        if depth in self._open:
            os.close(self._open.pop(depth))

    def folder(self, depth: int) -> int | None:
        """Return the open folder at this depth of the path; None where it has gone."""
        if depth == 0:
            return self._base
        if depth in self._open:
            return self._open[depth]
        nearest = max((held for held in self._open if held < depth), default=0)
        try:
            # The ones above are opened too: they are needed next, and the way down is long.
            for at in range(max(nearest + 1, depth - _MAX_OPEN + 2), depth + 1):
                start = self._base if nearest == 0 else self._open[nearest]
                self._open[at] = self._enter(start, self.path[nearest:at])
                nearest = at
        except OSError as exc:
            if exc.errno in VANISHED:
                return None
            raise
        self._close_some(depth)
        return self._open[depth]

    def _close_some(self, depth: int) -> None:
        for held in sorted(self._open):
            if len(self._open) <= _MAX_OPEN:
                break
            if held not in {1, depth}:
                os.close(self._open.pop(held))
