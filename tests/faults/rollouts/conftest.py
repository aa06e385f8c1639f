"""The database of the API's own tests, and what signs agents."""

from __future__ import annotations

from component.api.conftest import database, dsn, postgres, world

__all__ = ["database", "dsn", "postgres", "world"]
