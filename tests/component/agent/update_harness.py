"""The engine of the agent's update on a real tree of bundles, which it fetches from a signed catalog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from component.agent.harness import eventually
from fakes.agent_bundles import Bundle
from fakes.artifact_origin import ArtifactOrigin
from fakes.runtime_shop import RuntimeShop
from zlh_agent.journal.model import Occurrence
from zlh_agent.launcher import UpdateState, read_current
from zlh_agent.update.bundles import find_bundles
from zlh_agent.update.model import UpdatePlace
from zlh_agent.update.service import UpdateService
from zlh_agent.update.store import UpdateStore
from zlh_common.clock import SystemClock
from zlh_common.processes import ProcessIdentity, read_boot_id
from zlh_common.schema.agent_update import AgentUpdate, StartAgentUpdate

FIRST, SECOND, THIRD = "1.1.0", "1.2.0", "1.3.0"


@dataclass
class Container:
    """The folders of one container, and where its agent comes from."""

    root: Path
    shop: RuntimeShop
    origin: ArtifactOrigin
    # What every engine that is started from now on holds, knows and says of itself.
    shims: list[ProcessIdentity] = field(default_factory=list)
    spec_generation: int = 5
    trouble: Exception | None = None
    # How often it was looked whether an agent serves.
    asked: int = 0
    fixed_because: str | None = None
    proof_s: float = 60.0
    probation_s: float = 0.01
    noted: list[Occurrence] = field(default_factory=list)

    @property
    def bundles(self) -> Path:
        """Where the versions lie."""
        return self.root / "opt/zlh/agent"

    @property
    def folder(self) -> Path:
        """Where the state of updates lies."""
        return self.root / "var/lib/zlh/update"

    async def state(self) -> UpdateState:
        """Return the launcher's state."""
        return await asyncio.to_thread(UpdateStore(self.folder).read_state)

    def place(self, version: str) -> UpdatePlace:
        """Return what an agent of this version is told."""
        return UpdatePlace(
            bundles=self.bundles,
            folder=self.folder,
            root=self.root,
            artifacts_urls=(self.origin.url,),
            trusted_root=self.shop.trusted_root,
            channels=("stable",),
            probation_s=self.probation_s,
            version=version,
            fixed_because=self.fixed_because,
            proof_s=self.proof_s,
        )

    async def versions(self) -> list[str]:
        """Return the versions that lie there; nothing else is left by anybody."""
        found = await asyncio.to_thread(find_bundles, self.bundles)
        others = {path.name for path in self.bundles.iterdir()} - set(found)
        assert others <= {"current", "launcher.py", ".former"}, others
        return found

    async def current(self) -> str | None:
        """Return the version that is started next."""
        return await asyncio.to_thread(read_current, self.bundles)

    def point(self, version: str) -> None:
        """Let `current` lead to a version, as somebody does who asks nobody."""
        (self.bundles / "current").unlink()
        (self.bundles / "current").symlink_to(version)

    @asynccontextmanager
    async def engine(self, version: str | None = None) -> AsyncIterator[Engine]:
        """Run the engine of what `current` leads to, or of another version, until it leaves or the block ends."""
        place = self.place(version or await self.current() or "")
        engine = Engine(UpdateService(place, SystemClock(), boot_id=await asyncio.to_thread(read_boot_id)))
        service = engine.service
        service.leave, service.note = engine.has_left.set, self._note
        service.shims, service.spec_generation = lambda: self.shims, lambda: self.spec_generation
        service.serves = self._serves
        await service.load()
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _note(self, occurrence: Occurrence) -> None:
        self.noted.append(occurrence)

    async def _serves(self) -> None:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble

    async def update(self, version: str, attempt: int = 0) -> AgentUpdate:
        """Tell the agent that runs of a version, and let each that is started live until nothing is under way."""
        async with self.engine() as engine:
            await engine.service.start(StartAgentUpdate(version=version, attempt=attempt))
            await engine.settled()
        return await self.settle()

    async def settle(self) -> AgentUpdate:
        """Start what `current` leads to as often as it leaves, until it is at rest; return what it tells."""
        for _ in range(4):
            async with self.engine() as engine:
                if await engine.settled():
                    update = engine.service.report().update
                    assert update is not None
                    return update
        raise AssertionError("it leaves again and again")


@dataclass
class Engine:
    """One agent's part of it, for as long as that lives."""

    service: UpdateService
    has_left: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[AgentUpdate] = field(default_factory=list)
    # Called with each thing that is told, at once.
    on_told: Callable[[AgentUpdate], None] = lambda _update: None

    async def run(self) -> None:
        """Run until it leaves, as an agent does."""
        self.service.on_change = self._look
        running = asyncio.create_task(self.service.run())
        leaving = asyncio.create_task(self.has_left.wait())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            for task in (running, leaving):
                task.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)

    def _look(self) -> None:
        update = self.service.report().update
        if update is not None and (not self.seen or self.seen[-1] != update):
            self.seen.append(update)
            self.on_told(update)

    async def settled(self) -> bool:
        """Return once it has left (False), or the update has its end and all is tidied (True)."""
        await eventually(lambda: self.has_left.is_set() or self.is_at_rest(), explain=lambda: repr(self.seen))
        return not self.has_left.is_set()

    def is_at_rest(self) -> bool:
        """Tell whether nothing is under way, and nothing left to tidy."""
        update = self.service.report().update
        return update is not None and update.finished_at is not None and self.service.is_tidy

    async def until(self, is_so: Callable[[AgentUpdate], bool]) -> None:
        """Wait until the report says so."""
        await eventually(lambda: any(map(is_so, self.seen)), explain=lambda: repr(self.seen))


def make_container(root: Path, shop: RuntimeShop, origin: ArtifactOrigin) -> Container:
    """Lay out a container whose agent is FIRST, as its template has it."""
    container = Container(root, shop, origin)
    container.bundles.mkdir(parents=True)
    Bundle(FIRST).unpack(container.bundles)
    (container.bundles / "current").symlink_to(FIRST)
    return container
