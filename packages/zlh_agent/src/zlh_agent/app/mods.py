"""Mods, joined with the spec that says where they go, the files, and the server that loads them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from zlh_agent.app.files import FileParts
from zlh_agent.games.service import GameService
from zlh_agent.journal.service import JournalService
from zlh_agent.mods.fetching import Fetcher
from zlh_agent.mods.journal_store import ChangeJournal
from zlh_agent.mods.place import ModPlace
from zlh_agent.mods.service import ModService
from zlh_agent.status.service import StatusService
from zlh_agent.supervision.service import ProcessService
from zlh_common.clock import Clock
from zlh_common.schema.game import SERVER, WantedGame

# The root of the server's folder among those in which files are worked on.
SERVER_ROOT = "server"


async def make_mods(
    state: Path,
    files: FileParts,
    clock: Clock,
    *,
    find_game: Callable[[], WantedGame | None],
    processes: ProcessService,
) -> ModService:
    """Make the service, and take up what an agent before has left."""

    def started_at() -> datetime | None:
        statuses = processes.statuses()
        return next((each.started_at for each in statuses if each.name == SERVER and each.pid is not None), None)

    def find_place() -> ModPlace | None:
        wanted = find_game()
        root = next((root for root in files.roots.offered if root.name == SERVER_ROOT), None)
        if wanted is None or wanted.mods is None or root is None:
            return None
        return ModPlace(
            files.roots.service(root),
            wanted.mods.folder,
            started_at,
            is_coming_up=lambda: processes.is_coming_up(SERVER),
            wait_settled=lambda: processes.wait_settled(SERVER),
        )

    mods = ModService(
        ChangeJournal(state / "mods"),
        Fetcher(clock),
        files.threads,
        clock,
        find_place=find_place,
    )
    await mods.load()
    return mods


def join_mods(
    mods: ModService, games: GameService, processes: ProcessService, journal: JournalService, status: StatusService
) -> None:
    """Have nothing be started from half a change, and mods and versions be changed one after the other."""

    def tell() -> None:
        processes.look_again(SERVER)
        status.note_change()

    mods.on_change, mods.is_game_changing, mods.note = tell, games.is_changing, journal.note
    games.is_folder_busy = mods.is_unfinished
    games.standstill = lambda needs_whole: mods.standstill(needs_whole=needs_whole)
    games.share_folder(find_leftovers=mods.find_leftovers, before_exchange=mods.forget_left)
