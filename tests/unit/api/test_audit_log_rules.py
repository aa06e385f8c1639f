"""What is kept of an act: bounded, printable, told to the right people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.audit_log import refusals
from zlh_api.audit_log.model import NOBODY, PLATFORM, Act, Who
from zlh_api.audit_log.refusals import LEFT_OUT, Refusals
from zlh_api.audit_log.rules import (
    MAX_NOTES,
    MAX_VALUE_CHARS,
    WORD,
    add_note,
    choose_address,
    clean,
    closing_word,
    decide_ending,
    may_become,
    parse_place,
    render_place,
)
from zlh_api.customers.model import Caller, Membership
from zlh_common.schema.audit_log import Outcome
from zlh_common.schema.permissions import Role

CUSTOMER, STRANGER = UUID(int=1), UUID(int=2)
OWNER = Caller(UUID(int=9), "a@example.org", False, (Membership(CUSTOMER, "theirs", Role.OWNER),), by_cookie=True)
OPERATOR = replace(OWNER, is_operator=True, memberships=())


@given(st.text())
def test_what_is_kept_prints_on_one_line_and_fits(text: str) -> None:
    """Whatever it was: a database holds it, a terminal shows it, and no line is broken by it."""
    kept = clean(text, most=50)
    assert kept.isprintable()
    kept.encode()
    assert len(kept) <= 50 * 10 + 1
    assert kept == text or not text.isprintable() or len(text) > 50


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("web", "web"),
        ("line\r\nline", "line\\x0d\\x0aline"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\0", "\\x00"),
        ("%s%n{0}", "%s%n{0}"),
        ("<script>", "<script>"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("naïve", "naïve"),
    ],
)
def test_what_does_not_print_is_written_out(text: str, kept: str) -> None:
    """And what prints stays as it is: it is no business of the log what HTML or a format would make of it."""
    assert clean(text, most=50) == kept


def test_a_huge_text_is_cut() -> None:
    """Ten megabytes become two hundred characters, and show that there was more."""
    details = add_note({}, "x" * 10_000_000, "\x1b" * 10_000_000)
    ((name, value),) = details.items()
    assert len(name) <= 40
    assert value == "\\x1b" * MAX_VALUE_CHARS + "…"


def test_notes_have_a_number() -> None:
    """A handler that notes without end does not fill the log; what is noted anew takes the place of what was."""
    details: dict[str, str] = {}
    for number in range(1000):
        details = add_note(details, f"n{number}", number)
    assert len(details) == MAX_NOTES
    assert add_note(details, "n0", "other")["n0"] == "other"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "done") for status in (101, 200, 204, 304)),
        *((status, "refused") for status in (400, 404, 429)),
        *((status, "failed") for status in (500, 502, 503)),
    ],
)
def test_the_answer_tells_how_it_ended(status: int, outcome: str) -> None:
    """What the caller did wrong is refused, what we did wrong has failed."""
    assert decide_ending(status, "code").outcome == Outcome(outcome)


def test_the_end_of_what_stays_open_has_a_word() -> None:
    """In the same grammar."""
    assert closing_word("console.open") == "console.close"
    assert WORD.fullmatch(closing_word("console.open"))


def test_an_act_is_told_to_nobody_whom_it_does_not_concern() -> None:
    """A handler cannot put a caller's words into the log of a customer that the caller may not know of."""
    assert may_become(Act("a.b"), CUSTOMER, OWNER)
    assert may_become(Act("a.b", chain=CUSTOMER), CUSTOMER, OWNER)
    assert may_become(Act("a.b"), STRANGER, OPERATOR)
    assert not may_become(Act("a.b"), STRANGER, OWNER)
    assert not may_become(Act("a.b", chain=STRANGER), CUSTOMER, OPERATOR)


