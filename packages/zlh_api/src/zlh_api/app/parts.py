"""The parts of an API process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from zlh_api.access import routes as access_routes
from zlh_api.addons import routes as addon_routes
from zlh_api.addons.service import AddonService
from zlh_api.agents import routes as agent_routes
from zlh_api.agents.addon_door import HttpAddonDoor
from zlh_api.agents.links import AgentLinks
from zlh_api.agents.superseded import SupersededSockets
from zlh_api.app.accounts import account_endpoints
from zlh_api.app.agents import Agents, open_agents
from zlh_api.app.checks import make_checks
from zlh_api.app.dns import open_dns
from zlh_api.app.driver import open_driver
from zlh_api.app.edge import open_directory, open_traefik
from zlh_api.app.mods import find_mod_target, open_mods
from zlh_api.app.monitoring import make_monitor
from zlh_api.app.settings import open_settings, proxy_setting, rate_settings, state_limits
from zlh_api.app.upkeep import Upkeep, make_upkeep
from zlh_api.app.wishes import Wishes, make_wishes
from zlh_api.artifacts.promotion import Promotion
from zlh_api.artifacts.serving import routes as artifact_routes
from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.audit import routes as audit_routes
from zlh_api.audit_log import routes as audit_log_routes
from zlh_api.audit_log.service import AuditLog
from zlh_api.catalog import decision_routes
from zlh_api.catalog import routes as catalog_routes
from zlh_api.catalog.service import CatalogService, CatalogSource
from zlh_api.circuit import Circuits
from zlh_api.config.model import ApiConfig
from zlh_api.console.service import ConsoleService
from zlh_api.console.sockets import ConsoleProxy
from zlh_api.containers import routes as container_routes
from zlh_api.containers.model import Container
from zlh_api.customers.standings import StandingsService
from zlh_api.cuts.service import ConnectionCuts
from zlh_api.database.pool import Database
from zlh_api.drivers.port import ContainerDriver
from zlh_api.due import DueWork
from zlh_api.edge import routes as edge_routes
from zlh_api.edge.directory_watch import DirectoryWatch
from zlh_api.edge.platform_routes import PlatformRoutes, render_platform_files
from zlh_api.edge.relieving_proxy import RelievingProxy
from zlh_api.edge.traefik import Traefik
from zlh_api.exposures import routes as exposure_routes
from zlh_api.files import byte_routes, upload_routes
from zlh_api.files import routes as file_routes
from zlh_api.files.service import FileService
from zlh_api.games import routes as game_routes
from zlh_api.games.service import GameService
from zlh_api.history import routes as history_routes
from zlh_api.mods import routes as mod_routes
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import Modrinth
from zlh_api.mods.service import ModService
from zlh_api.monitoring import routes as monitoring_routes
from zlh_api.monitoring.service import Sources
from zlh_api.nodes import routes as node_routes
from zlh_api.nodes.service import NodesService
from zlh_api.processes import routes as process_routes
from zlh_api.proof import routes as proof_routes
from zlh_api.quotas import routes as quota_routes
from zlh_api.reconcile import routes as reconcile_routes
from zlh_api.reconcile.attempts import AttemptsService
from zlh_api.reconcile.steps import Ports
from zlh_api.rollouts import routes as rollout_routes
from zlh_api.rollouts.service import RolloutService
from zlh_api.rollouts.worker import RolloutWorker
from zlh_api.runtimes import routes as runtime_routes
from zlh_api.runtimes.service import RuntimeService
from zlh_api.suspensions import routes as suspension_routes
from zlh_api.suspensions.service import SuspensionService
from zlh_api.web import platform_routes, portal
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.gate import Gate
from zlh_api.web.open_calls import OpenCalls
from zlh_api.web.rate_limits import RateLimits
from zlh_api.web.request_figures import RequestFigures
from zlh_api.web.server import CallLimits
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Parts:
    """What an API process consists of."""

    database: Database
    driver: ContainerDriver
    agents: Agents
    wishes: Wishes
    upkeep: Upkeep
    attempts: AttemptsService
    nodes: NodesService
    superseded: SupersededSockets
    consoles: ConsoleProxy
    standings: StandingsService
    suspensions: SuspensionService
    catalog: CatalogService
    artifacts: ServedTree
    cuts: ConnectionCuts
    rollouts: RolloutWorker
    links: AgentLinks
    audit_log: AuditLog
    proxy: Traefik
    platform_routes: PlatformRoutes
    directory_watch: DirectoryWatch
    cookie: SessionCookie
    clock: Clock
    circuits: Circuits
    open_calls: OpenCalls
    request_figures: RequestFigures = field(default_factory=RequestFigures)
    # None where nobody is asked for mods.
    modrinth: Modrinth | None = None
    find_mod_target: Callable[[Container], Target | None] = find_mod_target


@asynccontextmanager
async def open_parts(config: ApiConfig, *, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Make every part, and close them in the reverse order."""
    clock = clock or SystemClock()
    circuits = Circuits(clock)
    async with AsyncExitStack() as stack:
        database = Database(config.database.dsn, max_connections=config.database.max_connections)
        stack.push_async_callback(database.close)
        # One connection for what stays open, which no crowd of requests takes away.
        apart = Database(config.database.dsn, max_connections=1)
        stack.push_async_callback(apart.close)
        agents = await stack.enter_async_context(open_agents(config, database, clock))
        traefik = await stack.enter_async_context(open_traefik(config))
        driver = await stack.enter_async_context(open_driver(config, circuits))
        catalog = _make_catalog(config, clock)
        stack.push_async_callback(catalog.close)
        dns = await stack.enter_async_context(open_dns(config, circuits, clock))
        directory = await stack.enter_async_context(open_directory(config, circuits))
        modrinth = await stack.enter_async_context(open_mods(config, circuits, clock))
        consoles = await stack.enter_async_context(ConsoleService(agents.client))
        wishes = make_wishes(config, database, catalog, driver, clock)
        ports = Ports(
            database=database,
            driver=driver,
            authority=agents.authority,
            agents=agents.client,
            routes=directory,
            proxy=RelievingProxy(traefik, directory),
            clock=clock,
            addons=HttpAddonDoor(),
            dns=dns,
        )
        upkeep = make_upkeep(config, ports, traefik)
        circuits.on_closed = upkeep.reconciler.note_back
        yield Parts(
            database=database,
            driver=driver,
            agents=agents,
            wishes=wishes,
            upkeep=upkeep,
            attempts=AttemptsService(database, clock),
            nodes=NodesService(database, driver, state_limits(config, driver), clock),
            superseded=SupersededSockets(agents.client),
            consoles=ConsoleProxy(consoles),
            standings=StandingsService(apart, wishes.accounts.last_use),
            suspensions=SuspensionService(database),
            catalog=catalog,
            artifacts=ServedTree(config.artifacts.folder, config.artifacts.keys, clock),
            cuts=ConnectionCuts(database, agents.client, agent_port=config.agent_port),
            rollouts=RolloutWorker(database, agents.client, agent_port=config.agent_port),
            links=AgentLinks(database, agents.client, wishes.history, agent_port=config.agent_port),
            audit_log=AuditLog(database, clock),
            proxy=traefik,
            platform_routes=PlatformRoutes(directory, render_platform_files(config.portal_url, proxy_setting(config))),
            directory_watch=DirectoryWatch(directory),
            cookie=SessionCookie(has_tls=urlsplit(config.portal_url).scheme == "https"),
            clock=clock,
            circuits=circuits,
            open_calls=OpenCalls(open_settings(config.rate_limits)),
            modrinth=modrinth,
        )


