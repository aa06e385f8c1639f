"""What the agent keeps of a game server on its own disk: the record, the secrets, the backups. All of it blocks."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from zlh_agent.games.model import RECORD_FORMAT, GameRecord, KeptBackup
from zlh_common.durable_files import remove_unfinished, rename_durably, write_durably

log = structlog.get_logger()
SECRET_BYTES = 24


class GameStore:
    """Keeps all of it below one folder that only the agent opens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record = folder / "record.json"
        self._secrets = folder / "secrets.json"
        self.backups = folder / "backups"
        # Of two threads that make a secret at once, one would have another than is kept.
        self._making = threading.Lock()

    def prepare(self) -> None:
        """Make the folders, and remove what was not finished."""
        for folder in (self._folder, self.backups):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            remove_unfinished(folder)
        for part in self.backups.glob("*.part"):
            part.unlink(missing_ok=True)
        known = {path.stem for path in self.backups.glob("*.json")}
        for archive in self.backups.glob("*.tar.zst"):
            if archive.name.removesuffix(".tar.zst") not in known:
                archive.unlink(missing_ok=True)

    def load(self) -> GameRecord:
        """Return the record; an empty one where there is none that can be read."""
        try:
            record = msgspec.json.decode(self._record.read_bytes(), type=GameRecord)
        except FileNotFoundError:
            return GameRecord()
        except (msgspec.MsgspecError, OSError) as error:
            with suppress(OSError):
                self._record.replace(self._record.with_suffix(".broken"))
            log.warning("game.record_set_aside", error=str(error))
            return GameRecord()
        return record if record.format == RECORD_FORMAT else GameRecord()

    def save(self, record: GameRecord) -> None:
        """Keep the record; it holds even if the machine stops right after this returns."""
        write_durably(self._record, msgspec.json.encode(record))

    def ensure_secrets(self, names: Iterable[str]) -> dict[str, str]:
        """Return the secrets of these names, each made once; nobody but the agent reads the file."""
        with self._making:
            return self._ensure_secrets(names)

    def _ensure_secrets(self, names: Iterable[str]) -> dict[str, str]:
        try:
            kept = msgspec.json.decode(self._secrets.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            kept = {}
        except msgspec.MsgspecError as error:
            log.warning("game.secrets_made_anew", error=str(error))
            kept = {}
        missing = [name for name in names if name not in kept]
        if missing:
            kept |= {name: secrets.token_urlsafe(SECRET_BYTES) for name in missing}
            write_durably(self._secrets, msgspec.json.encode(kept), mode=0o600)
        return kept

    # Backups

    def archive(self, backup_id: str) -> Path:
        """Return where the archive of a backup lies."""
        return self.backups / f"{backup_id}.tar.zst"

    def part(self, backup_id: str) -> Path:
        """Return where it is written."""
        return self.backups / f"{backup_id}.part"

    def keep_backup(self, kept: KeptBackup) -> None:
        """Give a written archive its name; its description makes it one that is told of."""
        rename_durably(self.part(kept.about.id), self.archive(kept.about.id))
        write_durably(self.backups / f"{kept.about.id}.json", msgspec.json.encode(kept))

    def read_backups(self) -> list[KeptBackup]:
        """Return every backup whose archive is there, the newest first."""
        found: list[KeptBackup] = []
        for path in self.backups.glob("*.json"):
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=KeptBackup)
            except (msgspec.MsgspecError, OSError) as error:
                log.warning("game.backup_unreadable", path=str(path), error=str(error))
                continue
            if kept.about.id == path.stem and self.archive(kept.about.id).exists():
                found.append(kept)
        return sorted(found, key=lambda kept: (kept.about.made_at, kept.about.id), reverse=True)

    def forget_backup(self, backup_id: str) -> None:
        """Remove a backup, its description first."""
        (self.backups / f"{backup_id}.json").unlink(missing_ok=True)
        self.archive(backup_id).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return the room that there is for a backup."""
        found = os.statvfs(self.backups)
        return found.f_bavail * found.f_frsize
