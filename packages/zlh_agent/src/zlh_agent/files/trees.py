"""Calls on whole trees below a root: removed, copied, measured, searched. Each may take long and says how far it is."""

from __future__ import annotations

import os
import stat

from zlh_agent.files.counting import measure_file, measure_tree
from zlh_agent.files.entries import read_link
from zlh_agent.files.finding import split
from zlh_agent.files.model import ALL_OR_NOTHING, REPLACE_PRESENT
from zlh_agent.files.opening import FOLDER_FLAGS, FOLDER_PATH, O_PATH, Held, open_below
from zlh_agent.files.refusals import (
    FILE_EXISTS,
    INTO_ITSELF,
    NOT_A_FOLDER,
    NOT_A_REGULAR_FILE,
    OF_OTHER,
    PATH_INVALID,
    Refused,
)
from zlh_agent.files.regular_files import RegularFiles
from zlh_agent.files.renaming import rename_to_free
from zlh_agent.files.searching import search_tree
from zlh_agent.files.tree_copy import copy_into, merge_into, put_link
from zlh_agent.files.tree_removal import remove_tree
from zlh_agent.files.unfinished import StageAt, StageBelow
from zlh_agent.files.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zlh_agent.files.model import Answer
    from zlh_agent.files.searching import Sought

# Somebody who moves the target down while we climb up from it is not followed for ever.
_MAX_LEVELS = 200_000


class Trees(RegularFiles):
    """The last name of a path is not followed, but where a tree is only looked at."""

    def remove_tree(self, path: bytes, *, work: Work) -> None:
        """Remove something with all that is in it, however deep; what is not there is as good."""
        with self._parent(path) as (folder, name):
            remove_tree(folder, name, work)

    def copy_tree(self, source: bytes, target: bytes, *, staging: bytes, overwrite: str, work: Work) -> None:
        """Copy whatever it is to a path: a file, a link as the text that it is, a folder with all that is in it.

        A folder is made at `staging`, a hidden free name beside the target, and renamed where nothing stands at the
        target; it is merged into a folder that does. What replaces a file has its name for an instant at or below
        `staging`, so that nothing else is left by a child that is killed. `overwrite` is one of the words of `model`.
        """
        if not split(staging) or split(staging)[:-1] != split(target)[:-1] or split(staging)[-1] == b"..":
            raise Refused(PATH_INVALID)
        with self._parent(source) as (folder, name):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                with Held(open_below(folder, [name], FOLDER_FLAGS)) as fd, OF_OTHER:
                    self._copy_folder(fd, target, staging, overwrite, work)
            elif stat.S_ISLNK(status.st_mode):
                text = read_link(folder, name)
                with OF_OTHER:
                    self._copy_link(text, target, split(staging)[-1], overwrite, work)
            elif stat.S_ISREG(status.st_mode):
                self._copy_file(source, target, staging, overwrite, work)
            else:
                raise Refused(NOT_A_REGULAR_FILE)

    def measure(self, path: bytes, *, work: Work) -> None:
        """Count what is in a folder, or what one file is. A link at the end is followed."""
        with Held(open_below(self._fd, split(path), O_PATH)) as fd:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                with Held(open_below(fd, [], FOLDER_FLAGS)) as folder:
                    measure_tree(folder, work)
            else:
                measure_file(status, work)

    def search(self, path: bytes, sought: Sought, *, tell: Callable[[Answer], None], work: Work) -> str:
        """Tell what is found below a folder, and return what stopped it; a link at the end of the path is followed."""
        with Held(open_below(self._fd, split(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)) as folder:
            return search_tree(folder, sought, tell=tell, work=work)

    # ── copying ──

    def _copy_file(self, source: bytes, target: bytes, staging: bytes, overwrite: str, work: Work) -> None:
        with OF_OTHER:
            place = self._parent(staging)
        with place as (folder, name):
            stage = StageAt(folder, name)
            try:
                self.copy(source, target, replace=overwrite == REPLACE_PRESENT, work=work, stage=stage)
            except (FileExistsError, Refused) as exc:
                _skip_present(exc, overwrite, work)

    def _copy_link(self, text: bytes, target: bytes, staging: bytes, overwrite: str, work: Work) -> None:
        with self._parent(target) as (into, name):
            try:
                put_link(into, name, text, overwrite=overwrite, stage=StageAt(into, staging))
                work.count(files=1)
            except (FileExistsError, Refused) as exc:
                _skip_present(exc, overwrite, work)

    def _copy_folder(self, source: int, target: bytes, staging: bytes, overwrite: str, work: Work) -> None:
        with self._parent(target) as (into, name):
            self._refuse_into_itself(source, into)
            try:
                status = os.stat(name, dir_fd=into, follow_symlinks=False)
            except FileNotFoundError:
                _copy_to_new(source, into, name, split(staging)[-1], work)
                return
            if not stat.S_ISDIR(status.st_mode):
                _skip_present(Refused(FILE_EXISTS if overwrite != REPLACE_PRESENT else NOT_A_FOLDER), overwrite, work)
                return
            with Held(open_below(into, [name], FOLDER_FLAGS)) as fd:
                if os.path.samestat(os.fstat(fd), os.fstat(source)):
                    raise Refused(INTO_ITSELF)
                merge_into(source, fd, StageBelow(into, split(staging)[-1]), overwrite=overwrite, work=work)

    def _refuse_into_itself(self, source: int, into: int) -> None:
        """Climb up from the target, one folder at a time and only to look which it is, as far as the root."""
        sought, root = os.fstat(source), os.fstat(self._fd)
        at = os.dup(into)
        try:
            for _ in range(_MAX_LEVELS):
                here = os.fstat(at)
                if os.path.samestat(here, sought):
                    raise Refused(INTO_ITSELF)
                if os.path.samestat(here, root):
                    return
                above = os.open(b"..", FOLDER_PATH, dir_fd=at)
                os.close(at)
                at = above
                if os.path.samestat(os.fstat(at), here):
                    return  # the root of all: somebody has moved the target out of ours
        finally:
            os.close(at)


def _copy_to_new(source: int, into: int, name: bytes, staging: bytes, work: Work) -> None:
    os.mkdir(staging, 0o700, dir_fd=into)
    try:
        with Held(open_below(into, [staging], FOLDER_FLAGS)) as fd:
            copy_into(source, fd, work=work)
        rename_to_free(into, staging, into, name)
    except BaseException:
        try:  # noqa: SIM105 - contextlib would cost the child 3 ms
            remove_tree(into, staging, Work())
        except (OSError, Refused):
            pass  # whoever has asked knows the name, and tries again
        raise


def _skip_present(error: OSError | Refused, overwrite: str, work: Work) -> None:
    """Leave out the one thing that was asked for where something stands in its place, if that is wanted."""
    is_present = isinstance(error, FileExistsError) or (isinstance(error, Refused) and error.code == FILE_EXISTS)
    if overwrite in {ALL_OR_NOTHING, REPLACE_PRESENT} or not is_present:
        raise error
    work.skip(b"", FILE_EXISTS)
