"""Who plays and who has played, on disk. It blocks: call it in a thread.

    presence.json    what is known, and up to which byte of the output; replaced as a whole
    sessions.jsonl   a line for each stay that has ended; appended before presence.json forgets it

An agent that dies between the two finds the end of a stay again, with another time: the first one counts.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import structlog

from zlh_agent.gameplay.presence import PresenceState
from zlh_common.durable_files import write_durably
from zlh_common.schema.game import PlayerSession
from zlh_common.schema.structs import encode

log = structlog.get_logger()
FORMAT = 1
MAX_SESSIONS = 10_000
_MAX_STATE_BYTES = 2 * 1024 * 1024
# Of a line; the file is made anew once it has twice as many lines as are kept.
_MAX_LINE_BYTES = 1024


class KeptPresence(msgspec.Struct, frozen=True, rename="camel"):
    """What presence.json holds. `stream` is the history that `offset` counts in."""

    stream: str
    offset: int
    state: PresenceState
    # Of the run that the state is of: where its output begins.
    run_offset: int | None = None
    format: int = FORMAT


class PresenceStore:
    """The two files of one folder. Nobody else writes them."""

    def __init__(self, folder: Path, *, max_sessions: int = MAX_SESSIONS) -> None:
        self._presence = folder / "presence.json"
        self._sessions = folder / "sessions.jsonl"
        self._max = max_sessions
        # The newest stays, oldest first; None until they are read.
        self._kept: list[PlayerSession] | None = None
        self._lines = 0

    def load(self) -> KeptPresence | None:
        """Return what is kept; None where there is nothing, or nothing that can be read."""
        try:
            with self._presence.open("rb") as file:
                kept = msgspec.json.decode(file.read(_MAX_STATE_BYTES), type=KeptPresence)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("presence.unreadable", error=str(error))
            return None
        return kept if kept.format == FORMAT else None

    def save(self, kept: KeptPresence, ended: list[PlayerSession]) -> None:
        """Keep what is known, and the stays that have ended since. Raises OSError."""
        self._presence.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = {(stay.name, stay.joined_at) for stay in self.sessions()[-1000:]}
        new = [stay for stay in ended if (stay.name, stay.joined_at) not in known]
        if new:
            self._append(new)
        write_durably(self._presence, encode(kept))

    def sessions(self) -> list[PlayerSession]:
        """Return the stays that have ended, oldest first."""
        if self._kept is None:
            self._kept = self._read()
        return self._kept

    def _read(self) -> list[PlayerSession]:
        try:
            raw = self._sessions.read_bytes()
        except OSError:
            return []
        found = []
        lines = raw.split(b"\n")
        for line in lines[-2 * self._max :]:
            try:
                found.append(msgspec.json.decode(line, type=PlayerSession))
            except msgspec.MsgspecError:
                # The torn end of one who was killed while writing.
                continue
        self._lines = len(lines)
        return found[-self._max :]

    def _append(self, new: list[PlayerSession]) -> None:
        kept = self.sessions()
        kept += new
        del kept[: -self._max]
        if self._lines + len(new) > 2 * self._max:
            write_durably(self._sessions, b"".join(map(_line, kept)))
            self._lines = len(kept)
            return
        fd = os.open(self._sessions, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "ab") as file:
            # A torn line before it becomes one that is passed over.
            file.write(b"\n" + b"".join(map(_line, new)))
            file.flush()
            os.fsync(file.fileno())
        self._lines += len(new)


def _line(stay: PlayerSession) -> bytes:
    return encode(stay)[:_MAX_LINE_BYTES] + b"\n"
