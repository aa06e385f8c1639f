"""An agent of its own process, to be killed: shows `main` from the offset of its first argument on.

Arguments: folder, offset (empty for none), the child's command. Prints records of a 4-byte length and a frame.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from component.console.harness import Bench
from zlh_common.websocket_frames import OutputFrame


async def main() -> None:
    folder, asked, *argv = sys.argv[1:]
    bench = Bench(Path(folder), argv)
    service = await bench.start(ring_bytes=16 << 20)
    viewer = await service.attach("main", int(asked))
    pid = service.rows()[0].pid
    os.write(1, f"{pid:08d}".encode())
    async for item in viewer:
        # A message is a record too, so that a gap shows.
        body = bytes(item.payload) if isinstance(item, OutputFrame) else b"!" + repr(item).encode()
        os.write(1, len(body).to_bytes(4, "big") + body)


asyncio.run(main())
