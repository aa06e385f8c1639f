"""What works on the customer's files, joined: their roots, the threads that read and write, uploads and long work."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from zlh_agent.archives.service import Archives
from zlh_agent.config import AgentConfig
from zlh_agent.files.blocks import Blocks
from zlh_agent.files.disk_threads import open_threads
from zlh_agent.files.link import FilePlace
from zlh_agent.files.long_work import LongWork
from zlh_agent.files.operations import OperationService
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.staging_store import StagingStore
from zlh_agent.games.service import GameService
from zlh_agent.uploads.partials import Partials
from zlh_agent.uploads.puts import PutService
from zlh_agent.uploads.service import UploadService
from zlh_agent.uploads.store import UploadStore
from zlh_agent.workspace.login_environment import Account
from zlh_agent.workspace.service import TerminalUserUnknown, WorkspaceService
from zlh_common.clock import Clock
from zlh_common.schema.spec import AgentSpec

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FileParts:
    """What works on the customer's files."""

    roots: Roots
    threads: ThreadPoolExecutor
    uploads: UploadService
    puts: PutService
    operations: OperationService
    archives: Archives
    work: LongWork

    async def close(self) -> None:
        """End it all; what can be gone on with is kept."""
        await self.operations.close()
        await self.uploads.close()
        await self.puts.close()
        await self.roots.close()
        self.threads.shutdown(wait=False)


async def make_files(config: AgentConfig, clock: Clock, workspace: WorkspaceService) -> FileParts:
    """Make them, and take up what an agent before has left."""
    roots, threads = Roots(await asyncio.to_thread(_offer_roots, config, workspace)), open_threads()
    blocks = Blocks()
    partials = Partials(roots, UploadStore(config.paths.state / "uploads"), threads)
    uploads = UploadService(roots, partials, clock, blocks)
    await uploads.load()
    archives = Archives(roots)
    work = LongWork(roots, archives)
    operations = OperationService(clock, StagingStore(config.paths.state / "operations"), work.sweep)
    await operations.load()
    puts = PutService(roots, partials, clock, blocks)
    return FileParts(roots, threads, uploads, puts, operations, archives, work)


def _offer_roots(config: AgentConfig, workspace: WorkspaceService) -> list[OfferedRoot]:
    try:
        account = workspace.customer()
    except TerminalUserUnknown as error:
        log.warning("files.not_offered", error=str(error))
        return []
    user = user_ids(account)
    return [
        OfferedRoot("workspace", "/workspace", FilePlace(str(config.paths.workspace), user)),
        OfferedRoot("home", "/home/dev", FilePlace(str(config.paths.home), user)),
    ]


def user_ids(account: Account | None) -> tuple[int, int, tuple[int, ...]] | None:
    """Return (uid, gid, further groups) of whom files belong to; None is the agent's own user."""
    if account is None:
        return None
    return account.uid, account.gid, tuple(os.getgrouplist(account.name, account.gid))


def lead_with_server(roots: Roots, games: GameService, spec: AgentSpec) -> None:
    """Have the server's folder be the default root of a container whose spec has a game."""
    if spec.game is None:
        return
    try:
        roots.lead_with(games.offered_root())
    except TerminalUserUnknown as error:
        log.warning("files.not_offered", error=str(error))
