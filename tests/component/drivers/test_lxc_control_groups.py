"""Control groups of a guest that has ended, whatever its customer has made of them."""

from __future__ import annotations

import os
from pathlib import Path

from zlh_api.drivers.lxc.control_groups import ControlGroups
from zlh_api.drivers.lxc.limits import Controllers
from zlh_api.drivers.lxc.model import groups_of
from zlh_common.names import OwnerMark

OWNER = OwnerMark("7a2b6247-a3e8-48c9-b3c8-ef7c40e66365")


def nest(top: Path, depth: int) -> None:
    """Make folders in each other, deeper than a path may be long."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        for name in ("beside", "d" * 200):
            os.mkdir(name, dir_fd=at)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_groups_are_removed_however_deep_they_are(tmp_path: Path) -> None:
    """All of them, and nobody else's."""
    groups = ControlGroups((("pids", tmp_path),), None, Controllers(()))
    (tmp_path / "another").mkdir()
    for name, depth in zip(groups_of(OWNER), (2000, 1, 0), strict=True):
        nest(tmp_path / name, depth)
    groups.remove(OWNER)
    assert not groups.exist(OWNER)
    assert [path.name for path in tmp_path.iterdir()] == ["another"]
    groups.remove(OWNER)
