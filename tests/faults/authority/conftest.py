"""The database of the API's own tests."""

from __future__ import annotations

from component.api.conftest import database, dsn, postgres

__all__ = ["database", "dsn", "postgres"]
