"""Suspending a customer and taking that back. What their containers are wanted to be stays written, and comes back."""

from __future__ import annotations

from uuid import UUID

from zlh_api.database.pool import Database
from zlh_api.suspensions import store
from zlh_common.errors import NotFound


class SuspensionService:
    """Holds customers back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def suspend(self, customer_id: UUID, reason: str) -> None:
        """Hold a customer and all that they have back; raise NotFound.

        Twice is as good as once, and the later reason is shown.
        """
        async with self._database.transaction() as connection:
            if not await store.save_suspended(connection, customer_id, reason):
                raise NotFound("customer")
            await store.mark_containers(connection, customer_id, is_suspended=True)

    async def resume(self, customer_id: UUID) -> None:
        """Let a customer and all that they have go on as before; raise NotFound.

        Harmless where they are not held back.
        """
        async with self._database.transaction() as connection:
            if not await store.save_resumed(connection, customer_id):
                raise NotFound("customer")
            await store.mark_containers(connection, customer_id, is_suspended=False)
