"""Puts a tree that is whole in its place: by one rename where that is free, else file by file, each whole.

Before the first file is moved all of it is held against what is there. A folder meets a folder, a file may replace a
file or a link; everything else is a conflict, and a link is never gone through.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.model import ALL_OR_NOTHING, REPLACE_PRESENT, SKIP_PRESENT
from zlh_agent.files.opening import FOLDER_FLAGS, FOLDER_ITSELF, INSIDE, Held, open_below
from zlh_agent.files.refusals import FILE_EXISTS, IS_A_FOLDER, NOT_A_FOLDER, PATH_BUSY, Refused
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.tree_removal import remove_tree
from zlh_agent.files.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zlh_agent.archives.telling import Tally

Move = tuple[list[bytes], bytes, str]


def put_in_place(folder: int, hidden: bytes, name: bytes, tally: Tally, *, overwrite: str) -> None:
    """Put what is in `hidden` to `name`, both in an open folder; raise Refused where something is in the way."""
    try:
        rename_to_free(folder, hidden, folder, name)
    except FileExistsError:
        pass
    else:
        return
    try:
        new = open_below(folder, [name], FOLDER_ITSELF, resolve=INSIDE)
    except OSError as exc:
        if exc.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise Refused(NOT_A_FOLDER) from exc
        raise
    with Held(new), Held(open_below(folder, [hidden], FOLDER_ITSELF, resolve=INSIDE)) as old:
        for _ in _moves(old, new, tally, overwrite):
            pass  # only looked at: a conflict anywhere is refused before anything is moved
        for parts, part, found in _moves(old, new, tally, overwrite, told=tally.skip):
            _move(old, new, parts, part, found)
            tally.note()
    remove_tree(folder, hidden, Work(lambda _amount: tally.note()))


def _moves(
    old: int, new: int, tally: Tally, overwrite: str, *, told: Callable[[str, bytes], None] | None = None
) -> Iterator[Move]:
    """Yield what is to be moved: the folder that it is in, its name, and what stands there."""
    waiting: list[list[bytes]] = [[]]
    while waiting:
        parts = waiting.pop()
        with Held(open_below(old, parts, FOLDER_FLAGS, resolve=INSIDE)) as mine:
            names = sorted(os.fsencode(name) for name in os.listdir(mine))  # noqa: PTH208 - no pathlib here
            theirs = open_below(new, parts, FOLDER_ITSELF, resolve=INSIDE)
            with Held(theirs):
                for name in names:
                    tally.note()
                    found = _compare(mine, theirs, name, [*parts, name], overwrite)
                    if found == "merge":
                        waiting.append([*parts, name])
                    elif found == "skip":
                        if told is not None:
                            told(FILE_EXISTS, b"/".join([*parts, name]))
                    else:
                        yield parts, name, found


def _compare(mine: int, theirs: int, name: bytes, parts: list[bytes], overwrite: str) -> str:
    """Return what becomes of one name: `free`, `merge`, `skip` or `replace`; raise Refused for a conflict."""
    try:
        there = os.stat(name, dir_fd=theirs, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return "free"
    is_folder = stat.S_ISDIR(os.stat(name, dir_fd=mine, follow_symlinks=False).st_mode)
    if is_folder and stat.S_ISDIR(there):
        return "merge"
    where = b"/".join(parts)
    if is_folder:
        raise Refused(NOT_A_FOLDER if overwrite == REPLACE_PRESENT else FILE_EXISTS, where)
    if overwrite == ALL_OR_NOTHING:
        raise Refused(FILE_EXISTS, where)
    if overwrite == SKIP_PRESENT:
        return "skip"
    if stat.S_ISDIR(there):
        raise Refused(IS_A_FOLDER, where)
    return "replace"


def _move(old: int, new: int, parts: list[bytes], name: bytes, found: str) -> None:
    with (
        Held(open_below(old, parts, FOLDER_ITSELF, resolve=INSIDE)) as source,
        Held(open_below(new, parts, FOLDER_ITSELF, resolve=INSIDE)) as target,
    ):
        try:
            if found == "free":
                rename_to_free(source, name, target, name)
            else:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except (FileExistsError, IsADirectoryError) as exc:
            # Somebody has put something there since it was looked at.
            raise Refused(PATH_BUSY, b"/".join([*parts, name])) from exc
