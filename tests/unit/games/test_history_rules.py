"""What the history says of a game server's files, for every way in which a version came to lie there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.game_source import pin, want_game
from zlh_agent.games.history_rules import find_replaced, tell_check, tell_failure, tell_release
from zlh_agent.games.model import GameRecord, Installed, Restored, Restoring
from zlh_agent.games.rules import find_content, placed_of
from zlh_common.schema.game import WantedGame

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "a" * 32


def want(version: str, **more: Any) -> WantedGame:
    """Return a version of one file."""
    return want_game([pin("server.jar", version.encode())], 25565, version=version, **more)


def lying(version: str, **changes: Any) -> Installed:
    """Return a version that lies in the folder, and was let start unless `changes` say otherwise."""
    wanted = want(version)
    facts: dict[str, Any] = {"is_released": True, **changes}
    return Installed(
        template=wanted.template, version=version, content=find_content(wanted), files=placed_of(wanted), scripts=(),
        process=wanted.process, installed_at=NOW, **facts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "replaced"),
    [
        (None, None),
        (lying("1.0"), "1.0"),
        (lying("1.0", is_released=False), None),
        (lying("2.0", is_released=False, replaces="1.0"), "1.0"),
    ],
)
def test_a_version_replaces_the_last_that_was_let_start(before: Installed | None, replaced: str | None) -> None:
    """One that never came so far has replaced nothing, and what it was to replace is replaced now."""
    assert find_replaced(before) == replaced


@pytest.mark.parametrize(
    ("replaces", "kind", "facts"),
    [
        (None, "game.installed", {"version": "2.0"}),
        ("1.0", "game.version_changed", {"version": "2.0", "before": "1.0"}),
        ("2.0", "game.placed_anew", {"version": "2.0"}),
    ],
)
def test_a_version_that_is_let_start_is_told_by_what_it_replaces(
    replaces: str | None, kind: str, facts: dict[str, str]
) -> None:
    """At the time at which it came to lie there, whichever agent tells it."""
    record = GameRecord(installed=lying("2.0", is_released=False, replaces=replaces))
    told = tell_release(want("2.0"), record)
    assert told is not None
    assert (told.kind, told.subject, dict(told.data), told.at) == (kind, "blocks", facts, NOW)


def test_a_restore_is_not_told_as_an_install_besides() -> None:
    """It has its own words; what is placed after a later wish is told again."""
    record = GameRecord(installed=lying("1.0", is_released=False, replaces="1.0"), restored=Restored(id=ID, attempt=1))
    assert tell_release(want("1.0", restore=ID, attempt=1), record) is None
    assert tell_release(want("1.0", attempt=2), record) is not None


@pytest.mark.parametrize(
    ("record", "wanted", "kind"),
    [
        (GameRecord(), want("1.0"), "game.install_failed"),
        (GameRecord(installed=lying("1.0", is_released=False)), want("2.0"), "game.install_failed"),
        (GameRecord(installed=lying("1.0")), want("1.0", attempt=1), "game.install_failed"),
        (GameRecord(installed=lying("1.0")), want("1.0", backups_asked=1), "game.backup_failed"),
        (GameRecord(installed=lying("1.0")), want("1.0", attempt=1, backups_asked=1), "game.install_failed"),
        (GameRecord(installed=lying("1.0")), want("2.0"), "game.change_failed"),
        (GameRecord(installed=lying("1.0")), want("1.0", restore=ID, attempt=1), "game.restore_failed"),
        (
            GameRecord(restoring=Restoring(restored=Restored(id=ID, attempt=1), device=1, inode=1)), want("2.0"),
            "game.restore_failed",
        ),
        (
            GameRecord(installed=lying("1.0"), restored=Restored(id=ID, attempt=1)),
            want("1.0", restore=ID, attempt=1), "game.install_failed",
        ),
    ],
)  # fmt: skip
def test_a_failure_is_told_as_that_of_what_was_under_way(record: GameRecord, wanted: WantedGame, kind: str) -> None:
    """With the version that was wanted, the code, and the reason as a sentence."""
    told = tell_failure(wanted, record, code="disk_full", detail="There is no room.")
    assert (told.kind, told.data["code"], told.data["version"]) == (kind, "disk_full", wanted.version)
    assert told.message.endswith("There is no room.")
    assert (told.data.get("before") == "1.0") is (kind == "game.change_failed")


def test_a_check_is_told_with_what_it_has_found() -> None:
    """Files that are as they were placed are another kind than those that are not."""
    assert tell_check(lying("1.0"), 0).kind == "game.verified"
    assert (tell_check(lying("1.0"), 2).kind, tell_check(lying("1.0"), 2).data["faults"]) == ("game.changed", 2)
