"""What git says while it clones, and what is made of it."""

from __future__ import annotations

import pytest

from zlh_agent.workspace.clone_rules import clean_output, find_meaning, parse_progress, retry_pause_s, tell_failure
from zlh_agent.workspace.errors import FAILURES


@pytest.mark.parametrize(
    ("line", "fraction", "message"),
    [
        ("Receiving objects:  50% (10/20), 1.20 MiB | 3.00 MiB/s", 0.4, "Receiving objects: 10 of 20, 1.20 MiB"),
        ("Receiving objects: 100% (20/20), done.", 0.8, "Receiving objects: 20 of 20"),
        ("Resolving deltas:  50% (1/2)", 0.85, "Resolving deltas: 1 of 2"),
        ("Updating files: 100% (5/5)", 1.0, "Updating files: 5 of 5"),
    ],
)
def test_progress_is_one_scale(line: str, fraction: float, message: str) -> None:
    """Over all that git does one after the other."""
    assert parse_progress(line) == (fraction, message)


@pytest.mark.parametrize("line", ["", "remote: Counting objects: 50% (1/2)", "Cloning into 'x'...", "a" * 10_000])
def test_other_words_are_no_progress(line: str) -> None:
    """What a server says least of all."""
    assert parse_progress(line) is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "repository_needs_credentials"),
        (
            "fatal: unable to access 'https://h/p/': The requested URL returned error: 403",
            "repository_needs_credentials",
        ),
        ("fatal: repository 'https://h/p/' not found", "repository_not_found"),
        ("fatal: remote error: access denied or repository not exported: /p", "repository_not_found"),
        ("warning: Could not find\nfatal: Remote branch x not found in upstream origin", "repository_branch_not_found"),
        ("fatal: unable to access 'https://h/p/': Could not resolve host: h", "repository_unreachable"),
        ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF", "repository_unreachable"),
        ("fatal: unable to access 'x': The requested URL returned error: 503", "repository_unreachable"),
        ("fatal: write error: No space left on device\nfatal: early EOF", "repository_disk_full"),
        ("remote: No space left on device\nfatal: something else", "clone_failed"),
    ],
)
def test_last_words_are_understood(words: str, code: str) -> None:
    """Each is told in words of ours, and has a kind; what the server says decides nothing."""
    assert find_meaning(words) == code
    assert FAILURES[code].code == code


def test_every_failure_is_told() -> None:
    """With what to do."""
    for code in FAILURES:
        assert "https://h/{p}" in tell_failure(code, "https://h/{p}", "b", "/w") or code == "git_missing"


def test_pauses_grow_and_end() -> None:
    """From seconds to minutes."""
    pauses = [retry_pause_s(tries) for tries in range(1, 100)]
    assert pauses[:3] == [5, 10, 20]
    assert max(pauses) == 300


def test_output_is_text_that_can_be_shown() -> None:
    """Without what would move a terminal, and of its end alone."""
    raw = b"\x1b[31mred\x1b[0m\r\n\x1b]0;title\x07 50%\r100%\r\n\x00\xff\x1b"
    assert clean_output(raw) == "red\n 50%\n100%\n�"
    assert clean_output(b"x" * 10_000 + b"end") == "x" * 4093 + "end"
