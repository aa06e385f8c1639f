"""SQL of answers that are kept by their key."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from zlh_api.database.pool import Connection

# Enough for who makes more keys than that in a day; what is left goes with the next one.
_FORGOTTEN_AT_ONCE = 100
_IS_OVER = "created_at < now() - interval '24 hours'"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a key stands for: a request, and the answer that it had."""

    request_sha256: bytes
    status: int | None
    answer: bytes | None


async def claim(connection: Connection, user_id: UUID, key: str, request_sha256: bytes) -> bool:
    """Take a key for the length of the transaction; False where it is taken. Waits for who has it at this moment."""
    await connection.execute(
        f"delete from idempotency_keys where user_id = $1 and key = $2 and {_IS_OVER}", user_id, key
    )
    return bool(
        await connection.fetchval(
            "insert into idempotency_keys (user_id, key, request_sha256) values ($1, $2, $3) "
            "on conflict do nothing returning true",
            user_id,
            key,
            request_sha256,
        )
    )


async def find(connection: Connection, user_id: UUID, key: str) -> KeptAnswer | None:
    """Return what a key stands for."""
    row = await connection.fetchrow(
        "select request_sha256, status, answer from idempotency_keys where user_id = $1 and key = $2", user_id, key
    )
    return None if row is None else KeptAnswer(row["request_sha256"], row["status"], row["answer"])


async def keep(connection: Connection, user_id: UUID, key: str, *, status: int, answer: bytes) -> None:
    """Write the answer beside its key, and forget some of those that are over, whoever's they are."""
    await connection.execute(
        "update idempotency_keys set status = $3, answer = $4 where user_id = $1 and key = $2",
        user_id,
        key,
        status,
        answer,
    )
    await connection.execute(
        "delete from idempotency_keys where ctid in (select ctid from idempotency_keys "
        f"where {_IS_OVER} limit {_FORGOTTEN_AT_ONCE} for no key update skip locked)"
    )
