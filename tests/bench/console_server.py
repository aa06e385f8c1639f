"""The agent's console without TLS, so that it stands beside peers that have none; arguments: folder, port."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web

from zlh_agent.console.seats import Seats
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import ForkedShims
from zlh_agent.shim.model import Launch
from zlh_agent.terminals.routes import routes
from zlh_agent.terminals.service import TerminalService


async def main() -> None:
    """Serve the slice until killed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "$ "}
    service = TerminalService(
        ShimHost(folder / "state", folder / "run", ForkedShims()),
        launch=lambda: Launch(argv=("/bin/sh", "-i"), env=environment, cwd="/"),
    )
    await service.recover()
    application = web.Application()
    application.add_routes(routes(service, Seats()))
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


asyncio.run(main())
