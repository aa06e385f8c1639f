"""What `ZLH_DRIVER` and its kin mean for `make dev`, and that two installations share nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zlh_api.dev.real_containers import choose_driver, place_containers
from zlh_api.drivers.lxc.model import HostUnready
from zlh_common.errors import ConfigInvalid


def test_a_folder_keeps_to_the_driver_that_it_was_begun_with(tmp_path: Path) -> None:
    """Its containers are of that kind."""
    assert choose_driver({}, tmp_path) == "process"
    assert choose_driver({"ZLH_DRIVER": "process"}, tmp_path) == "process"
    with pytest.raises(ConfigInvalid, match="was begun with ZLH_DRIVER=process"):
        choose_driver({"ZLH_DRIVER": "lxc"}, tmp_path)


def test_a_folder_from_before_there_was_a_choice_is_of_processes(tmp_path: Path) -> None:
    """It holds a database and no word of a driver."""
    (tmp_path / "postgres").mkdir()
    with pytest.raises(ConfigInvalid, match="was begun with ZLH_DRIVER=process"):
        choose_driver({"ZLH_DRIVER": "lxc"}, tmp_path)
    assert choose_driver({}, tmp_path) == "process"


def test_a_driver_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ConfigInvalid, match="ZLH_DRIVER='docker'"):
        choose_driver({"ZLH_DRIVER": "docker"}, tmp_path)


def test_real_containers_need_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is written down where they cannot be had."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostUnready, match="root"):
        choose_driver({"ZLH_DRIVER": "lxc"}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_installations_share_nothing() -> None:
    """Neither folder, bridge nor addresses; each finds its own again."""
    one, again, other = [place_containers({}, Path(home), Path("/t")) for home in ("/one", "/one", "/other")]
    assert one == again
    assert not {one.root, one.bridge, one.block, one.gateway} & {other.root, other.bridge, other.block, other.gateway}
    chosen = place_containers({"ZLH_LXC_BLOCK": "10.9.0.0/16"}, Path("/one"), Path("/t"))
    assert chosen.gateway == "10.9.0.1"
    with pytest.raises(ConfigInvalid, match="ZLH_LXC_BLOCK"):
        place_containers({"ZLH_LXC_BLOCK": "ten"}, Path("/one"), Path("/t"))
