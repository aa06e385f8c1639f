"""Templates: what a game server is, declared. The publisher writes them, the catalog carries them signed.

In words of `start`, in `environment`, in values of `edits`, and in `argv` and `makes` of scripts stand placeholders,
each filled with one value:

    {var.NAME}      a variable, as the customer has chosen it
    {port.NAME}     the port of the container that the server listens on
    {fact.NAME}     a text of the version, such as the file of arguments that an installer has made
    {version}       the version
    {heap_mb}       memory for the server's own heap, below the container's limit: see Memory
    {address}       where the server listens: 0.0.0.0; an address of loopback where containers share one machine
    {secret.NAME}   a password that the agent makes and keeps; in `edits` alone

A word stays one argument whatever is filled in: there is no shell. A value of an edit that is nothing but a placeholder
keeps its kind, so that a port is a number in JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from zlh_common.schema.process import Port, ProcessPolicy
from zlh_common.schema.structs import Report

TemplateName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
# As the game calls its versions: `1.21.8`, `26.3-snapshot-3`, `5.6.1`.
GameVersion = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$(?!\n)")]
PlainName = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$(?!\n)")]
# Below the server's folder; no empty part, none of dots, none hidden behind the names that are ours.
ServerPath = Annotated[
    str, Meta(min_length=1, max_length=512, pattern=r"^(?!.*(^|/)\.{0,2}(/|$))(?!.*zlh-)[^\\\x00-\x1f]+$(?!\n)")
]
ServiceName = Annotated[str, Meta(pattern=r"^_[a-z0-9][a-z0-9-]{0,14}\._(tcp|udp)$(?!\n)")]
FileHash = Annotated[str, Meta(pattern=r"^(sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$(?!\n)")]
LinePattern = Annotated[str, Meta(min_length=1, max_length=256)]
Title = Annotated[str, Meta(min_length=1, max_length=128)]
Value = str | int | bool
MAX_FILES = 2048


class TextVariable(Report, tag_field="kind", tag="text"):
    """A line of text; never with control characters, nor with a leading `-` that a program could take for an option."""

    name: PlainName
    title: Title
    description: str = ""
    default: str = ""
    max_length: Annotated[int, Meta(ge=1, le=1024)] = 128
    # What the whole text must match, as Python and JavaScript read it; anything where it is None.
    pattern: Annotated[str, Meta(max_length=256)] | None = None


class IntegerVariable(Report, tag_field="kind", tag="integer"):
    """A whole number."""

    name: PlainName
    title: Title
    default: int
    minimum: int
    maximum: int
    description: str = ""


class BooleanVariable(Report, tag_field="kind", tag="boolean"):
    """On or off; `true` and `false` where it is filled in."""

    name: PlainName
    title: Title
    default: bool
    description: str = ""


class ChoiceVariable(Report, tag_field="kind", tag="choice"):
    """One of a few texts."""

    name: PlainName
    title: Title
    default: str
    choices: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    description: str = ""


Variable = TextVariable | IntegerVariable | BooleanVariable | ChoiceVariable


class Eula(Report):
    """What a customer must agree to before anything is installed; who has agreed, and when, is recorded."""

    title: Title
    url: Annotated[str, Meta(pattern=r"^https://[^\s]+$(?!\n)", max_length=512)]


class TemplatePort(Report):
    """A port that the server listens on, the same in every container; the first of a template is the game's own."""

    name: PlainName
    protocol: Literal["tcp", "udp"]
    port: Port
    # Whether players reach it through the proxy; what is not public stays in the container.
    is_public: bool = True
    # By which programs of players ask DNS for the port of a name, such as `_minecraft._tcp`; None where they do not.
    service: ServiceName | None = None


class FileEdit(Report):
    """Keys of a configuration file that are set before a start, whatever else stands in it; comments stay."""

    path: ServerPath
    # plain: `key = value`, a line each, `#` for comments.
    format: Literal["properties", "plain", "ini", "yaml", "toml", "json"]
    # Keys as the format nests them, with dots: `section.key`; in `properties` and `plain` a dot is part of the key.
    set: Annotated[dict[str, Value], Meta(max_length=256)]
    # absent: what stands there already is the customer's, and stays.
    when: Literal["always", "absent"] = "always"


class InstallScript(Report):
    """A program run once for a version, as the customer's user, confined to the server's folder; never a shell line."""

    name: PlainName
    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    timeout_s: Annotated[int, Meta(ge=1, le=7200)] = 900
    may_use_network: bool = False
    # What must be there afterwards: an installer that says it went well is not believed.
    makes: Annotated[tuple[str, ...], Meta(max_length=32)] = ()


