"""Reports that are kept are right for their version, and no more of them are kept than may be."""

from __future__ import annotations

from zlh_api.containers.rendered import MAX_KEPT_BYTES, RenderedReports
from zlh_common.names import OwnerMark

A, B, C = (OwnerMark(name) for name in "abc")


def test_another_version_is_another_report() -> None:
    """Neither an older nor a newer one is taken for it."""
    kept = RenderedReports()
    kept.keep(A, 2, b"two")
    assert [kept.find(A, version) for version in (1, 2, 3)] == [None, b"two", None]
    kept.keep(A, 3, b"three")
    assert [kept.find(A, version) for version in (2, 3)] == [None, b"three"]


def test_what_was_not_asked_for_longest_goes() -> None:
    """A look at one keeps it."""
    kept = RenderedReports(max_kept=2)
    kept.keep(A, 1, b"a")
    kept.keep(B, 1, b"b")
    kept.find(A, 1)
    kept.keep(C, 1, b"c")
    assert [kept.find(owner, 1) for owner in (A, B, C)] == [b"a", None, b"c"]


def test_what_a_stranger_has_blown_up_is_not_kept() -> None:
    """Nor does the small report before it stay in its place."""
    kept = RenderedReports()
    kept.keep(A, 1, b"a")
    kept.keep(A, 2, b"a" * (MAX_KEPT_BYTES + 1))
    assert [kept.find(A, version) for version in (1, 2)] == [None, None]
