"""Copying a folder with all that is in it: into one that is new, or into one that is there, which is then merged.

    source ──► Walk ──► for each folder the one of the same path below the target, opened below it and through no link
                        files: content, holes, rights and time        links: the text that they are, wherever it leads
                        pipes, sockets, devices, what may not be read and what another file system holds: told, left out

A folder that is new is filled under a hidden name and renamed when all is in it, so its files are written as such; in
one that is merged each file appears whole. Nothing is waited for until the disk has it but what replaces a file.
"""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.content import copy_content, require_regular
from zlh_agent.files.descent import Descent
from zlh_agent.files.entries import read_link
from zlh_agent.files.model import ALL_OR_NOTHING, REPLACE_PRESENT
from zlh_agent.files.opening import FILE_FLAGS, open_below
from zlh_agent.files.refusals import (
    DISK_FAILED,
    DISK_FULL,
    DISK_READ_ONLY,
    FILE_EXISTS,
    FILE_TOO_LARGE,
    FILES_FAILED,
    FILES_LIMIT,
    INTO_ITSELF,
    IS_A_FOLDER,
    NOT_A_FOLDER,
    NOT_A_REGULAR_FILE,
    PATH_NOT_FOUND,
    Refused,
)
from zlh_agent.files.unfinished import BESIDE, Unfinished, drop_name
from zlh_agent.files.walk import ENTERED, FOUND, LEFT, Walk, code_of, enter, open_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zlh_agent.files.unfinished import Stage
    from zlh_agent.files.walk import Step
    from zlh_agent.files.work import Work

# What is no reason of one file alone: the next one would fare no better.
_ENDS_ALL = {DISK_FULL, DISK_READ_ONLY, DISK_FAILED, FILE_TOO_LARGE, FILES_LIMIT, FILES_FAILED, INTO_ITSELF}


def copy_into(source: int, target: int, *, work: Work) -> None:
    """Copy what is in one open folder into another that is new and has no other user: files are written in place."""
    _run(_TreeCopy(source, target, None, overwrite=ALL_OR_NOTHING, work=work))


def merge_into(source: int, target: int, stage: Stage, *, overwrite: str, work: Work) -> None:
    """Copy what is in one open folder into another, each file whole; the stage is closed.

    Raises Refused(FILE_EXISTS) before anything is done where `overwrite` is to refuse and a file is there.
    """
    try:
        if overwrite == ALL_OR_NOTHING:
            _refuse_collisions(source, target, work)
        _run(_TreeCopy(source, target, stage, overwrite=overwrite, work=work))
    finally:
        stage.close()


def put_link(folder: int, name: bytes, target: bytes, *, overwrite: str, stage: Stage) -> None:
    """Make a link of exactly this text; raise FileExistsError, or where it replaces, put it in the other's place."""
    if overwrite != REPLACE_PRESENT:
        os.symlink(target, name, dir_fd=folder)
        return
    try:
        _replace_by_link(folder, name, target, stage)
    except OSError as exc:
        if exc.errno != errno.EXDEV or stage is BESIDE:
            raise
        _replace_by_link(folder, name, target, BESIDE)


def _replace_by_link(folder: int, name: bytes, target: bytes, stage: Stage) -> None:
    at, temporary = stage.place(folder)
    os.symlink(target, temporary, dir_fd=at)
    try:
        os.rename(temporary, name, src_dir_fd=at, dst_dir_fd=folder)
    except BaseException:
        drop_name(at, temporary)
        raise


def _run(copy: _TreeCopy) -> None:
    try:
        copy.run()
    finally:
        copy.close()


