"""The work on a game server's files as another user, by real children: whose everything is, and where no way leads."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fakes.artifact_origin import ArtifactOrigin
from fakes.clock import FakeClock
from fakes.game_source import GameSource, want_game
from zlh_agent.games.errors import GameStepFailed
from zlh_agent.games.folder import FolderPlace, ensure_folder
from zlh_agent.games.model import ProgressLine, Restored
from zlh_agent.games.store import GameStore
from zlh_agent.games.works import GamePlace, GameWorks
from zlh_common.schema.game import WantedGame
from zlh_common.schema.template import FileEdit, InstallScript

pytestmark = pytest.mark.real("root")
NOBODY = (65534, 65534, ())


def hear(_line: ProgressLine) -> None:
    """Take note of nothing."""


@pytest.fixture
def container() -> Iterator[Path]:
    """Return a container's root that everybody may pass, as a real one."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[ArtifactOrigin]:
    """Serve what is published."""
    async with ArtifactOrigin(tmp_path / "tree") as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> GameSource:
    """Return what publishes."""
    return GameSource(tmp_path / "tree")


@pytest.fixture
async def works(container: Path, origin: ArtifactOrigin) -> GameWorks:
    """Return an agent's work in the name of somebody else."""
    place = GamePlace(container / "srv/game", container / "opt", (origin.url,), (), user=lambda: NOBODY)
    games = GameWorks(place, GameStore(container / "state"), FakeClock())
    await games.load()
    return games


async def install(works: GameWorks, wanted: WantedGame) -> None:
    """Fetch and place."""
    await works.stage(wanted, hear)
    await works.commit(wanted, hear)


async def refusal(work: object) -> str:
    """Return the code with which some work is refused."""
    with pytest.raises(GameStepFailed) as refused:
        await work  # type: ignore[misc]
    return refused.value.reason_code


def owners(folder: Path) -> set[int]:
    """Return whose a folder and all that is in it are."""
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


async def test_everything_in_the_folder_is_the_customers(works: GameWorks, source: GameSource, container: Path) -> None:
    """Files, folders and configuration, also after a change and a restore; what keeps them is root's."""
    wanted = want_game((source.add("lib/a.jar", b"1"),), 1)
    await install(works, wanted)
    await works.edit(wanted.edits)
    folder = container / "srv/game"
    assert await asyncio.to_thread(owners, folder) == {65534}
    await works.back_up(want_game((), 1, version="2.0"), hear)
    (backup,) = works.backups
    await works.restore(backup.id, Restored(id=backup.id, attempt=1), hear)
    assert await asyncio.to_thread(owners, folder) == {65534}
    assert (folder / "lib/a.jar").read_bytes() == b"1"
    assert await asyncio.to_thread(owners, container / "state") == {0}
    assert (container / "state/backups").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (container / "srv").iterdir()} == {"game"}


async def test_an_edit_keeps_the_mode_of_a_file(works: GameWorks, source: GameSource, container: Path) -> None:
    """One that nobody else may read stays so."""
    await install(works, want_game((source.add("a.jar", b"1"),), 1))
    path = container / "srv/game/server.properties"
    await asyncio.to_thread(path.write_text, "mine=1\n")
    await asyncio.to_thread(os.chown, path, 65534, 65534)
    await asyncio.to_thread(path.chmod, 0o600)
    await works.edit([FileEdit(path="server.properties", format="properties", set={"a": 1})])
    status = await asyncio.to_thread(path.stat)
    assert (status.st_mode & 0o777, status.st_uid) == (0o600, 65534)


async def test_a_link_leads_nowhere_out(works: GameWorks, source: GameSource, container: Path) -> None:
    """Neither a folder of links nor a file that is one has anything outside written, read or removed."""
    outside, folder = container / "outside", container / "srv/game"

    def lay_out() -> None:
        outside.mkdir(mode=0o777)
        outside.chmod(0o777)
        (outside / "a.jar").write_text("theirs")
        (outside / "a.jar").chmod(0o666)
        ensure_folder(FolderPlace(folder, NOBODY))
        (folder / "lib").symlink_to(outside)
        (folder / "eula.txt").symlink_to(outside / "a.jar")
        (folder / ".zlh-game").symlink_to(outside)

    await asyncio.to_thread(lay_out)
    wanted = want_game((source.add("lib/a.jar", b"1"),), 1)
    await works.stage(wanted, hear)
    assert await refusal(works.commit(wanted, hear)) == "game_file_blocked"
    assert await refusal(works.edit(wanted.edits)) == "config_unreadable"
    assert (outside / "a.jar").read_text() == "theirs"
    assert [path.name for path in outside.iterdir()] == ["a.jar"]


