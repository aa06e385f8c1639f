"""The loop of a game server over acts that do nothing to a disk: what follows what, what waits, and what fails."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.clock import FakeClock
from fakes.game_source import pin, want_game
from zlh_agent.games.children import OnProgress
from zlh_agent.games.errors import GameStepFailed
from zlh_agent.games.history_rules import find_replaced
from zlh_agent.games.model import GameRecord, Installed, Restored, Restoring
from zlh_agent.games.rules import find_content, placed_of
from zlh_agent.games.service import MAX_QUIET_FAILURES, GameService
from zlh_agent.games.store import GameStore
from zlh_agent.games.works import GamePlace, GameWorks
from zlh_agent.journal.model import Occurrence
from zlh_agent.workspace.service import TerminalUserUnknown
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import ProcessStatus, StepState

BACKUP = "a" * 32


class TriedWorks(GameWorks):
    """Keeps a record in memory, and fails to order."""

    def __init__(self, clock: FakeClock, tmp_path: Path) -> None:
        place = GamePlace(tmp_path / "game", tmp_path, (), (), user=lambda: None)
        super().__init__(place, GameStore(tmp_path / "state"), clock)
        self.done: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.waits_at: str | None = None

    async def load(self) -> None:
        """There is nothing."""

    async def sweep(self) -> None:
        """There is nothing."""

    async def change(self, change: Callable[[GameRecord], GameRecord]) -> None:
        """Remember it."""
        self.record = change(self.record)

    async def act(self, name: str) -> None:
        """Note an act, and fail or wait as ordered."""
        self.done.append(name)
        if self.waits_at == name:
            await asyncio.Event().wait()
        if waiting := self.failures.get(name):
            raise waiting.pop(0)

    async def stage(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Note it."""
        await self.act("stage")
        await self.keep(staged=find_content(wanted))

    async def back_up(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Note it."""
        await self.act("back up")
        await self.keep(backed_up_for=find_content(wanted))

    async def commit(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Note it."""
        await self.act("commit")
        replaces = find_replaced(self.record.installed)
        installed = lying(wanted, is_released=False, replaces=replaces)
        await self.keep(installed=installed, staged=None, backed_up_for=None)

    async def restore(self, backup_id: str, restored: Restored, on_progress: OnProgress) -> None:
        """Note it; what lies there then is of the first version."""
        await self.act("restore")
        back = lying(want(), is_released=False, attempt=restored.attempt)
        await self.keep(installed=back, restored=restored, restoring=None)

    async def edit(self, edits: Any) -> None:
        """Note it."""
        await self.act("edit")


class FakeSupervision:
    """One process that is what it was last told to be."""

    def __init__(self) -> None:
        self.power = "off"
        self.waited = 0

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Return what it is."""
        return (ProcessStatus(name=SERVER, state="running" if self.power == "on" else "stopped"),)

    async def wait_down(self, name: str) -> None:
        """Be down."""
        assert (name, self.power) == (SERVER, "off")
        self.waited += 1


def lying(wanted: WantedGame, **changes: Any) -> Installed:
    """Return a version that lies in the folder."""
    whole = Installed(
        template=wanted.template, version=wanted.version, content=find_content(wanted), files=placed_of(wanted),
        scripts=(), process=wanted.process, installed_at=FakeClock().now(), is_released=True, attempt=wanted.attempt,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


def fails(*, may_pass: bool = True, code: str = "some_reason") -> GameStepFailed:
    """Return a failure."""
    return GameStepFailed(reason_code=code, message="It did not work.", may_pass=may_pass)


def want(version: str = "1.0", **more: Any) -> WantedGame:
    """Return a version of one file."""
    return want_game([pin("server.jar", version.encode())], 25565, version=version, **more)


class Scene:
    """A service with its surroundings."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock, self.supervision = FakeClock(), FakeSupervision()
        self.works = TriedWorks(self.clock, tmp_path)
        self.games = GameService(self.works, self.clock, folder=tmp_path, on_change=lambda: None)
        self.games.supervised, self.games.apply = self.supervision, self.apply
        self.spec = AgentSpec(generation=0)

    async def apply(self) -> None:
        """Tell supervision what is wanted by now."""
        taken = self.games.take(self.spec)
        self.supervision.power = taken[0].power if taken else "off"

    async def want(self, game: WantedGame) -> None:
        """Take a spec, as the agent does."""
        self.spec = AgentSpec(generation=self.spec.generation + 1, game=game)
        self.games.want(self.spec)
        await self.apply()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so, and time passes meanwhile."""
        async with asyncio.timeout(60):
            while not is_so():
                self.clock.advance(1.0)
                # The loop waits by its own timers, which a new look ends.
                self.games._changed.set()
                await asyncio.sleep(0)

    def state(self) -> StepState:
        """Return how far the step is."""
        return self.games.steps()[0].state


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Return a scene whose loop runs."""
    async with playing(Scene(tmp_path)) as playing_scene:
        yield playing_scene


@asynccontextmanager
async def playing(scene: Scene) -> AsyncIterator[Scene]:
    """Run the loop of a scene."""
    loop = asyncio.create_task(scene.games.run())
    try:
        yield scene
    finally:
        loop.cancel()
        await asyncio.wait({loop})


async def test_a_first_version_is_staged_placed_and_let_start(scene: Scene) -> None:
    """The server is off until then, and on from then on."""
    await scene.want(want())
    assert scene.supervision.power == "off"
    await scene.until(lambda: scene.supervision.power == "on")
    assert scene.works.done == ["stage", "commit"]
    assert scene.state() is StepState.DONE


async def test_what_may_pass_is_tried_again_and_gone_on_with(scene: Scene) -> None:
    """Whichever act it was that failed; what is done already is not done again."""
    scene.works.failures = {"stage": [fails(), fails()], "commit": [fails()]}
    await scene.want(want())
    await scene.until(lambda: scene.supervision.power == "on")
    assert scene.works.done == ["stage", "stage", "stage", "commit", "commit"]


async def test_a_failure_is_told_once_however_often_it_is_tried_again(scene: Scene) -> None:
    """Another code is another thing that happens; what is wanted anew is told anew."""
    told: list[tuple[str, object]] = []

    async def note(occurrence: Occurrence) -> None:
        told.append((occurrence.kind, occurrence.data.get("code")))

    scene.works.note = note
    scene.works.failures = {"stage": [fails(), fails(), fails(code="another")], "commit": [fails()]}
    await scene.want(want())
    await scene.until(lambda: scene.supervision.power == "on")
    failed = ("game.install_failed", "some_reason")
    assert told == [failed, ("game.install_failed", "another"), ("game.installed", None)]
    scene.works.failures = {"stage": [fails()]}
    await scene.want(want("2.0"))
    await scene.until(lambda: scene.state() is StepState.DONE)
    assert told[3:] == [("game.change_failed", "some_reason"), ("game.version_changed", None)]


async def test_what_may_not_pass_waits_for_another_wish(scene: Scene) -> None:
    """Its code is told; a new attempt tries it again."""
    scene.works.failures = {"stage": [fails(may_pass=False, code="game_file_refused")]}
    await scene.want(want())
    await scene.until(lambda: scene.state() is StepState.FAILED)
    for _ in range(100):
        scene.clock.advance(60.0)
        scene.games._changed.set()
        await asyncio.sleep(0)
    assert scene.works.done == ["stage"]
    assert scene.games.steps()[0].code == "game_file_refused"
    await scene.want(want(attempt=1))
    await scene.until(lambda: scene.supervision.power == "on")


async def test_the_old_version_runs_while_another_is_fetched_and_is_down_for_the_rest(scene: Scene) -> None:
    """It is stopped and waited for before its folder is touched."""
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    scene.works.waits_at = "back up"
    changed = want("2.0", words=["--new"])
    await scene.want(changed)
    assert scene.games.take(scene.spec)[0].argv == want().process.argv
    await scene.until(lambda: "back up" in scene.works.done)
    assert (scene.supervision.power, scene.supervision.waited) == ("off", 1)
    told = scene.games.tell_processes(scene.supervision.statuses())[0]
    assert told.reason is not None
    assert told.reason.code == "game_not_in_place"


async def test_a_change_that_fails_for_good_before_anything_is_touched_lets_the_old_one_run(scene: Scene) -> None:
    """A backup that has no room costs the customer nothing but the change."""
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    scene.works.failures = {"back up": [fails(may_pass=False, code="game_backup_too_large")]}
    await scene.want(want("2.0"))
    await scene.until(lambda: scene.state() is StepState.FAILED and scene.supervision.power == "on")
    assert scene.games.steps()[0].code == "game_backup_too_large"
    assert scene.works.done == ["stage", "back up"]


async def test_a_change_that_fails_again_and_again_lets_the_old_one_run(scene: Scene) -> None:
    """It is not stopped once a minute for what does not work."""
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    scene.works.failures = {"back up": [fails()] * (MAX_QUIET_FAILURES + 1)}
    await scene.want(want("2.0"))
    await scene.until(lambda: "back up" in scene.works.done and scene.supervision.power == "on")
    assert scene.works.done == ["stage", *["back up"] * MAX_QUIET_FAILURES]


async def test_runtimes_are_waited_for_before_the_server_is_stopped(scene: Scene) -> None:
    """What is fetched meanwhile is fetched; the step says what it waits for."""
    has_runtimes = False
    scene.games.has_runtimes = lambda: has_runtimes
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    await scene.want(want("2.0"))
    await scene.until(lambda: scene.state() is StepState.PENDING and scene.works.done == ["stage"])
    assert scene.supervision.power == "on"
    assert "runtimes" in (scene.games.steps()[0].message or "")
    has_runtimes = True
    scene.games.look_again()
    await scene.until(lambda: scene.state() is StepState.DONE)
    assert scene.works.done == ["stage", "back up", "commit"]


async def test_a_restore_waits_for_runtimes_while_the_server_runs_on(scene: Scene) -> None:
    """A version that was gone back from may need one that is not there any more; its download costs no downtime."""
    has_runtimes = False
    scene.games.has_runtimes = lambda: has_runtimes
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want("2.0")))
    await scene.want(want(restore=BACKUP, attempt=1))
    await scene.until(lambda: "runtimes" in (scene.games.steps()[0].message or ""))
    assert (scene.works.done, scene.supervision.power, scene.supervision.waited) == ([], "on", 0)
    has_runtimes = True
    scene.games.look_again()
    await scene.until(lambda: scene.state() is StepState.DONE)
    assert (scene.works.done, scene.supervision.power) == (["restore"], "on")


