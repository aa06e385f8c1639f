"""The composition root of the agent: makes the parts and joins them, and decides nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import structlog
from aiohttp import web

from zlh_agent import __version__
from zlh_agent.config import AgentConfig
from zlh_agent.console.seats import Seats
from zlh_agent.identity import routes as identity_routes
from zlh_agent.identity.service import IdentityService
from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.service import JournalService
from zlh_agent.journal.store import JournalStore
from zlh_agent.metrics import routes as metrics_routes
from zlh_agent.metrics.model import Key
from zlh_agent.metrics.reader import Place
from zlh_agent.metrics.service import MetricsService
from zlh_agent.notify import feed_watchdog, notify
from zlh_agent.ports import routes as port_routes
from zlh_agent.ports.bridges import PortBridges
from zlh_agent.ports.service import PortService
from zlh_agent.ports.watch import PortWatch
from zlh_agent.runtimes import routes as runtime_routes
from zlh_agent.runtimes.service import InstallSource, RuntimeService
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import choose_starter
from zlh_agent.spec import routes as spec_routes
from zlh_agent.spec.service import SpecService
from zlh_agent.spec.store import SpecStore
from zlh_agent.status import routes as status_routes
from zlh_agent.status.service import StatusService
from zlh_agent.stream import routes as stream_routes
from zlh_agent.stream.routes import EventStream
from zlh_agent.supervision import routes as process_routes
from zlh_agent.supervision.process import ProcessPlace
from zlh_agent.supervision.service import ProcessService
from zlh_agent.supervision.store import ensure_boot_mark
from zlh_agent.terminals import routes as terminal_routes
from zlh_agent.terminals.service import TerminalLimits, TerminalService
from zlh_agent.web.server import build_application
from zlh_agent.workspace.service import WorkspaceService
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import ConfigInvalid, ZlhError
from zlh_common.schema.spec import AgentSpec

log = structlog.get_logger()


class AgentPortInUse(ZlhError):
    """Another program listens where the agent should."""

    code, status = "agent_port_in_use", 500

    def __init__(self, *, address: str, port: int, reason: str) -> None:
        super().__init__(f"The agent cannot listen on {address} port {port}: {reason}.", address=address, port=port)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent consists of."""

    spec: SpecService
    runtimes: RuntimeService
    status: StatusService
    journal: JournalService
    metrics: MetricsService
    processes: ProcessService
    terminals: TerminalService
    ports: PortWatch
    bridges: PortBridges
    identity: IdentityService


