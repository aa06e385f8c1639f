"""The peer `terminado`, as Jupyter runs it; argument: port. Run by a Python that has it."""

from __future__ import annotations

import asyncio
import sys

import tornado.web
from terminado.management import NamedTermManager
from terminado.websocket import TermSocket


async def main() -> None:
    """Serve `/ws/<name>` until killed; the first who asks for a name starts its shell."""
    manager = NamedTermManager(shell_command=["/bin/sh", "-i"], max_terminals=1000)
    routes = [(r"/ws/(\w+)", TermSocket, {"term_manager": manager})]
    tornado.web.Application(routes).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