async def test_a_restore_that_was_begun_waits_for_nothing(scene: Scene) -> None:
    """The folder may be in parts the one and in parts the other: whatever there is to run it, it becomes whole."""
    scene.games.has_runtimes = lambda: False
    begun = Restoring(restored=Restored(id=BACKUP, attempt=1), device=1, inode=1)
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want("2.0")), restoring=begun)
    await scene.want(want(restore=BACKUP, attempt=1))
    await scene.until(lambda: scene.works.done == ["restore"])
    assert scene.works.record.restoring is None


async def test_a_wish_that_changes_calls_off_a_download(scene: Scene) -> None:
    """What it has failed with is none of the new one's failures."""
    scene.works.waits_at = "stage"
    await scene.want(want())
    await scene.until(lambda: scene.works.done == ["stage"])
    scene.works.waits_at = None
    await scene.want(want("2.0"))
    await scene.until(lambda: scene.state() is StepState.DONE)
    report = scene.games.report()
    assert report is not None
    assert report.version == "2.0"


async def test_an_edit_that_fails_is_the_reason_of_the_start(scene: Scene) -> None:
    """Of the server alone; another process has nothing to be edited."""
    await scene.want(want())
    await scene.until(lambda: scene.supervision.power == "on")
    scene.works.failures = {"edit": [fails(code="config_unreadable")]}
    wanted = scene.spec.game
    assert wanted is not None
    reason = await scene.games.prepare(wanted.process)
    assert reason is not None
    assert reason.code == "config_unreadable"
    assert await scene.games.prepare(wanted.process) is None
    assert await scene.games.prepare(msgspec.structs.replace(wanted.process, name="other")) is None


