"""How fast the client of a console's WebSocket is read, at the API and at the agent alike.

Control frames count too: a library that answers pings by itself does not let go of the event loop before the last one
of a flood.
"""

from __future__ import annotations

import asyncio

from zlh_common.pace import pay

# So fast may one viewer send, after a burst of a quarter of a second: faster than any hand, any paste and any echo.
INPUT_MESSAGES_PER_S = 4000
INPUT_BYTES_PER_S = 16 * 1024 * 1024
INPUT_BURST_S = 0.25
# One whose messages are all there already gives way after so many of them.
_YIELD_MESSAGES = 32
# A shorter wait is not worth a timer; the debt stays.
_SHORTEST_WAIT_S = 0.01


def input_cost_s(size_bytes: int) -> float:
    """Return how long one message of a viewer counts."""
    return max(1 / INPUT_MESSAGES_PER_S, size_bytes / INPUT_BYTES_PER_S)


class InputPace:
    """The pace of one client: who sends faster is not read for a while, so its own connection fills up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._paid_until = 0.0
        self._messages = 0

    async def keep(self, data: object) -> None:
        """Wait until what follows a message with this payload may be taken."""
        size_bytes = len(data) if isinstance(data, bytes | bytearray | str) else 0
        now = self._loop.time()
        self._paid_until = pay(self._paid_until, input_cost_s(size_bytes), burst_s=INPUT_BURST_S, now=now)
        self._messages += 1
        if self._paid_until - now >= _SHORTEST_WAIT_S:
            await asyncio.sleep(self._paid_until - now)
        elif self._messages % _YIELD_MESSAGES == 0:
            await asyncio.sleep(0)
