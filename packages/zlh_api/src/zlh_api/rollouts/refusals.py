"""What is refused of a wish about roll-outs."""

from __future__ import annotations

from collections.abc import Sequence

from zlh_common.errors import ZlhError
from zlh_common.schema.rollouts import RolloutState


class AgentNotOffered(ZlhError):
    """The catalog does not have this version of the agent."""

    code, status = "agent_not_offered", 422

    def __init__(self, version: str, offered: Sequence[str]) -> None:
        known = f"It has {', '.join(offered[:8])}." if offered else "It has none; publish one first."
        super().__init__(f"The catalog of this installation does not offer version {version} of the agent. {known}")


class RolloutGoesBack(ZlhError):
    """The roll-out before was carried to its end, with a newer version."""

    code, status = "rollout_goes_back", 409

    def __init__(self, version: str, newest: str) -> None:
        super().__init__(
            f"The roll-out before brought agents to {newest}, and no agent goes back from it to {version}; publish a "
            "newer one that mends what is wrong.",
            newest=newest,
        )


class RolloutSharesWrong(ZlhError):
    """The waves do not rise to all containers."""

    code, status = "rollout_shares_wrong", 422

    def __init__(self) -> None:
        super().__init__("Each share must be larger than the one before it, and the last one 100, as in 5, 25, 100.")


class CanaryUnsuitable(ZlhError):
    """A container that should come first has nothing to be brought to this version."""

    code, status = "canary_unsuitable", 422

    def __init__(self, vmids: Sequence[int], version: str) -> None:
        named = ", ".join(map(str, vmids))
        super().__init__(
            f"Of these no agent below {version} is known that could be told of it: {named}. Name others.", vmids=vmids
        )


class RolloutNotSoFar(ZlhError):
    """What is asked of a roll-out does not fit to where it stands."""

    code, status = "rollout_not_so_far", 409

    def __init__(self, wish: str, state: RolloutState) -> None:
        super().__init__(f"A roll-out that is {state} cannot be {wish}; look how it stands now.", state=state)
