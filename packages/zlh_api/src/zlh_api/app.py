"""The composition root of the API: makes the parts and joins them, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from zlh_api.agents import routes as agent_routes
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient
from zlh_api.agents.links import AgentLinks
from zlh_api.artifacts.serving import routes as artifact_routes
from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.audit import routes as audit_routes
from zlh_api.audit.patrol import Patrol
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor, AuditSetting
from zlh_api.catalog import routes as catalog_routes
from zlh_api.catalog.service import CatalogService, CatalogSource
from zlh_api.circuit import Circuit
from zlh_api.config.driver_tables import LxcDriverSection, ProcessDriverSection, ProxmoxDriverSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ReconcilerSection
from zlh_api.console.service import ConsoleService
from zlh_api.console.sockets import ConsoleProxy
from zlh_api.containers import routes as container_routes
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.rules import spell
from zlh_api.containers.service import ContainerService, Hosting
from zlh_api.customers import routes as customer_routes
from zlh_api.customers.service import CustomerService
from zlh_api.database.migrate import check_schema, migrate
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.drivers.agent_config import AgentSettings
from zlh_api.drivers.lxc.driver import LxcDriver
from zlh_api.drivers.lxc.model import LxcSettings
from zlh_api.drivers.port import ContainerDriver
from zlh_api.drivers.process import ProcessDriver
from zlh_api.drivers.proxmox.client import Access
from zlh_api.drivers.proxmox.driver import ProxmoxDriver, ProxmoxSettings
from zlh_api.drivers.proxmox.guest_files import ShellAccess
from zlh_api.drivers.proxmox.making import Recipe
from zlh_api.drivers.proxmox.network_rule import Surroundings
from zlh_api.edge import routes as edge_routes
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.portal_route import FILE_NAME, PLATFORM_OWNER, PortalRoute, render_portal_file
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import ProxySetting
from zlh_api.history import routes as history_routes
from zlh_api.history.service import HistoryService, Keeping
from zlh_api.listening import listen_error
from zlh_api.processes import routes as process_routes
from zlh_api.reconcile.pace import SEATS_PER_WORKER, Pace
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_api.runtimes import routes as runtime_routes
from zlh_api.runtimes.service import RuntimeService
from zlh_api.web import platform_routes, portal
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.gate import Gate
from zlh_api.web.server import build_application
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.clock import Clock, SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.resources import Limits, Resources

log = structlog.get_logger()
ENTRY_POINT = "web"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an API process consists of."""

    database: Database
    driver: ContainerDriver
    customers: CustomerService
    catalog: CatalogService
    artifacts: ServedTree
    containers: ContainerService
    live: LiveContainers
    history: HistoryService
    links: AgentLinks
    reconciler: Reconciler
    patrol: Patrol
    proxy: Traefik
    portal_route: PortalRoute
    endpoints: list[Endpoint]
    gate: Gate


def make_driver(config: ApiConfig) -> ContainerDriver:
    """Return the driver that the configuration names."""
    settings = AgentSettings(
        artifacts_url=config.artifacts.url,
        port=config.agent_port,
        channels=config.channels,
        log_level=config.log_level,
        artifacts_mirrors=config.artifacts.mirrors,
    )
    section = config.driver_section
    match section:
        case ProcessDriverSection():
            return ProcessDriver(root=section.root, settings=settings)
        case LxcDriverSection():
            return LxcDriver(_lxc_settings(section, config.artifacts.url), settings)
        case ProxmoxDriverSection():
            circuit = Circuit("Proxmox", clock=SystemClock())
            return ProxmoxDriver(_proxmox_settings(section, config.artifacts.url), settings, circuit)


def _proxmox_settings(section: ProxmoxDriverSection, artifacts_url: str) -> ProxmoxSettings:
    shell, url = section.ssh, urlsplit(artifacts_url)
    return ProxmoxSettings(
        access=Access(
            section.url, section.token_id, section.token_file, ca=section.ca, fingerprint=section.fingerprint
        ),
        shell=ShellAccess(shell.user, shell.key, shell.known_hosts, shell.port, shell.hosts),
        recipe=Recipe(section.template, section.storage, section.nodes, section.pool, section.tags),
        surroundings=Surroundings(
            bridge=section.bridge,
            prefix=section.prefix or int(section.address_block.rpartition("/")[2]),
            gateway=section.gateway,
            allowed_from=section.allowed_from,
            artifact_servers=section.artifact_servers,
            artifact_port=url.port or (443 if url.scheme == "https" else 80),
            name_servers=section.name_servers,
            egress=section.egress,
            vlan=section.vlan,
        ),
    )


async def close_driver(driver: ContainerDriver) -> None:
    """Close what a driver keeps open, if it does."""
    if isinstance(driver, ProxmoxDriver):
        await driver.close()


