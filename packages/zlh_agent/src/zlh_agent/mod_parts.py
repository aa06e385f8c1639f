"""Mods, joined with the spec that says where they go, the files, and the server that loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from zlh_agent.file_parts import FileParts
from zlh_agent.mods.fetching import Fetcher
from zlh_agent.mods.journal_store import ChangeJournal
from zlh_agent.mods.service import ModPlace, ModService
from zlh_common.clock import Clock
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.status import ProcessStatus

# The root of the server's folder among those in which files are worked on.
SERVER_ROOT = "server"


async def make_mods(
    state: Path,
    files: FileParts,
    clock: Clock,
    *,
    game: Callable[[], WantedGame | None],
    processes: Callable[[], Iterable[ProcessStatus]],
) -> ModService:
    """Make the service, and take up what an agent before has left."""

    def started_at() -> datetime | None:
        return next((each.started_at for each in processes() if each.name == SERVER and each.pid is not None), None)

    def find_place() -> ModPlace | None:
        wanted = game()
        root = next((root for root in files.roots.offered if root.name == SERVER_ROOT), None)
        if wanted is None or wanted.mods is None or root is None:
            return None
        return ModPlace(files.roots.service(root), wanted.mods.folder, started_at)

    mods = ModService(
        ChangeJournal(state / "mods"),
        Fetcher(clock),
        files.threads,
        clock,
        find_place=find_place,
    )
    await mods.load()
    return mods
