"""A real PostgreSQL, as the tests of the API have it."""

from component.api.conftest import database, dsn, postgres

__all__ = ["database", "dsn", "postgres"]
