"""What the history says of a game server's files: versions, backups, and what did not work. Pure."""

from __future__ import annotations

from datetime import datetime

from zlh_agent.games.model import GameRecord, Installed
from zlh_agent.games.rules import is_backed_up_next, is_same_version, restored_of
from zlh_agent.journal.model import Occurrence
from zlh_common.schema.game import GameBackup, WantedGame
from zlh_common.schema.history import Fact


def find_replaced(before: Installed | None) -> str | None:
    """Return the version that a new one takes the place of: the last that was let start; None where none ever was."""
    if before is None:
        return None
    return before.version if before.is_released else before.replaces


def tell_release(wanted: WantedGame, record: GameRecord) -> Occurrence | None:
    """Return what is told as a version is let start; None where that was a restore, which is told by itself.

    Its time is that of the version, so an agent that dies over it and its follower tell it once.
    """
    installed, asked = record.installed, restored_of(wanted)
    if installed is None or (asked is not None and asked == record.restored):
        return None
    title, version, before = wanted.title, installed.version, installed.replaces
    if before is None:
        return _of(installed, "installed", f"{title} {version} was put in place.", installed.installed_at)
    if before == version:
        return _of(
            installed, "placed_anew", f"The files of {title} {version} were placed anew.", installed.installed_at
        )
    text = f"{title} {version} has taken the place of {before}."
    return _of(installed, "version_changed", text, installed.installed_at, before=before)


def tell_backup(installed: Installed, backup: GameBackup) -> Occurrence:
    """Return what is told of a backup that is there."""
    text = f"A backup of version {backup.version} was made."
    return _of(installed, "backed_up", text, backup.made_at, backup=backup.id, sizeBytes=backup.size)


def tell_outlived(installed: Installed, backup: GameBackup) -> Occurrence:
    """Return what is told of a backup that has gone, since there are newer ones."""
    text = f"The backup of version {backup.version} was removed: the newest ones are kept."
    facts: dict[str, Fact] = {"version": backup.version, "backup": backup.id}
    return Occurrence("game.backup_removed", installed.template, text, facts)


def tell_restore(installed: Installed, backup: GameBackup, at: datetime | None) -> Occurrence:
    """Return what is told as the contents of a backup are in place."""
    text = f"The backup of version {backup.version} was restored."
    return _of(installed, "restored", text, at, backup=backup.id)


def tell_check(installed: Installed, faults: int) -> Occurrence:
    """Return what is told of a comparison that somebody has asked for."""
    if faults == 0:
        return _of(installed, "verified", f"All files of version {installed.version} are as they were placed.", None)
    text = f"{faults} files of version {installed.version} are not as they were placed."
    return _of(installed, "changed", text, None, faults=faults)


def tell_failure(wanted: WantedGame, record: GameRecord, *, code: str, detail: str) -> Occurrence:
    """Return what is told of something that did not work."""
    asked, installed = restored_of(wanted), record.installed
    facts: dict[str, Fact] = {"version": wanted.version, "code": code}
    if record.restoring is not None or (asked is not None and asked != record.restored):
        return Occurrence("game.restore_failed", wanted.template, f"A backup could not be restored: {detail}", facts)
    name = f"{wanted.title} {wanted.version}"
    if installed is not None and is_backed_up_next(wanted, record, installed):
        return Occurrence("game.backup_failed", wanted.template, f"No backup could be made: {detail}", facts)
    before = find_replaced(installed)
    if before is None or (installed is not None and is_same_version(wanted, installed)):
        return Occurrence("game.install_failed", wanted.template, f"{name} could not be installed: {detail}", facts)
    text = f"{name} could not take the place of {before}: {detail}"
    return Occurrence("game.change_failed", wanted.template, text, {**facts, "before": before})


def _of(installed: Installed, kind: str, text: str, at: datetime | None, /, **facts: Fact) -> Occurrence:
    return Occurrence(f"game.{kind}", installed.template, text, {"version": installed.version, **facts}, at)
