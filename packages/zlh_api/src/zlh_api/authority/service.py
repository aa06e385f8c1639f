"""One for each API process: follows the change of the CAs, carries it on, and does what operators ask.

What is decided stands in the database and what is secret in the keys' folder, so a process may die at any line; whoever
is there looks at both and goes on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from uuid import uuid4

import structlog

from zlh_api.agents.authority import Authority
from zlh_api.agents.key_folder import Generation
from zlh_api.agents.standing import Standing
from zlh_api.authority import store
from zlh_api.authority.generations import AuthorityKeysMissing, find_missing, find_usable, make_next
from zlh_api.authority.model import Registered, Scene
from zlh_api.authority.rules import Move, decide_move, describe, move_on
from zlh_api.database.pool import Connection, Database, DatabaseUnavailable
from zlh_common.clock import Clock

log = structlog.get_logger()
TICK_S = 3.0
# So many containers are told at a time; the next ones a tick later.
WAKES_AT_ONCE = 200
LOOKS_BETWEEN = 10


class AuthorityService:
    """Keeps what this process uses of the CAs as the database says."""

    def __init__(
        self,
        database: Database,
        authority: Authority,
        clock: Clock,
        *,
        tick_s: float = TICK_S,
        lease_s: float = store.LEASE_S,
    ) -> None:
        self._database = database
        self._tick_s, self._lease_s = tick_s, lease_s
        self._authority = authority
        self._clock = clock
        self._holder = uuid4()
        self._wake = asyncio.Event()
        self._folder: Mapping[str, int] = {}
        self._found: Mapping[int, Generation] = {}
        self._numbers: Collection[int] = ()
        self._context_made_at = clock.now()
        self._scene: Scene | None = None
        self._looks, self._has_woken = 0, False
        self._told: tuple[Standing, int] | None = None
        # Why this process cannot go by what the database says; None where it does.
        self.trouble: str | None = None
        # Given the context by which agents are dialled from now on.
        self.on_context: Callable[[ssl.SSLContext], None] = lambda _context: None

    def wake(self, _payload: str = "") -> None:
        """Look at once."""
        self._wake.set()

    async def start(self) -> None:
        """Go by what the database says, before anything is served; raise AuthorityKeysMissing."""
        await self._read_folder()
        async with self._database.transaction() as connection:
            await store.begin(connection, self._found[max(self._found)])
            scene = await store.fetch_scene(connection)
        missing = find_missing(find_usable(self._found, scene), scene)
        if missing and missing[0] <= scene.standing.issuing:
            raise AuthorityKeysMissing(missing[0])
        await self._look()

    async def run(self) -> None:
        """Follow and carry on for ever."""
        try:
            while True:
                self._wake.clear()
                try:
                    while await self._look():
                        pass
                except DatabaseUnavailable:
                    pass
                try:
                    async with asyncio.timeout(self._tick_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            await asyncio.shield(self._leave())

    def facts(self) -> dict[str, object]:
        """Return what everybody may know."""
        scene = self._scene
        if scene is None:
            return {}
        issuing = _issuing(scene)
        return {
            "generation": issuing.number,
            "expiresAt": issuing.expires_at,
            "rotation": describe(scene),
            "waitingFor": scene.dependents,
        }

    @property
    def expires_at(self) -> datetime | None:
        """When the CA ends that signs now; None before the first look."""
        scene = self._scene
        if scene is None:
            return None
        return next(
            (each for each in scene.registered if each.number == scene.standing.issuing), scene.newest
        ).expires_at

    async def _look(self) -> bool:
        """Follow what the database says, and move it on by one where that is due; tell whether it was."""
        await self._read_folder()
        async with self._database.connection() as connection:
            scene = await store.fetch_scene(connection)
            await self._follow(scene)
            await store.beat(
                connection, self._holder, self._authority.held, self._authority.standing, lease_s=self._lease_s
            )
            scene = self._scene = await store.fetch_scene(connection)
            await self._wake_behind(connection, scene)
        move = decide_move(scene, now=self._clock.now())
        return move is not None and await self._carry_out(move)

    async def _wake_behind(self, connection: Connection, scene: Scene) -> None:
        """Have those looked at that can be told, while there are any, and once in a while."""
        self._looks += 1
        if scene.is_changing or self._has_woken or self._looks % LOOKS_BETWEEN == 1:
            self._has_woken = await store.wake_behind(connection, scene.standing, limit=WAKES_AT_ONCE) > 0

    async def _carry_out(self, move: Move) -> bool:
        async with self._database.transaction() as connection:
            scene = await store.fetch_scene(connection, for_update=True)
            # Another was faster.
            if decide_move(scene, now=self._clock.now()) is not move:
                return True
            if move is Move.MAKE:
                await make_next(connection, self._authority.keys, scene)
                return True
            standing = move_on(scene, move)
            await store.save_standing(connection, standing)
        log.info("authority.moved", move=move, generation=scene.newest.number)
        return True

    async def _follow(self, scene: Scene) -> None:
        """Use what the database says, as far as there are keys for it."""
        usable, standing = find_usable(self._found, scene), scene.standing
        missing = find_missing(usable, scene)
        self._note_trouble(AuthorityKeysMissing(missing[0]).detail if missing else None)
        if missing and missing[0] <= standing.issuing:
            return
        over = [number for number in self._numbers if number < standing.oldest]
        if over:
            await asyncio.to_thread(self._authority.keys.remove, over)
        is_other = self._authority.follow(usable, standing)
        if is_other or self._authority.needs_context(self._context_made_at):
            self._context_made_at = self._clock.now()
            self.on_context(await asyncio.to_thread(self._authority.client_context))
        self._tell(scene)

    async def _read_folder(self) -> None:
        state = await asyncio.to_thread(self._authority.keys.state)
        if state != self._folder:
            self._found = await asyncio.to_thread(self._authority.keys.load)
            self._numbers = await asyncio.to_thread(self._authority.keys.numbers)
            self._folder = state

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            log.error("authority.keys_missing", reason=trouble)
        self.trouble = trouble

    def _tell(self, scene: Scene) -> None:
        told = (scene.standing, scene.newest.number)
        if told != self._told:
            log.info(
                "authority.standing",
                issuing=scene.standing.issuing,
                presented=scene.standing.presented,
                oldest=scene.standing.oldest,
                newest=scene.newest.number,
                expires_at=scene.newest.expires_at.isoformat(),
            )
        self._told = told

    async def _leave(self) -> None:
        try:
            async with self._database.connection() as connection:
                await store.leave(connection, self._holder)
        except DatabaseUnavailable:
            return


def _issuing(scene: Scene) -> Registered:
    return next((each for each in scene.registered if each.number == scene.standing.issuing), scene.newest)
