"""A page of a folder, of which there may be millions of names: never all of them are held, and only what is shown of
those that are listed by name is looked at.
"""

from __future__ import annotations

import os
import stat
from itertools import islice

from zlh_agent.files.entries import clamp_time, entry_of, look, target_of
from zlh_agent.files.model import FOLDER, LINK
from zlh_agent.files.page_rules import Place, rank_of, value_of
from zlh_agent.files.refusals import PATH_BUSY, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import Incomplete

    from zlh_agent.files.model import Entry
    from zlh_agent.files.page_rules import Order

# What the names and targets of one page may take, with room for the rest of each entry.
MAX_PAGE_BYTES = 128 * 1024
_ENTRY_BYTES = 64
# Names that are read before those that count are sorted out.
_BATCH = 4096
_MAX_TRIES = 20
# Beyond whatever is said of a file.
_END = (float("inf"),)


def list_page(folder: int, order: Order, after: Place | None, limit: int) -> tuple[list[Entry], bool]:
    """Return entries in their order, those after a place, and whether there are more; none only where it ends.

    A page ends at `limit` entries, or sooner where they are long. What is made, removed or changed between two pages
    may be missing; what stays as it is is told once.
    """
    for _ in range(_MAX_TRIES):
        found = _find(folder, order, after, limit + 1)
        entries, is_cut = _look_at(folder, order, found[:limit])
        has_more = is_cut or len(found) > limit
        if entries or not has_more:
            return entries, has_more
        # All of them are gone by now.
        after = _place(order, found[limit - 1])
    raise Refused(PATH_BUSY)


def first_names(folder: int, after: str, count: int) -> list[str]:
    """Return the first names after one, sorted, without ever holding all of them."""
    first = _First(count, after or None, backwards=False)
    with os.scandir(folder) as entries:
        while batch := [entry.name for entry in islice(entries, _BATCH)]:
            first.add(batch)
    return first.held


class _First:
    """The first so many of what is added, after one of them; all are of one type that has an order."""

    def __init__(self, count: int, after: Incomplete, *, backwards: bool) -> None:
        self._count = count
        self._after = after
        self._backwards = backwards
        self.held: list[Incomplete] = []

    def add(self, batch: list[Incomplete]) -> None:
        after, held = self._after, self.held
        is_full = len(held) == self._count > 0
        last = held[-1] if is_full else None
        if self._backwards:
            found = batch if after is None else [item for item in batch if item < after]
            if is_full:
                found = [item for item in found if item > last]
        else:
            found = batch if after is None else [item for item in batch if item > after]
            if is_full:
                found = [item for item in found if item < last]
        if found:
            # A name that comes and goes while we read may be told twice.
            self.held = sorted({*held, *found}, reverse=self._backwards)[: self._count]


def _find(folder: int, order: Order, after: Place | None, count: int) -> list[tuple[int, Incomplete]]:
    """Return what comes first after a place, by rank: a name, or (value, name, what is said of it)."""
    ranks = (0, 1) if order.folders_first else (0,)
    firsts = [_First(count, _bound(order, after, rank), backwards=order.backwards) for rank in ranks]
    with os.scandir(folder) as entries:
        while batch := list(islice(entries, _BATCH)):
            shown = batch if order.hidden else [entry for entry in batch if not entry.name.startswith(".")]
            for rank, first in zip(ranks, firsts, strict=True):
                if after is None or rank >= after.rank:
                    first.add(_items(order, shown, rank))
    return [(rank, item) for rank, first in zip(ranks, firsts, strict=True) for item in first.held][:count]


def _items(order: Order, batch: Iterable[os.DirEntry[str]], rank: int) -> list[Incomplete]:
    if not order.is_by_name:
        return [item for entry in batch for item in _valued(order, entry, rank)]
    if not order.folders_first:
        return [entry.name for entry in batch]
    return [entry.name for entry in batch if _is_folder(entry) == (rank == 0)]


def _valued(order: Order, entry: os.DirEntry[str], rank: int) -> list[tuple[int, str, os.stat_result]]:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []
    if rank_of(order, is_folder=stat.S_ISDIR(status.st_mode)) != rank:
        return []
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return [(value_of(order, size, clamp_time(status.st_mtime_ns)), entry.name, status)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _bound(order: Order, after: Place | None, rank: int) -> Incomplete:
    if after is None or after.rank != rank:
        return None
    return after.name if order.is_by_name else (after.value, after.name, _END)


def _place(order: Order, found: tuple[int, Incomplete]) -> Place:
    rank, item = found
    return Place(rank, 0, item) if order.is_by_name else Place(rank, item[0], item[1])


def _look_at(folder: int, order: Order, found: list[tuple[int, Incomplete]]) -> tuple[list[Entry], bool]:
    """Return the entries of what was found and is still there, and whether there was no room for the rest."""
    entries: list[Entry] = []
    names: set[str] = set()
    size = 0
    for rank, item in found:
        entry = _entry(folder, order, item)
        if entry is None or entry.name in names or rank_of(order, is_folder=entry.kind == FOLDER) != rank:
            continue
        size += _ENTRY_BYTES + len(os.fsencode(entry.name)) + len(os.fsencode(entry.target or ""))
        if size > MAX_PAGE_BYTES and entries:
            return entries, True
        entries.append(entry)
        names.add(entry.name)
    return entries, False


def _entry(folder: int, order: Order, item: Incomplete) -> Entry | None:
    if order.is_by_name:
        try:
            return look(folder, os.fsencode(item))
        except FileNotFoundError:
            return None
    # As it was when it was given its place.
    name = os.fsencode(item[1])
    entry = entry_of(name, item[2])
    if entry.kind == LINK:
        entry.target = target_of(folder, name)
    return entry
