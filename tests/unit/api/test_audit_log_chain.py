"""The chain of the audit log: whatever is done to it is found, and its bytes are what the documentation says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlh_api.audit_log.anchors import AnchorInvalid, parse_anchors, render_head
from zlh_api.audit_log.chain import BEGINNING, ChainCheck, Flaw, hash_entry
from zlh_api.audit_log.model import PLATFORM, Act, Ending, Entry, Head, Link, Who
from zlh_api.audit_log.routes import render_entry
from zlh_common.schema.audit_log import Outcome

CHAIN, OTHER = UUID(int=7), UUID(int=8)
THEN = datetime(2026, 1, 1, 12, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
maybe = st.none() | texts
ids = st.none() | st.uuids()
whos = st.builds(Who, ids, maybe, ids, st.booleans())
acts = st.builds(
    Act,
    texts,
    whos,
    st.just(CHAIN),
    maybe,
    maybe,
    maybe,
    st.dictionaries(texts, texts, max_size=3),
)
endings = st.builds(Ending, st.sampled_from(Outcome), st.none() | st.integers(100, 599), maybe)
stories = st.lists(st.tuples(acts, endings), min_size=1, max_size=6)


def write(story: Sequence[tuple[Act, Ending]]) -> list[Entry]:
    """Return the chain of a story."""
    entries: list[Entry] = []
    previous = BEGINNING
    for number, (act, ending) in enumerate(story, 1):
        link = Link(number, THEN + timedelta(seconds=number, microseconds=number), previous)
        previous = hash_entry(link, act, ending)
        entries.append(Entry(number, link.at, act, ending, previous))
    return entries


def head_of(entries: Sequence[Entry]) -> Head:
    """Return where a chain ends."""
    return Head(CHAIN, entries[-1].number, entries[-1].hash)


def look(entries: Sequence[Entry], head: Head | None, anchors: dict[int, bytes] | None = None) -> Flaw | None:
    """Return the first flaw of a chain."""
    check = ChainCheck(CHAIN, anchors or {})
    for entry in entries:
        check.take(entry)
    return check.finish(head)


def plain_hash(shown: dict[str, Any], previous: str) -> str:
    """Compute a hash from what the API shows of an entry, by the words of docs/audit-log.md and nothing of ours."""

    def field(text: str | None) -> bytes:
        return b"-" if text is None else f"{len(text.encode())}:".encode() + text.encode() + b","

    actor, details = shown["actor"], shown["details"]
    at = datetime.fromisoformat(shown["at"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    status = None if shown["status"] is None else str(shown["status"])
    fields = [str(shown["number"]), at, shown["act"], shown["outcome"], actor["userId"], actor["email"]]
    fields += [actor["credentialId"], "true" if actor["byToken"] else "false", shown["customerId"], shown["subject"]]
    fields += [status, shown["code"], shown["requestId"], shown["address"], str(len(details))]
    fields += [text for name in sorted(details) for text in (name, details[name])]
    written = b"zlh-audit-log-1\n" + bytes.fromhex(previous) + b"".join(map(field, fields))
    return hashlib.sha256(written).hexdigest()


@given(stories)
def test_anyone_can_check_a_chain_by_what_the_api_shows(story: list[tuple[Act, Ending]]) -> None:
    """Ten lines of Python that know the documentation come to the same hashes."""
    previous = "00" * 32
    for entry in write(story):
        shown = json.loads(msgspec.json.encode(render_entry(entry)))
        previous = plain_hash(shown, previous)
        assert previous == shown["hash"]


def test_the_layout_never_changes_unseen() -> None:
    """A chain that an older version has written is whole for this one; another layout needs another first line."""
    act = Act(
        "container.create",
        Who(UUID(int=1), "änna@example.org", UUID(int=2), by_token=True),
        UUID(int=3),
        "container 101",
        "a" * 32,
        "192.0.2.1",
        {"name": "mine", "kind": "dev"},
    )
    link = Link(2, datetime(2026, 1, 31, 12, 0, 0, 5, UTC), bytes(range(32)))
    expected = "5ab6e0aa44d6599c6dac311bb25cac7e5d2fbfd58ee75e09e1d6450ffae01da0"
    assert hash_entry(link, act, Ending(Outcome.DONE, 202)).hex() == expected


@given(stories)
def test_a_chain_that_nobody_touched_is_whole(story: list[tuple[Act, Ending]]) -> None:
    """Also with its hashes noted elsewhere."""
    entries = write(story)
    assert look(entries, head_of(entries), {entry.number: entry.hash for entry in entries}) is None


_EDITS: dict[str, Any] = {
    "number": lambda entry: replace(entry, number=entry.number + 1),
    "at": lambda entry: replace(entry, at=entry.at + timedelta(microseconds=1)),
    "word": lambda entry: replace(entry, act=replace(entry.act, word=entry.act.word + "x")),
    "user_id": lambda entry: _with_who(entry, user_id=UUID(int=99) if entry.act.who.user_id is None else None),
    "email": lambda entry: _with_who(entry, email=None if entry.act.who.email is not None else ""),
    "credential_id": lambda entry: _with_who(entry, credential_id=UUID(int=98)),
    "by_token": lambda entry: _with_who(entry, by_token=not entry.act.who.by_token),
    "chain": lambda entry: replace(entry, act=replace(entry.act, chain=OTHER)),
    "subject": lambda entry: replace(entry, act=replace(entry.act, subject=(entry.act.subject or "") + "x")),
    "request_id": lambda entry: replace(entry, act=replace(entry.act, request_id=(entry.act.request_id or "") + "x")),
    "address": lambda entry: replace(entry, act=replace(entry.act, address=(entry.act.address or "") + "x")),
    "details": lambda entry: replace(entry, act=replace(entry.act, details={**entry.act.details, "one more": ""})),
    "outcome": lambda entry: replace(entry, ending=replace(entry.ending, outcome=_other(entry.ending.outcome))),
    "status": lambda entry: replace(entry, ending=replace(entry.ending, status=(entry.ending.status or 0) + 1)),
    "code": lambda entry: replace(entry, ending=replace(entry.ending, code=(entry.ending.code or "") + "x")),
    "hash": lambda entry: replace(entry, hash=bytes(reversed(entry.hash))),
}


def _with_who(entry: Entry, **changes: Any) -> Entry:
    return replace(entry, act=replace(entry.act, who=replace(entry.act.who, **changes)))


def _other(outcome: Outcome) -> Outcome:
    return Outcome.REFUSED if outcome is Outcome.DONE else Outcome.DONE


@given(stories, st.data())
def test_any_single_edit_is_found_at_its_entry(story: list[tuple[Act, Ending]], data: st.DataObject) -> None:
    """Every field of an entry is covered, and the entry is named."""
    entries = write(story)
    head = head_of(entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    changed = _EDITS[data.draw(st.sampled_from(sorted(_EDITS)))](entries[at])
    flaw = look([*entries[:at], changed, *entries[at + 1 :]], head)
    assert flaw is not None
    assert flaw.number == at + 1


def test_every_field_of_an_entry_can_be_edited_above() -> None:
    """A field that is added to an entry is added to the edits, or a change of it would go unseen."""
    kept = {field for value in (Entry, Act, Who, Ending) for field in value.__dataclass_fields__}
    assert set(_EDITS) == kept - {"act", "ending", "who"}


@given(stories, st.data())
def test_a_removed_entry_is_found(story: list[tuple[Act, Ending]], data: st.DataObject) -> None:
    """Also the last one: where the chain ends is noted apart from its entries."""
    entries = write(story)
    at = data.draw(st.integers(0, len(entries) - 1))
    flaw = look([*entries[:at], *entries[at + 1 :]], head_of(entries))
    assert flaw is not None
    assert flaw.number == at + 1


@given(stories.filter(lambda story: len(story) > 1), st.data())
def test_reordered_entries_are_found(story: list[tuple[Act, Ending]], data: st.DataObject) -> None:
    """Whether they keep their numbers or swap them."""
    entries = write(story)
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    swapped = list(entries)
    swapped[first], swapped[second] = entries[second], entries[first]
    renumbered = [replace(entry, number=number) for number, entry in enumerate(swapped, 1)]
    for told in (swapped, renumbered):
        flaw = look(told, head_of(entries))
        assert flaw is not None
        assert flaw.number == first + 1


@given(stories, st.data())
def test_a_doubled_entry_is_found(story: list[tuple[Act, Ending]], data: st.DataObject) -> None:
    """As it is, or with a number of its own."""
    entries = write(story)
    at = data.draw(st.integers(0, len(entries) - 1))
    after = [replace(entry, number=entry.number + 1) for entry in entries[at:]]
    for told in ([*entries[: at + 1], *entries[at:]], [*entries[: at + 1], *after]):
        flaw = look(told, head_of(entries))
        assert flaw is not None
        assert flaw.number == at + 2


@given(stories, stories)
@settings(max_examples=50)
def test_a_chain_that_was_written_anew_is_found_by_an_anchor(
    story: list[tuple[Act, Ending]], other: list[tuple[Act, Ending]]
) -> None:
    """Whoever can change everything in the database changes nothing of what was noted elsewhere."""
    entries, forged = write(story), write(other)
    anchors = {entries[-1].number: entries[-1].hash}
    assert look(forged, head_of(forged)) is None
    is_same = len(forged) >= len(entries) and forged[len(entries) - 1].hash == entries[-1].hash
    assert (look(forged, head_of(forged), anchors) is None) == is_same


def test_a_cut_chain_with_a_cut_end_is_found_by_an_anchor() -> None:
    """Its entries and the note of its end agree, and it was longer once."""
    entries = write([(Act("a.b", chain=CHAIN), Ending(Outcome.DONE))] * 3)
    anchor = {3: entries[2].hash}
    assert look(entries[:2], head_of(entries[:2]), anchor) == Flaw(CHAIN, 3, "is missing: entry 3 was noted elsewhere")
    flaw = look([], None, anchor)
    assert flaw is not None
    assert flaw.number == 1


def test_a_chain_without_its_end_is_not_whole() -> None:
    """One that never had an entry is."""
    entries = write([(Act("a.b", chain=CHAIN), Ending(Outcome.DONE))])
    assert look(entries, None) is not None
    assert look([], None) is None
    assert look([], head_of(entries)) is not None


def test_a_chain_cannot_stand_for_another() -> None:
    """The customer is part of each hash."""
    entries = write([(Act("a.b", chain=CHAIN), Ending(Outcome.DONE))])
    moved = [replace(entry, act=replace(entry.act, chain=OTHER)) for entry in entries]
    assert look(moved, head_of(entries)) is not None


def test_anchors_are_read_as_they_are_printed() -> None:
    """Those of several days in one file, and remarks."""
    one, two = Head(PLATFORM, 3, b"a" * 32), Head(CHAIN, 5, b"b" * 32)
    text = f"# January\n{render_head(one)}\n\n{render_head(two)}\n{render_head(replace(one, number=9))}\n"
    assert parse_anchors(text) == {PLATFORM: {3: b"a" * 32, 9: b"a" * 32}, CHAIN: {5: b"b" * 32}}


@pytest.mark.parametrize(
    "line",
    ["x", "platform 1", f"platform 0 {'0' * 64}", f"platform -1 {'0' * 64}", f"nobody 1 {'0' * 64}", "platform 1 00"],
)
def test_a_file_that_holds_no_anchors_is_refused_by_line(line: str) -> None:
    """An anchor that was not understood must not count as one that fits."""
    with pytest.raises(AnchorInvalid):
        parse_anchors(f"platform 1 {'0' * 64}\n{line}\n")


def test_two_hashes_for_one_entry_are_a_contradiction() -> None:
    """One of them cannot be true, and the file does not say which."""
    with pytest.raises(AnchorInvalid):
        parse_anchors(f"platform 1 {'0' * 64}\nplatform 1 {'1' * 64}\n")
