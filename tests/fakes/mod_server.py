"""The folder of a game server with mods, an agent's service for them, and changes to ask of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.modrinth import FakeFileHost
from zlh_agent.files.disk_threads import open_threads
from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService
from zlh_agent.mods.fetching import Fetcher
from zlh_agent.mods.journal_store import ChangeJournal
from zlh_agent.mods.place import ModPlace
from zlh_agent.mods.service import ModService
from zlh_common.clock import Clock, SystemClock
from zlh_common.schema.mods import (
    LEDGER_NAME,
    ChangeProgress,
    ChangeState,
    LedgerEntry,
    ModAct,
    ModChange,
    ModFile,
    PutMod,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
User = tuple[int, int, tuple[int, ...]] | None


@dataclass
class ModServer:
    """One server's folder below `root`, with its mods in `mods`, and the agent's own state beside it."""

    root: Path
    state: Path
    host: FakeFileHost
    user: User = None
    started_at: datetime | None = None

    @property
    def mods(self) -> Path:
        """The folder of the mods."""
        return self.root / "mods"

    @property
    def names(self) -> list[str]:
        """What is in the folder, without the ledger."""
        return sorted(path.name for path in self.mods.iterdir() if path.name != LEDGER_NAME)

    @property
    def ledger(self) -> dict[str, Any]:
        """The ledger as it stands there."""
        found: dict[str, Any] = json.loads((self.mods / LEDGER_NAME).read_bytes())
        return found

    @asynccontextmanager
    async def agent(self, *, clock: Clock | None = None) -> AsyncIterator[ModService]:
        """Run the agent's service for the mods; when it ends, whatever it is at stays as it is."""
        files, threads = FileService(FilePlace(str(self.root), self.user)), open_threads()
        clock = clock or SystemClock()
        place = ModPlace(files, "mods", lambda: self.started_at)
        journal = ChangeJournal(self.state / "mods")
        service = ModService(journal, Fetcher(clock), threads, clock, find_place=lambda: place)
        await service.load()
        try:
            yield service
        finally:
            await service.close()
            await files.close()
            await asyncio.to_thread(threads.shutdown)

    def put(self, project: str, number: int, *, content: bytes | None = None, **given: Any) -> PutMod:
        """Return the act that has a version of a mod there; its file lies at the host."""
        body = content if content is not None else f"{project} {number}".encode() * 500
        name = f"{project}-{number}.jar"
        told = self.host.add(name, body)
        file = ModFile(
            project_id=project,
            slug=project,
            title=project.upper(),
            version_id=f"{project}v{number}",
            version_number=f"{number}.0",
            channel="release",
            file_name=name,
            url=told["url"],
            size=len(body),
            sha512=hashlib.sha512(body).hexdigest(),
        )
        installed_at = BEGIN.replace(second=number)
        return PutMod(entry=LedgerEntry(file=file, installed_at=installed_at, actor="someone", **given))

    def change(self, *acts: ModAct, revision: int = 0, change_id: str | None = None, **given: Any) -> ModChange:
        """Return a change of these acts."""
        return ModChange(
            id=change_id or uuid.uuid4().hex,
            actor="someone",
            revision=revision,
            acts=acts,
            **{"origins": (self.host.url,), **given},
        )


async def carry_out(mods: ModService, change: ModChange) -> ChangeProgress:
    """Begin a change and return what became of it."""
    return await wait_ended(mods, (await mods.begin(change)).id)


async def wait_ended(mods: ModService, change_id: str) -> ChangeProgress:
    """Return what has become of a change."""
    while (told := await mods.find(change_id)).state is ChangeState.RUNNING:
        await asyncio.sleep(0.01)
    return told
