"""The values that a child and the agent exchange, and the words in them: entries, requests, answers.

The child imports this, so there are no dataclasses here (they cost 8 ms), only slots.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FILE, FOLDER, LINK, OTHER = "file", "dir", "link", "other"
KINDS = (FILE, FOLDER, LINK, OTHER)

# At which step a child is not ready where the folder itself is the reason.
ROOT_STEP = "root"

# How a move treats what stands at its target.
KEEP, REPLACE, EXCHANGE = 0, 1, 2
# What a copy or an unpacked archive does where a file is there already: nothing at all, leave that file, or replace it.
ALL_OR_NOTHING, SKIP_PRESENT, REPLACE_PRESENT = OVERWRITES = "refuse", "skip", "replace"
# What a child has to load before it is confined; afterwards it reaches nothing but the customer's folder.
HASHING = "hashing"


class Entry:
    """One name in a folder, as it was at one moment. A name need not be UTF-8: other bytes are escaped."""

    __slots__ = ("changed_ns", "inode", "kind", "mode", "modified_ns", "name", "size", "target")

    def __init__(
        self,
        *,
        name: str,
        kind: str,
        size: int,
        mode: int,
        modified_ns: int,
        changed_ns: int,
        inode: int,
        target: str | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.size = size
        # The twelve bits of rights.
        self.mode = mode
        self.modified_ns = modified_ns
        # When anything about it was last changed, its content or its rights.
        self.changed_ns = changed_ns
        self.inode = inode
        # Where a link leads, as it is written in it.
        self.target = target

    @property
    def version(self) -> str:
        """What is another one as soon as the content may be another."""
        return f"{self.inode:x}-{self.size:x}-{self.modified_ns:x}-{self.changed_ns:x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set

    def __repr__(self) -> str:
        return f"Entry({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Request:
    """What the child is asked to do. What `other`, `number`, `flag` and `more` mean is up to the call."""

    __slots__ = ("call", "flag", "more", "number", "other", "path")

    def __init__(
        self,
        call: str,
        path: bytes,
        *,
        other: bytes = b"",
        number: int = 0,
        flag: bool = False,
        more: Sequence[bytes] = (),
    ) -> None:
        self.call = call
        self.path = path
        self.other = other
        self.number = number
        self.flag = flag
        self.more = tuple(more)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set


class Amount:
    """So many files, folders and bytes; what of them, says whoever counts."""

    __slots__ = ("byte_count", "disk_bytes", "files", "folders")

    def __init__(self, files: int = 0, folders: int = 0, byte_count: int = 0, disk_bytes: int = 0) -> None:
        self.files = files
        self.folders = folders
        self.byte_count = byte_count
        # What the disk gives for them, by whole blocks; 0 where nobody has asked.
        self.disk_bytes = disk_bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a value that grows

    def __repr__(self) -> str:
        return f"Amount({self.files}, {self.folders}, {self.byte_count}, {self.disk_bytes})"


class Answer:
    """What the child says: one of the kinds of `files_wire`, and what belongs to it."""

    __slots__ = (
        "amount", "code", "entries", "has_more", "kind", "lines", "of_other", "skipped", "skipped_count", "where",
        "words",
    )  # fmt: skip

    def __init__(
        self,
        kind: int,
        *,
        entries: Sequence[Entry] = (),
        has_more: bool = False,
        code: str = "",
        where: bytes = b"",
        of_other: bool = False,
        amount: Amount | None = None,
        skipped: Sequence[tuple[bytes, str]] = (),
        skipped_count: int = 0,
        lines: Sequence[tuple[int, bytes]] = (),
        words: Sequence[bytes] = (),
    ) -> None:
        self.kind = kind
        # What is done by now of a PROGRESS, in the end of a DONE.
        self.amount = amount or Amount()
        self.entries = tuple(entries)
        self.has_more = has_more
        self.code = code
        self.where = where
        # Of a REFUSED: it is the second path of the request that was in the way.
        self.of_other = of_other
        # What a DONE has left out: the first of it by path and code, and how many in all.
        self.skipped = tuple(skipped)
        self.skipped_count = skipped_count
        # The lines of a FOUND, by their number from 1.
        self.lines = tuple(lines)
        # What a TOLD says.
        self.words = tuple(words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set
