"""How much each agent is read of: see `appetite_rules`."""

from __future__ import annotations

import asyncio

from zlh_api.agents.appetite_rules import decide_wait, is_forgotten
from zlh_api.agents.client import AgentUnreachable
from zlh_common.names import OwnerMark


class Appetite:
    """One for each room of an API process that takes long answers apart."""

    def __init__(self) -> None:
        # Until when is paid for what an agent has answered; the one that was not heard of for longest comes first.
        self._paid: dict[OwnerMark, float] = {}

    async def wait_for_turn(self, owner: OwnerMark, size: int) -> None:
        """Return when so much of an agent's answers may be taken apart; raise AgentUnreachable where it is too much."""
        now = asyncio.get_running_loop().time()
        paid, wait_s = decide_wait(self._paid.pop(owner, float("-inf")), size, now)
        self._paid[owner] = paid
        while is_forgotten(self._paid[first := next(iter(self._paid))], now):
            del self._paid[first]
            if not self._paid:
                break
        if wait_s is None:
            raise AgentUnreachable("it answers with more than can be read")
        if wait_s:
            await asyncio.sleep(wait_s)
