"""Something that has happened, before it has a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from zlh_common.schema.history import Fact


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What happened to whom; `at` where that is known better than by when it is written down."""

    kind: str
    subject: str | None
    message: str
    data: Mapping[str, Fact] = field(default_factory=dict)
    at: datetime | None = None