def _lxc_settings(section: LxcDriverSection, artifacts_url: str) -> LxcSettings:
    artifacts = urlsplit(artifacts_url)
    port = artifacts.port or (443 if artifacts.scheme == "https" else 80)
    return LxcSettings(
        root=section.root,
        template=section.template,
        bridge=section.bridge,
        block=section.block,
        storage=section.storage,
        disk=section.disk,
        egress=section.egress,
        nameservers=section.nameservers,
        artifacts_port=port if artifacts.hostname == section.gateway else None,
        apparmor=section.apparmor,
        first_id=section.first_id,
    )


@asynccontextmanager
async def open_parts(config: ApiConfig, *, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Make every part, and close them in the reverse order."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        database = Database(config.database.dsn, max_connections=config.database.max_connections)
        stack.push_async_callback(database.close)
        authority = await asyncio.to_thread(Authority, config.keys_dir, clock)
        context = await asyncio.to_thread(authority.client_context)
        agents = await stack.enter_async_context(AgentClient(context))
        traefik = await stack.enter_async_context(
            Traefik(api_url=config.traefik.api_url, web_url=config.traefik.web_url)
        )
        driver = await asyncio.to_thread(make_driver, config)
        stack.push_async_callback(close_driver, driver)
        customers = CustomerService(database, clock)
        source = CatalogSource(config.artifacts.urls, config.artifacts.trusted_root, config.state_dir / "catalog")
        catalog = CatalogService(source, config.channels, clock)
        stack.push_async_callback(catalog.close)
        artifacts = ServedTree(config.artifacts.folder, config.artifacts.keys, clock)
        hosting = Hosting(config.container_domain, config.container_scheme, config.container_port)
        containers = ContainerService(database, catalog, hosting, clock, limits=_state_limits(config, driver))
        history = HistoryService(database, clock, _keeping(config))
        live = LiveContainers(containers, history)
        catalog.on_change = live.note_catalog
        links = AgentLinks(database, agents, history, agent_port=config.agent_port)
        directory = LocalRouteDirectory(config.traefik.directory)
        proxy_setting = _proxy_setting(config)
        ports = Ports(
            database=database,
            driver=driver,
            authority=authority,
            agents=agents,
            routes=directory,
            proxy=traefik,
            clock=clock,
        )
        auditor = Auditor(database, driver, directory, _audit_setting(config))
        cookie = SessionCookie(has_tls=urlsplit(config.portal_url).scheme == "https")
        proxy = ConsoleProxy(await stack.enter_async_context(ConsoleService(agents)))
        slices = [
            *customer_routes.endpoints(customers, cookie),
            *catalog_routes.endpoints(catalog),
            *artifact_routes.endpoints(artifacts),
            *container_routes.endpoints(containers, live),
            *agent_routes.endpoints(agents, proxy, agent_port=config.agent_port),
            *process_routes.endpoints(containers, agents, proxy, agent_port=config.agent_port),
            *runtime_routes.endpoints(RuntimeService(containers, catalog, agents, agent_port=config.agent_port)),
            *history_routes.endpoints(history, agents, clock, agent_port=config.agent_port),
            *audit_routes.endpoints(auditor),
        ]
        yield Parts(
            database=database,
            driver=driver,
            customers=customers,
            catalog=catalog,
            artifacts=artifacts,
            containers=containers,
            live=live,
            history=history,
            links=links,
            patrol=Patrol(auditor, Remover(database, driver, directory)),
            reconciler=Reconciler(
                database, driver, Steps(ports, _make_settings(config, proxy_setting)), _make_pace(config.reconciler)
            ),
            proxy=traefik,
            portal_route=PortalRoute(directory, render_portal_file(config.portal_url, proxy_setting)),
            endpoints=[
                *platform_routes.endpoints(
                    _make_checks(database, traefik, catalog, artifacts), slices, facts={"catalog": catalog.facts}
                ),
                *slices,
                *edge_routes.endpoints(containers, domain=config.container_domain),
                *portal.endpoints(portal.default_folder()),
            ],
            gate=Gate(customers, containers, cookie, frozenset({config.portal_url.rstrip("/"), config.api_url})),
        )


def _state_limits(config: ApiConfig, driver: ContainerDriver) -> Limits:
    sizes = config.resources
    enforced = tuple(spell(name) for name in Resources.__struct_fields__ if name in driver.enforced_limits)
    return Limits(default=sizes.default.limits, maximum=sizes.maximum.limits, enforced=enforced, driver=config.driver)


@asynccontextmanager
async def open_audit(config: ApiConfig) -> AsyncIterator[tuple[Auditor, Remover]]:
    """Make what the audit's commands need, which run beside the API or without it."""
    database = Database(config.database.dsn, max_connections=2)
    driver, directory = make_driver(config), LocalRouteDirectory(config.traefik.directory)
    try:
        async with database.connection() as connection:
            await check_schema(connection)
        yield Auditor(database, driver, directory, _audit_setting(config)), Remover(database, driver, directory)
    finally:
        await database.close()


def _proxy_setting(config: ApiConfig) -> ProxySetting:
    return ProxySetting(config.container_domain, ENTRY_POINT, config.traefik.backend_url or config.api_url)


def _audit_setting(config: ApiConfig) -> AuditSetting:
    return AuditSetting(
        address_block=config.driver_section.address_block,
        proxy=_proxy_setting(config),
        platform_files=frozenset({FILE_NAME}),
        platform_owner=OwnerMark(PLATFORM_OWNER),
    )


def _make_settings(config: ApiConfig, proxy: ProxySetting) -> Settings:
    return Settings(
        address_block=config.driver_section.address_block,
        installation=config.driver_section.installation,
        agent_port=config.agent_port,
        trusted_root=config.artifacts.trusted_root,
        proxy=proxy,
    )


def _make_pace(section: ReconcilerSection) -> Pace:
    return Pace(
        workers=section.workers,
        most_workers=section.workers * SEATS_PER_WORKER,
        drift_s=section.drift_s,
        lease_s=section.lease_s,
        margin_s=section.lease_s / 10,
    )


def _keeping(config: ApiConfig) -> Keeping:
    kept = config.history
    return Keeping(kept.entries, timedelta(hours=kept.samples_h))


async def serve(config: ApiConfig, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Run one API process until `stop`; `ready` is called once it answers."""
    async with open_parts(config) as parts:
        await parts.driver.prepare()
        async with parts.database.connection() as connection:
            await migrate(connection)
        await parts.artifacts.start()
        await parts.catalog.refresh()
        runner = web.AppRunner(
            build_application(parts.endpoints, parts.gate),
            access_log=None,
            shutdown_timeout=2,
            handler_cancellation=True,
        )
        await runner.setup()
        try:
            await _listen(runner, config)
            log.info("api.started", url=config.api_url, driver=config.driver)
            ready()
            await _run_until(stop, parts)
        finally:
            await runner.cleanup()
            log.info("api.stopped")


async def _listen(runner: web.AppRunner, config: ApiConfig) -> None:
    try:
        await web.TCPSite(runner, config.listen_host, config.listen_port, backlog=1024).start()
    except OSError as exc:
        raise listen_error(exc, address=config.listen_host, port=config.listen_port, setting="listen_port") from exc


async def _run_until(stop: asyncio.Event, parts: Parts) -> None:
    def resume_all() -> None:
        parts.reconciler.wake()
        parts.links.wake()

    channels: dict[str, Callable[[str], None]] = {
        "container_due": parts.reconciler.wake,
        "container_changed": parts.live.note_change,
        "container_happened": parts.live.note_happening,
        "link_due": parts.links.wake,
        "patrol_due": parts.patrol.look_now,
    }
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(parts.database.listen(channels, on_connect=resume_all)),
            group.create_task(parts.catalog.run()),
            group.create_task(parts.artifacts.run()),
            group.create_task(parts.links.run()),
            group.create_task(parts.history.run()),
            group.create_task(parts.reconciler.run()),
            group.create_task(parts.patrol.run()),
            group.create_task(parts.portal_route.run()),
        ]
        await stop.wait()
        for loop in loops:
            loop.cancel()


def _make_checks(
    database: Database, proxy: Traefik, catalog: CatalogService, artifacts: ServedTree
) -> dict[str, platform_routes.Check]:
    return {
        "database": _database_check(database),
        "proxy": _proxy_check(proxy),
        "catalog": _catalog_check(catalog),
        "artifacts": _artifacts_check(artifacts),
    }


def _database_check(database: Database) -> platform_routes.Check:
    async def check() -> str | None:
        try:
            async with database.connection() as connection:
                await connection.execute("select 1")
        except DatabaseUnavailable as error:
            return error.detail
        return None

    return check


def _proxy_check(proxy: Traefik) -> platform_routes.Check:
    async def check() -> str | None:
        return None if await proxy.is_alive() else "Traefik's API does not answer."

    return check


def _catalog_check(catalog: CatalogService) -> platform_routes.Check:
    async def check() -> str | None:
        return catalog.trouble

    return check


def _artifacts_check(artifacts: ServedTree) -> platform_routes.Check:
    async def check() -> str | None:
        # The answer is for everybody, and the reason may name files of this machine.
        return artifacts.trouble and "The signatures of the catalog are not renewed; the API's log says why."

    return check
