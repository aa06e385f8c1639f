"""One spec on disk: whole or not at all, and never trusted where it cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from zlh_agent.spec.rules import NOTHING
from zlh_agent.spec.store import SpecStore
from zlh_common.schema.spec import AgentSpec, WantedRuntime

SPEC = AgentSpec(generation=7, runtimes=(WantedRuntime(name="tiny", version="1.0"),))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """The folder is made where it is missing, for the agent alone, and no temporary file stays."""
    folder = tmp_path / "var/lib/zlh"
    SpecStore(folder).save(AgentSpec(generation=1))
    SpecStore(folder).save(SPEC)
    assert SpecStore(folder).load() == SPEC
    assert [path.name for path in folder.iterdir()] == ["spec.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "spec.json").stat().st_mode) == 0o600


def test_without_a_file_there_is_no_spec(tmp_path: Path) -> None:
    """A fresh container wants nothing."""
    assert SpecStore(tmp_path / "none").load() == NOTHING


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b'{"generation":-1}', b'{"generation":1,"runtimes":7}'])
def test_a_broken_file_is_set_aside(raw: bytes, tmp_path: Path) -> None:
    """It is there to be looked at, and the next spec is kept as usual."""
    (tmp_path / "spec.json").write_bytes(raw)
    assert SpecStore(tmp_path).load() == NOTHING
    assert (tmp_path / "spec.broken").read_bytes() == raw
    SpecStore(tmp_path).save(SPEC)
    assert SpecStore(tmp_path).load() == SPEC


def test_a_temporary_file_of_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    """Half a file from before is written over, and never read."""
    (tmp_path / ".spec.json.new").write_bytes(b'{"generation":99')
    assert SpecStore(tmp_path).load() == NOTHING
    SpecStore(tmp_path).save(SPEC)
    assert SpecStore(tmp_path).load() == SPEC


def test_a_newer_agents_fields_do_not_lose_the_spec(tmp_path: Path) -> None:
    """After a downgrade the older agent reads what it knows."""
    (tmp_path / "spec.json").write_bytes(b'{"generation":7,"zebra":1,"runtimes":[{"name":"tiny","version":"1.0"}]}')
    assert SpecStore(tmp_path).load() == SPEC
