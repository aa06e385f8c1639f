"""A game server as a catalog offers it, with everything that a template can say."""

from __future__ import annotations

from datetime import UTC, datetime

from zlh_common.schema.process import PingProbe, ProcessPolicy, ReadyPolicy
from zlh_common.schema.template import (
    BooleanVariable,
    CatalogTemplate,
    Eula,
    FileEdit,
    GameTemplate,
    IntegerVariable,
    ModSupport,
    Presence,
    Requirement,
    Start,
    TemplatePort,
    TemplateVersion,
    TextVariable,
)


def make_template() -> GameTemplate:
    """Return a template that nothing is wrong with."""
    return GameTemplate(
        game="minecraft",
        summary="A server.",
        eula=Eula(title="Terms", url="https://example.org/terms"),
        ports=(TemplatePort(name="game", protocol="tcp", port=25565),),
        variables=(
            TextVariable(name="motd", title="Message", default="Hello"),
            IntegerVariable(name="players", title="Players", default=10, minimum=1, maximum=100),
            BooleanVariable(name="pvp", title="Fights", default=True),
        ),
        start=Start(argv=("tiny", "--memory", "{heap_mb}", "--port", "{port.game}")),
        edits=(FileEdit(path="server.properties", format="properties", set={"motd": "{var.motd}"}),),
        policy=ProcessPolicy(ready=ReadyPolicy(probe=PingProbe(port=25565)), ports=(25565,)),
        presence=Presence(joined=("{name} joined",), left=("{name} left",), ping="game"),
        mods=ModSupport(folder="mods", loaders=("fabric",)),
    )


def make_version(version: str = "1.0", *, requires: tuple[Requirement, ...] = ()) -> TemplateVersion:
    """Return a version without files."""
    return TemplateVersion(version=version, released_at=datetime(2026, 1, 1, tzinfo=UTC), requires=requires)


def make_game_offer(name: str, *versions: TemplateVersion) -> CatalogTemplate:
    """Return a game server in these versions, or in one that needs nothing."""
    return CatalogTemplate(
        name=name, title=name.title(), template=make_template(), versions=versions or (make_version(),)
    )
