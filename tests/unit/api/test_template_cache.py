"""Which templates of real containers are deleted: those that nobody on this machine uses, and no other."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from zlh_api.dev.template_cache import note_template, note_use, prune
from zlh_api.drivers.lxc.guest_folders import write_mark
from zlh_api.drivers.lxc.model import GuestFolder, GuestMark
from zlh_common.names import OwnerMark, Vmid


class Machine:
    """A cache, two installations, and their containers."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.roots = folder / "cache", folder / "roots"
        for place in (self.cache, self.roots):
            place.mkdir()

    def make(self, name: str, *, is_noted: bool = True) -> Path:
        """Make a template."""
        template = self.cache / name
        (template / "etc").mkdir(parents=True)
        if is_noted:
            note_template(template)
        return template

    def add_guest(self, root: Path, template: Path, name: str = "101") -> GuestFolder:
        """Make a guest of a template."""
        folder = GuestFolder(root / name)
        folder.path.mkdir(parents=True)
        owner = OwnerMark(str(uuid4()))
        mark = GuestMark(owner=owner, vmid=Vmid(101), kind="dev", address="10.1.1.2", template=str(template))
        write_mark(folder, mark)
        return folder

    def prune(self) -> list[str]:
        """Delete what nobody uses."""
        return prune(self.cache, roots=self.roots)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An empty one."""
    return Machine(tmp_path)


def test_what_nobody_uses_goes(machine: Machine, tmp_path: Path) -> None:
    """With what a crash has left half-made."""
    (machine.cache / ".agent-half").mkdir()
    machine.make("agent-old")
    note_use(machine.cache, home=tmp_path, root=tmp_path / "none", templates=[machine.make("agent-new")])
    assert machine.prune() == ["agent-old"]
    assert {entry.name for entry in machine.cache.iterdir()} == {"agent-new", "agent-new.noted", "used-by"}
    assert machine.prune() == []


def test_what_a_guest_is_made_of_stays(machine: Machine, tmp_path: Path) -> None:
    """Wherever an installation has ever had its guests, half-made ones too, and with no note in the usual place."""
    elsewhere, usual = tmp_path / "elsewhere", machine.roots / "dev-1"
    first, second, third = (machine.make(f"agent-{name}") for name in ("first", "second", "third"))
    for root in (elsewhere, tmp_path / "later"):
        note_use(machine.cache, home=tmp_path / "gone", root=root, templates=[first])
    guests = [machine.add_guest(elsewhere, first), machine.add_guest(elsewhere, second, ".new-half")]
    guests.append(machine.add_guest(usual, third))
    assert machine.prune() == []
    for guest in guests:
        guest.mark.unlink()
    assert machine.prune() == ["agent-first", "agent-second", "agent-third"]


def test_what_an_installation_is_made_with_now_stays_as_long_as_that_is_there(machine: Machine, tmp_path: Path) -> None:
    """It may make a guest of it at any moment."""
    home = tmp_path / "home"
    home.mkdir()
    note_use(machine.cache, home=home, root=tmp_path / "none", templates=[machine.make("agent-a")])
    assert machine.prune() == []
    home.rmdir()
    assert machine.prune() == ["agent-a"]


def test_what_may_have_users_that_nobody_noted_stays(machine: Machine) -> None:
    """It was made before there were notes."""
    machine.make("agent-ancient", is_noted=False)
    assert machine.prune() == []


def test_nothing_goes_where_a_guest_does_not_say_what_it_is_made_of(machine: Machine) -> None:
    """Its template is one of these."""
    machine.make("agent-a")
    guest = machine.add_guest(machine.roots / "dev-1", machine.cache / "agent-a")
    guest.mark.write_bytes(msgspec.json.encode({"owner": 1}))
    assert machine.prune() == []
