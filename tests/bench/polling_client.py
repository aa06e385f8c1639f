"""The peer of the event streams: every agent is asked for its status each ten seconds, by aiohttp, and that is all."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

import aiohttp

from zlh_api.agents.authority import Authority
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark, agent_name
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode

PERIOD_S = 10.0


async def poll(session: aiohttp.ClientSession, url: str, name: str) -> None:
    """Ask one agent for ever."""
    await asyncio.sleep(random.random() * PERIOD_S)
    while True:
        async with session.get(url, server_hostname=name) as response:
            decode(await response.read(), AgentStatus)
        await asyncio.sleep(PERIOD_S)


async def main(crowd: Path, keys: Path) -> None:
    """Ask all of them."""
    document = json.loads(crowd.read_text())
    context = Authority(keys, SystemClock()).client_context()
    # Connections are kept from one question to the next.
    connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=3 * PERIOD_S)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for address, owner in document["owners"].items():
            url = f"https://{address}:{document['port']}/status"
            group.create_task(poll(session, url, agent_name(OwnerMark(owner))))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
