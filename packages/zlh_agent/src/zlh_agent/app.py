"""The composition root of the agent: makes the parts and joins them, and decides nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import structlog
from aiohttp import web

from zlh_agent import __version__
from zlh_agent.addons.service import AddonService
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
from zlh_agent.ports.service import PortService
from zlh_agent.ports.watch import PortWatch
from zlh_agent.runtimes import routes as runtime_routes
from zlh_agent.runtimes.service import InstallSource, RuntimeService
from zlh_agent.shells.look import ShellLook
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.service import ShellService, ShellTools
from zlh_agent.shells.systemd import Manager, reload_managers
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import choose_starter
from zlh_agent.shim.ring import DEFAULT_CAPACITY_BYTES
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
from zlh_agent.workspace.cloned import ClonedRepository
from zlh_agent.workspace.records import WorkspaceRecords
from zlh_agent.workspace.service import WorkspaceService
from zlh_agent.workspace.setup import SetupPlace, SetupService
from zlh_agent.workspace.start_script import RING_BYTES, StartScript
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import ConfigInvalid, ZlhError

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
    shells: ShellService
    identity: IdentityService
    addons: AddonService
    setup: SetupService


@asynccontextmanager
async def open_parts(config: AgentConfig) -> AsyncIterator[Parts]:
    """Make every part, and take up what was there before this start."""
    clock = SystemClock()
    boot_id = (await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)).strip()
    status = StatusService(clock, owner=config.owner, boot_id=boot_id)
    journal = JournalService(JournalStore(config.paths.state / "journal/happenings.jsonl"), clock)
    metrics = MetricsService(Place(config.shims == "unit", config.paths.workspace), clock)
    await journal.open()
    runtimes = _make_runtimes(config, clock)
    workspace = _make_workspace(config, runtimes)
    addons = AddonService(config.paths, runtimes, clock, address=config.bind_address)
    terminals = TerminalService(
        _shims(config, "terminal"),
        launch=workspace.launch_shell,
        limits=TerminalLimits(history_s=_history_s(config)),
        on_change=lambda: _note_use(status, spec, addons, setup),
    )
    shells = _make_shells(config, runtimes, terminals, workspace, journal, status)
    processes = await _make_processes(
        config,
        clock,
        journal,
        launch=lambda wanted: addons.launch(wanted, workspace.launch_program),
        on_change=lambda: _note_use(status, spec, addons, setup),
    )
    spec = SpecService(
        SpecStore(config.paths.state), runtimes, processes, clock, on_change=lambda: _note_spec(status, setup)
    )
    setup = await _make_setup(config, workspace, spec, status)
    addons.supervised, addons.steps_of, spec.take_addons = processes, spec.steps_of, addons.take
    spec.on_spec, workspace.is_cloning, status.workspace_steps = setup.want, setup.is_cloning, setup.steps
    status.spec, status.runtimes, status.addons = spec.view, runtimes.report, addons.report
    status.processes, status.terminals = addons.customers_own, terminals.rows
    metrics.targets = lambda: [*processes.targets(), *terminals.targets()]
    metrics.names = lambda: _metric_names(processes, terminals)
    ports = _make_ports(
        config,
        clock,
        status,
        lambda: [*(target.shim_pid for target in metrics.targets()), *setup.shim_pids()],
    )
    runtimes.on_changed = lambda: _take_up(shells, workspace, spec)
    runtimes.note, runtimes.targets, runtimes.on_checked = journal.note, metrics.targets, status.note_change
    await journal.note(Occurrence("agent.started", None, "The agent was started.", {"version": __version__}))
    await runtimes.load()
    # Programs that are started find what shells do.
    await shells.refresh()
    identity = IdentityService(config)
    parts = Parts(
        spec, runtimes, status, journal, metrics, processes, terminals, ports, shells, identity, addons, setup
    )
    await _recover(parts, workspace)
    try:
        yield parts
    finally:
        await ports.close()
        await addons.close()
        await processes.detach()
        terminals.detach()
        setup.detach()
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
            *port_routes.routes(PortService(config.bind_address)),
            *metrics_routes.routes(parts.metrics),
            *stream_routes.routes(EventStream(parts.status, parts.journal, parts.metrics)),
        ]
    )


def _make_runtimes(config: AgentConfig, clock: Clock) -> RuntimeService:
    source = InstallSource(config.artifacts_urls, config.trust.root, config.channels, config.install_user)
    return RuntimeService(config.paths, source, clock)


def _make_workspace(config: AgentConfig, runtimes: RuntimeService) -> WorkspaceService:
    return WorkspaceService(
        config.paths,
        user=config.terminal_user,
        variables=config.terminal_environment,
        runtime_paths=runtimes.path_entries,
        runtime_variables=runtimes.variables,
    )


def _make_ports(
    config: AgentConfig, clock: Clock, status: StatusService, roots: Callable[[], Sequence[int]]
) -> PortWatch:
    ports = PortWatch(clock, bind_address=config.bind_address, own_port=config.port)
    status.ports, ports.on_change, ports.roots = ports.ports, status.note_change, roots
    return ports


def _make_shells(
    config: AgentConfig,
    runtimes: RuntimeService,
    terminals: TerminalService,
    workspace: WorkspaceService,
    journal: JournalService,
    status: StatusService,
) -> ShellService:
    # Where terminals are the agent's own user's, the agent is no root, and /etc none of its business.
    is_real = config.terminal_user is not None and config.shims == "unit"
    places = SystemPlaces(config.root) if is_real else None
    manager = Manager(config.paths.state, reload=reload_managers)
    look = ShellLook(workspace).check
    tools = ShellTools(runtimes.in_use, journal.note, terminals.announce, look, status.note_change)
    shells = ShellService(
        places, runtimes=config.paths.runtimes, manager=manager, tools=tools, clock=SystemClock()
    )
    status.shells, workspace.system_variables = shells.report, shells.system_variables
    return shells


async def _make_processes(
    config: AgentConfig,
    clock: Clock,
    journal: JournalService,
    *,
    launch: Callable[[WantedProcess], Launch],
    on_change: Callable[[], None],
) -> ProcessService:
    place = ProcessPlace(
        host=_shims(config, "process"),
        launch=launch,
        clock=clock,
        boot_mark=await asyncio.to_thread(ensure_boot_mark, config.paths.sockets),
        address=config.bind_address,
        on_change=on_change,
        record=journal.record,
        history_s=_history_s(config),
    )
    return ProcessService(place)


def _history_s(config: AgentConfig) -> float:
    return config.history_days * 86_400.0


async def _make_setup(
    config: AgentConfig, workspace: WorkspaceService, spec: SpecService, status: StatusService
) -> SetupService:
    clock, state = SystemClock(), config.paths.state
    records = WorkspaceRecords(state / "workspace")
    place = SetupPlace(config.paths.workspace, state / "workspace", workspace.customer, workspace.refresh)
    cloned = ClonedRepository(
        records,
        clock,
        workspace=config.paths.workspace,
        limit_s=config.clone_limit_s,
        on_change=status.note_change,
    )
    script = StartScript(
        _shims(config, "script", ring_bytes=RING_BYTES),
        records,
        state / "start-script",
        clock,
        launch=workspace.launch_script,
        boot_mark=await asyncio.to_thread(ensure_boot_mark, config.paths.sockets),
        limit_s=config.start_script_limit_s,
        on_change=status.note_change,
    )
    return SetupService(place, cloned, script, clock, has_runtimes=spec.has_installed, on_change=status.note_change)


async def _recover(parts: Parts, workspace: WorkspaceService) -> None:
    """Take up what runs, and bring the home folder up to date beside it: nothing waits for what that child writes."""
    refreshing = asyncio.create_task(workspace.refresh())
    try:
        await parts.setup.load()
        await parts.spec.load()
        await parts.terminals.recover()
    finally:
        await refreshing


def _note_spec(status: StatusService, setup: SetupService) -> None:
    status.note_change()
    setup.note_runtimes()


def _note_use(status: StatusService, spec: SpecService, addons: AddonService, setup: SetupService) -> None:
    status.note_change()
    spec.look_again()
    addons.renew()
    setup.look_again()


async def _take_up(shells: ShellService, workspace: WorkspaceService, spec: SpecService) -> None:
    await shells.refresh()
    await workspace.refresh()
    await spec.apply_processes()


def _metric_names(processes: ProcessService, terminals: TerminalService) -> list[Key]:
    return [*(("process", name) for name in processes.names()), *(("terminal", name) for name in terminals.names())]


def _shims(
    config: AgentConfig, kind: Literal["terminal", "process", "script"], *, ring_bytes: int = DEFAULT_CAPACITY_BYTES
) -> ShimHost:
    folder = {"terminal": "terminals", "process": "processes", "script": "scripts"}[kind]
    starter = choose_starter(config.shims, kind)
    return ShimHost(
        config.paths.state / folder,
        config.paths.sockets / folder,
        starter,
        ring_bytes=ring_bytes,
        # Where the disk is the container's own.
        has_spare=kind == "terminal" and config.shims == "unit",
    )


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
        loops.append(group.create_task(parts.shells.run()))
        loops += [group.create_task(kept.forget_old_for_ever()) for kept in (parts.terminals, parts.processes)]
        await stop.wait()
        for loop in loops:
            loop.cancel()