class _TreeCopy:
    def __init__(self, source: int, target: int, stage: Stage | None, *, overwrite: str, work: Work) -> None:
        self._walk = Walk(source)
        self._targets = Descent(target, enter)
        self._end = os.fstat(target)
        # None for a folder that is new.
        self._stage = stage
        self._overwrite = overwrite
        self._work = work
        # Of each folder on the way, what it was in the source where we have made it.
        self._made: list[os.stat_result | None] = []

    def close(self) -> None:
        self._walk.close()
        self._targets.close()

    def run(self) -> None:
        for step in self._walk.steps():
            if step.kind == LEFT:
                self._leave(step)
            elif step.kind == ENTERED:
                self._enter(step)
            elif step.kind == FOUND:
                self._try(step)
            else:
                self._work.skip(self._walk.where(step.name), step.code)

    def _enter(self, step: Step) -> None:
        assert step.status is not None
        if os.path.samestat(step.status, self._end):
            # Somebody has moved the target into the source.
            raise Refused(INTO_ITSELF)
        if step.depth == 0:
            self._made.append(step.status if self._stage is None else None)
            return
        try:
            is_made = self._make_folder(step)
        except (OSError, Refused) as exc:
            self._skip(step.name, self._why(exc, step.depth - 1), where=self._walk.where())
            self._targets.go_down(step.name)
            self._walk.skip_folder()
            is_made = False
        self._made.append(step.status if is_made else None)

    def _make_folder(self, step: Step) -> bool:
        """Have the folder at the same place below the target; tell whether it was made."""
        parent = self._target(step.depth - 1)
        try:
            os.mkdir(step.name, 0o700, dir_fd=parent)
            is_made = True
        except FileExistsError:
            status = os.stat(step.name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise Refused(NOT_A_FOLDER) from None
            is_made = False
        self._targets.go_down(step.name)
        if is_made:
            self._work.count(folders=1)
        return is_made

    def _leave(self, step: Step) -> None:
        """Give a folder that we have made its rights, without set-uid and set-gid, and its time."""
        made = self._made.pop()
        if made is not None:
            try:
                self._finish_folder(self._target(step.depth), made)
            except (OSError, Refused) as exc:
                self._skip(b"", exc, where=self._walk.where())
        if step.depth:
            self._targets.go_up()

    def _finish_folder(self, fd: int, made: os.stat_result) -> None:
        os.fchmod(fd, stat.S_IMODE(made.st_mode) & 0o1777)
        os.utime(fd, ns=(made.st_mtime_ns, made.st_mtime_ns))

    def _target(self, depth: int) -> int:
        fd = self._targets.folder(depth)
        if fd is None:
            raise Refused(PATH_NOT_FOUND)
        return fd

    def _try(self, step: Step) -> None:
        try:
            put = self._take(step)
            if put is not None:
                put()
                self._work.count(files=1)
        except (OSError, Refused) as exc:
            self._skip(step.name, self._why(exc, step.depth))

    def _why(self, error: OSError | Refused, depth: int) -> OSError | Refused:
        """Return why nothing was made in a folder of the target: Landlock knows no rights of one that was removed."""
        return Refused(PATH_NOT_FOUND) if isinstance(error, PermissionError) and self._has_gone(depth) else error

    def _has_gone(self, depth: int) -> bool:
        try:
            return os.fstat(self._target(depth)).st_nlink == 0
        except (OSError, Refused):
            return False

    def _take(self, step: Step) -> Callable[[], None] | None:
        """Return what puts a link or file in its place; None where it has gone meanwhile.

        Only the source may be gone without a word: of what the target lacks there is no copy.
        """
        assert step.status is not None
        try:
            if stat.S_ISLNK(step.status.st_mode):
                text = read_link(step.fd, step.name)
                return lambda: self._put_link(text, step)
            if not stat.S_ISREG(step.status.st_mode):
                raise Refused(NOT_A_REGULAR_FILE)
            fd = open_found(step)
        except FileNotFoundError:
            return None
        return lambda: self._put_file(fd, step)

    def _put_link(self, text: bytes, step: Step) -> None:
        into = self._target(step.depth)
        put_link(into, step.name, text, overwrite=self._overwrite, stage=self._stage or BESIDE)

    def _put_file(self, fd: int, step: Step) -> None:
        try:
            status, into = require_regular(fd), self._target(step.depth)
            if self._stage is None:
                _write_new(fd, status, into, step.name, self._work)
            else:
                self._merge_file(fd, status, into, step.name, self._stage)
        finally:
            os.close(fd)

    def _merge_file(self, fd: int, status: os.stat_result, into: int, name: bytes, stage: Stage) -> None:
        folder = os.dup(into)
        replace = self._overwrite == REPLACE_PRESENT
        try:
            unfinished = Unfinished(folder, name, replace=replace, expected=None, stage=stage)
        except BaseException:
            os.close(folder)
            raise
        try:
            _fill(fd, status, unfinished.fd, self._work)
            unfinished.finish(must_last=False)
        finally:
            unfinished.close()

    def _skip(self, name: bytes, error: OSError | Refused, *, where: bytes | None = None) -> None:
        """Tell what was left out; raise where it is not of this one alone."""
        path = self._walk.where(name) if where is None else where
        code = code_of(error)
        if code in _ENDS_ALL or (code == FILE_EXISTS and self._overwrite == ALL_OR_NOTHING):
            raise Refused(code, path) from error
        self._work.skip(path, code)


def _write_new(fd: int, status: os.stat_result, into: int, name: bytes, work: Work) -> None:
    target = open_below(into, [name], os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE_FLAGS, mode=0o600)
    try:
        _fill(fd, status, target, work)
    finally:
        os.close(target)


def _fill(fd: int, status: os.stat_result, target: int, work: Work) -> None:
    os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
    copy_content(fd, target, work)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _refuse_collisions(source: int, target: int, work: Work) -> None:
    """Raise Refused where something of the source that is no folder is there already, or would be in its place."""
    walk, targets = Walk(source), Descent(target, enter)
    try:
        for step in walk.steps():
            work.note()
            if step.kind == LEFT and step.depth:
                targets.go_up()
            elif step.kind == ENTERED and step.depth:
                present = _stat_below(targets, step)
                targets.go_down(step.name)
                if present is None:
                    walk.skip_folder()
                elif not stat.S_ISDIR(present.st_mode):
                    raise Refused(FILE_EXISTS, walk.where())
            elif step.kind == FOUND and (present := _stat_below(targets, step)) is not None:
                code = IS_A_FOLDER if stat.S_ISDIR(present.st_mode) else FILE_EXISTS
                raise Refused(code, walk.where(step.name))
    finally:
        walk.close()
        targets.close()


def _stat_below(targets: Descent, step: Step) -> os.stat_result | None:
    depth = step.depth - 1 if step.kind == ENTERED else step.depth
    folder = targets.folder(depth)
    try:
        return None if folder is None else os.stat(step.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
