"""A game server's files, killed before each thing that is done to the disk: one version or none, never a mixture.

What children do is done in this very process, so that every name that they give and every file that they make is an
act as well; only the child that packs a backup, and the one that exchanges folders, are those of an agent.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.doomed import Act, run_doomed
from fakes.game_source import GameSource, want_game
from fakes.git_server import http_origin
from zlh_agent.games import child, placing, telling, unpacking, works
from zlh_agent.games.children import OnProgress, OnReady
from zlh_agent.games.errors import GameStepFailed
from zlh_agent.games.hashing import matches
from zlh_agent.games.model import ChildOrder, DoneLine, GameRecord
from zlh_agent.games.plan import BackUp, CommitFiles, Release, Rest, RestoreBackup, RunScript, StageFiles, plan
from zlh_agent.games.rules import may_start, restored_of
from zlh_agent.games.store import GameStore
from zlh_agent.games.works import GamePlace, GameWorks
from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.store import JournalStore
from zlh_common.clock import SystemClock
from zlh_common.errors import ZlhError
from zlh_common.schema.game import WantedGame
from zlh_common.schema.history import Happening
from zlh_common.schema.template import InstallScript

pytestmark = pytest.mark.timeout(600)
# Of the file system; an open counts where it makes a file.
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "subprocess.Popen"}
SCRIPT = InstallScript(name="maker", argv=("sh", "-c", "echo made > made.txt"), makes=("made.txt",))


@dataclass(frozen=True)
class Ground:
    """A container's folders, and where its files come from."""

    folder: Path
    url: str

    @property
    def server(self) -> Path:
        """The customer's."""
        return self.folder / "srv/game"

    def works(self) -> GameWorks:
        """Return what an agent works with."""
        place = GamePlace(self.server, self.folder / "opt", (self.url,), (), user=lambda: None)
        works, clock = GameWorks(place, GameStore(self.folder / "state"), SystemClock()), SystemClock()
        journal = self._journal()

        async def note(occurrence: Occurrence) -> None:
            await asyncio.to_thread(journal.append, [occurrence], clock.now())

        works.note = note
        return works

    def _journal(self) -> JournalStore:
        journal = JournalStore(self.folder / "journal/happenings.jsonl")
        journal.open()
        return journal

    def told(self) -> list[Happening]:
        """Return what the history says of the game, the oldest first."""
        journal = self._journal()
        try:
            journal.sync()
            return journal.read_after(0, 1000)
        finally:
            journal.close()

    def record(self) -> GameRecord:
        """Return what an agent would find."""
        return GameStore(self.folder / "state").load()

    def names(self) -> set[str]:
        """Return every file in the server's folder."""
        return {str(path.relative_to(self.server)) for path in self.server.rglob("*") if path.is_file()}


def count_acts(act: Act) -> None:
    """Have everything that this process does to the disk counted; it is one that a test has forked."""

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event in EVENTS or (event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT):
            act()

    sys.addaudithook(hear)


def stay_here() -> None:
    """Have the work of children done in a thread of this process, which ends with it."""

    async def run_here(
        order: ChildOrder,
        *,
        limit_s: float,
        on_progress: OnProgress = lambda _line: None,
        on_ready: OnReady | None = None,
        descriptors: Sequence[int] = (),
    ) -> DoneLine:
        loop = asyncio.get_running_loop()

        def go_on() -> None:
            if on_ready is not None:
                asyncio.run_coroutine_threadsafe(_await(on_ready), loop).result()

        setattr(placing, "ask_to_go_on", go_on)  # noqa: B010 - what the module has imported
        try:
            return await asyncio.to_thread(child._carry_out, order)
        except ZlhError as error:
            raise GameStepFailed(reason_code=error.code, message=error.detail, may_pass=error.retryable) from error

    for module in (telling, unpacking):
        setattr(module, "say", lambda _line: None)  # noqa: B010 - what the module has, or has imported
    setattr(works, "run_child", run_here)  # noqa: B010


async def _await(on_ready: OnReady) -> None:
    await on_ready()


async def bring_about(ground: Ground, wanted: WantedGame) -> None:
    """Do what the loop of an agent does until nothing is left; a script is a file that is made."""
    games = await asyncio.to_thread(ground.works)
    await games.load()
    await games.sweep()
    tries = 0
    while not isinstance(act := plan(wanted, games.record), Rest):
        try:
            match act:
                case StageFiles():
                    await games.stage(wanted, lambda _line: None)
                case BackUp():
                    await games.back_up(wanted, lambda _line: None)
                case CommitFiles():
                    await games.commit(wanted, lambda _line: None)
                case RunScript(script):
                    await asyncio.to_thread((ground.server / "made.txt").write_text, "made")
                    assert games.record.installed is not None
                    await games.keep_installed(scripts_done=(*games.record.installed.scripts_done, script.name))
                case RestoreBackup(backup_id):
                    restored = restored_of(wanted)
                    assert restored is not None
                    await games.restore(backup_id, restored, lambda _line: None)
                case Release():
                    await games.release(wanted)
        except GameStepFailed:
            tries += 1
            if tries > 5:
                raise


