"""The peer of the API: an aiohttp handler that returns a constant; arguments: port, size of the body."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def main() -> None:
    """Serve until killed."""
    body = b"x" * int(sys.argv[2])

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


asyncio.run(main())
