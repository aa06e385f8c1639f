"""Game servers: what the API wants of an agent, what the agent tells, and what people ask. From protocol 9 on."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from zlh_common.schema.process import WantedProcess
from zlh_common.schema.structs import Report, Request
from zlh_common.schema.template import (
    MAX_FILES,
    ConsoleCommand,
    FileEdit,
    GameVersion,
    Hint,
    InstallScript,
    ModSupport,
    PinnedFile,
    Presence,
    Rcon,
    ServerPath,
    TemplateName,
    TemplatePort,
    Ticks,
    Title,
    Value,
    Variable,
)

# The process that a game server is.
SERVER = "server"
BackupId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", max_length=32)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
# Names and ids are the word of a game, and may be anything.
PlayerName = Annotated[str, Meta(min_length=1, max_length=64)]


class WantedGame(Report):
    """The game server of one container, rendered: only `{secret.…}` is still to be filled in, by the agent."""

    template: TemplateName
    title: Title
    version: GameVersion
    # Named `server`; started when its version, the edits and its runtimes are there.
    process: WantedProcess
    files: Annotated[tuple[PinnedFile, ...], Meta(max_length=MAX_FILES)] = ()
    edits: Annotated[tuple[FileEdit, ...], Meta(max_length=32)] = ()
    scripts: Annotated[tuple[InstallScript, ...], Meta(max_length=8)] = ()
    ports: Annotated[tuple[TemplatePort, ...], Meta(max_length=8)] = ()
    presence: Presence | None = None
    ticks: Ticks | None = None
    rcon: Rcon | None = None
    hints: Annotated[tuple[Hint, ...], Meta(max_length=32)] = ()
    mods: ModSupport | None = None
    backup_without: Annotated[tuple[ServerPath, ...], Meta(max_length=32)] = ()
    # Whether another version is preceded by a backup of the server's folder.
    backs_up: bool = True
    # The backup whose contents must be there, since somebody went back to it; and how often somebody did.
    restore: BackupId | None = None
    # How often somebody has asked for a backup of what lies there.
    backups_asked: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    # Raised to have what has failed tried again, files placed anew and a backup restored once more.
    attempt: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class GameBackup(Report):
    """A copy of the server's folder, made before its version was changed or when somebody asked for it."""

    id: BackupId
    # The version that it is of.
    version: GameVersion
    made_at: datetime
    # Bytes of the archive.
    size: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class PlayersSeen(Report):
    """How many play, and by whose word."""

    count: Count
    # ping: the server was asked; log: its lines were counted.
    source: Literal["ping", "log"]
    at: datetime
    # What the server says it takes at most; null where nobody has said it.
    max: Count | None = None


class GameReport(Report):
    """What an agent tells of its game server, part of its status."""

    template: TemplateName
    # What lies in the folder; null while nothing is complete.
    version: GameVersion | None = None
    installed_at: datetime | None = None
    # Files of the version that differ from their hashes, as the last look found; null before one.
    faults: Count | None = None
    backups: Annotated[tuple[GameBackup, ...], Meta(max_length=64)] = ()
    # Which of `backups_asked` was answered last; null of an agent that makes none because somebody asks.
    backups_answered: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    players: PlayersSeen | None = None
    # What the last line that a template knows said about why it ended.
    hint_code: Annotated[str, Meta(max_length=64)] | None = None
    hint: Annotated[str, Meta(max_length=512)] | None = None


class Player(Report):
    """Somebody who plays now."""

    name: PlayerName
    # Null where the game has none, or has not said it.
    uuid: Annotated[str, Meta(max_length=36)] | None
    since: datetime


class Players(Report):
    """`GET …/players`: who plays now. `count` is the server's own word where it was asked, so it may pass the names."""

    online: tuple[Player, ...]
    count: Count
    max: Count | None
    # Whether the names are all of them, as far as count and names agree.
    complete: bool = True
    observed_at: datetime | None = None


class PlayerSession(Report):
    """One stay of somebody; `left_at` is null while they play, `left_for_certain` false where nobody saw them go."""

    name: PlayerName
    uuid: Annotated[str, Meta(max_length=36)] | None
    joined_at: datetime
    left_at: datetime | None
    left_for_certain: bool = True


class PlayerSessions(Report):
    """`GET …/players/history`: stays, the newest first."""

    items: tuple[PlayerSession, ...]
    # Agents of before say `null` at the end.
    next: str | UnsetType | None = UNSET


class TelemetryPoint(Report):
    """One look at a server; null is what could not be known."""

    at: datetime
    players: Count | None = None
    # From the question to the answer of a status ping.
    latency_ms: float | None = None
    ticks_per_s: float | None = None


class Telemetry(Report):
    """`GET …/telemetry`: the last look, and those before it, the oldest first."""

    now: TelemetryPoint | None
    points: tuple[TelemetryPoint, ...] = ()
    # What the server calls itself, and the message that it shows to players.
    server_version: Annotated[str, Meta(max_length=256)] | None = None
    motd: Annotated[str, Meta(max_length=1024)] | None = None


class SendCommand(Request):
    """`POST …/commands`: one line typed into the server's console."""

    command: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]


class CommandAnswer(Report):
    """What the server has answered, where its remote console was asked; null where the answer stands in the console."""

    output: str | None


class GamePortStatus(Report):
    """A port of a game server, and where players reach it; null where this installation has no public port for it."""

    name: str
    protocol: Literal["tcp", "udp"]
    port: int
    public_port: int | None
    address: str | None


class EulaAgreement(Report):
    """Who has agreed to what, and when."""

    title: str
    url: str
    agreed_at: datetime
    # The id of the user; null where they are gone.
    agreed_by: str | None


class GameState(StrEnum):
    """How far the files of a game server are."""

    INSTALLING = "installing"
    INSTALLED = "installed"
    # Another version, a backup or a restore is under way.
    CHANGING = "changing"
    FAILED = "failed"


class GameSummary(Report):
    """What the report of a container says of its game server."""

    template: str
    title: str
    game: str
    state: GameState
    # Wanted; and what lies there, which is another one while it is changed.
    version: str
    installed_version: str | None
    # What players type: of the first port that this installation has a public one for.
    address: str | None
    ports: tuple[GamePortStatus, ...]
    players: PlayersSeen | None
    hint_code: str | None = None
    hint: str | None = None


class GameDetail(Report):
    """`GET /api/game/{vmid}`: one game server."""

    vmid: int
    template: str
    title: str
    game: str
    state: GameState
    # Wanted; and what lies there, which is another one while it is changed.
    version: str
    installed_version: str | None
    # Where its version can go, newest first; empty while the catalog is away.
    versions: tuple[str, ...]
    variables: tuple[Variable, ...]
    values: dict[str, Value]
    ports: tuple[GamePortStatus, ...]
    eula: EulaAgreement | None
    commands: tuple[ConsoleCommand, ...]
    mods: ModSupport | None
    backups: tuple[GameBackup, ...]
    hint_code: str | None = None
    hint: str | None = None


class PatchGame(Request):
    """`PATCH /api/game/{vmid}`: variables that change; they hold from the next start on."""

    variables: dict[str, Value]


class ChangeVersion(Request):
    """`POST /api/game/{vmid}/version`: have another version; the server is stopped for it, and backed up before."""

    version: GameVersion
    backup: bool = True
    # Where the template of that version asks for another agreement than the one that was agreed to.
    accept_eula: bool = False


class RestoreBackup(Request):
    """`POST /api/game/{vmid}/restore`: go back to a backup and to its version; what lies there now is replaced."""

    backup_id: BackupId
