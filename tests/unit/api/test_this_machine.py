"""The machine of the API as a node, as far as the API's unit lets it look."""

from __future__ import annotations

from pathlib import Path

import pytest

from zlh_api.drivers import this_machine
from zlh_common.schema.resources import Resources

USUAL = Resources()


def test_a_machine_whose_memory_is_hidden_is_a_node_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's unit hides everything of /proc but processes: what cannot be read is not known, and ends nothing."""
    seen = this_machine.look_at_machine(tmp_path / "not yet there", USUAL)
    assert seen.memory_mib
    monkeypatch.setattr(this_machine, "MEMORY_INFO", tmp_path / "hidden")
    hidden = this_machine.look_at_machine(tmp_path, USUAL)
    assert (hidden.memory_mib, hidden.used_memory_mib, hidden.disk_mib) == (None, None, seen.disk_mib)
