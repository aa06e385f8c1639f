"""How much memory downloads share."""

from __future__ import annotations

import pytest

from zlh_agent.files.memory_rules import share_of_memory


@pytest.mark.parametrize(("active", "kib"), [(1, 1024), (2, 512), (32, 32), (33, 32), (1000, 32)])
def test_blocks_become_smaller_down_to_what_is_worth_a_call(active: int, kib: int) -> None:
    """A lone download has a megabyte, many share it, and none has less than 32 KiB."""
    assert share_of_memory(active) == kib * 1024
