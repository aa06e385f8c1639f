"""The line that says ready, in output of every shape."""

from __future__ import annotations

import pytest

from zlh_agent.console.plain_lines import MAX_LINE_CHARS
from zlh_agent.supervision.log_match import LineMatch, LogMatch, matches_line

STARTED = b'[12:00:01] \x1b[32m[Server/INFO]\x1b[0m: Done (3.2s)! For help, type "help"\r\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize(
    ("pattern", "is_there"),
    [
        ("Done (*)! For help", True),
        ("[Server/INFO]: Done", True),
        ("Done*help", True),
        ("help*Done", False),
        ("32m", False),
    ],
)
def test_the_pattern_is_found_however_the_output_is_cut(pattern: str, is_there: bool, size: int) -> None:
    """Colours are no part of the line, and no cut makes them one."""
    match = LogMatch(pattern)
    for at in range(0, len(STARTED), size):
        match.feed(STARTED[at : at + size])
    assert match.is_found is is_there


def test_a_prompt_without_a_line_end_is_a_line() -> None:
    """It waits for input, so no line end will come."""
    assert LogMatch("console>").feed(b"loading\r\nconsole> ")


def test_a_pattern_does_not_reach_over_the_end_of_a_line() -> None:
    """Or two unrelated lines would say ready."""
    assert not LogMatch("Done*help").feed(b"Done\nhelp\n")


def test_a_line_without_end_costs_no_memory_and_ends() -> None:
    """What comes after its first part is not looked at; the next line is."""
    match = LogMatch("ready")
    for _ in range(100):
        match.feed(b"x" * 64 * 1024)
    assert len(match._lines._line) == MAX_LINE_CHARS
    assert not match.feed(b"ready")
    assert match.feed(b"\nready")


def test_bytes_that_are_no_text_do_no_harm() -> None:
    """Binary output, and a character that is cut in two."""
    match = LogMatch("größe")
    assert not match.feed(bytes(range(256)) + b"\ngr\xc3")
    assert match.feed(b"\xb6\xc3\x9fe")


def test_a_star_is_the_only_character_with_a_meaning() -> None:
    """The rest is text, so no pattern is slow."""
    assert matches_line("a.b(c)[d]", ".b(c)[")
    assert not matches_line("aXb", "a.b")
    assert matches_line("anything", "*")
    assert not matches_line("aab" * 5000, "a*" * 20 + "z")


DONE = '[{time}] [Server/INFO]: Done ({number}s)! For help, type "help"'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_a_whole_line_is_found_however_the_output_is_cut(size: int) -> None:
    """And not before its end has come, since more of it may follow."""
    match = LineMatch(DONE)
    for at in range(0, len(STARTED) - 1, size):
        assert not match.feed(STARTED[at : min(at + size, len(STARTED) - 1)])
    assert match.feed(b"\n")


@pytest.mark.parametrize(
    "said",
    [
        '<Steve> Done (3.2s)! For help, type "help"',
        '[Server] Done (3.2s)! For help, type "help"',
        '<Steve> [12:00:01] [Server/INFO]: Done (3.2s)! For help, type "help"',
    ],
)
def test_what_a_player_says_is_no_whole_line(said: str) -> None:
    """Whatever it imitates; LogMatch would take it."""
    raw = f"[12:00:01] [Server/INFO]: {said}\r\n".encode()
    assert not LineMatch(DONE).feed(raw)
    assert LogMatch("Done (*s)! For help").feed(raw)


def test_a_prompt_that_was_overwritten_is_no_part_of_a_line() -> None:
    """A server that draws its prompt anew writes the line over it; a screen shows the line alone."""
    assert LineMatch("up after {number} s").feed(b"> \r\x1b[Kup after 3 s\r\n")
    assert LineMatch("up after {number} s").feed(b"\x1b[1G\x1b[0J> \x1b[3G\x1b[1G\x1b[1Gup after 3 s\r\n")


def test_the_end_of_a_line_that_was_too_long_is_no_line() -> None:
    """Or whoever has a long name or a long message could have one written."""
    assert not LineMatch("ready at {number}").feed(b"x" * (MAX_LINE_CHARS + 10) + b"ready at 1\n")


def test_what_is_left_of_a_line_is_no_line() -> None:
    """Where output is missing, what a player has said is not taken for the server's own word."""
    done = b'[12:00:00] [Server/INFO]: Done (1.5s)! For help, type "help"\n'
    match = LineMatch(DONE)
    match.feed(b"")
    match.lose()
    assert not match.feed(done[:9])
    assert not match.feed(done[9:])
    assert match.feed(done)
    match = LineMatch(DONE)
    match.feed(b"<Alex> ")
    match.lose()
    assert not match.feed(b"\n")
    assert match.feed(done)


def test_a_prompt_behind_what_is_missing_is_found() -> None:
    """Its line has no end; and what came before is not joined with it."""
    match = LogMatch("console>")
    match.feed(b"cons")
    match.lose()
    assert not match.feed(b"ole>")
    assert match.feed(b" console> ")


@pytest.mark.parametrize("back", ["\r", "\r\r", "\x1b[G", "\x1b[1G", "\r> \r"])
def test_a_player_overwrites_no_line_of_the_server(back: str) -> None:
    """A game that lets returns pass in what players say has them read as what they are."""
    done = '[12:00:00] [Server/INFO]: Done (1.5s)! For help, type "help"'
    assert not LineMatch(DONE).feed(f"[12:00:00] [Server/INFO]: <Alex> {back}{done}\r\n".encode())
    assert LineMatch(DONE).feed(f"> say hal{back}{done}\r\n".encode())
