"""Where mods are looked for, and what those of a container must be made for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zlh_api import __version__
from zlh_api.circuit import Circuits
from zlh_api.config.model import ApiConfig
from zlh_api.containers.model import Container
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import Modrinth, ModrinthSetting
from zlh_common.clock import Clock


@asynccontextmanager
async def open_mods(config: ApiConfig, circuits: Circuits, clock: Clock) -> AsyncIterator[Modrinth | None]:
    """Return the client of Modrinth, and close its connections; None where nobody is to be asked."""
    section = config.mods
    if section is None:
        yield None
        return
    agent = f"zlh/{__version__} ({section.contact})"
    setting = ModrinthSetting(section.url.rstrip("/"), section.file_origins, agent)
    modrinth = Modrinth(setting, circuits.make("modrinth"), clock)
    try:
        yield modrinth
    finally:
        await modrinth.close()


def find_mod_target(container: Container) -> Target | None:
    """Return what mods of a container must be made for; None where its server takes none."""
    game = container.game
    if game is None or game.definition.mods is None:
        return None
    return Target(game.definition.mods.loaders, game.version.game_version)