class Memory(Report):
    """The rule for `{heap_mb}`: a share of the container's memory, and always `reserve_mb` of it left to all else."""

    heap_share: Annotated[float, Meta(gt=0, le=1)] = 0.75
    reserve_mb: Annotated[int, Meta(ge=0, le=65_536)] = 384
    # A container with less memory than this cannot be created.
    minimum_mb: Annotated[int, Meta(ge=16, le=1_048_576)] = 512


class Start(Report):
    """How the server is started, in its folder."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=128)]
    environment: dict[str, str] = field(default_factory=dict)


class Presence(Report):
    """Who plays: lines of the output that say it, and what the server answers when it is asked."""

    # With {name}; `identified` with {uuid} besides, which comes before the join.
    joined: tuple[LinePattern, ...] = ()
    left: tuple[LinePattern, ...] = ()
    identified: tuple[LinePattern, ...] = ()
    # Names of ports: the status ping and the query protocol of Minecraft.
    ping: PlainName | None = None
    query: PlainName | None = None


class Ticks(Report):
    """How the ticks per second of a server are known: a command, and the line that answers it, with {number}."""

    command: Annotated[str, Meta(min_length=1, max_length=64)]
    answer: LinePattern


class Rcon(Report):
    """The remote console of the server; it is reached from the container alone, with a secret that the agent keeps."""

    port: PlainName
    secret: PlainName


class Hint(Report):
    """A line that says why a server has ended, and what to do."""

    line: LinePattern
    code: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$(?!\n)", max_length=64)]
    message: Annotated[str, Meta(min_length=1, max_length=512)]


class ModSupport(Report):
    """Where mods go, and what they must be made for."""

    folder: ServerPath
    # As Modrinth names them, the best one first: ("paper", "spigot", "bukkit").
    loaders: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    # What people call them: "mods", "plugins".
    title: Title = "mods"


class ConsoleCommand(Report):
    """A command that the console knows, for completion."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    usage: Annotated[str, Meta(max_length=256)] = ""


class GameTemplate(Report):
    """What every version of one game server has in common."""

    # Which game, for the icon and the mods: "minecraft", "minetest" …
    game: PlainName
    ports: Annotated[tuple[TemplatePort, ...], Meta(min_length=1, max_length=8)]
    start: Start
    summary: Annotated[str, Meta(max_length=512)] = ""
    eula: Eula | None = None
    variables: Annotated[tuple[Variable, ...], Meta(max_length=64)] = ()
    edits: Annotated[tuple[FileEdit, ...], Meta(max_length=32)] = ()
    scripts: Annotated[tuple[InstallScript, ...], Meta(max_length=8)] = ()
    # How it is kept: restart, stop, ready, hang. Ports of probes are those of the container.
    policy: ProcessPolicy = ProcessPolicy()
    memory: Memory = Memory()
    presence: Presence | None = None
    ticks: Ticks | None = None
    rcon: Rcon | None = None
    hints: Annotated[tuple[Hint, ...], Meta(max_length=32)] = ()
    mods: ModSupport | None = None
    commands: Annotated[tuple[ConsoleCommand, ...], Meta(max_length=256)] = ()
    # What a backup leaves out, such as "logs": paths below the server's folder.
    backup_without: Annotated[tuple[ServerPath, ...], Meta(max_length=32)] = ()


class PinnedFile(Report):
    """A file of one version: where it goes, where it comes from, and what holds it to its bytes."""

    path: ServerPath
    # Tried in this order; one without a scheme is a path of the artifact server.
    urls: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=2048)], ...], Meta(min_length=1, max_length=4)]
    size: Annotated[int, Meta(ge=0, le=2**40)]
    hash: FileHash


class Requirement(Report):
    """A runtime that a version needs: its name, and a version or the leading part of one ("21")."""

    name: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9-]*$(?!\n)")]
    version: GameVersion


class TemplateVersion(Report):
    """One version of a game server: resolved when the catalog was made, so that an install asks nobody what it is."""

    version: GameVersion
    channel: Literal["stable", "candidate"] = "stable"
    default: bool = False
    released_at: datetime | None = None
    requires: Annotated[tuple[Requirement, ...], Meta(max_length=8)] = ()
    files: Annotated[tuple[PinnedFile, ...], Meta(max_length=MAX_FILES)] = ()
    facts: Annotated[dict[str, str], Meta(max_length=32)] = field(default_factory=dict)
    # As Modrinth names the game's version, where mods are made for one.
    game_version: GameVersion | None = None


class CatalogTemplate(Report):
    """One game server with its versions, newest first."""

    name: TemplateName
    title: Title
    template: GameTemplate
    versions: tuple[TemplateVersion, ...]
