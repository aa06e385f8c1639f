"""What a game server's files are, which backups stay, and what is told of it all: pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from zlh_agent.games.model import GameRecord, Installed, PlacedFile, Restored
from zlh_common.schema.game import GameBackup, WantedGame
from zlh_common.schema.process import ProcessReason
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.template import FileEdit

KEPT_BACKUPS = 3
_SECRET = re.compile(r"\{secret\.([a-z][a-z0-9_]*)\}")


def find_content(wanted: WantedGame) -> str:
    """Return what tells one set of files and scripts from another; variables, ports and policies are none of it."""
    parts = (wanted.template, wanted.version, wanted.files, wanted.scripts)
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def restored_of(wanted: WantedGame) -> Restored | None:
    """Return the backup that somebody went back to, and which time that was."""
    return None if wanted.restore is None else Restored(id=wanted.restore, attempt=wanted.attempt)


def placed_of(wanted: WantedGame) -> tuple[PlacedFile, ...]:
    """Return the files of a version as they will be remembered."""
    return tuple(PlacedFile(path=file.path, hash=file.hash) for file in wanted.files)


def is_same_version(wanted: WantedGame, installed: Installed) -> bool:
    """Tell whether what lies there is the version that is wanted, whatever its files are."""
    return (wanted.template, wanted.version) == (installed.template, installed.version)


def is_backed_up_next(wanted: WantedGame, record: GameRecord, installed: Installed) -> bool:
    """Tell whether all that is wanted lies there, and a backup of it that somebody has asked for is left."""
    is_there = installed.content == find_content(wanted) and installed.attempt >= wanted.attempt
    return is_there and installed.is_released and wanted.backups_asked > record.backups_answered


def is_whole(installed: Installed | None) -> bool:
    """Tell whether all of a version is there: its files, and what its scripts make."""
    return installed is not None and set(installed.scripts) <= set(installed.scripts_done)


def find_complete(record: GameRecord) -> Installed | None:
    """Return the version that lies in the folder, whole and alone; None while there is none."""
    is_settled = record.committing is None and record.restoring is None
    return record.installed if is_settled and is_whole(record.installed) else None


def may_start(record: GameRecord) -> bool:
    """Tell whether what lies in the folder is one version, whole, that was let start."""
    installed = find_complete(record)
    return installed is not None and installed.is_released


def find_secrets(edits: Sequence[FileEdit]) -> tuple[str, ...]:
    """Return the names of the secrets that edits want filled in, each once."""
    texts = [value for edit in edits for value in edit.set.values() if isinstance(value, str)]
    return tuple(dict.fromkeys(name for text in texts for name in _SECRET.findall(text)))


def fill_secrets(edits: Sequence[FileEdit], secrets: Mapping[str, str]) -> tuple[FileEdit, ...]:
    """Return edits with every secret filled in."""

    def fill(value: str | int | bool) -> str | int | bool:
        return _SECRET.sub(lambda found: secrets[found[1]], value) if isinstance(value, str) else value

    return tuple(
        msgspec.structs.replace(edit, set={key: fill(value) for key, value in edit.set.items()}) for edit in edits
    )


def choose_outlived(backups: Sequence[GameBackup], *, needed: Sequence[str | None]) -> list[str]:
    """Return the ids of backups that may go: all but the newest few and those that are needed."""
    newest = sorted(backups, key=lambda backup: (backup.made_at, backup.id), reverse=True)
    return [backup.id for backup in newest[KEPT_BACKUPS:] if backup.id not in needed]


def tell_hint(wanted: WantedGame, installed: Installed | None, server: ProcessStatus | None) -> ProcessReason | None:
    """Return what is to be said where a version that was changed to has not come up yet, and there is a way back."""
    if installed is None or server is None or installed.was_ready or installed.former_backup is None:
        return None
    is_slow = server.reason is not None and server.reason.code == "start_slow"
    if server.state not in {"error", "backoff"} and not is_slow:
        return None
    former = installed.former_version
    sentence = f"{wanted.title} {installed.version} has not become ready since it took the place of {former}."
    return ProcessReason(code="version_not_ready", message=f"{sentence} The backup of {former} leads back.")


def tell_server(status: ProcessStatus, reason: ProcessReason | None) -> ProcessStatus:
    """Return what is told of the process while it is kept down for `reason`; what it says of itself else."""
    if reason is None or status.state != "stopped":
        return status
    return msgspec.structs.replace(status, reason=reason)
