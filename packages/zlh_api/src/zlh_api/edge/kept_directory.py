"""The proxy's directory, wherever it lies: surveyed, validated, written and cleared of what stops the proxy.

Whoever has moved what where stands in the names of the quarantine, so any number of processes may do this at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog

from zlh_api.edge.directory_rules import (
    WRITING,
    Entry,
    Reading,
    Unread,
    find_broken,
    find_suspect,
    is_abandoned,
    is_being_proved,
    is_temporary,
    judge_file,
    must_read,
    quarantine_name,
)
from zlh_api.edge.foreign_files import Verdict
from zlh_api.edge.model import RouteFile, text_sha256
from zlh_api.edge.place import Place, PlaceRefused
from zlh_api.edge.port import Check, FoundRoute, RouteFileForeign, RoutesUnreadable, RouteWriteFailed, unconditional
from zlh_api.edge.traefik_file import parse_mark

log = structlog.get_logger()
# What was seen so lately need not be looked at again before a file is published.
VALID_FOR_S = 5.0
# Files that are surveyed are asked for in bunches of so many.
BUNCH = 64
# Two processes may want the same name of the quarantine in the same second.
MOST_NAMES_TRIED = 20


class KeptDirectory:
    """Knows what it has read, so that a look reads only what has changed."""

    def __init__(self, place: Place, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._known: dict[str, Reading] = {}
        self._entries: list[Entry] = []
        # Temporary files, and since when they are as they are.
        self._unfinished: dict[tuple[str, tuple[int, ...]], float] = {}
        self._turn = 0
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()
        # What this process wrote last, by the name of the file.
        self._written: dict[str, str] = {}
        # Why what is broken is still there.
        self._stuck: dict[str, str] = {}

    async def survey(self) -> list[FoundRoute]:
        """Return everything that lies there, the quarantine included; raise RoutesUnreadable, SystemAway."""
        with _told_as(RoutesUnreadable):
            async with self._looking:
                await self._look()
                found = [
                    self._found(entry)
                    for entry in self._entries
                    if not is_temporary(entry.name) and entry.name != WRITING
                ]
            moved = await self._place.fetch_quarantine()
        return found + [FoundRoute(name, None, "", is_quarantined=True) for name in moved]

    async def fetch(self, name: str) -> str | None:
        """Return the text of a file, or None; what is there and cannot be read is a text without a mark."""
        with _told_as(lambda reason: RouteWriteFailed(name=name, reason=reason)):
            [content] = await self._place.fetch_contents([name])
        if content is None:
            return None
        return "" if isinstance(content, Unread) else content.decode("utf-8", "replace")

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put the file there and read it back; raise RouteFileForeign, RouteWriteFailed, SystemAway."""
        await self.validate()
        present = await self.fetch(file.name)
        if present is not None and parse_mark(present) != parse_mark(file.text):
            raise RouteFileForeign(file.name)
        with _told_as(lambda reason: RouteWriteFailed(name=file.name, reason=reason)):
            await self._place.replace(file.name, file.text.encode(), check)
        self._written[file.name] = file.sha256
        if await self.fetch(file.name) != file.text:
            raise RouteWriteFailed(name=file.name, reason="what was read back is not what was written")

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take our file away; a foreign one stays."""
        present = await self.fetch(name)
        if present is not None and parse_mark(present) == owner:
            with _told_as(lambda reason: RouteWriteFailed(name=name, reason=reason)):
                await self._place.remove(name, check)
            self._written.pop(name, None)

    async def validate(self, *, most_age_s: float = VALID_FOR_S) -> None:
        """Move away what stops the proxy for certain; raise RoutesUnreadable, SystemAway.

        What was looked at so lately is believed. A file that cannot be moved is told in the log and in surveys, and
        stops nobody here: the proxy itself will show whether it loads.
        """
        async with self._looking:
            if self._looked_at is not None and self._clock() - self._looked_at < most_age_s:
                return
            with _told_as(RoutesUnreadable):
                await self._look()
                for entry, reason in find_broken(self._entries, self._known):
                    await self._quarantine(entry, reason)

    async def relieve(self) -> bool:
        """Move away what may be the reason why the proxy takes up nothing: what is broken, else one suspect.

        Return whether anything was moved, by whomever, that the proxy has not shown its mind about yet.
        """
        await self.validate(most_age_s=0.0)
        with _told_as(RoutesUnreadable):
            if is_being_proved(await self._place.fetch_quarantine(), datetime.now(UTC)):
                return True
            async with self._looking:
                suspect = find_suspect(self._entries, self._known)
                return suspect is not None and await self._quarantine(*suspect)

    async def _look(self) -> None:
        entries = await self._place.fetch_entries()
        seen_at = self._clock()
        await self._drop_abandoned([entry for entry in entries if is_temporary(entry.name)], seen_at)
        self._turn += 1
        wanted = [
            entry
            for entry in entries
            if not is_temporary(entry.name) and must_read(entry, self._known, turn=self._turn)
        ]
        read = dict(zip((entry.name for entry in wanted), await self._read_all(wanted), strict=True))
        known = {}
        for entry in entries:
            if not is_temporary(entry.name) and (reading := self._reading(entry, read, seen_at)) is not None:
                known[entry.name] = reading
        self._entries, self._known, self._looked_at = entries, known, seen_at

    async def _read_all(self, entries: Sequence[Entry]) -> list[bytes | Unread | None]:
        names = [entry.name for entry in entries]
        bunches = [names[start : start + BUNCH] for start in range(0, len(names), BUNCH)]
        return [content for bunch in bunches for content in await self._place.fetch_contents(bunch)]

    def _reading(self, entry: Entry, read: dict[str, bytes | Unread | None], seen_at: float) -> Reading | None:
        """Return what is known of a name now; None for a file that is gone again."""
        before = self._known.get(entry.name)
        since = before.seen_at if before is not None and before.version == entry.version else seen_at
        if entry.name not in read:
            if before is not None and before.version == entry.version:
                return before
            return Reading(entry.version, since, seen_at, None, "", judge_file(entry, None, None))
        content = read[entry.name]
        if content is None:
            return None
        owner = None if isinstance(content, Unread) else parse_mark(content.decode("utf-8", "replace"))
        sha256 = "" if isinstance(content, Unread) or entry.kind != "file" else text_sha256(content)
        if before is not None and owner is not None and sha256 not in {before.sha256, self._written.get(entry.name)}:
            # By hand, or by another API process; the audit tells which, and has it put right.
            log.warning("route.changed_elsewhere", file=entry.name, owner=owner)
        if before is not None and sha256 and before.sha256 == sha256:
            judgement = before.judgement
        else:
            judgement = judge_file(entry, owner, content)
        return Reading(entry.version, since, seen_at, owner if entry.kind == "file" else None, sha256, judgement)

    async def _drop_abandoned(self, temporaries: Sequence[Entry], now: float) -> None:
        unfinished = {}
        for entry in temporaries:
            key = (entry.name, entry.version)
            unfinished[key] = since = self._unfinished.get(key, now)
            if is_abandoned(entry, seen_at=since, now=now):
                await self._place.remove(entry.name, unconditional)
                log.info("route.leftover_removed", file=entry.name)
        self._unfinished = unfinished

    async def _quarantine(self, entry: Entry, reason: str) -> bool:
        """Move one name away; return whether it is gone. It is moved as it is, and nothing is overwritten."""
        shown = entry.name.encode("utf-8", "replace").decode()
        try:
            moved = await self._move_away(entry.name)
        except PlaceRefused as refused:
            self._stuck[entry.name] = str(refused)
            log.exception("route.quarantine_failed", file=shown, reason=reason, error=str(refused))
            return False
        self._stuck.pop(entry.name, None)
        self._known.pop(entry.name, None)
        self._entries = [each for each in self._entries if each.name != entry.name]
        if moved is not None:
            log.error("route.quarantined", file=shown, reason=reason, moved_to=moved)
            if "/" in entry.name:
                await self._place.nudge()
        return True

    async def _move_away(self, name: str) -> str | None:
        """Return the new name; None where the file is gone."""
        taken = set(await self._place.fetch_quarantine())
        for _ in range(MOST_NAMES_TRIED):
            quarantined = quarantine_name(name, datetime.now(UTC), taken)
            if await self._place.move_away(name, quarantined):
                return quarantined
            if name not in {entry.name for entry in await self._place.fetch_entries()}:
                return None
            taken.add(quarantined)
        raise PlaceRefused("every name in the quarantine is taken")

    def _found(self, entry: Entry) -> FoundRoute:
        reading = self._known.get(entry.name)
        if reading is None:
            return FoundRoute(entry.name, None, "")
        trouble = None
        if reading.judgement.verdict is Verdict.BROKEN:
            trouble = reading.judgement.reason
            if entry.name in self._stuck:
                trouble += f"; it cannot be moved away: {self._stuck[entry.name]}"
        return FoundRoute(entry.name, reading.owner, reading.sha256, trouble)


@contextmanager
def _told_as(error: Callable[[str], Exception]) -> Iterator[None]:
    """Tell a refusal as an error of the port."""
    try:
        yield
    except PlaceRefused as refused:
        raise error(str(refused)) from refused
