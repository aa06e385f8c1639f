"""Decides what is to be done next about a game server's files, from what is wanted and what is on record.

    stage ──► back up ──► commit ──► script … ──► release ──► rest
                restore ──► (the folder is another one) ──► release ──► rest

Invariants:
- Names are given and folders exchanged only while the server is down.
- What was begun and cannot be told apart any more (names, the exchange) is brought to its end before anything else.
- Another version than the one that lies there is backed up before its files are touched, where that is asked for.
- A backup that somebody asks for is made of a version that is whole and was let start.
"""

from __future__ import annotations

from dataclasses import dataclass

from zlh_agent.games.model import GameRecord, Installed
from zlh_agent.games.rules import find_content, is_same_version, is_whole, restored_of
from zlh_common.schema.game import WantedGame
from zlh_common.schema.template import InstallScript


@dataclass(frozen=True, slots=True)
class StageFiles:
    """Fetch what is missing, beside; the server may run."""

    content: str


@dataclass(frozen=True, slots=True)
class BackUp:
    """Make a copy of the folder."""

    content: str


@dataclass(frozen=True, slots=True)
class CommitFiles:
    """Give the files their names, or go on with it."""

    content: str


@dataclass(frozen=True, slots=True)
class RunScript:
    """Run a script of the version that lies there."""

    script: InstallScript


@dataclass(frozen=True, slots=True)
class RestoreBackup:
    """Have the contents of a backup, or go on with it."""

    id: str
    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Let it start."""


@dataclass(frozen=True, slots=True)
class Rest:
    """There is nothing to do."""


Act = StageFiles | BackUp | CommitFiles | RunScript | RestoreBackup | Release | Rest


def plan(wanted: WantedGame, record: GameRecord) -> Act:
    """Return the next act."""
    if record.restoring is not None:
        return RestoreBackup(record.restoring.restored.id, is_begun=True)
    if record.committing is not None:
        return CommitFiles(record.committing.target.content)
    asked = restored_of(wanted)
    if asked is not None and asked != record.restored:
        return RestoreBackup(asked.id)
    content, installed = find_content(wanted), record.installed
    if installed is None or installed.content != content or installed.attempt < wanted.attempt:
        return _plan_placing(wanted, record, content)
    return _plan_rest(wanted, record, installed)


def _plan_rest(wanted: WantedGame, record: GameRecord, installed: Installed) -> Act:
    left = [script for script in wanted.scripts if script.name not in installed.scripts_done]
    if left:
        return RunScript(left[0])
    if not installed.is_released:
        return Release()
    return BackUp(installed.content) if wanted.backups_asked > record.backups_answered else Rest()


def _plan_placing(wanted: WantedGame, record: GameRecord, content: str) -> Act:
    if wanted.files and record.staged != content:
        return StageFiles(content)
    is_other = record.installed is not None and not is_same_version(wanted, record.installed)
    if is_other and wanted.backs_up and is_whole(record.installed) and record.backed_up_for != content:
        return BackUp(content)
    return CommitFiles(content)


def needs_quiet(act: Act) -> bool:
    """Tell whether the server must be down for it."""
    return isinstance(act, BackUp | CommitFiles | RunScript | RestoreBackup)


def needs_whole_mods(act: Act) -> bool:
    """Tell whether mods must be no mixture for it: all but a backup that takes the place of whatever is there."""
    return not isinstance(act, RestoreBackup)


def needs_runtimes(act: Act) -> bool:
    """Tell whether the runtimes of the version must be there first: to run something, or to have little downtime."""
    if isinstance(act, RestoreBackup):
        # What was exchanged in part is brought to its end, whatever there is to run it.
        return not act.is_begun
    return isinstance(act, BackUp | CommitFiles | RunScript | Release)


def may_be_called_off(act: Act) -> bool:
    """Tell whether a newer wish ends it: what has no names yet, and what is run again anyway."""
    return isinstance(act, StageFiles | BackUp | RunScript)
