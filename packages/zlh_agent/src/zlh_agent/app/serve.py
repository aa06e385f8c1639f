"""The agent as a program: what it answers, and how long it runs. Its parts are joined in `parts.py`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from functools import partial

import structlog
from aiohttp import web

from zlh_agent import __version__
from zlh_agent.app.parts import Parts, open_parts
from zlh_agent.config import AgentConfig
from zlh_agent.console.seats import Seats
from zlh_agent.files import archive_routes, operation_routes
from zlh_agent.files import routes as file_routes
from zlh_agent.gameplay import routes as gameplay_routes
from zlh_agent.games import routes as game_routes
from zlh_agent.identity import routes as identity_routes
from zlh_agent.identity.service import IdentityService
from zlh_agent.journal.model import Occurrence
from zlh_agent.metrics import routes as metrics_routes
from zlh_agent.mods import routes as mod_routes
from zlh_agent.ports import routes as port_routes
from zlh_agent.ports.service import PortService
from zlh_agent.runtimes import routes as runtime_routes
from zlh_agent.spec import routes as spec_routes
from zlh_agent.status import routes as status_routes
from zlh_agent.stream import routes as stream_routes
from zlh_agent.stream.routes import EventStream
from zlh_agent.supervision import routes as process_routes
from zlh_agent.terminals import routes as terminal_routes
from zlh_agent.update import routes as update_routes
from zlh_agent.uploads import put_routes
from zlh_agent.uploads import routes as upload_routes
from zlh_agent.web.server import build_application
from zlh_agent.web.tls import hold_little
from zlh_common.errors import ConfigInvalid, ZlhError
from zlh_common.notify import feed_watchdog, notify

log = structlog.get_logger()
# Of the first line of a request, which has its query.
MAX_LINE_BYTES = 32 * 1024
WAITING_BYTES = 16 * 1024


class AgentPortInUse(ZlhError):
    """Another program listens where the agent should."""

    code, status = "agent_port_in_use", 500

    def __init__(self, *, address: str, port: int, reason: str) -> None:
        super().__init__(f"The agent cannot listen on {address} port {port}: {reason}.", address=address, port=port)


def make_application(config: AgentConfig, parts: Parts) -> web.Application:
    """Return everything that the agent answers."""
    seats = Seats()
    return build_application(
        [
            *status_routes.routes(parts.status),
            *identity_routes.routes(parts.identity),
            *spec_routes.routes(parts.spec, parts.status),
            *runtime_routes.routes(parts.runtimes),
            *process_routes.routes(parts.processes, seats),
            *terminal_routes.routes(parts.terminals, seats),
            *game_routes.routes(parts.games),
            *port_routes.routes(PortService(config.bind_address, parts.bridges.cut)),
            *metrics_routes.routes(parts.metrics),
            *file_routes.routes(parts.files.roots, parts.files.threads),
            *file_routes.change_routes(parts.files.roots),
            *operation_routes.routes(parts.files.roots, parts.files.work, parts.files.operations),
            *archive_routes.routes(parts.files.roots, parts.files.archives, parts.files.threads),
            *put_routes.routes(parts.files.puts),
            *upload_routes.routes(parts.files.uploads),
            *gameplay_routes.routes(parts.gameplay),
            *mod_routes.routes(parts.mods),
            *update_routes.routes(parts.update),
            *stream_routes.routes(EventStream(parts.status, parts.journal, parts.metrics)),
        ]
    )


async def serve(config: AgentConfig, *, stop: asyncio.Event) -> None:
    """Run the agent until `stop`. Its going ends no terminal: their shims stay, and the next start finds them."""
    hold_little()
    async with open_parts(config) as parts:
        runner = web.AppRunner(
            make_application(config, parts),
            access_log=None,
            shutdown_timeout=1,
            handler_cancellation=True,
            # Up to twice as much of a body waits until it is known what becomes of it; who reads it asks for more.
            read_bufsize=WAITING_BYTES,
            # The API takes lines of 8 KiB, and writes what it hands on in up to three times as many bytes.
            max_line_size=MAX_LINE_BYTES,
        )
        await runner.setup()
        parts.identity.on_believing_less = partial(_end_opened, runner)
        parts.update.leave = stop.set
        try:
            await _listen(runner, config, parts.identity)
            log.info("agent.started", version=__version__, vmid=config.vmid, owner=config.owner, port=config.port)
            notify("READY=1")
            await _run_until(stop, parts)
        finally:
            notify("STOPPING=1")
            parts.identity.close()
            parts.status.close()
            await parts.processes.detach()
            parts.terminals.detach()
            parts.setup.detach()
            await runner.cleanup()
            await parts.journal.note(Occurrence("agent.stopped", None, "The agent was stopped.", {}))
            log.info("agent.stopped")


async def _listen(runner: web.AppRunner, config: AgentConfig, identity: IdentityService) -> None:
    try:
        context = await identity.open_context()
    except (OSError, ValueError) as exc:
        # The files were there when the configuration was read; what is in them shows now. An SSLError is an OSError.
        raise ConfigInvalid(source="tls", problems=[f"certificate, private_key and client_ca: {exc}"]) from exc
    site = web.TCPSite(runner, config.bind_address, config.port, ssl_context=context)
    try:
        await site.start()
    except OSError as exc:
        raise AgentPortInUse(address=config.bind_address, port=config.port, reason=str(exc)) from exc


def _end_opened(runner: web.AppRunner, contexts: Collection[ssl.SSLContext]) -> None:
    """Close every connection that has met one of these contexts: a CA that was believed then is so no more."""
    for connection in runner.server.connections if runner.server is not None else ():
        transport = connection.transport
        met = transport.get_extra_info("ssl_object") if transport is not None else None
        if transport is not None and met is not None and met.context in contexts:
            transport.close()


async def _run_until(stop: asyncio.Event, parts: Parts) -> None:
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(parts.spec.run()), group.create_task(feed_watchdog())]
        loops += map(group.create_task, [parts.terminals.expire_for_ever(), parts.journal.run(), parts.metrics.run()])
        loops += map(group.create_task, [parts.runtimes.check_for_ever(), parts.ports.run(), parts.setup.run()])
        loops += map(group.create_task, [parts.shells.run(), parts.bridges.run(), parts.files.uploads.run()])
        loops += map(group.create_task, [parts.files.operations.run(), parts.mods.run()])
        loops += map(group.create_task, [parts.games.run(), parts.gameplay.run(), parts.update.run()])
        loops += [group.create_task(kept.forget_old_for_ever()) for kept in (parts.terminals, parts.processes)]
        await stop.wait()
        for loop in loops:
            loop.cancel()
