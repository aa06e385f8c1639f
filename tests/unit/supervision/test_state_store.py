"""What an agent leaves for the one after it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from zlh_agent.supervision.model import Child, Exit, Phase, State
from zlh_agent.supervision.store import StateStore, ensure_boot_mark
from zlh_common.schema.process import ProcessReason

STATE = State(
    phase=Phase.STOPPING,
    is_wanted=True,
    attempt=3,
    child=Child(7, 70, "boot"),
    due=12.5,
    restarts=2,
    reason=ProcessReason(code="crashed", message="It exited with code 1."),
    last_exit=Exit(code=1, at_ns=5),
)


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    """Whole, by another store of the same boot."""
    StateStore(tmp_path / "game", "boot").save(STATE)
    assert StateStore(tmp_path / "game", "boot").load() == STATE


def test_another_boot_begins_anew(tmp_path: Path) -> None:
    """Its clock means something else, and no child of that boot is left."""
    StateStore(tmp_path, "boot").save(STATE)
    assert StateStore(tmp_path, "other").load() is None


@pytest.mark.parametrize("change", [{"child": None}, {"due": None}, {"phase": Phase.BACKOFF}, {"phase": Phase.ERROR}])
def test_what_contradicts_itself_is_not_there(tmp_path: Path, change: dict[str, object]) -> None:
    """A child where there can be none, or a wait without an end: no step brings that forth."""
    store = StateStore(tmp_path, "boot")
    store.save(msgspec.structs.replace(STATE, **change))
    assert store.load() is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"\xff\xfe", b'{"bootMark":"boot","state":{"phase":"unheard"}}', b'{"bootMark":"boot"}'],
)
def test_what_cannot_be_believed_is_not_there(tmp_path: Path, data: bytes) -> None:
    """The state is rebuilt from the spec and the shim, and the next one replaces it."""
    store = StateStore(tmp_path, "boot")
    (tmp_path / "state.json").write_bytes(data)
    assert store.load() is None
    store.save(STATE)
    assert store.load() == STATE


def test_a_start_of_the_container_is_told_by_its_empty_runtime_folder(tmp_path: Path) -> None:
    """Every agent of one start reads the same, and that of the next start another."""
    first = ensure_boot_mark(tmp_path / "run")
    assert ensure_boot_mark(tmp_path / "run") == first
    (tmp_path / "run/boot").unlink()
    assert ensure_boot_mark(tmp_path / "run") != first
