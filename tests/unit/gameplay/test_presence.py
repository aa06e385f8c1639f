"""Who plays, made of lines and of answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.gameplay.presence import (
    MAX_IDENTIFIED,
    MAX_ONLINE,
    Answer,
    PresenceState,
    count_online,
    end_run,
    hear_answer,
    hear_line,
    is_complete,
    list_online,
)
from zlh_common.schema.game import PlayerSession
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.template import Presence

PREFIX = "[12:00:00] [Server thread/INFO]: "
PATTERNS = Presence(
    joined=("[{time}] [Server thread/INFO]: {name} joined the game",),
    left=("[{time}] [Server thread/INFO]: {name} left the game",),
    identified=("[{time}] [User Authenticator #{number}/INFO]: UUID of player {name} is {uuid}",),
)
UUID = "069a79f4-44e9-4726-a5be-fca90e38aaf5"
BEGAN = datetime(2026, 11, 27, tzinfo=UTC)


class Game:
    """A presence that is told things, a second after each other."""

    def __init__(self) -> None:
        self.state = PresenceState()
        self.ended: list[PlayerSession] = []
        self.now = BEGAN

    def say(self, text: str) -> None:
        """Have a line come."""
        self.now += timedelta(seconds=1)
        self.state, ended = hear_line(self.state, PATTERNS, text, self.now)
        self.ended += ended

    def answer(self, *names: str, count: int | None = None, is_whole: bool = True) -> None:
        """Have the server answer."""
        self.now += timedelta(seconds=1)
        listed = tuple((name, None) for name in names)
        answer = Answer(len(names) if count is None else count, 20, listed, is_whole=is_whole)
        self.state, ended = hear_answer(self.state, answer, self.now)
        self.ended += ended

    def join(self, name: str) -> None:
        """Have somebody come."""
        self.say(f"{PREFIX}{name} joined the game")

    def leave(self, name: str) -> None:
        """Have somebody go."""
        self.say(f"{PREFIX}{name} left the game")

    def names(self) -> list[str]:
        """Return who plays, in order of their coming."""
        return [player.name for player in list_online(self.state)]


def test_lines_say_who_plays_and_since_when() -> None:
    """With the id that was told before the join."""
    game = Game()
    game.say(f"[12:00:00] [User Authenticator #1/INFO]: UUID of player Alex is {UUID}")
    game.join("Alex")
    game.join("Steve")
    assert [(one.name, one.uuid, one.since) for one in list_online(game.state)] == [
        ("Alex", UUID, BEGAN + timedelta(seconds=2)),
        ("Steve", None, BEGAN + timedelta(seconds=3)),
    ]
    game.leave("Alex")
    assert game.names() == ["Steve"]
    assert [(one.name, one.uuid, one.left_for_certain) for one in game.ended] == [("Alex", UUID, True)]
    assert game.state.identified == {}


def test_chat_brings_nobody() -> None:
    """Whatever is typed: the pattern is the whole line."""
    game = Game()
    game.say(f"{PREFIX}<Steve> Alex joined the game")
    game.say(f"{PREFIX}* Steve joined the game")
    game.join("Steve")
    game.say(f"{PREFIX}<Alex> Steve left the game")
    assert game.names() == ["Steve"]


def test_one_answer_alone_changes_no_names() -> None:
    """It may have been on its way while somebody came; the next one decides."""
    game = Game()
    game.join("Alex")
    game.answer()
    assert game.names() == ["Alex"]
    assert not is_complete(game.state)
    game.answer()
    assert game.names() == []
    assert [(one.name, one.left_for_certain) for one in game.ended] == [("Alex", False)]
    assert is_complete(game.state)


def test_doubts_end_with_a_line_and_with_an_answer_that_agrees() -> None:
    """Two answers against somebody count only in a row."""
    game = Game()
    game.join("Alex")
    game.answer()
    game.answer("Alex")
    game.answer()
    assert game.names() == ["Alex"]
    game.join("Alex")
    game.answer()
    assert game.names() == ["Alex"]


def test_somebody_whom_only_the_server_names_is_there_after_two_answers() -> None:
    """Their line was lost, or they came before anybody looked."""
    game = Game()
    game.answer("Alex")
    assert game.names() == []
    game.answer("Alex")
    assert game.names() == ["Alex"]


def test_a_number_without_names_is_told_beside_them() -> None:
    """A server that hides who plays still says how many do."""
    game = Game()
    game.join("Alex")
    game.answer("Alex", count=30, is_whole=False)
    assert (game.names(), count_online(game.state), is_complete(game.state)) == (["Alex"], 30, False)


def test_whoever_came_or_went_since_the_answer_is_counted() -> None:
    """The next answer is seconds away."""
    game = Game()
    game.answer(count=0, is_whole=False)
    game.join("Alex")
    assert count_online(game.state) == 1
    game.leave("Alex")
    assert count_online(game.state) == 0


def test_whoever_comes_among_strangers_is_taken_for_one_of_them_until_the_next_answer() -> None:
    """A number that is too small for seconds is better than one that counts everybody twice."""
    game = Game()
    game.answer(count=7, is_whole=False)
    game.join("Alex")
    assert count_online(game.state) == 7
    game.answer(count=8, is_whole=False)
    assert count_online(game.state) == 8
    game.leave("Alex")
    assert count_online(game.state) == 7


def test_whoever_the_answer_knew_before_their_line_is_counted_once() -> None:
    """The line was on its way, for who came and for who went."""
    game = Game()
    game.answer("Alex")
    game.join("Alex")
    assert count_online(game.state) == 1
    game.answer()
    game.leave("Alex")
    assert count_online(game.state) == 0


def test_whoever_a_number_counted_before_their_line_is_counted_once() -> None:
    """Servers count at the login and write a while later, and as one goes the other way round."""
    game = Game()
    game.join("Alex")
    game.answer(count=3, is_whole=False)
    game.join("Steve")
    game.join("Kim")
    assert (count_online(game.state), is_complete(game.state)) == (3, True)
    game.join("Ada")
    assert count_online(game.state) == 4
    game.answer(count=2, is_whole=False)
    game.leave("Kim")
    game.leave("Ada")
    assert (count_online(game.state), is_complete(game.state)) == (2, True)
    game.leave("Alex")
    assert count_online(game.state) == 1


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_answers_that_come_before_the_lines_never_count_anybody_twice(comes: list[bool], data: st.DataObject) -> None:
    """However late lines are, once all have come the number is that of the names."""
    game, there = Game(), list[str]()
    late: list[tuple[Callable[[str], None], str]] = []
    for number, is_coming in enumerate(comes):
        if is_coming or not there:
            there.append(f"Player{number}")
            late.append((game.join, there[-1]))
        else:
            late.append((game.leave, there.pop(0)))
        game.answer(count=len(there), is_whole=False)
        for _ in range(data.draw(st.integers(0, len(late)))):
            tell, name = late.pop(0)
            tell(name)
    for tell, name in late:
        tell(name)
    assert [player.name for player in list_online(game.state)] == there
    assert (count_online(game.state), is_complete(game.state)) == (len(there), True)


def test_the_end_of_a_run_ends_every_stay() -> None:
    """And what the server had said counts no more."""
    game = Game()
    game.join("Alex")
    game.answer("Alex", count=5, is_whole=False)
    game.state, ended = end_run(game.state, game.now)
    assert [one.name for one in ended] == ["Alex"]
    assert game.state == PresenceState()


def test_floods_of_names_are_bounded() -> None:
    """A game that names a million players costs no more than one with many."""
    game = Game()
    for number in range(MAX_IDENTIFIED + 10):
        game.say(f"[12:00:00] [User Authenticator #1/INFO]: UUID of player p{number} is {UUID}")
    assert len(game.state.identified) == MAX_IDENTIFIED
    many = {f"p{number}": None for number in range(MAX_ONLINE + 10)}
    for _ in range(2):
        game.state, _ = hear_answer(game.state, Answer(len(many), None, tuple(many.items()), is_whole=True), BEGAN)
    assert len(game.names()) == MAX_ONLINE


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), NAMES),
        st.tuples(st.just("leave"), NAMES),
        st.tuples(st.just("answer"), st.frozensets(NAMES)),
        st.tuples(st.just("count"), st.integers(0, 5)),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_comes_every_stay_ends_once_and_nothing_contradicts_itself(steps: list[tuple[str, object]]) -> None:
    """Stays of one player never overlap; the state survives the disk; two equal whole answers are the truth."""
    game = Game()
    for kind, what in steps:
        match kind:
            case "join":
                game.join(str(what))
            case "leave":
                game.leave(str(what))
            case "answer":
                game.answer(*sorted(what))  # type: ignore[call-overload]
            case _:
                game.answer(count=int(str(what)), is_whole=False)
        assert count_online(game.state) >= len(game.names()) - len(game.state.lacking)
        assert decode(encode(game.state), PresenceState) == game.state
    for name in ("a", "b", "c"):
        stays = [(one.joined_at, one.left_at) for one in game.ended if one.name == name]
        assert all(left is not None and joined < left for joined, left in stays)
        assert stays == sorted(stays)
        assert len(set(stays)) == len(stays)
    for _ in range(2):
        game.answer("a")
    assert game.names() == ["a"]
    assert is_complete(game.state)


@pytest.mark.parametrize("line", ["", " ", PREFIX, f"{PREFIX}joined the game", f"{PREFIX} joined the game", "\0" * 50])
def test_other_lines_say_nothing(line: str) -> None:
    """Most lines are of other things."""
    game = Game()
    game.say(line)
    assert game.state == PresenceState()
