"""What a newer agent says: everything that is known here is taken, whatever stands beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from zlh_common.errors import InvalidBody
from zlh_common.schema.agent_events import StatusEvent, parse_message, parse_status
from zlh_common.schema.agent_update import AgentSoftware, AgentUpdate, AgentUpdateState
from zlh_common.schema.game import GameReport, PlayersSeen
from zlh_common.schema.newer import decode_newer
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.status import (
    PROTOCOL_VERSION,
    AddonState,
    AddonStatus,
    AgentStatus,
    ProcessStatus,
    Step,
    StepState,
)
from zlh_common.schema.structs import Report, encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Document = dict[str, Any]
# Where an agent says one of a few words, by its path, and how to leave out what says another one there.
PLACES: dict[str, Callable[[Document], object]] = {
    "steps.0.state": lambda status: status["steps"].pop(0),
    "processes.0.state": lambda status: status["processes"].pop(0),
    "ports.0.reach": lambda status: status["ports"].pop(0),
    "ports.0.kind": lambda status: status["ports"].pop(0),
    "addons.0.state": lambda status: status["addons"].pop(0),
    "game.players.source": lambda status: status["game"].pop("players"),
    "agent.update.state": lambda status: status["agent"].pop("update"),
}
WORDS = st.text(max_size=60).filter(lambda word: word not in {"pending", "log", "tcp", "done"})


def make_status(protocol: int = PROTOCOL_VERSION + 1) -> Document:
    """Return a status that says something everywhere, as a document."""
    update = AgentUpdate(version="2", attempt=0, state=AgentUpdateState.DONE, before="1", started_at=NOW)
    status = AgentStatus(
        protocol_version=protocol,
        agent_version="2",
        owner="me",
        boot_id="boot",
        started_at=NOW,
        observed_at=NOW,
        spec_generation=3,
        observed_generation=3,
        steps=(Step(name="one", state=StepState.DONE), Step(name="two", state=StepState.RUNNING)),
        processes=(ProcessStatus(name="web", state="running"), ProcessStatus(name="db", state="stopped")),
        ports=(make_port(80), make_port(81)),
        addons=(AddonStatus(name="editor", state=AddonState.RUNNING),),
        game=GameReport(template="blocks", version="1.0", players=PlayersSeen(count=1, source="ping", at=NOW)),
        agent=AgentSoftware(version="2", update=update),
    )
    return as_document(status)


def make_port(port: int) -> ListeningPort:
    """Return a port that speaks HTTP."""
    return ListeningPort(
        port=port,
        addresses=("0.0.0.0",),
        reach=PortReach.NETWORK,
        kind=PortKind.HTTP,
        pid=None,
        process="",
        command="",
        directory=None,
        since=NOW,
    )


def as_document(value: object) -> Document:
    """Return what is said on the wire."""
    document: Document = json.loads(encode(value))
    return document


def find_words(kind: inspect.Type, path: str = "") -> Iterator[str]:
    """Yield the path of each place of a shape in which one of a few words stands."""
    match kind:
        case inspect.EnumType() | inspect.LiteralType():
            yield path[1:]
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from find_words(field.type, f"{path}.{field.encode_name}")
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from find_words(item, f"{path}.0")
        case inspect.Metadata(type=inner):
            yield from find_words(inner, path)
        case inspect.UnionType(types=kinds):
            for each in kinds:
                yield from find_words(each, path)
        case _:
            pass


def say_at(document: Document, path: str, word: str) -> None:
    """Put a word at a place."""
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place: Any = document
    for part in way:
        place = place[part]
    place[last] = word


def test_every_word_of_a_status_has_its_case() -> None:
    """A word that is added to a status is added to the cases of this file."""
    assert set(find_words(inspect.type_info(AgentStatus))) == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
@given(word=WORDS)
def test_a_word_that_came_later_hides_nothing_else(place: str, word: str) -> None:
    """A newer agent says an unknown word in any place: all but what says it is taken, as answer and as event."""
    document, expected = make_status(), make_status()
    say_at(document, place, f"{word}-later")
    PLACES[place](expected)
    known = parse_status(json.dumps(expected))
    assert parse_status(json.dumps(document)) == known
    event = {"type": "status", "status": document, "andMore": word}
    assert parse_message(json.dumps(event)) == StatusEvent(status=known)


@given(st.sets(st.sampled_from(sorted(PLACES)), min_size=1))
def test_many_words_at_once(places: set[str]) -> None:
    """However many words are unknown, what is said in known ones is taken: generations and the second of each list."""
    document = make_status()
    for place in places:
        say_at(document, place, "later")
    status = parse_status(json.dumps(document))
    assert status.spec_generation == 3
    assert [step.name for step in status.steps][-1:] == ["two"]
    assert [port.port for port in status.ports][-1:] == [81]


@pytest.mark.parametrize("protocol", [1, PROTOCOL_VERSION])
@pytest.mark.parametrize("place", PLACES)
def test_an_agent_that_is_not_newer_has_no_words_of_its_own(place: str, protocol: int) -> None:
    """What no agent of our version or an older one says is nonsense."""
    document = make_status(protocol)
    say_at(document, place, "later")
    with pytest.raises(InvalidBody):
        parse_status(json.dumps(document))
    with pytest.raises(InvalidBody):
        parse_message(json.dumps({"type": "status", "status": document}))


@pytest.mark.parametrize(
    "wrong",
    [{"specGeneration": "3"}, {"owner": None}, {"steps": {}}, {"processes": [7]}, {"startedAt": "soon"}, {"agent": 1}],
)
def test_a_newer_agent_can_say_nonsense_too(wrong: Document) -> None:
    """What is of another kind than it was stays wrong, whoever says it."""
    document = {**make_status(), **wrong}
    with pytest.raises(InvalidBody):
        parse_status(json.dumps(document))


def test_what_is_long_is_not_read_word_by_word() -> None:
    """A status that is not wholly known is read slowly, so a long one is refused; one that is known is not."""
    document = {**make_status(), "steps": [{"name": "x" * 100, "state": "done"}] * 2000}
    assert len(parse_status(json.dumps(document)).steps) == 2000
    say_at(document, "processes.0.state", "later")
    with pytest.raises(InvalidBody, match="more than"):
        parse_status(json.dumps(document))


def test_what_has_to_be_said_cannot_be_left_out() -> None:
    """A word that is unknown where there is no default and no list makes the whole of no use, and is named."""
    document = {**as_document(make_port(80)), "reach": "later"}
    with pytest.raises(InvalidBody, match="`later`"):
        decode_newer(json.dumps(document), ListeningPort)


def test_a_kind_of_several_that_is_unknown_is_left_out() -> None:
    """A probe of a kind that came later is no probe; one that is known is read as ever."""
    later = {"name": "web", "argv": ["x"], "policy": {"ready": {"probe": {"kind": "later", "port": 1}}}}
    known = {"name": "web", "argv": ["x"], "policy": {"ready": {"probe": {"kind": "tcp", "port": 1}}}}
    assert decode_newer(json.dumps(later), WantedProcess).policy.ready.probe is None
    assert decode_newer(json.dumps(known), WantedProcess).policy.ready.probe is not None


def test_what_is_known_of_a_shape_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than to read what is said, which a newer agent says again and again."""

    class Said(Report):
        state: StepState | None = None

    asked: list[object] = []
    real = inspect.type_info

    def describe(shape: type[Said]) -> inspect.Type:
        asked.append(shape)
        return real(shape)

    monkeypatch.setattr(inspect, "type_info", describe)
    assert [decode_newer(b'{"state":"later"}', Said).state for _ in range(3)] == [None] * 3
    assert asked == [Said]