def run(ground: Ground, wanted: WantedGame, kill_at: int = 0) -> bool:
    """Bring it about in a process of its own; tell whether it got to its end."""

    def doomed(act: Act) -> None:
        stay_here()
        if kill_at:
            count_acts(act)
        asyncio.run(bring_about(ground, wanted))

    return run_doomed(doomed, kill_at)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Serve what is published."""
    (tmp_path / "published").mkdir()
    with http_origin(tmp_path / "published") as origin:
        yield origin.url


@pytest.fixture
def games(tmp_path: Path) -> tuple[WantedGame, WantedGame]:
    """Return two versions: the first has a file that the second lacks, and the reverse, and one is in both."""
    source = GameSource(tmp_path / "published")
    first = [source.add("old.jar", b"old"), source.add("lib/both.jar", b"1" * 5000), source.add("same.jar", b"same")]
    second = [
        source.add("lib/both.jar", b"2" * 5000, version="2"),
        source.add("lib/new.jar", b"new", version="2"),
        source.add("same.jar", b"same", version="2"),
    ]
    return want_game(first, 1), want_game(second, 1, version="2.0", scripts=(SCRIPT,))


@pytest.fixture
def grounds(tmp_path: Path, url: str) -> Callable[[int], Ground]:
    """Return how to make a ground for each kill."""

    def make(number: int) -> Ground:
        ground = Ground(tmp_path / f"at-{number}", url)
        ground.folder.mkdir()
        return ground

    return make


def require_no_mixture(ground: Ground, *versions: WantedGame) -> str | None:
    """Fail where what may be started is not one version, whole; return which one it is."""
    record = ground.record()
    if not may_start(record):
        return None
    assert record.installed is not None
    version = next(one for one in versions if one.version == record.installed.version)
    for file in version.files:
        with (ground.server / file.path).open("rb") as opened:
            assert matches(opened.fileno(), file.hash), file.path
    others = {file.path for one in versions for file in one.files} - {file.path for file in version.files}
    assert not others & ground.names(), others
    return version.version


def require_told(ground: Ground, *kinds: str) -> None:
    """Fail where the history does not tell of the first install and then of these, each once; backups are besides."""
    told = [entry.kind for entry in ground.told() if entry.kind != "game.backed_up"]
    assert told == ["game.installed", *kinds], told


FIRST_NAMES = {"old.jar", "lib/both.jar", "same.jar"}
SECOND_NAMES = {"lib/both.jar", "lib/new.jar", "same.jar", "made.txt"}


def test_a_first_install_is_whole_or_is_not_started(
    grounds: Callable[[int], Ground], games: tuple[WantedGame, WantedGame]
) -> None:
    """Wherever it is killed; the next start of the agent brings it to its end, and leaves nothing beside."""
    kills = 0
    while not run(ground := grounds(kills), games[0], kills + 1):
        kills += 1
        require_no_mixture(ground, *games)
        assert run(ground, games[0])
        assert require_no_mixture(ground, *games) == "1.0"
        assert [entry.kind for entry in ground.told()] == ["game.installed"], kills
        assert ground.names() == FIRST_NAMES, kills
        assert not (ground.server / ".zlh-game").exists(), kills
    assert kills > 20


def test_a_change_of_versions_leaves_the_old_or_the_new(
    grounds: Callable[[int], Ground], games: tuple[WantedGame, WantedGame]
) -> None:
    """Never a mixture that may start; what the customer has put there stays, and there is one backup of the old one."""
    kills, seen = 0, set[str | None]()
    while True:
        ground = grounds(kills)
        assert run(ground, games[0])
        (ground.server / "mine.txt").write_text("mine")
        if run(ground, games[1], kills + 1):
            break
        kills += 1
        seen.add(require_no_mixture(ground, *games))
        assert run(ground, games[1])
        assert require_no_mixture(ground, *games) == "2.0"
        assert ground.names() == {*SECOND_NAMES, "mine.txt"}, kills
        assert not (ground.server / ".zlh-game").exists(), kills
        backups = GameStore(ground.folder / "state").read_backups()
        assert {one.about.version for one in backups} == {"1.0"}, kills
        kept = {path.name for path in (ground.folder / "state/backups").iterdir()}
        assert kept == {f"{one.about.id}{end}" for one in backups for end in (".json", ".tar.zst")}, kills
        require_told(ground, "game.version_changed")
        # One of which an agent died before it could tell is there besides the one that another has made then.
        told = [entry.data["backup"] for entry in ground.told() if entry.kind == "game.backed_up"]
        assert told, kills
        assert {*told} <= {one.about.id for one in backups}, kills
    assert kills > 25
    # The new one is let start by the last write of all.
    assert seen == {"1.0", None}


def test_a_restore_leaves_the_new_or_the_old(
    grounds: Callable[[int], Ground], games: tuple[WantedGame, WantedGame]
) -> None:
    """The folder is the one or the other, whole; in the end it is the backup's, and nothing stands beside it."""
    kills = 0
    while True:
        ground = grounds(kills)
        assert run(ground, games[0])
        (ground.server / "mine.txt").write_text("mine")
        assert run(ground, games[1])
        (ground.server / "mine.txt").write_text("changed")
        (backup,) = GameStore(ground.folder / "state").read_backups()
        back = want_game(games[0].files, 1, restore=backup.about.id, attempt=1)
        if run(ground, back, kills + 1):
            break
        kills += 1
        require_no_mixture(ground, *games)
        assert run(ground, back)
        assert require_no_mixture(ground, *games) == "1.0"
        assert (ground.server / "mine.txt").read_text() == "mine", kills
        assert ground.names() == {*FIRST_NAMES, "mine.txt"}, kills
        assert [path.name for path in ground.server.parent.iterdir()] == ["game"], kills
        require_told(ground, "game.version_changed", "game.restored")
    assert kills > 15
