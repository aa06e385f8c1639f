"""The journal on disk, whatever becomes of the agent, the file and the disk."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.store import JournalStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def happened(number: int, at: datetime | None = None) -> Occurrence:
    return Occurrence("process.exited", "web", f"happening {number}", {"number": number}, at)


@contextmanager
def opened(path: Path, **limits: int) -> Iterator[JournalStore]:
    """One life of an agent."""
    store = JournalStore(path, **limits)
    store.open()
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is; its folder is made with it."""
    return tmp_path / "journal/happenings.jsonl"


def told(store: JournalStore, after: int = 0) -> list[tuple[int, str]]:
    store.sync()
    return [(entry.number, entry.message) for entry in store.read_after(after, 10_000)]


def test_entries_are_numbered_on_through_lives(path: Path) -> None:
    """One journal, from 1 without a hole."""
    with opened(path) as store:
        store.append([happened(1), happened(2)], NOW)
        journal = store.id
    with opened(path) as store:
        store.append([happened(3)], NOW)
        assert store.id == journal
        assert told(store) == [(number, f"happening {number}") for number in (1, 2, 3)]
        assert told(store, after=2) == [(3, "happening 3")]


def test_nothing_is_told_that_the_machine_could_lose(path: Path) -> None:
    """A number that was told stands for the same thing for ever."""
    with opened(path) as store:
        store.append([happened(1)], NOW)
        assert (store.read_after(0, 10), store.has_unsynced()) == ([], True)
        store.sync()
        assert (len(store.read_after(0, 10)), store.has_unsynced()) == (1, False)


def test_an_agent_killed_at_any_byte_is_followed_by_one_that_goes_on(path: Path) -> None:
    """A torn last line is taken away, and its number is given again."""
    with opened(path) as store:
        store.append([happened(number) for number in (1, 2, 3)], NOW)
        journal = store.id
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    for length in range(head, len(whole) + 1):
        path.write_bytes(whole[:length])
        left = whole[:length].count(b"\n") - 1
        with opened(path) as store:
            store.append([happened(left + 1)], NOW)
            assert store.id == journal
            assert told(store) == [(number, f"happening {number}") for number in range(1, left + 2)]


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 60))
@settings(max_examples=60)
def test_a_spoilt_file_never_stops_the_agent(garbage: bytes, at: int, length: int) -> None:
    """Whatever it is read as, or not: numbers have no hole, what comes next is written, and the id is one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        with opened(path) as store:
            store.append([happened(1), happened(2)], NOW)
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + garbage + whole[at + length :])
        with opened(path) as store:
            store.append([happened(9)], NOW)
            entries = told(store)
            assert [number for number, _ in entries] == list(range(entries[0][0], entries[-1][0] + 1))
            assert entries[-1][1] == "happening 9"
            assert re.fullmatch("[0-9a-f]{32}", store.id)


def test_what_is_no_journal_is_set_aside(path: Path) -> None:
    """For whoever wants to know what happened to it."""
    with opened(path) as store:
        journal = store.id
    path.write_bytes(b"\0" * 4096 + b"\n")
    with opened(path) as store:
        assert store.id != journal
    assert path.with_suffix(".corrupt").read_bytes() == b"\0" * 4096 + b"\n"


def test_it_stays_small(path: Path) -> None:
    """The newest entries stay, in memory and in the file, and numbers go on."""
    with opened(path, max_entries=10) as store:
        for number in range(1, 100):
            store.append([happened(number)], NOW)
            store.sync()
        assert [number for number, _ in told(store)] == list(range(90, 100))
    assert path.read_bytes().count(b"\n") <= 2 * 10 + 2
    with opened(path, max_entries=10) as store:
        assert [number for number, _ in told(store)] == list(range(90, 100))


def test_large_entries_are_bounded_by_their_bytes(path: Path) -> None:
    """And so are the texts in them."""
    with opened(path, max_bytes=10_000) as store:
        for _ in range(100):
            store.append([Occurrence("process.exited", "web" * 100, "x" * 10_000, {"a": "y" * 10_000})], NOW)
        store.sync()
        assert len(store.read_after(0, 1000)) < 20
    assert path.stat().st_size < 30_000


def test_an_end_that_is_seen_again_is_not_told_again(path: Path) -> None:
    """Who died between writing it down and remembering it is followed by one that sees the very same."""
    at = NOW - timedelta(seconds=1)
    with opened(path) as store:
        store.append([happened(1, at), Occurrence("process.restart_scheduled", "web", "soon")], NOW)
    with opened(path) as store:
        store.append([happened(1, at), Occurrence("process.restart_scheduled", "web", "soon")], NOW)
        store.append([happened(2, at + timedelta(microseconds=1))], NOW)
        assert [message for _, message in told(store)] == ["happening 1", "soon", "happening 2"]


def test_a_disk_that_refuses_stops_nobody(path: Path) -> None:
    """What cannot be written waits, is not told, and is written when the disk takes it, without a hole."""
    with opened(path, max_entries=10) as store:
        store.append([happened(1)], NOW)
        store.sync()
        broken, store._fd = store._fd, os.open("/dev/full", os.O_WRONLY)
        for number in range(2, 20):
            store.append([happened(number)], NOW)
        assert [entry.number for entry in store.read_after(0, 100)] == []
        os.close(store._fd)
        store._fd = broken
        assert [number for number, _ in told(store)] == list(range(10, 20))
    with opened(path, max_entries=10) as store:
        assert [number for number, _ in told(store)] == list(range(10, 20))


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path: Path) -> None:
    """The agent works without a journal on disk, and nothing is told that could be lost."""
    (tmp_path / "file").write_text("")
    with opened(tmp_path / "file/journal") as store:
        store.append([happened(1)], NOW)
        assert store.has_unsynced()
        assert store.read_after(0, 10) == []
