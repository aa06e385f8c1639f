"""An agent killed somewhere in the life of uploads: each file is the old or the new one, and nothing else is left."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import sys

import aiohttp
import pytest

from component.agent.harness import AgentProcess, eventually
from component.agent.test_uploads import Sender

KILLS = int(os.environ.get("ZLH_UPLOAD_KILLS", "8"))
SEED = int(os.environ.get("ZLH_UPLOAD_SEED", str(random.SystemRandom().randrange(2**32))))
SIZE = 300_000


async def send_for_ever(sender: Sender, name: str, content: bytes, *, in_pieces: bool) -> None:
    """Send a file again and again, until the agent is gone."""
    sha256 = hashlib.sha256(content).hexdigest()
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while True:
            if in_pieces:
                upload = await sender.begin(SIZE, path=name, sha256=sha256, overwrite="true")
                await sender.append(upload, 0, content[: SIZE // 2])
                await sender.append(upload, SIZE // 2, content[SIZE // 2 :])
            else:
                await sender.put(name, content)


@pytest.mark.timeout(600)
async def test_an_agent_killed_at_any_moment_leaves_old_or_new(agent: AgentProcess) -> None:
    """ZLH_UPLOAD_KILLS says how often; what is left of pieces can be gone on with or given up, what is left of whole
    files is gone by itself."""
    sys.stdout.write(f"ZLH_UPLOAD_SEED={SEED} ZLH_UPLOAD_KILLS={KILLS}\n")
    chance, sender = random.Random(SEED), Sender(agent)
    await eventually(sender.workspace.is_dir)
    allowed: dict[str, set[bytes]] = {"put": {b""}, "tus": {b""}}
    for _ in range(KILLS):
        contents = {name: chance.randbytes(SIZE) for name in allowed}
        sends = [
            asyncio.create_task(send_for_ever(sender, name, content, in_pieces=name == "tus"))
            for name, content in contents.items()
        ]
        # Any moment will do, and the seed says which: nothing is expected to have happened by then.
        await asyncio.sleep(chance.random() * 0.5)
        await agent.kill()
        await asyncio.gather(*sends)
        await agent.start()
        for name, content in contents.items():
            path = sender.workspace / name
            found = await asyncio.to_thread(path.read_bytes) if path.exists() else b""
            assert found in allowed[name] | {content}
            allowed[name] = {found}
        for record in sender.records():
            await sender.call("DELETE", f"/files/uploads/{record.stem}", headers={"Tus-Resumable": "1.0.0"})
        await eventually(lambda: sender.names() <= set(allowed) and not sender.records(), lambda: str(sender.names()))
