"""What is done about the files of the proxy's directory: what is read, what is ours, what is suspected first."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge import directory_rules as rules
from zlh_api.edge.directory_rules import Entry, Reading, Unread
from zlh_api.edge.foreign_files import MOST_BYTES, Judgement, Verdict, judge
from zlh_common.names import OwnerMark

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
UNSURE, TEMPLATE = Judgement(Verdict.UNSURE, "what it holds"), Judgement(Verdict.UNSURE, "it is a template")


def entry(name: str, *, modified_s: int = 0, version: int = 1) -> Entry:
    """Return a file."""
    return Entry(name, "file", (version,), modified_s)


def reading(judgement: Judgement, *, owner: OwnerMark | None = None, read_at: float = 10.0) -> Reading:
    """Return what is known of one."""
    return Reading((1,), 0.0, read_at, owner, "x", judgement)


def test_what_is_settled_has_its_turn_and_nothing_else() -> None:
    """Over as many looks as there are turns each file is read once."""
    names = [f"dev-{number}.yml" for number in range(100, 300)]
    known = {name: reading(UNSURE) for name in names}
    read = Counter(
        name for turn in range(rules.REREAD_ONE_IN) for name in names if rules.must_read(entry(name), known, turn=turn)
    )
    assert read == Counter(names)


@pytest.mark.parametrize(
    ("known", "version", "is_read"),
    [(None, 1, True), (reading(UNSURE), 2, True), (reading(UNSURE, read_at=1.9), 1, True), (reading(UNSURE), 1, False)],
    ids=["unknown", "another version", "not settled", "settled"],
)
def test_what_may_have_changed_is_read(known: Reading | None, version: int, is_read: bool) -> None:
    """A version that was read within the seconds that its time stamp cannot tell apart is none to be believed."""
    readings = {} if known is None else {"a.yml": known}
    turn = rules._spread("a.yml") + 1
    assert rules.must_read(entry("a.yml", version=version), readings, turn=turn) is is_read


def test_the_likeliest_is_suspected_first() -> None:
    """Foreign before ours, templates before others, the newest before the oldest; never what is harmless."""
    entries = [entry("a", modified_s=9), entry("b", modified_s=1), entry("c", modified_s=5), entry("d"), entry("e")]
    known = {
        "a": reading(UNSURE),
        "b": reading(TEMPLATE),
        "c": reading(TEMPLATE),
        "d": reading(TEMPLATE, owner=OWNER),
        "e": reading(Judgement(Verdict.HARMLESS)),
    }
    order = []
    while (suspect := rules.find_suspect(entries, known)) is not None:
        order.append(suspect[0].name)
        del known[suspect[0].name]
    assert order == ["c", "b", "a", "d"]


@given(st.text(min_size=1, max_size=300), st.integers(0, 5))
def test_a_name_of_the_quarantine_is_new_and_tells_its_moment(name: str, count: int) -> None:
    """Whatever the file was called, bytes that are no text included; and a file system takes it."""
    taken: set[str] = set()
    for _ in range(count + 1):
        found = rules.quarantine_name(name.encode("utf-8", "replace").decode(), NOW, taken)
        assert found not in taken
        assert "/" not in found
        assert len(found.encode("utf-8", "surrogateescape")) < 255
        taken.add(found)
    assert rules.is_being_proved(taken, NOW + timedelta(seconds=9))
    assert not rules.is_being_proved(taken, NOW + timedelta(seconds=10))
    # A clock that was set back keeps nobody waiting.
    assert not rules.is_being_proved(taken, NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (rules.temporary_name("dev-101.yml", "0123456789abcdef"), True),
        (".portal.yml.new", True),
        (".writing/.dev-101.yml.0123456789abcdef.new.new", True),
        (".writing/dev-101.yml", False),
        (".dev-101.yml.swp", False),
        ("dev-101.yml.new", False),
        (".a/b.yml.new", False),
        (".dev-101.yml.0123.new", False),
        ("dev-101.yml", False),
    ],
)
def test_only_our_own_form_is_a_leftover_of_ours(name: str, is_ours: bool) -> None:
    """What an editor leaves is its owner's."""
    assert rules.is_temporary(name) is is_ours


def test_what_carries_our_mark_is_suspected_at_most() -> None:
    """Whoever wrote it writes it again; what cannot be read at all is told by how certain that is."""
    good = f"# zlh owner: {OWNER}\n{{}}\n".encode()
    assert rules.judge_file(entry("a.yml"), OWNER, good).verdict is Verdict.HARMLESS
    assert rules.judge_file(entry("a.yml"), OWNER, good + b"{").verdict is Verdict.UNSURE
    assert rules.judge_file(entry("a.yml"), None, Unread("x", is_certain=False)).verdict is Verdict.UNSURE
    assert rules.judge_file(entry("a.yml"), None, Unread("x", is_certain=True)).verdict is Verdict.BROKEN
    assert rules.judge_file(entry("a.txt"), None, Unread("x", is_certain=True)).verdict is Verdict.HARMLESS


@given(st.binary(max_size=300), st.sampled_from(["a.yml", "a.toml"]))
def test_every_file_is_judged(content: bytes, name: str) -> None:
    """Nothing that it holds raises."""
    judge(name, content)


def test_what_would_cost_much_is_left_to_the_proxy() -> None:
    """Aliases that multiply, nesting without end, sizes beyond all need."""
    bomb = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n".encode()
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    for content in (bomb, b"a: " + b"[" * 500 + b"]" * 500, b"#" * (MOST_BYTES + 1), b"a: &a [*a]\n"):
        assert judge("a.yml", content).verdict is not Verdict.HARMLESS
