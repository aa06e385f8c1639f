"""What is written into a guest's folder does not bring the folder back."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from zlh_api.drivers.lxc.guest_folders import write_config, write_mark
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark
from zlh_common.names import OwnerMark, Vmid


def test_a_folder_that_was_taken_away_stays_away(tmp_path: Path) -> None:
    """One with a config and no mark would be a stranger's, and stand in its guest's place for ever."""
    folder, owner = GuestFolder(tmp_path / "101"), OwnerMark(str(uuid4()))
    with pytest.raises(FileNotFoundError):
        write_config(folder, b"lxc.uts.name = a\n")
    with pytest.raises(FileNotFoundError):
        write_mark(folder, GuestMark(owner=owner, vmid=Vmid(101), kind="dev", address="10.1.1.2", template="/t"))
    assert not folder.path.exists()
    # The hand is at it: the mark has gone, and the folder goes next, unless something new stands in it.
    folder.path.mkdir()
    with pytest.raises(FileNotFoundError):
        write_config(folder, b"lxc.uts.name = a\n")
    assert list(folder.path.iterdir()) == []
