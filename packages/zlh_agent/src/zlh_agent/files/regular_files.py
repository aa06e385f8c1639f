"""What is in files below a root: read, written whole, copied, hashed."""

from __future__ import annotations

import os

from zlh_agent.files.content import copy_content, hash_content, require_regular
from zlh_agent.files.entries import entry_of
from zlh_agent.files.finding import Finding, split
from zlh_agent.files.opening import CAREFULLY, Held, open_below
from zlh_agent.files.refusals import OF_OTHER
from zlh_agent.files.unfinished import BESIDE, Stage, Unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.model import Entry
    from zlh_agent.files.work import Work


class RegularFiles(Finding):
    """Calls on regular files. Links at the end of a path are followed."""

    def open_to_read(self, path: bytes) -> tuple[int, Entry]:
        """Return a descriptor of a regular file, and what it was when it was opened. Links are followed."""
        parts = split(path)
        fd = open_below(self._fd, parts, os.O_RDONLY | CAREFULLY)
        try:
            status = require_regular(fd)
            os.set_blocking(fd, True)
            return fd, entry_of(parts[-1] if parts else b"", status)
        except BaseException:
            os.close(fd)
            raise

    def begin_file(
        self, path: bytes, *, replace: bool, expected: str | None = None, stage: Stage = BESIDE
    ) -> Unfinished:
        """Return a new file without a name, which gets this one, whole, by its `finish`.

        It replaces what a link leads to, not the link. With `expected`, only that version is replaced; without
        `replace`, nothing is. It has the rights of what it replaces. `stage` gives it the name that it has for an
        instant.
        """
        folder, name = self._resolve_last(path)
        try:
            return Unfinished(folder, name, replace=replace, expected=expected, stage=stage)
        except BaseException:
            os.close(folder)
            raise

    def copy(self, source: bytes, target: bytes, *, replace: bool, work: Work, stage: Stage = BESIDE) -> None:
        """Copy a regular file's content and rights, by reference where the disk can; holes stay holes."""
        fd, entry = self.open_to_read(source)
        with Held(fd), OF_OTHER:
            unfinished = self.begin_file(target, replace=replace, stage=stage)
            try:
                os.fchmod(unfinished.fd, entry.mode & 0o777)
                copy_content(fd, unfinished.fd, work)
                unfinished.finish()
            finally:
                unfinished.close()
        work.count(files=1)

    def checksum(self, path: bytes, *, work: Work) -> str:
        """Return the SHA-256 of a regular file in hexadecimal."""
        fd, _ = self.open_to_read(path)
        with Held(fd):
            return hash_content(fd, work)