def test_where_operators_sit_is_not_told_to_customers() -> None:
    """Their own people's addresses are, and the platform's log has everybody's."""
    assert choose_address("192.0.2.1", OPERATOR, CUSTOMER) is None
    assert choose_address("192.0.2.1", OPERATOR, PLATFORM) == "192.0.2.1"
    assert choose_address("192.0.2.1", OWNER, CUSTOMER) == "192.0.2.1"
    assert choose_address("192.0.2.1", None, PLATFORM) == "192.0.2.1"


@given(st.integers(0, 10**17 - 1), st.uuids(), st.integers(1, 10**18 - 1))
def test_a_place_is_read_as_it_was_written(micros: int, chain: UUID, number: int) -> None:
    """The next page begins where this one ends."""
    place = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros), chain, number)
    assert parse_place(render_place(*place)) == place


@given(st.text() | st.from_regex(r"[0-9]{0,20}-[0-9a-f]{0,40}-[0-9]{0,20}"))
def test_what_is_no_place_is_none(text: str) -> None:
    """And nothing else comes of it."""
    found = parse_place(text)
    assert found is None or -(2**63) < found[2] < 2**63


# Refusals


def act(user: int | None = None, chain: UUID = PLATFORM) -> Act:
    """Return an act of somebody."""
    return Act("container.start", NOBODY if user is None else Who(UUID(int=user)), chain)


def test_refusals_are_counted_beyond_an_allowance() -> None:
    """What has no entry of its own is told by the next one that has."""
    made, at_once = Refusals(), int(refusals.OF_ONE.at_once)
    told = [made.admit("a", act(1), 0.0) for _ in range(at_once + 5)]
    assert told == [0] * at_once + [None] * 5
    assert made.admit("b", act(2), 0.0) == 0
    assert made.admit("a", act(1), 1 / refusals.OF_ONE.per_s) == 5
    assert made.collect(1e9) == []


def test_what_was_left_out_is_told_also_when_nothing_follows() -> None:
    """Once, in the log in which it would have stood, and only when its source may be heard again."""
    made, at_once = Refusals(), int(refusals.OF_ONE.at_once)
    for _ in range(at_once + 5):
        made.admit("a", act(1, CUSTOMER), 0.0)
    assert made.collect(0.0) == []
    ((told, ending),) = made.collect(1 / refusals.OF_ONE.per_s)
    assert (told.chain, told.who, told.details) == (CUSTOMER, Who(UUID(int=1)), {LEFT_OUT: "5"})
    assert ending.outcome is Outcome.REFUSED
    assert made.collect(1e9) == []


def test_strangers_have_an_allowance_together() -> None:
    """However many addresses they come from; who is signed in is not touched by it."""
    made, all_at_once = Refusals(), int(refusals.OF_STRANGERS.at_once)
    told = [made.admit(f"address {number}", act(), 0.0) for number in range(all_at_once + 50)]
    assert told.count(0) == all_at_once
    assert made.admit("user", act(1), 0.0) == 0


def test_guessing_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many guesses come from however many addresses: what is kept of an hour of them is bounded."""
    monkeypatch.setattr(refusals, "MAX_SOURCES", 50)
    made, entries = Refusals(), 0
    for second in range(3600):
        entries += sum(made.admit(f"{second} {number}", act(), float(second)) is not None for number in range(20))
        entries += len(made.collect(float(second))) if second % 5 == 0 else 0
    assert entries < refusals.OF_STRANGERS.at_once + 3600 * (refusals.OF_STRANGERS.per_s + 0.2)


def test_sources_that_are_forgotten_are_told_in_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has an end, and what was counted is not lost with it."""
    monkeypatch.setattr(refusals, "MAX_SOURCES", 2)
    monkeypatch.setattr(refusals, "OF_ONE", replace(refusals.OF_ONE, at_once=1))
    made = Refusals()
    for number in range(10):
        for _ in range(3):
            made.admit(f"user {number}", act(number), 0.0)
    told = made.collect(0.0)
    assert [(act.chain, act.who, act.details) for act, _ in told] == [(PLATFORM, NOBODY, {LEFT_OUT: "16"})]
