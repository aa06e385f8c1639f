"""Which exceptions mean that the database is away, and which are our own mistake."""

from __future__ import annotations

import asyncpg
import pytest

from zlh_api.database.pool import is_away


@pytest.mark.parametrize(
    "exc",
    [
        asyncpg.CannotConnectNowError("starting"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.DiskFullError("full"),
        asyncpg.AdminShutdownError("stopping"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        asyncpg.DeadlockDetectedError("lost against another"),
        asyncpg.InterfaceError("closed"),
        asyncpg.InternalClientError("cannot switch to state 15"),
        ConnectionRefusedError("refused"),
        TimeoutError(),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_server_that_cannot_answer_is_away(exc: Exception) -> None:
    """It goes by itself: trying again later is the answer."""
    assert is_away(exc)


@pytest.mark.parametrize(
    "exc",
    [
        asyncpg.UniqueViolationError("twice"),
        asyncpg.DataError("null byte"),
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.PostgresError("without a code"),
        ValueError("ours"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_statement_that_is_wrong_is_not_called_away(exc: Exception) -> None:
    """It would be wrong again."""
    assert not is_away(exc)
