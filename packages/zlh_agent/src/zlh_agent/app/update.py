"""How the agent's update of itself is joined to the other parts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from zlh_agent import __version__
from zlh_agent.config import AgentConfig
from zlh_agent.identity.service import IdentityService
from zlh_agent.journal.service import JournalService
from zlh_agent.status.service import StatusService
from zlh_agent.update import door
from zlh_agent.update.bundles import find_code
from zlh_agent.update.model import UpdatePlace
from zlh_agent.update.origin import find_fixed, find_version
from zlh_agent.update.service import UpdateService
from zlh_common.clock import Clock
from zlh_common.processes import ProcessIdentity
from zlh_common.schema.structs import encode


async def make_update(config: AgentConfig, clock: Clock, *, boot_id: str) -> UpdateService:
    """Return the part; it has read where the last update stands."""
    place = await asyncio.to_thread(_find_place, config)
    update = UpdateService(place, clock, boot_id=boot_id)
    await update.load()
    return update


def _find_place(config: AgentConfig) -> UpdatePlace:
    paths, code = config.paths, find_code()
    bundles = paths.agent.resolve()
    return UpdatePlace(
        bundles=bundles,
        folder=paths.update,
        root=config.root,
        artifacts_urls=config.artifacts_urls,
        trusted_root=config.trust.root,
        channels=config.channels,
        probation_s=config.update_probation_s,
        version=find_version(code, bundles) or __version__,
        fixed_because=find_fixed(code, bundles, paths.sockets, pid=os.getpid()),
    )


def join_update(
    update: UpdateService,
    config: AgentConfig,
    *,
    identity: IdentityService,
    journal: JournalService,
    status: StatusService,
    shims: Callable[[], Sequence[ProcessIdentity]],
) -> None:
    """Have the part know what the others have, and the status tell of it."""

    async def serves() -> None:
        await door.knock(config.bind_address, config.port, owner=config.owner, shown=identity.shown)
        encode(status.report())

    update.serves, update.shims = serves, shims
    update.spec_generation = lambda: status.spec().spec_generation
    update.note, update.on_change = journal.note, status.note_change
    status.agent = update.report