def _make_catalog(config: ApiConfig, clock: Clock) -> CatalogService:
    source = CatalogSource(config.artifacts.urls, config.artifacts.trusted_root, config.state_dir / "catalog")
    return CatalogService(source, config.channels, clock)


def make_endpoints(parts: Parts, config: ApiConfig) -> list[Endpoint]:
    """Return everything that is answered, slice by slice; the portal comes last, since it answers for the rest."""
    rotation = parts.agents.rotation
    checks = make_checks(parts.database, parts.proxy, parts.catalog, parts.artifacts, rotation)
    rollouts = RolloutService(parts.database, parts.catalog.agent_offers)
    sources = _make_sources(parts, checks)
    monitor = make_monitor(config, parts.database, parts.upkeep, rollouts, sources=sources, clock=parts.clock)
    slices = [
        *_people_endpoints(parts, config),
        *_container_endpoints(parts, config),
        *_upkeep_endpoints(parts),
        *rollout_routes.endpoints(rollouts),
        *monitoring_routes.endpoints(monitor),
    ]
    facts = {"catalog": parts.catalog.facts, "authority": rotation.facts}
    return [
        *platform_routes.endpoints(checks, slices, facts=facts, cookie_name=parts.cookie.name),
        *slices,
        *edge_routes.endpoints(parts.wishes.containers, parts.clock, domain=config.container_domain),
        *portal.endpoints(portal.default_folder()),
    ]


