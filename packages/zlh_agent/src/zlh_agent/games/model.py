"""What is kept of a game server on the agent's own disk, and what the agent and its children say to each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from zlh_common.schema.game import GameBackup
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.structs import FrozenMeta
from zlh_common.schema.template import FileEdit, PinnedFile

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
RECORD_FORMAT = 1
# Below the server's folder: what has no name yet. Its owner may do with it what they like.
OWN_FOLDER = ".zlh-game"


class _Kept(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, rename="camel"):
    """Stands in a file of the agent's own."""


class PlacedFile(_Kept):
    """A file that we have put into the server's folder, and the hash that it had then."""

    path: str
    hash: str


class Installed(_Kept):
    """A version of a game server that lies in the folder; until all scripts have run, it is not whole."""

    template: str
    version: str
    # See `rules.find_content`: what was wanted, as far as it is files and scripts.
    content: str
    files: tuple[PlacedFile, ...]
    # All that its template runs; `scripts_done` is what of it has run.
    scripts: tuple[str, ...]
    # How it is started, until the spec says something else of this very version.
    process: WantedProcess
    installed_at: Moment
    scripts_done: tuple[str, ...] = ()
    edits: tuple[FileEdit, ...] = ()
    attempt: int = 0
    # Whether it was ever let start, and whether it was ever seen ready.
    is_released: bool = False
    was_ready: bool = False
    # The version that was last let start before this one; this very one where its files were placed anew.
    replaces: str | None = None
    # The version that lay here before, and its backup where one was made.
    former_version: str | None = None
    former_backup: str | None = None


class Committing(_Kept):
    """Names are being given: the folder may hold both versions until this is through."""

    target: Installed
    # Where each file lies until it has its name; the content that it was staged for.
    files: tuple[PinnedFile, ...]
    # What was placed before.
    former: tuple[PlacedFile, ...]


class Restored(_Kept):
    """Which backup somebody went back to, and which time that was."""

    id: str
    attempt: int


class Restoring(_Kept):
    """The folder of a backup is complete, and takes the place of the server's."""

    restored: Restored
    # Of the new folder: its device and inode; and since when it is complete.
    device: int
    inode: int
    at: Moment | None = None


class GameRecord(_Kept):
    """All that must be known of the server after a crash."""

    format: int = RECORD_FORMAT
    installed: Installed | None = None
    committing: Committing | None = None
    restoring: Restoring | None = None
    restored: Restored | None = None
    # The content whose files lie in the staging folder, all of them; and for which a backup was made, and which one.
    staged: str | None = None
    backed_up_for: str | None = None
    backup: str | None = None
    # See `backups_asked` of the wish.
    backups_answered: int = 0
    # What the last comparison has found; None before one.
    faults: int | None = None


class KeptBackup(_Kept):
    """A backup, and what the record said when it was made."""

    about: GameBackup
    installed: Installed


# ── What a child is told, on its standard input ──


class _Order(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, tag_field="call", tag=str.lower):
    """What every child is told."""

    # Confined to this folder, below which every path stands.
    folder: str
    # Who the child becomes: uid, gid and further groups. None: it stays who it is.
    user: tuple[int, int, tuple[int, ...]] | None = None


class Stage(_Order):
    """Bring every file that the folder does not hold yet into the staging folder."""

    content: str
    files: tuple[PinnedFile, ...]
    # Where paths without a scheme lead, in this order.
    artifacts_urls: tuple[str, ...]
    # Origins (`http://10.0.0.1:8480`) that may be asked although their addresses are private.
    private_origins: tuple[str, ...] = ()


class Commit(_Order):
    """Give the staged files their names; the child says ReadyLine before the first, and waits for a line."""

    content: str
    files: tuple[PinnedFile, ...]
    former: tuple[PlacedFile, ...]


class Verify(_Order):
    """Compare placed files with their hashes."""

    files: tuple[PlacedFile, ...]


class Edit(_Order):
    """Set keys of configuration files; no placeholder is left in them."""

    edits: tuple[FileEdit, ...]


class Run(_Order):
    """Run one script of a template."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    # What it may run beside the system's programs.
    executable: tuple[str, ...]
    timeout_s: float
    may_use_network: bool
    makes: tuple[str, ...]


class Unpack(_Order):
    """Unpack the archive that is open as `descriptor` into the folder, which is empty."""

    descriptor: int


class Clear(_Order):
    """Remove all that is in the folder."""


ChildOrder = Stage | Commit | Verify | Edit | Run | Unpack | Clear


# ── What a child says, a line of JSON each ──


class ProgressLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far one stage is; 0 bytes in all where there is nothing to count."""

    stage: str
    done: int = 0
    total: int = 0
    bytes_per_s: float | None = None
    left_s: float | None = None
    output: str | None = None


class ReadyLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ready"):
    """Everything is looked at, nothing is changed yet: the child goes on once it is sent a line."""


class DoneLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="done"):
    """The child's last word when all is well."""

    # Of a comparison: how many files differ, and the first of them.
    faults: int = 0
    names: tuple[str, ...] = ()
    # Of a script: the end of what it has printed.
    output: str | None = None


class FailedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="failed"):
    """The child's last word when not."""

    code: str
    detail: str
    retryable: bool
    exit_code: int | None = None
    output: str | None = None


ChildLine = ProgressLine | ReadyLine | DoneLine | FailedLine
Ids = tuple[int, int, tuple[int, ...]]
Stages = Literal["check", "download", "verify", "backup", "place", "script", "restore"]