async def test_a_backup_lacks_nothing_or_there_is_none(works: GameWorks, source: GameSource, container: Path) -> None:
    """What its owner may not read is named; what has nothing in it is left out without a word."""
    await install(works, want_game((source.add("a.jar", b"1"),), 1))
    folder = container / "srv/game"
    await asyncio.to_thread(os.mkfifo, folder / "pipe")
    await asyncio.to_thread(_shut, folder / "world", 0)
    wanted = want_game((), 1, version="2.0")
    with pytest.raises(GameStepFailed, match="world cannot be packed") as refused:
        await works.back_up(wanted, hear)
    assert refused.value.reason_code == "game_backup_incomplete"
    assert not [*works.backups]
    assert works.record.backed_up_for is None
    assert await asyncio.to_thread(lambda: list((container / "state/backups").iterdir())) == []
    await asyncio.to_thread((folder / "world").chmod, 0o700)
    await works.back_up(wanted, hear)
    assert [backup.version for backup in works.backups] == ["1.0"]


def _shut(path: Path, mode: int = 0o500) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.symlink_to("/etc"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.write_text("a file"),
        _shut,
    ],
    ids=["link", "dangling", "file", "shut"],
)
async def test_what_is_in_the_way_of_a_version_costs_the_one_before_nothing(
    works: GameWorks, source: GameSource, container: Path, put: Callable[[Path], object]
) -> None:
    """It is found before the first file has its name, so the version that lies there may run on."""
    await install(works, want_game((source.add("a.jar", b"1"),), 1))
    await asyncio.to_thread(put, container / "srv/game/lib")
    wanted = want_game((source.add("a.jar", b"2", version="2"), source.add("lib/deep/b.jar", b"2")), 1, version="2.0")
    await works.stage(wanted, hear)
    assert await refusal(works.commit(wanted, hear)) == "game_file_blocked"
    assert works.record.committing is None
    assert works.record.installed is not None
    assert works.record.installed.version == "1.0"
    assert (container / "srv/game/a.jar").read_bytes() == b"1"


async def test_a_folder_of_somebody_else_is_not_taken(works: GameWorks, source: GameSource, container: Path) -> None:
    """Nor a link in its place: root would work for whoever put it there."""
    wanted = want_game((source.add("a.jar", b"1"),), 1)
    await asyncio.to_thread((container / "srv").mkdir)
    await asyncio.to_thread((container / "srv/game").symlink_to, "/etc")
    assert await refusal(works.stage(wanted, hear)) == "game_folder_unusable"
    await asyncio.to_thread((container / "srv/game").unlink)
    await asyncio.to_thread((container / "srv/game").mkdir)
    assert await refusal(works.stage(wanted, hear)) == "game_folder_unusable"
    await asyncio.to_thread((container / "srv/game").rmdir)
    await asyncio.to_thread((container / "srv").chmod, 0o777)
    assert await refusal(works.stage(wanted, hear)) == "game_folder_unusable"


async def test_a_script_has_nothing_but_the_folder(works: GameWorks, source: GameSource, container: Path) -> None:
    """It is the customer's user without a way back, reads no state of ours, writes nowhere else, and has no network."""
    probe = (
        "id -u; id -G; cat $1/state/record.json; touch $1/open/x; touch ../x; grep NoNewPrivs /proc/self/status;"
        "python3 -c 'import socket; socket.socket()' 2>&1 | tail -1; exit 3"
    )

    def lay_out() -> None:
        (container / "open").mkdir()
        (container / "open").chmod(0o777)

    await asyncio.to_thread(lay_out)
    script = InstallScript(name="probe", argv=("sh", "-c", probe, "sh", str(container)))
    await install(works, want_game((source.add("a.jar", b"1"),), 1, scripts=(script,)))
    with pytest.raises(GameStepFailed) as refused:
        await works.run_script(script, {"PATH": "/usr/bin:/bin"}, hear)
    output = refused.value.output or ""
    assert refused.value.exit_code == 3
    assert output.startswith("65534\n65534\n")
    assert output.count("ermission denied") >= 3, output
    assert "NoNewPrivs:\t1" in output
    assert list((container / "open").iterdir()) == []


async def test_a_script_that_takes_too_long_is_ended_with_all_of_it(
    works: GameWorks, source: GameSource, container: Path
) -> None:
    """Also what has left its session; nothing of it writes any more."""
    text = "(setsid sh -c 'while :; do date +%N > beat; done' &) ; sleep 600"
    script = InstallScript(name="slow", argv=("sh", "-c", text), timeout_s=2)
    await install(works, want_game((source.add("a.jar", b"1"),), 1, scripts=(script,)))
    assert await refusal(works.run_script(script, {"PATH": "/usr/bin:/bin"}, hear)) == "game_script_failed"
    beat = container / "srv/game/beat"
    written = await asyncio.to_thread(lambda: (beat.stat().st_mtime_ns, beat.stat().st_ino))
    alive = await asyncio.to_thread(_running_in, container / "srv/game")
    assert alive == []
    assert await asyncio.to_thread(lambda: (beat.stat().st_mtime_ns, beat.stat().st_ino)) == written


def _running_in(folder: Path) -> list[str]:
    """Return who stands in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
        except OSError:
            continue
    return found
