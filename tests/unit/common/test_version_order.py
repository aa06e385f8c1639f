"""The order of versions that all parts of the platform share."""

from __future__ import annotations

from random import Random

import pytest

from zlh_common.version_order import version_order

ROWS = [
    ["1.9", "1.10-rc1", "1.10-rc2", "1.10", "1.10.1", "2.0-beta2", "2.0", "22.20.0", "24.9.0", "24.19.0"],
    ["1.0-RC1", "1.0-rc2", "1.0"],
    ["17.0.9+1", "21.0.5+11", "21.0.6+1"],
]


@pytest.mark.parametrize("ordered", ROWS)
def test_releases_rank_above_their_pre_releases(ordered: list[str]) -> None:
    """Numbers count as numbers, a pre-release comes before its release, and a longer version after a shorter one."""
    shuffled = Random(7).sample(ordered, len(ordered))
    assert sorted(shuffled, key=version_order) == ordered
