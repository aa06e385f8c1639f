"""What checks have found is kept, whose turn is next follows from the clock, a change of the default has its name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zlh_agent.runtimes.checking.checks import CheckStore
from zlh_agent.runtimes.rules import Check, choose_check, is_check_due, name_switch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHECK = Check(name="a", version="1", installed_at=NOW, checked_at=NOW, faults=3)
DAY, NONE = timedelta(days=1), timedelta(0)


def test_what_was_kept_is_loaded(tmp_path: Path) -> None:
    """The whole of it, with its times."""
    assert CheckStore(tmp_path).load() == []
    CheckStore(tmp_path / "state").save([CHECK])
    assert CheckStore(tmp_path / "state").load() == [CHECK]


@pytest.mark.parametrize("raw", [b"", b"{", b"[{}]", b"\xff", b"[" * 100_000, b'[{"name":"a"}]'])
def test_what_cannot_be_read_counts_for_nothing(raw: bytes, tmp_path: Path) -> None:
    """The next check is kept as usual."""
    (tmp_path / "runtime-checks.json").write_bytes(raw)
    assert CheckStore(tmp_path).load() == []
    CheckStore(tmp_path).save([CHECK])
    assert CheckStore(tmp_path).load() == [CHECK]


def test_a_disk_that_refuses_stops_nobody(tmp_path: Path) -> None:
    """It costs the next agent a check."""
    (tmp_path / "state").touch()
    CheckStore(tmp_path / "state").save([CHECK])


@pytest.mark.parametrize(
    ("ago", "is_due"),
    [
        (NONE, False), (DAY - timedelta(seconds=1), False), (DAY, True), (400 * DAY, True),
        # A clock that was ahead for an hour, and one that was ahead for a year.
        (timedelta(hours=-1), False), (-365 * DAY, True),
    ],
)  # fmt: skip
def test_a_check_is_due_after_a_day_whatever_the_clock_has_done(ago: timedelta, is_due: bool) -> None:
    """A time that lies far ahead would put it off for ever."""
    assert is_check_due(NOW - ago, NOW, jitter=NONE) is is_due


def test_jitter_puts_it_off() -> None:
    """Agents that were started together do not read their disks together."""
    assert not is_check_due(NOW - DAY, NOW, jitter=timedelta(minutes=1))
    assert is_check_due(NOW - DAY, NOW + timedelta(minutes=1), jitter=timedelta(minutes=1))


def test_who_has_waited_longest_is_next() -> None:
    """One at a time; nobody where nobody's day has come."""
    last = {("a", "1"): NOW - 2 * DAY, ("a", "2"): NOW - 3 * DAY, ("b", "1"): NOW}
    assert choose_check(last, NOW, NONE) == ("a", "2")
    assert choose_check({("b", "1"): NOW}, NOW, NONE) is None
    assert choose_check({}, NOW, NONE) is None


@pytest.mark.parametrize(
    ("before", "after", "keeps_former", "kind"),
    [
        ("20.1.0", "24.0.0", True, "upgraded"),
        ("9.0", "10.0", True, "upgraded"),
        ("24.0.0", "20.1.0", True, "rolled_back"),
        ("10.0", "9.0", True, "rolled_back"),
        ("20.1.0", "24.0.0", False, "default_changed"),
        ("24.0.0", "20.1.0", False, "default_changed"),
    ],
)
def test_a_change_of_the_default_has_its_name(before: str, after: str, keeps_former: bool, kind: str) -> None:
    """Up or back where the former one is kept to go back to, else a choice among several."""
    assert name_switch(before, after, keeps_former=keeps_former) == kind
