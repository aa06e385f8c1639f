"""What is done in the folder of the mods, by way of a child that is confined to the server's folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import structlog

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.model import FILE, Entry
from zlh_agent.files.service import Files
from zlh_agent.mods.change_rules import HIDDEN, Step, is_moved_away
from zlh_agent.mods.ledger_rules import MAX_LEDGER_BYTES, LedgerUnreadable, parse_ledger, render_ledger
from zlh_common.schema.file_refusals import FileRefused
from zlh_common.schema.mods import DISABLED_SUFFIX, LEDGER_NAME, MAX_MOD_BYTES, MAX_MODS, ModLedger

log = structlog.get_logger()
# What more there is in a folder is not looked at.
MAX_NAMES = 4 * MAX_MODS
MAX_PAGES = 20
JAR_MODE = 0o644
_BLOCK_BYTES = 1024 * 1024
_GONE = {"path_not_found", "not_a_folder"}


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """The ledger; where the file could not be read, an empty one and why."""

    ledger: ModLedger
    trouble: str | None = None


class ModFolder:
    """The mods' folder of one server; `files` is lent for one piece of work."""

    def __init__(self, files: Files, folder: str, threads: ThreadPoolExecutor) -> None:
        self.files = files
        self.folder = folder
        self._ledger = f"{folder}/{LEDGER_NAME}"
        self._threads = threads

    async def look(self, path: str) -> Entry | None:
        """Return what is at a path, a link as itself; None where nothing is."""
        try:
            return await self.files.stat(path)
        except FileRefused as refused:
            if refused.code in _GONE:
                return None
            raise

    async def names(self) -> dict[str, Entry]:
        """Return whatever is called like a mod in the folder, by name, disabled ones too."""
        found: dict[str, Entry] = {}
        after = ""
        for _ in range(MAX_PAGES):
            try:
                page = await self.files.list_folder(self.folder, after=after)
            except FileRefused as refused:
                if refused.code in _GONE:
                    return {}
                raise
            named = (each for each in page.entries if each.name.removesuffix(DISABLED_SUFFIX).endswith(".jar"))
            found |= {entry.name: entry for entry in named}
            if page.next is None or len(found) >= MAX_NAMES:
                break
            after = page.next
        return dict(list(found.items())[:MAX_NAMES])

    async def digest(self, path: str) -> tuple[str, Entry] | None:
        """Return the SHA-512 of a regular file, by its descriptor, and what it was; None for whatever is no mod.

        A file that is longer than any mod, such as one with a hole of a terabyte, is not read.
        """
        entry = await self.look(path)
        if entry is None or entry.kind != FILE or entry.size > MAX_MOD_BYTES:
            return None
        try:
            fd, entry = await self.files.open_to_read(path)
        except FileRefused:
            return None
        held = HeldFile(self._threads, fd)
        try:
            return await held.begin(_hash, min(entry.size, MAX_MOD_BYTES)), entry
        finally:
            held.close()

    async def read_ledger(self) -> ReadLedger:
        """Return the ledger: an empty one where it is missing, and where it cannot be read, then with the reason."""
        try:
            return ReadLedger(await self._read())
        except LedgerUnreadable as error:
            return ReadLedger(ModLedger(), str(error)[:500])

    async def _read(self) -> ModLedger:
        entry = await self.look(self._ledger)
        if entry is None:
            return ModLedger()
        if entry.kind != FILE:
            raise LedgerUnreadable(f"it is no file but something else ({entry.kind})")
        if entry.size > MAX_LEDGER_BYTES:
            raise LedgerUnreadable(f"it is longer than {MAX_LEDGER_BYTES} bytes")
        try:
            fd, _ = await self.files.open_to_read(self._ledger)
        except FileRefused as refused:
            raise LedgerUnreadable(refused.detail) from refused
        held = HeldFile(self._threads, fd)
        try:
            raw = await held.begin(_read_bounded)
        except OSError as exc:
            raise LedgerUnreadable(str(exc)) from exc
        finally:
            held.close()
        return parse_ledger(raw)

    async def set_ledger_aside(self, *, now: datetime) -> None:
        """Give a ledger that cannot be read another name, which says when."""
        aside = f"{self.folder}/{LEDGER_NAME}.bad-{now:%Y%m%dT%H%M%S%fZ}"
        await self.files.move(self._ledger, aside)
        log.warning("mods.ledger_set_aside", name=aside)

    async def write_ledger(self, ledger: ModLedger) -> None:
        """Have the file hold this ledger, whole."""
        async with self.files.writing(self._ledger, replace=True) as fd:
            held = HeldFile(self._threads, os.dup(fd))
            try:
                await held.begin(_write, render_ledger(ledger))
            finally:
                await held.settled()
                held.close()

    async def take(self, step: Step) -> None:
        """Take a step, or find that it was taken; raise FileRefused where it cannot be."""
        if await self.look(step.source) is None:
            if step.size is not None and await self.look(step.target) is None:
                raise FileRefused("path_not_found", path=step.source)
            return
        if step.size is None:
            await self.files.move(step.source, step.target)
        else:
            await self._place(step, step.size)

    async def take_back(self, step: Step) -> None:
        """Undo a step, where it was taken."""
        if await self.look(step.source) is None and await self.look(step.target) is not None:
            await self.files.move(step.target, step.source)

    async def _place(self, step: Step, size: int) -> None:
        """Give a staged file its name: the very file whose bytes are looked at here, and no other."""
        fd, _ = await self.files.open_to_read(step.source)
        held = HeldFile(self._threads, fd)
        try:
            if await held.begin(_hash, size + 1) != step.sha512:
                raise FileRefused("file_changed", path=step.source)
            placed, _ = await self.files.put_in_place(step.source, step.target, size=size, replace=False, mode=JAR_MODE)
            seen = await held.begin(os.fstat)
            if (placed.inode, placed.size, placed.modified_ns) != (seen.st_ino, seen.st_size, seen.st_mtime_ns):
                raise FileRefused("file_changed", path=step.target)
        finally:
            held.close()

    async def find_leftovers(self, kept: str | None) -> tuple[str, ...]:
        """Return the paths in the hidden folder that no rollback needs: all but what the change `kept` moved away."""
        if await self.look(HIDDEN) is None:
            return ()
        if kept is None or await self.look(f"{HIDDEN}/{kept}") is None:
            return (HIDDEN,)
        others = [f"{HIDDEN}/{entry.name}" for entry in await self._list(HIDDEN) if entry.name != kept]
        inside = await self._list(f"{HIDDEN}/{kept}")
        return (*others, *(f"{HIDDEN}/{kept}/{entry.name}" for entry in inside if not is_moved_away(entry.name)))

    async def _list(self, path: str) -> list[Entry]:
        """Return what is in a folder, as much of it as is looked at."""
        found: list[Entry] = []
        after: str | None = ""
        while after is not None and len(found) < MAX_NAMES:
            page = await self.files.list_folder(path, after=after)
            found += page.entries
            after = page.next
        return found

    async def find_by_digest(self, folder: str, wanted: Mapping[str, int]) -> dict[str, str]:
        """Return where in a hidden folder files of these hashes lie; `wanted` are their sizes."""
        try:
            page = await self.files.list_folder(folder)
        except FileRefused:
            return {}
        found = {}
        for entry in page.entries:
            path = f"{folder}/{entry.name}"
            if entry.size in wanted.values() and (told := await self.digest(path)) is not None and told[0] in wanted:
                found[told[0]] = path
        return found


def _hash(fd: int, most: int) -> str:
    digest = hashlib.sha512()
    at = 0
    while at < most and (block := os.pread(fd, min(_BLOCK_BYTES, most - at), at)):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def _read_bounded(fd: int) -> bytes:
    parts, size = [], 0
    while size <= MAX_LEDGER_BYTES and (block := os.pread(fd, _BLOCK_BYTES, size)):
        parts.append(block)
        size += len(block)
    return b"".join(parts)


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
