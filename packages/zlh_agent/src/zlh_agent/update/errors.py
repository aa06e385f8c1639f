"""Why an agent does not become another version. Each is told to who asked, or in the update that has failed."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class AgentUpdateFixed(ZlhError):
    """This agent cannot bring itself to another version."""

    code, status = "agent_update_fixed", 409

    def __init__(self, reason: str) -> None:
        super().__init__(f"This agent stays what it is: {reason}")


class AgentUpdateBusy(ZlhError):
    """Another update of this agent is under way."""

    code, status = "agent_update_busy", 409

    def __init__(self, *, version: str, phase: str) -> None:
        super().__init__(
            f"The agent is on its way to {version} ({phase}). Tell it of another when that has come to its end.",
            version=version,
            phase=phase,
        )


class AgentVersionOlder(ZlhError):
    """The version is older than one that this agent has been."""

    code, status = "agent_update_older", 409

    def __init__(self, *, version: str, highest: str) -> None:
        super().__init__(
            f"{version} is older than {highest}, which this agent has been brought to. It goes back by itself alone, "
            "when a newer version does not prove itself; roll out a newer one instead.",
            version=version,
            highest=highest,
        )


class AgentUpdateNotKept(ZlhError):
    """The disk does not keep what the agent was told."""

    code, status, retryable = "agent_update_not_kept", 507, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The disk does not keep the update: {reason}. The agent stays what it is; make room.")


class AgentUpdateUnproved(ZlhError):
    """The new version did not show in time that it serves and has taken up everything."""

    code, status = "agent_update_unproved", 500

    def __init__(self, *, within_s: float, lacking: str) -> None:
        super().__init__(f"Within {within_s:.0f} s it has not proved itself: {lacking}.")


class AgentSwitchFailed(ZlhError):
    """The new version lies there whole, and could not be switched to."""

    code, status = "agent_switch_failed", 500

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The agent could not switch to it: {reason}. The former version goes on.")