@asynccontextmanager
async def open_parts(config: AgentConfig) -> AsyncIterator[Parts]:
    """Make every part, and take up what was there before this start."""
    clock = SystemClock()
    boot_id = (await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)).strip()
    status = StatusService(clock, owner=config.owner, boot_id=boot_id)
    journal = JournalService(JournalStore(config.paths.state / "journal/happenings.jsonl"), clock)
    metrics = MetricsService(Place(config.shims == "unit", config.paths.workspace), clock)
    await journal.open()
    source = InstallSource(config.artifacts_urls, config.trust.root, config.channels, config.install_user)
    runtimes = RuntimeService(config.paths, source, clock)
    workspace = _make_workspace(config, runtimes)
    history_s = config.history_days * 86_400.0
    terminals = TerminalService(
        _shims(config, "terminal"),
        launch=workspace.launch_shell,
        limits=TerminalLimits(history_s=history_s),
        on_change=lambda: _note_use(status, spec),
    )
    place = ProcessPlace(
        host=_shims(config, "process"),
        launch=workspace.launch_program,
        clock=clock,
        boot_mark=await asyncio.to_thread(ensure_boot_mark, config.paths.sockets),
        address=config.bind_address,
        on_change=lambda: _note_use(status, spec),
        record=journal.record,
        history_s=history_s,
    )
    processes = ProcessService(place)
    spec = SpecService(SpecStore(config.paths.state), runtimes, processes, clock, on_change=status.note_change)
    status.spec, status.runtimes = spec.view, runtimes.report
    status.processes, status.terminals = processes.statuses, terminals.rows
    ports, bridges = _make_ports(config, clock, status)
    spec.on_spec = lambda held: _note_ports(held, ports, bridges)
    metrics.targets = lambda: [*processes.targets(), *terminals.targets()]
    ports.roots = lambda: [target.shim_pid for target in metrics.targets()]
    metrics.names = lambda: _metric_names(processes, terminals)
    runtimes.on_changed, runtimes.note, runtimes.targets = workspace.refresh, journal.note, metrics.targets
    runtimes.on_checked = status.note_change
    await journal.note(Occurrence("agent.started", None, "The agent was started.", {"version": __version__}))
    await runtimes.load()
    # Beside the rest: it is the work of a child, and nothing here waits for what it writes.
    refreshing = asyncio.create_task(workspace.refresh())
    try:
        await spec.load()
        await terminals.recover()
    finally:
        await refreshing
    identity = IdentityService(config)
    parts = Parts(spec, runtimes, status, journal, metrics, processes, terminals, ports, bridges, identity)
    try:
        yield parts
    finally:
        await ports.close()
        await bridges.close()
        await processes.detach()
        terminals.detach()
        await runtimes.close()
        await metrics.close()
        await journal.close()


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
            *port_routes.routes(PortService(config.bind_address, parts.bridges.cut)),
            *metrics_routes.routes(parts.metrics),
            *stream_routes.routes(EventStream(parts.status, parts.journal, parts.metrics)),
        ]
    )


def _make_workspace(config: AgentConfig, runtimes: RuntimeService) -> WorkspaceService:
    return WorkspaceService(
        config.paths,
        user=config.terminal_user,
        variables=config.terminal_environment,
        runtime_paths=runtimes.path_entries,
        runtime_variables=runtimes.variables,
    )


def _make_ports(config: AgentConfig, clock: Clock, status: StatusService) -> tuple[PortWatch, PortBridges]:
    ports = PortWatch(clock, bind_address=config.bind_address, own_port=config.port)
    bridges = PortBridges(config.bind_address, config.terminal_user)
    status.ports, ports.on_change = ports.ports, status.note_change
    ports.on_look, ports.bridged, ports.own_sockets = bridges.note_listening, bridges.bridged, bridges.sockets
    bridges.on_change = status.note_change
    return ports, bridges


def _note_ports(spec: AgentSpec, ports: PortWatch, bridges: PortBridges) -> None:
    bridges.want(spec.published)
    ports.hide(addon.name for addon in spec.addons)


def _note_use(status: StatusService, spec: SpecService) -> None:
    status.note_change()
    spec.look_again()


def _metric_names(processes: ProcessService, terminals: TerminalService) -> list[Key]:
    return [*(("process", name) for name in processes.names()), *(("terminal", name) for name in terminals.names())]


def _shims(config: AgentConfig, kind: Literal["terminal", "process"]) -> ShimHost:
    folder = {"terminal": "terminals", "process": "processes"}[kind]
    starter = choose_starter(config.shims, kind)
    return ShimHost(config.paths.state / folder, config.paths.sockets / folder, starter)


async def serve(config: AgentConfig, *, stop: asyncio.Event) -> None:
    """Run the agent until `stop`. Its going ends no terminal: their shims stay, and the next start finds them."""
    async with open_parts(config) as parts:
        runner = web.AppRunner(
            make_application(config, parts), access_log=None, shutdown_timeout=1, handler_cancellation=True
        )
        await runner.setup()
        parts.identity.on_believing_less = partial(_end_opened, runner)
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
        loops += map(group.create_task, [parts.runtimes.check_for_ever(), parts.ports.run()])
        loops.append(group.create_task(parts.bridges.run()))
        loops += [group.create_task(kept.forget_old_for_ever()) for kept in (parts.terminals, parts.processes)]
        await stop.wait()
        for loop in loops:
            loop.cancel()
