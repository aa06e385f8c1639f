"""Who has played, on a disk that anything may happen to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from zlh_agent.gameplay.presence import PresenceState, Present
from zlh_agent.gameplay.presence_store import KeptPresence, PresenceStore
from zlh_common.schema.game import PlayerSession

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
KEPT = KeptPresence(stream="s", offset=7, state=PresenceState(online={"a": Present("a", None, BEGAN)}), run_offset=0)


def stay(number: int) -> PlayerSession:
    """A stay that is like no other."""
    joined = BEGAN + timedelta(minutes=number)
    return PlayerSession(name="a", uuid=None, joined_at=joined, left_at=joined + timedelta(seconds=1))


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    """State and stays."""
    PresenceStore(tmp_path / "game").save(KEPT, [stay(1), stay(2)])
    store = PresenceStore(tmp_path / "game")
    assert store.load() == KEPT
    assert store.sessions() == [stay(1), stay(2)]


def test_a_stay_that_is_told_again_after_a_death_counts_once(tmp_path: Path) -> None:
    """The agent died between the two files; the first time of its end counts."""
    PresenceStore(tmp_path).save(KEPT, [stay(1)])
    late = PlayerSession(name="a", uuid=None, joined_at=stay(1).joined_at, left_at=BEGAN + timedelta(days=1))
    store = PresenceStore(tmp_path)
    store.save(KEPT, [late, stay(2)])
    assert PresenceStore(tmp_path).sessions() == [stay(1), stay(2)]


def test_torn_lines_and_other_peoples_bytes_are_passed_over(tmp_path: Path) -> None:
    """What is whole stays."""
    store = PresenceStore(tmp_path)
    store.save(KEPT, [stay(1)])
    with (tmp_path / "sessions.jsonl").open("ab") as file:
        file.write(b'{"name":"b","joinedAt":')
    again = PresenceStore(tmp_path)
    again.save(KEPT, [stay(2)])
    assert PresenceStore(tmp_path).sessions() == [stay(1), stay(2)]
    (tmp_path / "presence.json").write_bytes(b"\xff{")
    assert PresenceStore(tmp_path).load() is None


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """The newest are kept, and the file is made anew now and then."""
    store = PresenceStore(tmp_path, max_sessions=10)
    for number in range(95):
        store.save(KEPT, [stay(number)])
    assert store.sessions() == [stay(number) for number in range(85, 95)]
    assert PresenceStore(tmp_path, max_sessions=10).sessions() == store.sessions()
    assert len((tmp_path / "sessions.jsonl").read_bytes()) < 40 * 200
