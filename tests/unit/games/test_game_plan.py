"""What is done next about a game server's files: every state in which a crash may leave the record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from fakes.game_source import pin, want_game
from zlh_agent.games.model import Committing, GameRecord, Installed, Restored, Restoring
from zlh_agent.games.plan import (
    Act,
    BackUp,
    CommitFiles,
    Release,
    Rest,
    RestoreBackup,
    RunScript,
    StageFiles,
    may_be_called_off,
    needs_quiet,
    needs_runtimes,
    plan,
)
from zlh_agent.games.rules import (
    KEPT_BACKUPS,
    choose_outlived,
    fill_secrets,
    find_complete,
    find_content,
    find_secrets,
    may_start,
    placed_of,
    tell_hint,
    tell_server,
)
from zlh_common.schema.game import GameBackup, WantedGame
from zlh_common.schema.process import ProcessReason
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.template import FileEdit, InstallScript

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCRIPT = InstallScript(name="installer", argv=("java", "-jar", "installer.jar"))
ID = "0" * 32


def want(version: str = "1.0", **more: Any) -> WantedGame:
    """Return a version of one file and a script."""
    return want_game([pin("server.jar", version.encode())], 25565, version=version, **{"scripts": (SCRIPT,), **more})


def installed(wanted: WantedGame, **changes: Any) -> Installed:
    """Return the same as it lies in the folder, released."""
    whole = Installed(
        template=wanted.template,
        version=wanted.version,
        content=find_content(wanted),
        files=placed_of(wanted),
        scripts=tuple(script.name for script in wanted.scripts),
        scripts_done=tuple(script.name for script in wanted.scripts),
        attempt=wanted.attempt,
        process=wanted.process,
        installed_at=NOW,
        is_released=True,
    )
    return msgspec.structs.replace(whole, **changes)


def committing(wanted: WantedGame) -> Committing:
    """Return names that are being given."""
    return Committing(target=installed(wanted), files=wanted.files, former=())


OLD, NEW = want("1.0"), want("2.0")
NO_FILES = msgspec.structs.replace(NEW, files=())
CONTENT = find_content(NEW)
RESTORING = Restoring(restored=Restored(id=ID, attempt=0), device=1, inode=2)
CASES: dict[str, tuple[WantedGame, GameRecord, Act]] = {
    "nothing is there": (NEW, GameRecord(), StageFiles(CONTENT)),
    "all is staged": (NEW, GameRecord(staged=CONTENT), CommitFiles(CONTENT)),
    "something else is staged": (NEW, GameRecord(staged="x"), StageFiles(CONTENT)),
    "there are no files": (NO_FILES, GameRecord(), CommitFiles(find_content(NO_FILES))),
    "a script is left": (NEW, GameRecord(installed=installed(NEW, scripts_done=())), RunScript(SCRIPT)),
    "it was not let start": (NEW, GameRecord(installed=installed(NEW, is_released=False)), Release()),
    "all is done": (NEW, GameRecord(installed=installed(NEW)), Rest()),
    "a backup is asked for": (
        want("2.0", backups_asked=2), GameRecord(installed=installed(NEW), backups_answered=1), BackUp(CONTENT),
    ),
    "a backup was made": (
        want("2.0", backups_asked=2), GameRecord(installed=installed(NEW), backups_answered=2), Rest(),
    ),
    "a backup of another version is asked for": (
        want("2.0", backups_asked=1), GameRecord(installed=installed(OLD)), StageFiles(CONTENT),
    ),
    "a backup is asked for of what was not let start": (
        want("2.0", backups_asked=1), GameRecord(installed=installed(NEW, is_released=False)), Release(),
    ),
    "another version": (NEW, GameRecord(installed=installed(OLD)), StageFiles(CONTENT)),
    "another version, staged": (NEW, GameRecord(installed=installed(OLD), staged=CONTENT), BackUp(CONTENT)),
    "another version, backed up for something else": (
        NEW, GameRecord(installed=installed(OLD), staged=CONTENT, backed_up_for="x"), BackUp(CONTENT),
    ),
    "another version, backed up": (
        NEW, GameRecord(installed=installed(OLD), staged=CONTENT, backed_up_for=CONTENT), CommitFiles(CONTENT),
    ),
    "another version, without a backup": (
        want("2.0", backs_up=False), GameRecord(installed=installed(OLD), staged=CONTENT), CommitFiles(CONTENT),
    ),
    "what lies there is not whole, so there is nothing to keep": (
        NEW, GameRecord(installed=installed(OLD, scripts_done=()), staged=CONTENT), CommitFiles(CONTENT),
    ),
    "a new attempt of the same": (want("2.0", attempt=1), GameRecord(installed=installed(NEW)), StageFiles(CONTENT)),
    "a new attempt is no other version": (
        want("2.0", attempt=1), GameRecord(installed=installed(NEW), staged=CONTENT), CommitFiles(CONTENT),
    ),
    "names were being given": (
        NEW, GameRecord(installed=installed(OLD), committing=committing(NEW)), CommitFiles(CONTENT),
    ),
    "names were being given for what nobody wants any more": (
        OLD, GameRecord(installed=installed(OLD), committing=committing(NEW)), CommitFiles(CONTENT),
    ),
    "somebody went back": (want(restore=ID), GameRecord(installed=installed(NEW)), RestoreBackup(ID)),
    "somebody went back, and it is done": (
        want(restore=ID), GameRecord(installed=installed(OLD), restored=Restored(id=ID, attempt=0)), Rest(),
    ),
    "somebody went back once more": (
        want(restore=ID, attempt=2),
        GameRecord(installed=installed(OLD, attempt=1), restored=Restored(id=ID, attempt=1)),
        RestoreBackup(ID),
    ),
    "folders were being exchanged": (
        NEW, GameRecord(installed=installed(OLD), restoring=RESTORING, committing=committing(NEW)),
        RestoreBackup(ID, is_begun=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_next_act(name: str) -> None:
    """Each state of the record leads on, and to one act alone."""
    wanted, record, act = CASES[name]
    assert plan(wanted, record) == act


def test_the_server_is_down_for_whatever_changes_its_folder() -> None:
    """A download is none of that; what gives names or exchanges folders is never called off."""
    assert [needs_quiet(act) for act in (StageFiles("x"), Release(), Rest())] == [False] * 3
    quiet: tuple[Act, ...] = (BackUp("x"), CommitFiles("x"), RunScript(SCRIPT), RestoreBackup(ID))
    assert all(needs_quiet(act) for act in quiet)
    assert [may_be_called_off(act) for act in quiet] == [True, False, True, False]
    assert needs_runtimes(Release())
    assert not needs_runtimes(StageFiles("x"))
    assert [needs_runtimes(RestoreBackup(ID, is_begun=is_begun)) for is_begun in (False, True)] == [True, False]


@pytest.mark.parametrize(
    ("record", "is_whole", "starts"),
    [
        (GameRecord(), False, False),
        (GameRecord(installed=installed(NEW)), True, True),
        (GameRecord(installed=installed(NEW, is_released=False)), True, False),
        (GameRecord(installed=installed(NEW, scripts_done=())), False, False),
        (GameRecord(installed=installed(OLD), committing=committing(NEW)), False, False),
        (GameRecord(installed=installed(OLD), restoring=RESTORING), False, False),
    ],
)
def test_only_one_whole_version_may_start(record: GameRecord, *, is_whole: bool, starts: bool) -> None:
    """A mixture, or a version whose scripts have not run, is none."""
    assert (find_complete(record) is not None, may_start(record)) == (is_whole, starts)


def test_a_variable_or_a_policy_is_no_other_content() -> None:
    """Only files, scripts and the version are; what else changes is there with the next start."""
    assert find_content(want(edits=[FileEdit(path="a", format="plain", set={"a": 1})])) == find_content(want())
    assert find_content(want(words=["--more"], power="off")) == find_content(want())
    assert find_content(want("2.0")) != find_content(want())
    assert find_content(want(scripts=())) != find_content(want())


def test_secrets_are_found_and_filled_in_texts_alone() -> None:
    """Each name once; a number and a word in braces that is none stay."""
    edits = [FileEdit(path="a", format="plain", set={"a": "x{secret.rcon}y{secret.rcon}", "b": 1, "c": "{secrets}"})]
    assert find_secrets(edits) == ("rcon",)
    (filled,) = fill_secrets(edits, {"rcon": r"p\1"})
    assert filled.set == {"a": r"xp\1yp\1", "b": 1, "c": "{secrets}"}


def test_the_newest_backups_stay_and_those_that_are_needed() -> None:
    """Three of them; one to which somebody goes back, however old it is."""
    backups = [
        GameBackup(id=f"{number:032x}", version="1", made_at=NOW + timedelta(hours=number), size=1)
        for number in range(6)
    ]
    ids = [backup.id for backup in backups]
    assert sorted(choose_outlived(backups, needed=[None])) == ids[: 6 - KEPT_BACKUPS]
    assert sorted(choose_outlived(backups, needed=[ids[0]])) == ids[1 : 6 - KEPT_BACKUPS]


def test_a_version_that_does_not_come_up_tells_the_way_back() -> None:
    """Where there is a backup of the one before, and it was never ready; not while it starts as it should."""
    changed = installed(NEW, former_version="1.0", former_backup=ID)
    down = ProcessStatus(name="server", state="backoff")
    hint = tell_hint(NEW, changed, down)
    assert hint is not None
    assert hint.code == "version_not_ready"
    assert "1.0" in hint.message
    slow = ProcessStatus(name="server", state="starting", reason=ProcessReason(code="start_slow", message="slow"))
    assert tell_hint(NEW, changed, slow) is not None
    assert tell_hint(NEW, changed, ProcessStatus(name="server", state="starting")) is None
    assert tell_hint(NEW, msgspec.structs.replace(changed, was_ready=True), down) is None
    assert tell_hint(NEW, installed(NEW), down) is None


def test_a_server_that_is_kept_down_says_why() -> None:
    """Only where it is down: one that is still being stopped says what it does."""
    why = ProcessReason(code="game_not_in_place", message="wait")
    assert tell_server(ProcessStatus(name="server", state="stopped"), why).reason == why
    assert tell_server(ProcessStatus(name="server", state="stopping"), why).reason is None
    assert tell_server(ProcessStatus(name="server", state="stopped"), None).reason is None
