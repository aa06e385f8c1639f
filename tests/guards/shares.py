"""Which tests go to one worker, one after the other, and what is begun first.

A file is one share: its tests go to one worker, which makes what they have in common once. Files that need what a
worker has but once are one share together. Files of long tests that have nothing in common are as many shares as tests.
What takes long is begun first, so that no worker is alone with it at the end.
"""

from __future__ import annotations

# One installation of the platform for all of them: starting one takes longer than most of these files.
TOGETHER: dict[str, str] = {}
APART: tuple[str, ...] = ()
# By the beginning of their paths; what stands in no line comes last.
FIRST: tuple[str, ...] = ("tests/lxc/", "tests/e2e/", "tests/faults/", "tests/component/")


def share_of(test: str) -> str:
    """Return the name of the share that a test belongs to."""
    file = test.partition("::")[0]
    if file in APART:
        return test
    return next((share for beginning, share in TOGETHER.items() if file.startswith(beginning)), file)


def rank_of(share: str) -> int:
    """Return how early a share is begun: the lower the earlier."""
    return next((rank for rank, beginning in enumerate(FIRST) if share.startswith(beginning)), len(FIRST))
