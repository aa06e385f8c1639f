"""Game templates as a catalog carries them: one of Minecraft's kind, and one of a game of UDP without a ping."""

from __future__ import annotations

from zlh_common.schema.process import LineProbe, ProcessPolicy, ReadyPolicy, StopPolicy
from zlh_common.schema.template import (
    BooleanVariable,
    CatalogTemplate,
    ChoiceVariable,
    Eula,
    FileEdit,
    GameTemplate,
    InstallScript,
    IntegerVariable,
    Memory,
    PinnedFile,
    Presence,
    Rcon,
    Requirement,
    Start,
    TemplatePort,
    TemplateVersion,
    TextVariable,
)

VARIABLES = (
    TextVariable(name="motd", title="Message", default="A server", max_length=59),
    TextVariable(name="world", title="World", default="world", pattern="[a-z0-9_-]+"),
    IntegerVariable(name="max_players", title="Players", default=20, minimum=1, maximum=500),
    BooleanVariable(name="online", title="Check accounts", default=True),
    ChoiceVariable(name="difficulty", title="Difficulty", default="easy", choices=("peaceful", "easy", "hard")),
)
BLOCKS = GameTemplate(
    game="minecraft",
    ports=(
        TemplatePort(name="game", protocol="tcp", port=25565),
        TemplatePort(name="query", protocol="udp", port=25565),
        TemplatePort(name="rcon", protocol="tcp", port=25575, is_public=False),
    ),
    start=Start(
        argv=("java", "-Xmx{heap_mb}M", "-jar", "server.jar", "--world", "{var.world}", "--say={var.motd}"),
        environment={"BIND": "{address}:{port.game}"},
    ),
    eula=Eula(title="the EULA of Blocks", url="https://blocks.example.org/eula"),
    variables=VARIABLES,
    edits=(
        FileEdit(
            path="server.properties",
            format="properties",
            set={
                "motd": "{var.motd}",
                "max-players": "{var.max_players}",
                "online-mode": "{var.online}",
                "server-ip": "{address}",
                "rcon.password": "{secret.rcon}",
                "difficulty": "{var.difficulty}",
                "about": "{version} for {var.max_players}, {var.motd}",
            },
        ),
        FileEdit(path="eula.txt", format="properties", set={"eula": True}),
    ),
    scripts=(InstallScript(name="unpack", argv=("java", "-jar", "{fact.installer}"), makes=("{fact.installer}.d",)),),
    policy=ProcessPolicy(
        ready=ReadyPolicy(probe=LineProbe(pattern="[{time}] Done ({text})! For help", ping=25565)),
        stop=StopPolicy(command="stop"),
    ),
    memory=Memory(heap_share=0.75, reserve_mb=384, minimum_mb=1024),
    presence=Presence(joined=("[{time}] {name} joined the game",), ping="game"),
    rcon=Rcon(port="rcon", secret="rcon"),
    backup_without=("logs",),
)
ROOMS = GameTemplate(
    game="rooms",
    ports=(TemplatePort(name="game", protocol="udp", port=30000),),
    start=Start(argv=("rooms", "--port", "{port.game}")),
)


def version(name: str, *, default: bool = False, requires: tuple[Requirement, ...] = ()) -> TemplateVersion:
    """Return a version with one file of its own."""
    file = PinnedFile(
        path="server.jar", urls=(f"https://files.example.org/{name}.jar",), size=1, hash=f"sha256:{'0' * 64}"
    )
    return TemplateVersion(
        version=name,
        default=default,
        requires=requires,
        files=(file,),
        facts={"installer": f"installer-{name}.jar"},
        channel="candidate" if "rc" in name else "stable",
    )


def templates(
    *, requires: tuple[Requirement, ...] = (Requirement(name="node", version="24"),)
) -> tuple[CatalogTemplate, ...]:
    """Return what a catalog offers; the first asks for an agreement and a runtime, the second for nothing."""
    blocks = tuple(
        version(name, default=name == "1.21.8", requires=requires)
        for name in ("26.1-rc1", "1.21.9", "1.21.8", "1.20.1")
    )
    return (
        CatalogTemplate(name="blocks", title="Blocks", template=BLOCKS, versions=blocks),
        CatalogTemplate(name="rooms", title="Rooms", template=ROOMS, versions=(version("5.6.1"),)),
    )