def _people_endpoints(parts: Parts, config: ApiConfig) -> list[Endpoint]:
    wishes, accounts = parts.wishes, parts.wishes.accounts
    return [
        *account_endpoints(accounts, parts.cookie, portal_url=config.portal_url),
        *quota_routes.endpoints(wishes.quotas),
        *suspension_routes.endpoints(parts.suspensions, accounts.customers),
        *access_routes.endpoints(
            wishes.access,
            accounts.callers,
            parts.cookie,
            portal_url=config.portal_url,
            backend_url=proxy_setting(config).api_url,
        ),
    ]


def _container_endpoints(parts: Parts, config: ApiConfig) -> list[Endpoint]:
    port, client, wishes = config.agent_port, parts.agents.client, parts.wishes
    containers = wishes.containers
    files = FileService(client, agent_port=port)
    games = GameService(containers, parts.catalog, client, agent_port=port)
    mods = ModService(parts.modrinth, client, parts.clock, find_target=parts.find_mod_target, agent_port=port)
    return [
        *catalog_routes.endpoints(parts.catalog),
        *decision_routes.endpoints(parts.catalog, Promotion(config.artifacts.folder, config.artifacts.keys)),
        *artifact_routes.endpoints(parts.artifacts),
        *container_routes.endpoints(containers, wishes.live, games),
        *game_routes.endpoints(games),
        *exposure_routes.endpoints(wishes.exposures),
        *agent_routes.endpoints(client, parts.consoles, agent_port=port),
        *process_routes.endpoints(containers, client, parts.consoles, agent_port=port),
        *runtime_routes.endpoints(RuntimeService(containers, parts.catalog, client, agent_port=port)),
        *addon_routes.endpoints(AddonService(containers, parts.catalog, client, agent_port=port)),
        *file_routes.endpoints(files),
        *byte_routes.endpoints(files),
        *upload_routes.endpoints(files),
        *mod_routes.endpoints(mods),
        *history_routes.endpoints(wishes.history, client, parts.clock, agent_port=port),
    ]


def _upkeep_endpoints(parts: Parts) -> list[Endpoint]:
    return [
        *audit_routes.endpoints(parts.upkeep.auditor),
        *proof_routes.endpoints(parts.upkeep.proofs),
        *node_routes.endpoints(parts.nodes),
        *reconcile_routes.endpoints(parts.attempts),
        *audit_log_routes.endpoints(parts.audit_log),
    ]


def _make_sources(parts: Parts, checks: Mapping[str, platform_routes.Check]) -> Sources:
    return Sources(
        requests=parts.request_figures,
        steps=parts.upkeep.reconciler.figures,
        open_calls=parts.open_calls.figures,
        circuits=parts.circuits.are_closed,
        checks=checks,
        catalog_ends_at=lambda: parts.catalog.expires_at,
        ca_ends_at=lambda: parts.agents.rotation.expires_at,
    )


def make_due_work(parts: Parts) -> dict[str, DueWork]:
    """Return what is done at times of the database, by the channel on which sooner ones are announced."""
    exposures, access = parts.wishes.exposures, parts.wishes.access
    return {
        "port_expiry_due": DueWork(exposures.seconds_to_expiry, exposures.end_expired),
        "access_expiry_due": DueWork(access.seconds_to_expiry, access.end_expired),
    }


def make_gate(parts: Parts, config: ApiConfig) -> Gate:
    """Return what every request passes before its endpoint."""
    origins = frozenset({config.portal_url.rstrip("/"), config.api_url})
    wishes, accounts = parts.wishes, parts.wishes.accounts
    return Gate(accounts.callers, accounts.customers, wishes.containers, parts.standings, parts.cookie, origins)


def make_limits(parts: Parts, config: ApiConfig) -> CallLimits:
    """Return how often this process may be called, and how many calls may stay open."""
    rates = RateLimits(rate_settings(config.rate_limits), parts.cookie, parts.clock)
    return CallLimits(rates, parts.open_calls)
