"""The words between the agent and its file child."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.files import files_wire as wire
from zlh_agent.files.model import KINDS, Amount, Answer, Entry, Request
from zlh_agent.files.rules import is_name

names = st.binary(min_size=1, max_size=255).filter(is_name).map(wire.decode_name)
texts = st.binary(max_size=300)
times = st.integers(-(2**63) + 1, 2**63 - 1)
entries = st.builds(
    Entry,
    name=names,
    kind=st.sampled_from(KINDS),
    size=st.integers(0, 2**63 - 1),
    mode=st.integers(0, 0o7777),
    modified_ns=times,
    changed_ns=times,
    inode=st.integers(0, 2**64 - 1),
    target=st.none() | texts.map(wire.decode_name),
)
answers = st.one_of(
    st.builds(
        Answer, st.sampled_from([wire.DONE, wire.PROGRESS]), amount=st.builds(Amount, *[st.integers(0, 2**63 - 1)] * 4)
    ),
    st.builds(
        Answer,
        st.just(wire.DONE),
        words=st.lists(st.binary(min_size=1, max_size=100), max_size=1),
        skipped=st.lists(st.tuples(texts, st.just("is_a_link")), max_size=5),
        skipped_count=st.integers(5, 2**63 - 1),
    ),
    st.builds(
        Answer,
        st.just(wire.FOUND),
        where=texts,
        entries=st.lists(entries, min_size=1, max_size=1),
        lines=st.lists(st.tuples(st.integers(1, 2**63 - 1), texts), max_size=5),
    ),
    st.builds(Answer, st.just(wire.TOLD), words=st.lists(texts, max_size=16)),
    st.builds(Answer, st.just(wire.REFUSED), code=st.just("path_not_found"), where=texts, of_other=st.booleans()),
    st.builds(
        Answer,
        st.sampled_from([wire.ENTRIES, wire.OPENED]),
        entries=st.lists(entries, max_size=3),
        has_more=st.booleans(),
    ),
)


@given(answers)
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    """Names of any bytes, times before 1970, and sizes beyond all disks."""
    assert wire.parse_answer(wire.render_answer(answer)) == answer


requests = st.builds(
    Request,
    st.text("abc-"),
    texts,
    other=texts,
    number=st.integers(-(10**20), 10**20),
    flag=st.booleans(),
    more=st.lists(texts),
)


@given(requests)
def test_a_request_arrives_as_it_was_made(request: Request) -> None:
    """Whatever the path holds."""
    assert wire.parse_request(wire.render_request(request)) == request


@given(
    texts.filter(lambda path: b"\0" not in path).map(wire.decode_name),
    st.text("abc;,0123456789", max_size=50),
    st.text("abc"),
)
def test_an_order_arrives_as_it_was_given(root: str, confinement: str, loads: str) -> None:
    """The root may be any folder."""
    order = wire.render_order(parent=4711, root=root, confinement=confinement, loads=loads)
    assert wire.parse_order(order) == (4711, root, confinement, loads)


@given(answers.map(wire.render_answer), st.data())
def test_nonsense_is_refused_and_breaks_nothing(message: bytes, data: st.DataObject) -> None:
    """A message that was cut, or changed in a byte, is another right one or a WireError."""
    at = data.draw(st.integers(0, len(message) - 1))
    for spoilt in (message[:at], message[:at] + bytes([data.draw(st.integers(0, 255))]) + message[at + 1 :]):
        try:
            answer = wire.parse_answer(spoilt)
        except wire.WireError:
            continue
        assert all(entry.kind in KINDS and "/" not in entry.name for entry in answer.entries)


@given(st.binary(max_size=100))
def test_noise_is_no_word(noise: bytes) -> None:
    """Neither an answer nor a first word."""
    for parse in (wire.parse_answer, wire.parse_ready):
        with contextlib.suppress(wire.WireError):
            parse(noise)


@pytest.mark.parametrize("name", ["a/b", ".", "a\0"])
def test_a_name_that_no_folder_can_hold_is_refused(name: str) -> None:
    """A child cannot send its reader elsewhere by what it lists."""
    entry = Entry(name=name, kind="file", size=0, mode=0, modified_ns=0, changed_ns=0, inode=1)
    with pytest.raises(wire.WireError):
        wire.parse_answer(wire.render_answer(Answer(wire.ENTRIES, entries=[entry])))


def test_a_message_is_bounded() -> None:
    """On both sides."""
    with pytest.raises(wire.WireError):
        wire.render_request(Request("stat", b"a" * wire.MAX_MESSAGE_BYTES))
    with pytest.raises(wire.WireError):
        wire.parse_answer(bytes(wire.MAX_MESSAGE_BYTES + 1))


def test_the_first_word() -> None:
    """Ready with an ABI, or not and why; another version is neither."""
    assert wire.parse_ready(wire.render_ready(landlock_abi=7)) == 7
    assert wire.parse_ready(wire.render_unready(step="openat2", reason="no")) == ("openat2", "no")
    with pytest.raises(wire.WireError):
        wire.parse_ready(wire.render_ready(landlock_abi=7).replace(b"\x013", b"\x012"))
