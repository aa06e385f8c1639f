"""What is asked of others where somebody is about to belong to a customer."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from zlh_api.database.pool import Connection
from zlh_common.errors import ZlhError


class MemberQuota(Protocol):
    """How many members a customer may have."""

    @property
    def member_refusals(self) -> tuple[type[ZlhError], ...]:
        """What `ensure_member` may raise."""
        ...

    async def ensure_member(self, connection: Connection, customer_id: UUID) -> None:
        """Return where a customer whose row this transaction holds may have one more member."""
        ...
