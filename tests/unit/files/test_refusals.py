"""What the child says of a thing that it did not do."""

from __future__ import annotations

from zlh_agent.files.refusals import PATH_BUSY, Refused, told_of_other


def test_a_place_that_lies_deep_is_told_by_its_end() -> None:
    """A message holds no path of any length, and the last names are those that tell."""
    deep = b"/".join([b"folder"] * 1000) + b"/last"
    refused = Refused(PATH_BUSY, deep)
    assert refused.where.endswith(b"/folder/last")
    assert len(refused.where) == 1000
    assert told_of_other(refused).where == refused.where


def test_a_place_that_is_near_is_told_whole() -> None:
    """Nothing is taken off a path that fits."""
    assert Refused(PATH_BUSY, b"a/b").where == b"a/b"
