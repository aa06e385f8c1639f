"""Lines of a server's output, told from what its players have it write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.line_patterns import find_pattern_problem, match_line

JOINED = "[{time}] [Server thread/INFO]: {name} joined the game"
DONE = '[{time}] [Server thread/INFO]: Done ({number}s)! For help, type "help"{rest}'


def test_gaps_give_what_stands_in_them() -> None:
    """A name, a uuid and a number are what a caller wants to know."""
    assert match_line(JOINED, "[12:34:56] [Server thread/INFO]: Steve joined the game") == {"name": "Steve"}
    line = "[12:34:56] [User Authenticator #1/INFO]: UUID of player Alex is 069a79f4-44e9-4726-a5be-fca90e38aaf5"
    found = match_line("[{time}] [User Authenticator #{number}/INFO]: UUID of player {name} is {uuid}", line)
    assert found == {"name": "Alex", "uuid": "069a79f4-44e9-4726-a5be-fca90e38aaf5", "number": "1"}
    assert match_line(DONE, '[01:02:03] [Server thread/INFO]: Done (1.542s)! For help, type "help" or "?"') is not None


@pytest.mark.parametrize(
    "said",
    [
        "<Steve> Alex joined the game",
        "[Server] Alex joined the game",
        "* Steve joined the game",
        "[Not Secure] <Steve> Alex joined the game",
        "<Steve> [12:00:00] [Server thread/INFO]: Alex joined the game",
        "Steve issued server command: /me ] [Server thread/INFO]: Alex joined the game",
    ],
)
def test_what_a_player_says_is_no_line_of_the_server(said: str) -> None:
    """Chat, `/me` and `/say` come in the same stream, whatever they imitate."""
    assert match_line(JOINED, f"[12:34:56] [Server thread/INFO]: {said}") is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "characters"),
        ("x" * 257, "characters"),
        ("a\nb", "one line"),
        ("{colour} joined", "no gap {colour}"),
        ("{name} hit {name}", "stands twice"),
        ("a {text} b {text} c {text}", "more than twice"),
        ("{rest} joined", "the end"),
        ("a{rest}{rest}", "the end"),
        ("{ joined", "brace"),
        ("a } b", "brace"),
        ("{name}", "some text"),
        ("x{time}{time}{time}{time}{time}", "too many ways"),
        ("{word},{word},{word},{word},", "too many ways"),
        ("{time}: {text}a{text}b", "too many ways"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(pattern: str, why: str) -> None:
    """Whoever writes a template is told before it is signed."""
    problem = find_pattern_problem(pattern)
    assert problem is not None
    assert why in problem


@given(st.text(alphabet="ab{}[]() .namerest", min_size=1, max_size=30), st.text(max_size=60))
def test_a_pattern_without_problem_takes_any_line(pattern: str, line: str) -> None:
    """No line makes one fail, and what is literal matches itself."""
    if find_pattern_problem(pattern) is None:
        match_line(pattern, line)
        assert "{" in pattern or match_line(pattern, pattern) == {}


@pytest.mark.parametrize(
    "pattern", [JOINED, DONE, "[{word}] [{word}] [{word}] [{word}]: {name} came", "{time}: {text}a"]
)
def test_gaps_that_end_where_the_text_says_are_no_problem(pattern: str) -> None:
    """However many of them there are."""
    assert find_pattern_problem(pattern) is None


def test_the_longest_line_is_looked_at_in_steps_that_grow_no_faster_than_it() -> None:
    """The work of two `{text}` is bounded by their length, so a line of 16 KiB is no attack."""
    assert match_line("a{text}a{text}b", "a" * 16_384) is None
