"""Uploads cut at any byte and gone on with, many times over: the whole has the hash of what was sent."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
from pathlib import Path

import pytest

from component.agent.harness import OWNER, AgentProcess, eventually
from component.agent.test_uploads import PIECE, Sender, cut
from zlh_common.names import agent_name

CUTS = int(os.environ.get("ZLH_UPLOAD_CUTS", "1000"))
SEED = int(os.environ.get("ZLH_UPLOAD_SEED", str(random.SystemRandom().randrange(2**32))))
SIZE = 40_000


@pytest.mark.timeout(900)
async def test_uploads_that_are_cut_anywhere_become_the_file_that_was_sent(agent: AgentProcess) -> None:
    """ZLH_UPLOAD_CUTS says how often, ZLH_UPLOAD_SEED where; both stand in the output of a failure."""
    sys.stdout.write(f"ZLH_UPLOAD_SEED={SEED} ZLH_UPLOAD_CUTS={CUTS}\n")
    chance, sender = random.Random(SEED), Sender(agent)
    await eventually(sender.workspace.is_dir)
    left, number = CUTS, 0
    while left > 0:
        content = chance.randbytes(SIZE)
        sha256 = hashlib.sha256(content).hexdigest()
        upload = await sender.begin(SIZE, path=f"{number}.bin", sha256=sha256)
        for _ in range(min(left, 10)):
            await send_and_cut(sender, upload, content, chance)
            left -= 1
        offset = await sender.offset(upload)
        assert (await sender.append(upload, offset, content[offset:])).status == 204
        assert await asyncio.to_thread(_hash, sender.workspace / f"{number}.bin") == sha256
        number += 1
    await sender.nothing_left(*(f"{done}.bin" for done in range(number)))


async def send_and_cut(sender: Sender, upload: str, content: bytes, chance: random.Random) -> None:
    """Send from where it goes on, and break off somewhere, in the head or in the bytes, with or without a goodbye."""
    offset = await sender.offset(upload)
    lines = "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
    length = SIZE - offset
    head = f"PATCH {upload} HTTP/1.1\r\nHost: x\r\n{lines}Upload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n"
    # Never the last byte: then it would be whole.
    message = (head.encode() + content[offset:])[:-1]
    _, writer = await asyncio.open_connection(
        sender.agent.address, sender.agent.port, ssl=sender.agent.context, server_hostname=agent_name(OWNER)
    )
    writer.write(message[: chance.randrange(1, len(message) + 1)])
    await writer.drain()
    if chance.random() < 0.5:
        writer.close()
        await writer.wait_closed()
    else:
        cut(writer)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
