"""What work on files has come to, as the rest of the agent has it. Names and paths are as Python holds them."""

from __future__ import annotations

from dataclasses import dataclass

from zlh_agent.files.model import Amount, Entry


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a folder in the order that was asked for; `next` is where the next page begins, None at the end."""

    entries: tuple[Entry, ...]
    next: str | None

    @property
    def has_more(self) -> bool:
        """Tell whether there is another page."""
        return self.next is not None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was left out, by its path below what was asked for, and the code of the refusal."""

    path: str
    code: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What long work has done; of what it left out the first, and how many in all."""

    amount: Amount
    skipped: tuple[Skipped, ...] = ()
    skipped_count: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """What the disk holds and has left, in bytes and in files; None where it makes room for files as it goes."""

    total_bytes: int
    free_bytes: int
    total_files: int | None
    free_files: int | None


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line that holds a text: its number from 1, and at most 1000 letters of it."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder, by its path below the folder that was searched. Many lines of one file come in several."""

    path: str
    entry: Entry
    lines: tuple[FoundLine, ...]


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What a search has found in the order of paths; `stopped_by` is `limit` or `time` where there may be more."""

    found: tuple[Found, ...]
    looked_at: int
    stopped_by: str | None
    skipped_count: int