async def test_a_disk_that_fails_again_and_again_lets_the_old_one_run(scene: Scene) -> None:
    """A backup that fills the disk, however often, keeps no server down for ever."""
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    scene.works.failures = {"back up": [OSError(errno.ENOSPC, "No space left on device")] * 20}
    await scene.want(want("2.0"))
    await scene.until(lambda: "back up" in scene.works.done and scene.supervision.power == "on")
    assert scene.works.done == ["stage", *["back up"] * MAX_QUIET_FAILURES]
    assert scene.games.steps()[0].code == "disk_error"


async def test_a_refusal_that_is_none_of_a_step_is_told_as_one(scene: Scene) -> None:
    """The loop goes on: a user who is gone for a moment ends no agent."""
    scene.works.failures = {"commit": [TerminalUserUnknown("dev")]}
    await scene.want(want())
    await scene.until(lambda: scene.state() is StepState.FAILED)
    assert scene.games.steps()[0].code == TerminalUserUnknown.code
    await scene.want(want(attempt=1))
    await scene.until(lambda: scene.supervision.power == "on")


async def test_a_folder_in_which_mods_are_changed_is_waited_for(scene: Scene) -> None:
    """The server runs on meanwhile; while its folder is worked in, others have to wait."""
    is_over, taken = asyncio.Event(), False

    @asynccontextmanager
    async def standstill(_needs_whole: bool) -> AsyncIterator[None]:
        nonlocal taken
        await is_over.wait()
        taken = True
        yield
        taken = False

    scene.games.is_folder_busy, scene.games.standstill = lambda: not is_over.is_set(), standstill
    scene.works.record = msgspec.structs.replace(scene.works.record, installed=lying(want()))
    await scene.want(want("2.0"))
    await scene.until(lambda: scene.state() is StepState.PENDING and scene.works.done == ["stage"])
    assert (scene.supervision.power, scene.games.is_changing()) == ("on", False)
    scene.works.waits_at = "back up"
    is_over.set()
    await scene.until(lambda: "back up" in scene.works.done)
    assert taken
    scene.works.waits_at = None
    await scene.want(want("3.0"))
    await scene.until(lambda: scene.state() is StepState.DONE)
    assert not taken
