"""How far a change of the CAs is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Which generation of CAs does what; without a change, all three are the same."""

    # Signs agents, and is believed by every agent that has its identity from it.
    issuing: int
    # Signs what the API shows to agents.
    presented: int
    # The first that is believed on either side.
    oldest: int

    @property
    def trusts(self) -> tuple[int, int]:
        """The first and the last generation by which an agent is to know the API."""
        return self.oldest, self.issuing
