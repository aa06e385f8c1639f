"""A power cut at every step of an update: there is always one version that starts, and what was begun is gone on with.

The steps are the file operations themselves, counted by an audit hook in a forked child that is killed at the n-th.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fakes.doomed import Act, run_doomed
from zlh_agent import launcher
from zlh_agent.launcher import DONE, NONE, PROBATION, PROVING, UNDONE, Places, UpdateState
from zlh_agent.runtimes.model import STAGING
from zlh_agent.update.bundles import find_bundles
from zlh_agent.update.model import Handover, Order, UpdatePlace
from zlh_agent.update.service import UpdateService
from zlh_agent.update.store import UpdateStore
from zlh_common.clock import SystemClock
from zlh_common.schema.agent_update import StartAgentUpdate

ZEROTH, FIRST, SECOND = "1.0.0", "1.1.0", "1.2.0"
NAME = "python{}.{}".format(*sys.version_info[:2])
SITE = f"lib/{NAME}/site-packages/zlh_agent"
_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "subprocess.Popen"}
pytestmark = pytest.mark.timeout(300)


@dataclass
class Disk:
    """The folders of one container, with three whole bundles."""

    root: Path

    @property
    def bundles(self) -> Path:
        """Where the versions lie."""
        return self.root / "opt/zlh/agent"

    @property
    def store(self) -> UpdateStore:
        """What is kept of updates."""
        return UpdateStore(self.root / "var/lib/zlh/update")

    def service(self, version: str) -> UpdateService:
        """Return the engine of one version, which has read what there is."""
        place = UpdatePlace(
            bundles=self.bundles, folder=self.store.folder, root=self.root, artifacts_urls=(), trusted_root=self.root,
            channels=(), probation_s=1.0, version=version, fixed_because=None,
        )  # fmt: skip
        service = UpdateService(place, SystemClock(), boot_id="boot")
        service._load()
        return service

    def lay_out(self) -> None:
        """Make the bundles; FIRST is what runs."""
        for version in (ZEROTH, FIRST, SECOND):
            for folder in ("bin", SITE, "system"):
                (self.bundles / version / folder).mkdir(parents=True)
            (self.bundles / version / SITE / "__main__.py").write_text("")
            (self.bundles / version / "system/launcher.py").write_text(f"# {version}\n")
        (self.root / "usr/bin").mkdir(parents=True)
        (self.root / "usr/bin" / NAME).symlink_to("/usr/bin/python3")
        self.point(FIRST)
        (self.bundles / "launcher.py").write_text(f"# {FIRST}\n")
        order = Order(version=SECOND, attempt=0, before=FIRST, started_at=SystemClock().now())
        self.store.write_order(order)

    def point(self, version: str) -> None:
        """Let `current` lead to a version."""
        (self.bundles / "current").unlink(missing_ok=True)
        (self.bundles / "current").symlink_to(version)

    def boot(self) -> tuple[str, UpdateState]:
        """Do what the launcher does at a start; return the version that it becomes, and what is known then."""
        places = Places(self.root)
        pythons = launcher.find_pythons(places.programs)
        whole = [
            version for version in find_bundles(self.bundles) if launcher.find_python(self.bundles / version, pythons)
        ]
        begun = launcher._settle_start(places, whole)
        assert begun.version is not None
        return begun.version, self.store.read_state()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Return a container whose agent was told of SECOND, which lies there whole."""
    disk = Disk(tmp_path / "root")
    disk.lay_out()
    return disk


def begin_trial(disk: Disk, phase: str = PROVING) -> None:
    """Have SECOND run on trial, as its launcher has left it."""
    switch(disk)
    disk.store.write_state(replace(disk.store.read_state(), phase=phase))


def switch(disk: Disk) -> None:
    """Switch to SECOND, from what the disk says."""
    service = disk.service(FIRST)
    order = disk.store.read_order()
    assert order is not None
    service._switch_on_disk(order, Handover(version=SECOND, attempt=0, boot_id="boot", spec_generation=1))


def undo(disk: Disk) -> None:
    """Undo SECOND."""
    launcher.undo(disk.store.folder, disk.bundles, code="agent_update_ended", message="It ended.", exit_code=3)


def boot(disk: Disk) -> None:
    """Start once more."""
    disk.boot()


def accept(disk: Disk) -> None:
    """Take SECOND for good, place what starts it, and take away what nobody needs."""
    service = disk.service(SECOND)
    before = disk.store.read_state()
    done = replace(before, phase=DONE, highest=SECOND, ended_at="2026-01-01T00:00:00+00:00")
    assert disk.store.move_state(before, done) == done
    service._load()
    service._tidy()


def tell(disk: Disk) -> None:
    """Tell FIRST of a version."""
    asyncio.run(disk.service(FIRST).start(StartAgentUpdate(version=SECOND, attempt=1)))


