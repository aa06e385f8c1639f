"""Which entries of an archive are taken: a pure model of the tree that they make, asked before anything is written.

a name is UTF-8 without control characters, relative, without `.` and `..`, and comes once, whatever its case and
however its letters are composed
a parent is a folder of the same archive, never a link
a link leads to a place in the tree, however many links it goes through; a hard link to a file that came before
no entry has set-uid, set-gid or sticky bits
there are no more entries and bytes than the signed catalog announces
"""

from __future__ import annotations

from zlh_agent.runtimes.errors import ArchiveRefused
from zlh_agent.runtimes.installing.tar_wire import Entry, Kind
from zlh_common.tree_rules import find_link_fault, find_name_fault, fold_name, has_control_characters, is_plain_target

_SPECIAL_BITS = 0o7000


class TreeRules:
    """The tree so far; `admit` adds an entry or raises ArchiveRefused."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._kinds: dict[str, Kind] = {}
        self._targets: dict[str, str] = {}
        # Of each path: as a file system that knows no case, or composes letters (ZFS can), would have it.
        self._folded: dict[str, str] = {}
        # Folders that were made for what they hold, and may still come as an entry.
        self._implied: set[str] = set()

    def admit(self, entry: Entry) -> tuple[str, list[str]]:
        """Return the entry's path, and the folders that have to be made for it first."""
        path = _check_name(entry)
        if entry.mode & _SPECIAL_BITS:
            raise ArchiveRefused(entry=path, what=f"of mode {entry.mode:o}")
        folders = self._imply_folders(path)
        if path in self._implied and entry.kind is Kind.FOLDER:
            self._implied.discard(path)
            return path, folders
        self._add(path, entry.kind)
        self._left_bytes -= entry.size
        if self._left_bytes < 0:
            raise ArchiveRefused(entry=path, what=f"beyond the {self._max_bytes} bytes that were announced")
        self._check_target(path, entry)
        return path, folders

    def check_links(self) -> None:
        """Raise ArchiveRefused for a link that leads out of the tree; to be asked once all is there."""
        for path in self._targets:
            if fault := find_link_fault(path, self._targets):
                raise ArchiveRefused(entry=path, what=fault)

    def stream_limit(self, overhead_bytes: int, per_entry_bytes: int) -> int:
        """Return how many bytes the tar around the tree may have at most."""
        return self._max_bytes + overhead_bytes + per_entry_bytes * self._max_entries

    def _imply_folders(self, path: str) -> list[str]:
        if self._kinds.get(path.rpartition("/")[0]) is Kind.FOLDER:
            return []
        parts = path.split("/")
        missing = []
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            kind = self._kinds.get(parent)
            if kind is None:
                self._add(parent, Kind.FOLDER)
                self._implied.add(parent)
                missing.append(parent)
            elif kind is not Kind.FOLDER:
                raise ArchiveRefused(entry=path, what=f"below the {kind} {parent}")
        return missing

    def _add(self, path: str, kind: Kind) -> None:
        if path in self._kinds:
            raise ArchiveRefused(entry=path, what="there twice")
        namesake = self._folded.setdefault(fold_name(path), path)
        if namesake != path:
            raise ArchiveRefused(entry=path, what=f"told from {namesake} by its case or composed letters alone")
        self._kinds[path] = kind
        if len(self._kinds) > self._max_entries:
            raise ArchiveRefused(entry=path, what=f"beyond the {self._max_entries} entries that were announced")

    def _check_target(self, path: str, entry: Entry) -> None:
        if entry.kind is Kind.LINK:
            if not is_plain_target(entry.target):
                raise ArchiveRefused(entry=path, what=f"a link to {entry.target[:200]!r}")
            self._targets[path] = entry.target
        elif entry.kind is Kind.HARD_LINK and self._kinds.get(entry.target) is not Kind.FILE:
            raise ArchiveRefused(entry=path, what=f"a hard link to {entry.target[:200]!r}, which is no file before it")


def _check_name(entry: Entry) -> str:
    path = entry.name.removesuffix("/") if entry.kind is Kind.FOLDER else entry.name
    fault = find_name_fault(path or entry.name)
    if fault is None and has_control_characters(entry.target):
        fault = "named with control characters"
    if fault is not None:
        raise ArchiveRefused(entry=entry.name, what=fault)
    return path
