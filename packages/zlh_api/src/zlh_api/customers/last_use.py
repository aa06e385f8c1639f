"""When sessions and tokens were used last, without a write for each request.

Uses wait here and are written together: the first one of a credential soon, the following ones about once a minute. A
process that is killed loses what waits, which is a minute at most.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from zlh_api.customers import credential_store as store
from zlh_api.customers.model import Caller
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_common.clock import Clock

log = structlog.get_logger()
FLUSH_S = 5.0
# One credential is written so seldom by one API process.
REST_S = 60.0


class LastUse:
    """One for each API process; `run` writes what waits."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # (is it a session, its id) → when it was used last, by our own monotonic clock
        self._waiting: dict[tuple[bool, UUID], float] = {}
        self._written: dict[tuple[bool, UUID], float] = {}

    def note(self, caller: Caller) -> None:
        """Take down that a credential is used now."""
        if caller.credential_id is not None:
            self._waiting[caller.by_cookie, caller.credential_id] = self._clock.monotonic()

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._clock.sleep(FLUSH_S)
            try:
                await self.flush()
            except DatabaseUnavailable as error:
                log.warning("credentials.use_not_written", error=error.detail)

    async def flush(self) -> None:
        """Write what waits and was not written within the last minute."""
        now = self._clock.monotonic()
        self._written = {key: at for key, at in self._written.items() if now - at < REST_S}
        due = {key: at for key, at in self._waiting.items() if key not in self._written}
        if not due:
            return
        async with self._database.transaction() as connection:
            await store.note_use(
                connection,
                sessions={found: now - at for (is_session, found), at in due.items() if is_session},
                tokens={found: now - at for (is_session, found), at in due.items() if not is_session},
            )
        for key, at in due.items():
            self._written[key] = now
            if self._waiting.get(key) == at:
                del self._waiting[key]
