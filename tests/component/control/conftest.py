"""A control host's own parts, on a real PostgreSQL."""

from component.api.conftest import dsn, postgres

__all__ = ["dsn", "postgres"]
