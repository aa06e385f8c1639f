"""A control host's own parts, on a real PostgreSQL and a real tree of artifacts."""

from component.api.conftest import dsn, postgres
from component.artifacts.conftest import published, workshop

__all__ = ["dsn", "postgres", "published", "workshop"]
