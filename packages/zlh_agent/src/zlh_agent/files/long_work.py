"""Work on files that may take long, each as something that an operation can run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from zlh_agent.archives.service import Archives
from zlh_agent.files.operations import Tell, Work
from zlh_agent.files.presenting_rules import show_outcome
from zlh_agent.files.roots import Roots
from zlh_agent.files.service import Files
from zlh_common.schema.files import ArchiveFormat, OperationResult, Overwrite


class LongWork:
    """Makes the work of operations; paths are as Python holds them."""

    def __init__(self, roots: Roots, archives: Archives) -> None:
        self._roots = roots
        self._archives = archives

    def remove(self, root: str, path: str, *, is_recursive: bool) -> Work:
        """Remove something, with all that is in it where that is asked for."""

        async def work(tell: Tell) -> OperationResult:
            async with self._borrow(root) as files:
                await files.stat(path)
                if is_recursive:
                    return show_outcome(await files.remove_tree(path, on_progress=tell))
                await files.remove(path)
            return OperationResult()

        return work

    def copy(self, root: str, path: str, to: str, *, staging: str, overwrite: Overwrite) -> Work:
        """Copy a file or a tree."""

        async def work(tell: Tell) -> OperationResult:
            async with self._borrow(root) as files:
                return show_outcome(
                    await files.copy_tree(path, to, staging=staging, overwrite=overwrite.value, on_progress=tell)
                )

        return work

    def checksum(self, root: str, path: str) -> Work:
        """Take the SHA-256 of a file."""

        async def work(tell: Tell) -> OperationResult:
            async with self._borrow(root) as files:
                return OperationResult(sha256=await files.checksum(path, on_progress=tell))

        return work

    def measure(self, root: str, path: str) -> Work:
        """Count what is in a folder."""

        async def work(tell: Tell) -> OperationResult:
            async with self._borrow(root) as files:
                return show_outcome(await files.measure(path, on_progress=tell), is_on_disk=True)

        return work

    def pack(
        self, root: str, paths: Sequence[str], to: str, form: ArchiveFormat, *, staging: str, replace: bool
    ) -> Work:
        """Make an archive."""

        async def work(tell: Tell) -> OperationResult:
            place = self._roots.choose(root)
            return show_outcome(
                await self._archives.pack(place, paths, to, form, partial=staging, replace=replace, on_progress=tell)
            )

        return work

    def unpack(self, root: str, path: str, to: str, *, staging: str, overwrite: Overwrite) -> Work:
        """Unpack an archive."""

        async def work(tell: Tell) -> OperationResult:
            place = self._roots.choose(root)
            return show_outcome(
                await self._archives.unpack(place, path, to, staging=staging, overwrite=overwrite, on_progress=tell)
            )

        return work

    async def sweep(self, root: str, staging: str) -> None:
        """Remove what work that did not end has left."""
        async with self._roots.service(self._roots.choose(root)).borrow() as files:
            await files.remove_tree(staging)

    @asynccontextmanager
    async def _borrow(self, root: str) -> AsyncIterator[Files]:
        async with self._roots.service(self._roots.choose(root)).borrow(is_long=True) as files:
            yield files
