"""The composition of the agent: makes the parts and joins them, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from zlh_agent import __version__
from zlh_agent.addons.service import AddonService
from zlh_agent.app.files import FileParts, lead_with_server, make_files, user_ids
from zlh_agent.app.mods import join_mods, make_mods
from zlh_agent.app.update import join_update, make_update
from zlh_agent.config import AgentConfig
from zlh_agent.gameplay.presence_store import PresenceStore
from zlh_agent.gameplay.service import GameplayPlace, GameplayService
from zlh_agent.games.service import GameService
from zlh_agent.games.store import GameStore
from zlh_agent.games.works import GamePlace, GameWorks
from zlh_agent.identity.service import IdentityService
from zlh_agent.journal.model import Occurrence
from zlh_agent.journal.service import JournalService
from zlh_agent.journal.store import JournalStore
from zlh_agent.metrics.model import Key
from zlh_agent.metrics.reader import Place
from zlh_agent.metrics.service import MetricsService
from zlh_agent.mods.service import ModService
from zlh_agent.ports.bridges import PortBridges
from zlh_agent.ports.watch import PortWatch
from zlh_agent.runtimes.service import InstallSource, RuntimeService
from zlh_agent.shells.look import ShellLook
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.service import ShellService, ShellTools
from zlh_agent.shells.systemd import Manager, reload_managers
from zlh_agent.shim.host import ShimHost
from zlh_agent.shim.launch import choose_starter
from zlh_agent.shim.model import Launch
from zlh_agent.shim.ring import DEFAULT_CAPACITY_BYTES
from zlh_agent.spec.service import SpecService
from zlh_agent.spec.store import SpecStore
from zlh_agent.status.service import StatusService
from zlh_agent.supervision.process import ProcessPlace
from zlh_agent.supervision.service import ProcessService
from zlh_agent.supervision.store import ensure_boot_mark
from zlh_agent.terminals.service import TerminalLimits, TerminalService
from zlh_agent.update.service import UpdateService
from zlh_agent.workspace.cloned import ClonedRepository
from zlh_agent.workspace.records import WorkspaceRecords
from zlh_agent.workspace.service import WorkspaceService
from zlh_agent.workspace.setup import SetupPlace, SetupService
from zlh_agent.workspace.start_script import RING_BYTES, StartScript
from zlh_common.clock import Clock, SystemClock
from zlh_common.schema.game import SERVER, GameReport
from zlh_common.schema.process import ProcessReason, WantedProcess
from zlh_common.schema.spec import AgentSpec


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
    bridges: PortBridges
    identity: IdentityService
    addons: AddonService
    workspace: WorkspaceService
    setup: SetupService
    files: FileParts
    games: GameService
    gameplay: GameplayService
    mods: ModService
    update: UpdateService


@asynccontextmanager
async def open_parts(config: AgentConfig) -> AsyncIterator[Parts]:
    """Make every part, and take up what was there before this start."""
    parts = await _make_parts(config)
    _join_reports(parts)
    _join_update(parts, config)
    await parts.journal.note(Occurrence("agent.started", None, "The agent was started.", {"version": __version__}))
    await parts.runtimes.load()
    # Programs that are started find what shells do.
    await parts.shells.refresh()
    await _recover(parts)
    try:
        yield parts
    finally:
        await parts.mods.close()
        await parts.files.close()
        await parts.ports.close()
        await parts.bridges.close()
        await parts.addons.close()
        await parts.processes.detach()
        parts.terminals.detach()
        parts.setup.detach()
        await parts.runtimes.close()
        await parts.metrics.close()
        await parts.journal.close()


async def _make_parts(config: AgentConfig) -> Parts:
    clock = SystemClock()
    boot_id = (await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)).strip()
    status = StatusService(clock, owner=config.owner, boot_id=boot_id)
    journal = JournalService(JournalStore(config.paths.state / "journal/happenings.jsonl"), clock)
    metrics = MetricsService(Place(config.shims == "unit", config.paths.workspace), clock)
    await journal.open()
    runtimes = _make_runtimes(config, clock)
    workspace = _make_workspace(config, runtimes)
    addons = AddonService(config.paths, runtimes, clock, address=config.bind_address)
    terminals = _make_terminals(config, workspace, lambda: _note_use(status, spec, addons, setup))
    look = ShellLook(workspace).check
    tools = ShellTools(runtimes.in_use, journal.note, terminals.announce, look, status.note_change)
    shells = _make_shells(config, tools, clock)
    processes = await _make_processes(
        config,
        clock,
        journal,
        launch=lambda wanted: games.launch(wanted, lambda one: addons.launch(one, workspace.launch_program)),
        prepare=lambda wanted: games.prepare(wanted),  # noqa: PLW0108 - it is not there yet
        on_change=lambda: _note_process(lambda: _note_use(status, spec, addons, setup), games, gameplay),
        on_output=lambda name: gameplay.note() if name == SERVER else None,
        hold=lambda name: mods.find_hold() if name == SERVER else None,
    )
    spec = SpecService(
        SpecStore(config.paths.state), runtimes, processes, clock, on_change=lambda: _note_spec(status, setup, games)
    )
    games = _make_games(config, clock, workspace, spec, status)
    setup = await _make_setup(config, workspace, spec, status)
    gameplay = _make_gameplay(config, clock, processes, games, status)
    _join_spec(spec, processes, addons, games)
    files = await make_files(config, clock, workspace)
    spec.on_spec = lambda one: _take_spec(one, setup, ports, bridges, lambda: _take_game(one, games, gameplay, files))
    mods = await make_mods(config.paths.state, files, clock, find_game=spec.wanted_game, processes=processes)
    join_mods(mods, games, processes, journal, status)
    metrics.targets = lambda: [*processes.targets(), *terminals.targets()]
    ports, bridges = _make_ports(
        config, clock, status, lambda: [*(target.shim_pid for target in metrics.targets()), *setup.shim_pids()]
    )
    return Parts(
        spec=spec,
        runtimes=runtimes,
        status=status,
        journal=journal,
        metrics=metrics,
        processes=processes,
        terminals=terminals,
        ports=ports,
        shells=shells,
        bridges=bridges,
        identity=IdentityService(config),
        addons=addons,
        workspace=workspace,
        setup=setup,
        files=files,
        games=games,
        gameplay=gameplay,
        mods=mods,
        update=await make_update(config, clock, boot_id=boot_id),
    )


def _join_spec(spec: SpecService, processes: ProcessService, addons: AddonService, games: GameService) -> None:
    addons.supervised, addons.steps_of = processes, spec.steps_of
    games.supervised, games.apply = processes, spec.apply_processes
    spec.take_addons = lambda held: (*addons.take(held), *games.take(held))


def _join_reports(parts: Parts) -> None:
    """Have the status and the metrics tell of every part, and parts know what others know."""
    status, metrics = parts.status, parts.metrics
    status.spec, status.runtimes, status.shells = parts.spec.view, parts.runtimes.report, parts.shells.report
    status.addons = parts.addons.report
    status.processes = lambda: parts.games.tell_processes(parts.addons.customers_own())
    status.game, status.game_steps = parts.games.report, parts.games.steps
    parts.games.extend = lambda report: _tell_play(report, parts.gameplay)
    parts.games.note_with(parts.journal.note)
    status.terminals, status.workspace_steps = parts.terminals.rows, parts.setup.steps
    metrics.names = lambda: _metric_names(parts.processes, parts.terminals)
    runtimes, workspace = parts.runtimes, parts.workspace
    workspace.system_variables, workspace.is_cloning = parts.shells.system_variables, parts.setup.is_cloning
    runtimes.on_changed = lambda: _take_up(parts.shells, workspace, parts.spec)
    runtimes.note, runtimes.targets, runtimes.on_checked = parts.journal.note, metrics.targets, status.note_change


def _join_update(parts: Parts, config: AgentConfig) -> None:
    join_update(
        parts.update,
        config,
        identity=parts.identity,
        journal=parts.journal,
        status=parts.status,
        shims=lambda: [*parts.processes.shims(), *parts.terminals.shims(), *parts.setup.shims()],
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
) -> tuple[PortWatch, PortBridges]:
    ports = PortWatch(clock, bind_address=config.bind_address, own_port=config.port)
    bridges = PortBridges(config.bind_address, config.terminal_user)
    status.ports, ports.on_change, ports.roots = ports.ports, status.note_change, roots
    ports.on_look, ports.bridged, ports.own_sockets = bridges.note_listening, bridges.bridged, bridges.sockets
    bridges.on_change = status.note_change
    return ports, bridges


def _make_gameplay(
    config: AgentConfig, clock: Clock, processes: ProcessService, games: GameService, status: StatusService
) -> GameplayService:
    place = GameplayPlace(
        processes=processes,
        store=PresenceStore(config.paths.state / "gameplay"),
        clock=clock,
        address=config.bind_address,
        secret=games.secret,
        on_change=status.note_change,
    )
    return GameplayService(place)


def _tell_play(report: GameReport, gameplay: GameplayService) -> GameReport:
    hint = gameplay.hint
    report = msgspec.structs.replace(report, players=gameplay.seen())
    return report if hint is None else msgspec.structs.replace(report, hint_code=hint.code, hint=hint.message)


def _take_spec(
    spec: AgentSpec, setup: SetupService, ports: PortWatch, bridges: PortBridges, take_game: Callable[[], None]
) -> None:
    setup.want(spec)
    take_game()
    bridges.want(spec.published)
    ports.hide(addon.name for addon in spec.addons)


def _take_game(spec: AgentSpec, games: GameService, gameplay: GameplayService, files: FileParts) -> None:
    games.want(spec)
    gameplay.want(spec.game)
    lead_with_server(files.roots, games, spec)


def _make_shells(config: AgentConfig, tools: ShellTools, clock: Clock) -> ShellService:
    # Where terminals are the agent's own user's, the agent is no root, and /etc none of its business.
    is_real = config.terminal_user is not None and config.shims == "unit"
    places = SystemPlaces(config.root) if is_real else None
    manager = Manager(config.paths.state, reload=reload_managers)
    return ShellService(places, runtimes=config.paths.runtimes, manager=manager, tools=tools, clock=clock)


def _make_terminals(config: AgentConfig, workspace: WorkspaceService, on_change: Callable[[], None]) -> TerminalService:
    return TerminalService(
        _shims(config, "terminal"),
        launch=workspace.launch_shell,
        limits=TerminalLimits(history_s=_history_s(config)),
        on_change=on_change,
    )


async def _make_processes(
    config: AgentConfig,
    clock: Clock,
    journal: JournalService,
    *,
    launch: Callable[[WantedProcess], Launch],
    prepare: Callable[[WantedProcess], Awaitable[ProcessReason | None]],
    on_change: Callable[[], None],
    on_output: Callable[[str], None],
    hold: Callable[[str], ProcessReason | None],
) -> ProcessService:
    place = ProcessPlace(
        host=_shims(config, "process"),
        launch=launch,
        prepare=prepare,
        clock=clock,
        boot_mark=await asyncio.to_thread(ensure_boot_mark, config.paths.sockets),
        address=config.bind_address,
        on_change=on_change,
        record=journal.record,
        on_output=on_output,
        hold=hold,
        history_s=_history_s(config),
    )
    return ProcessService(place)


def _make_games(
    config: AgentConfig, clock: Clock, workspace: WorkspaceService, spec: SpecService, status: StatusService
) -> GameService:
    place = GamePlace(
        config.paths.server,
        config.paths.runtimes,
        config.artifacts_urls,
        config.private_origins,
        user=lambda: user_ids(workspace.customer()),
    )
    works = GameWorks(place, GameStore(config.paths.state / "game"), clock)
    games = GameService(works, clock, folder=config.paths.server, on_change=status.note_change)
    games.has_runtimes, games.program = spec.has_runtimes, workspace.launch_program
    return games


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
    return SetupService(place, cloned, script, clock, has_runtimes=spec.has_runtimes, on_change=status.note_change)


async def _recover(parts: Parts) -> None:
    """Take up what runs, and bring the home folder up to date beside it: nothing waits for what that child writes."""
    refreshing = asyncio.create_task(parts.workspace.refresh())
    try:
        await parts.setup.load()
        await parts.games.load()
        await parts.spec.load()
        await parts.terminals.recover()
    finally:
        await refreshing


def _note_spec(status: StatusService, setup: SetupService, games: GameService) -> None:
    status.note_change()
    setup.note_runtimes()
    games.look_again()


def _note_process(note_use: Callable[[], None], games: GameService, gameplay: GameplayService) -> None:
    note_use()
    games.look_again()
    gameplay.note()


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
