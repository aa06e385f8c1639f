"""How much of what an agent answers is read."""

from __future__ import annotations

from zlh_api.agents.appetite_rules import BURST_BYTES, BYTES_PER_S, LONGEST_WAIT_S, decide_wait, is_forgotten
from zlh_api.files.rules import write_tag


def test_an_agent_is_read_no_faster_than_its_allowance() -> None:
    """Whatever comes, and however often: a minute of it is the burst and sixty seconds' worth."""
    paid, now, taken = 0.0, 1000.0, 0
    for step in range(60_000):
        paid, wait_s = decide_wait(paid, 8 * 1024 * 1024, now + step / 1000)
        taken += 0 if wait_s is None else 8 * 1024 * 1024
    assert taken <= BURST_BYTES + (60 + LONGEST_WAIT_S) * BYTES_PER_S


def test_pages_of_an_honest_agent_do_not_wait() -> None:
    """Twenty large pages a second, for as long as one likes."""
    paid, now = 0.0, 1000.0
    for step in range(10_000):
        paid, wait_s = decide_wait(paid, 150_000, now + step / 20)
        assert wait_s == 0


def test_what_is_refused_costs_nothing_and_time_heals() -> None:
    """Who was refused is heard again once time has passed, and forgotten once nothing is owed."""
    paid, wait_s = decide_wait(0.0, 2**30, 1000.0)
    assert (paid, wait_s) == (0.0, None)
    paid, _ = decide_wait(0.0, BURST_BYTES, 1000.0)
    assert not is_forgotten(paid, 1000.0)
    assert is_forgotten(paid, 1000.0 + BURST_BYTES / BYTES_PER_S)


def test_a_version_that_is_no_tag_is_no_header() -> None:
    """A quotation mark would end the tag, a line break the header, and a long one is refused by proxies."""
    assert write_tag("1-2") == {"ETag": '"1-2"'}
    assert all(write_tag(version) == {} for version in ("", 'a"b', "a\r\nX: y", "a b", "x" * 101, "é"))