def kill_at_every_step(disk: Disk, work: Callable[[Disk], None], check: Callable[[str, UpdateState], None]) -> set[str]:
    """Do `work` in a child that dies at its first file operation, its second and so on, until it gets to its end.

    After each, a start becomes a whole version, `check` holds for it, and the same work goes to its end. Returns the
    versions that were started.
    """
    pristine = disk.root.with_name("pristine")
    shutil.copytree(disk.root, pristine, symlinks=True)
    step, started = 0, set()
    while True:
        step += 1

        def doomed(act: Act) -> None:
            def count(event: str, args: tuple[Any, ...]) -> None:
                if event in _EVENTS and any(str(disk.root) in str(arg) for arg in args):
                    act()

            sys.addaudithook(count)
            work(disk)

        is_whole = run_doomed(doomed, step)
        version, state = disk.boot()
        check(version, state)
        started.add(version)
        if is_whole:
            assert step > 4
            return started
        shutil.rmtree(disk.root)
        shutil.copytree(pristine, disk.root, symlinks=True)


def test_a_switch_leaves_the_former_or_the_new_on_trial(disk: Disk) -> None:
    """Never a version that runs without being on trial, and never one on trial that nobody can come back from."""

    def check(version: str, state: UpdateState) -> None:
        assert (version, state.phase) in {(FIRST, NONE), (FIRST, PROVING), (SECOND, PROVING)}
        if version == SECOND:
            assert (state.switched, state.former, state.version) == (True, FIRST, SECOND)
        # The engine goes on where it was.
        service = disk.service(version)
        assert service.report().update is not None
        if version == FIRST:
            switch(disk)
        assert disk.boot()[0] == SECOND
        undo(disk)
        assert disk.boot()[0] == FIRST

    assert kill_at_every_step(disk, switch, check) == {FIRST, SECOND}


@pytest.mark.parametrize("phase", [PROVING, PROBATION])
def test_an_undo_leaves_the_trial_or_the_former(phase: str, disk: Disk) -> None:
    """What was begun of it is finished by the next start; nothing starts a version that was undone."""
    begin_trial(disk, phase)

    def check(version: str, state: UpdateState) -> None:
        assert (version, state.phase) in {(SECOND, phase), (FIRST, UNDONE)}
        assert disk.boot() == (version, state)
        if version == SECOND:
            undo(disk)
        assert disk.boot()[0] == FIRST
        assert disk.store.read_state().code == "agent_update_ended"

    assert kill_at_every_step(disk, undo, check) == {SECOND, FIRST}


def test_a_start_that_finishes_an_undo_may_be_cut_off_too(disk: Disk) -> None:
    """Written as undone, and `current` still leads to it."""
    begin_trial(disk)
    undo(disk)
    disk.point(SECOND)

    def check(version: str, state: UpdateState) -> None:
        assert (version, state.phase) == (FIRST, UNDONE)

    assert kill_at_every_step(disk, boot, check) == {FIRST}


def test_an_acceptance_leaves_the_trial_or_the_new(disk: Disk) -> None:
    """Launcher and bundles are of one version or the other, never half of one; the next start makes the rest."""
    begin_trial(disk, PROBATION)

    def check(version: str, state: UpdateState) -> None:
        assert version == SECOND
        assert state.phase in {PROBATION, DONE}
        assert (disk.bundles / "launcher.py").read_text() in {f"# {FIRST}\n", f"# {SECOND}\n"}
        assert {FIRST, SECOND} <= set(find_bundles(disk.bundles))
        accept(disk)
        assert (disk.bundles / "launcher.py").read_text() == f"# {SECOND}\n"
        assert find_bundles(disk.bundles) == [FIRST, SECOND]
        assert not list(disk.bundles.glob(f"{STAGING}*"))
        assert disk.store.read_state().highest == SECOND

    assert kill_at_every_step(disk, accept, check) == {SECOND}


def test_what_was_told_is_kept_or_was_never_told(disk: Disk) -> None:
    """Whoever was answered finds it under way after any cut; who was not tells it again."""
    disk.store.write_order(replace_order(disk))

    def check(version: str, state: UpdateState) -> None:
        assert (version, state.phase) == (FIRST, NONE)
        update = disk.service(FIRST).report().update
        assert update is not None
        assert update.attempt in {0, 1}
        tell(disk)
        again = disk.service(FIRST).report().update
        assert again is not None
        assert again.attempt == 1

    assert kill_at_every_step(disk, tell, check) == {FIRST}


def replace_order(disk: Disk) -> Order:
    """Return the order as one that has failed."""
    now = SystemClock().now()
    return Order(version=SECOND, attempt=0, before=FIRST, started_at=now, finished_at=now, code="disk_full")
