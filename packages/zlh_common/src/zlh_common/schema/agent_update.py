"""How an agent is brought to another version of itself: what it is told, and what it tells. From protocol 10 on."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from zlh_common.schema.spec import RuntimeVersion
from zlh_common.schema.structs import Report

# From this protocol on an agent can be told of another version.
UPDATES_ITSELF: Final = 10
# What the catalog calls the agent's own bundle, among the offers of kind "agent".
AGENT_OFFER: Final = "zlh-agent"


class StartAgentUpdate(Report):
    """`POST /update` of an agent: become this version, which the signed catalog names. Told twice, it is told once."""

    version: RuntimeVersion
    # Raised to have a version tried again that failed or was undone.
    attempt: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class AgentUpdateState(StrEnum):
    """The position of one update."""

    # It is fetched, checked and unpacked; the agent that runs is the former one.
    PREPARING = "preparing"
    # The new one was switched to, and has not shown yet that it serves and has taken up everything.
    PROVING = "proving"
    # It has shown that. If it ends by itself within its probation, the former one comes back all the same.
    PROBATION = "probation"
    DONE = "done"
    # Nothing was switched.
    FAILED = "failed"
    # The new one did not prove itself, and the former one runs again.
    UNDONE = "undone"


class AgentUpdate(Report):
    """The last update that an agent was told of."""

    version: str
    attempt: int
    state: AgentUpdateState
    # The version that was left, or would have been.
    before: str
    started_at: datetime
    finished_at: datetime | None = None
    # While it is prepared: 0.0 to 1.0, and what is being done.
    progress: float | None = None
    stage: str | None = None
    # Why it failed or was undone, with the exit code and the last 4 KiB that the new one printed, where there are such.
    code: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None


class AgentSoftware(Report):
    """Which agent runs, and what may become of it."""

    version: str
    # Why it cannot bring itself to another version (under the process driver it is its checkout's); null where it can.
    fixed_because: str | None = None
    # Kept beside it to be gone back to.
    previous: str | None = None
    # The Python that it runs with, such as "3.11".
    python: str | None = None
    update: AgentUpdate | None = None
