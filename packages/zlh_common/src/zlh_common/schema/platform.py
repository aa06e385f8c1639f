"""What the API says of itself."""

from __future__ import annotations

from typing import Literal

from zlh_common.schema.structs import Report


class Dependency(Report):
    """Something that the API needs; some tell more of themselves than this."""

    ok: bool
    # What is wrong; null where nothing is.
    message: str | None


class Health(Report):
    """`GET /api/healthz`: degraded where any dependency is not well."""

    status: Literal["ok", "degraded"]
    dependencies: dict[str, Dependency]


class Version(Report):
    """`GET /api/version`: of the API, and of the protocol that it speaks with agents."""

    version: str
    protocol_version: int
