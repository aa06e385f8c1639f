"""What operators ask of the CAs and of the identities of agents, beside the API or without it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from zlh_api.agents.key_folder import Generation, KeyFolder
from zlh_api.agents.standing import Standing
from zlh_api.authority import store
from zlh_api.authority.generations import AuthorityKeysMissing, find_usable, make_next
from zlh_api.authority.model import Dependent, Scene
from zlh_api.authority.rules import describe
from zlh_api.containers import store as containers
from zlh_api.containers.model import Guest
from zlh_api.database.pool import Connection, Database
from zlh_api.reconcile.identity_rules import Lack, may_renew
from zlh_common.errors import NotFound, ZlhError
from zlh_common.names import Vmid
from zlh_common.schema.status import Connection as AgentConnection

log = structlog.get_logger()


class AuthorityUnknown(ZlhError):
    """The database knows no CAs yet."""

    code, status = "authority_unknown", 409

    def __init__(self) -> None:
        super().__init__("The database knows no CAs yet; start the API once.")


class RotationUnderWay(ZlhError):
    """The CAs are being changed already."""

    code, status = "rotation_under_way", 409

    def __init__(self, phase: str) -> None:
        super().__init__(f"The CAs are being changed already ({phase}); `zlh-api authority` shows who is waited for.")


class NothingToRetire(ZlhError):
    """There is one generation of CAs."""

    code, status = "nothing_to_retire", 409

    def __init__(self) -> None:
        super().__init__("There is one generation of CAs; `zlh-api authority rotate` begins another.")


class AuthorityInUse(ZlhError):
    """Somebody depends on the old CAs."""

    code, status = "authority_in_use", 409

    def __init__(self, *, containers: int, processes: int) -> None:
        super().__init__(
            f"{containers} containers and {processes} API processes still depend on the old CAs; `zlh-api authority` "
            "lists them. --force retires them all the same, and cuts those off until they are started again.",
            containers=containers,
            processes=processes,
        )


class AuthorityDesk:
    """Says how far a change of the CAs is, begins and ends one, and has single agents given other keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """Where all of it stands."""
        return self._database

    async def fetch_scene(self) -> tuple[Scene, list[Dependent], int]:
        """Return how far it is, who depends on a former generation, and how many believe one that is over."""
        async with self._database.transaction() as connection:
            scene = await self._fetch(connection)
            dependents = await store.fetch_dependents(connection, scene.newest.number) if scene.is_changing else []
            return scene, dependents, await store.count_trusting(connection, scene.standing.oldest)

    async def rotate(self, keys: KeyFolder) -> Generation:
        """Begin a change: make another generation; raise RotationUnderWay, AuthorityKeysMissing."""
        found = await asyncio.to_thread(keys.load)
        async with self._database.transaction() as connection:
            scene = await self._fetch(connection, for_update=True)
            if scene.is_changing:
                raise RotationUnderWay(describe(scene))
            # Who has other keys than the rest would make what nobody else can use.
            if scene.standing.issuing not in find_usable(found, scene):
                raise AuthorityKeysMissing(scene.standing.issuing)
            return await make_next(connection, keys, scene)

    async def retire(self, *, force: bool) -> list[Dependent]:
        """Take the former generation away; return whom that cuts off. Raise NothingToRetire, AuthorityInUse."""
        async with self._database.transaction() as connection:
            scene = await self._fetch(connection, for_update=True)
            if not scene.is_changing:
                raise NothingToRetire
            newest = scene.newest.number
            behind = [each for each in scene.holders if newest not in each.held or each.standing.presented != newest]
            dependents = await store.fetch_dependents(connection, newest)
            if (dependents or behind) and not force:
                raise AuthorityInUse(containers=len(dependents), processes=len(behind))
            await store.save_standing(connection, Standing(newest, newest, newest))
        log.warning("authority.retired", generation=newest, cut_off=[each.vmid for each in dependents])
        return dependents

    async def adopt(self, keys: KeyFolder) -> int:
        """Go by the newest keys of the folder, whatever the database says; return their number."""
        found = await asyncio.to_thread(keys.load)
        if not found:
            raise AuthorityKeysMissing(1)
        generation = found[max(found)]
        async with self._database.transaction() as connection:
            await store.adopt(connection, generation)
            await store.forget_pins(connection, None)
        log.warning("authority.adopted", generation=generation.number)
        return generation.number

    async def renew(self, vmid: Vmid) -> bool:
        """Have one agent given another identity; raise NotFound. Tells whether that is now, or at its next start."""
        async with self._database.transaction() as connection:
            container = await containers.find_by_vmid(connection, vmid)
            if container is None:
                raise NotFound("container")
            await containers.ask_identity(connection, container.owner)
        can_take = may_renew(container, frozenset({Lack.ASKED}))
        return container.guest is Guest.RUNNING and container.connection is AgentConnection.ONLINE and can_take

    async def unpin(self, vmids: Sequence[Vmid] | None) -> int:
        """Accept any identity of their name from some agents, or all, until each has another; return how many."""
        async with self._database.transaction() as connection:
            count = await store.forget_pins(connection, None if vmids is None else list(vmids))
        log.warning("authority.unpinned", containers=count)
        return count

    async def _fetch(self, connection: Connection, *, for_update: bool = False) -> Scene:
        if await store.fetch_standing(connection) is None:
            raise AuthorityUnknown
        return await store.fetch_scene(connection, for_update=for_update)
