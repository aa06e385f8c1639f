"""The parts of an API process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from zlh_api.access import routes as access_routes
from zlh_api.access.question_limits import QuestionLimits
from zlh_api.access.service import AccessService
from zlh_api.agents import routes as agent_routes
from zlh_api.agents.authority import Authority
from zlh_api.agents.client import AgentClient
from zlh_api.agents.links import AgentLinks
from zlh_api.agents.pins import RowPins
from zlh_api.agents.superseded import SupersededSockets
from zlh_api.app.accounts import Accounts, account_endpoints, make_accounts
from zlh_api.app.checks import make_checks
from zlh_api.app.dns import DnsCircuits, make_dns
from zlh_api.app.driver import make_circuit, make_driver
from zlh_api.app.edge import make_proxy_circuit, open_directory
from zlh_api.app.settings import (
    audit_setting,
    keeping,
    make_pace,
    open_settings,
    patrol_facts,
    proof_setting,
    proxy_setting,
    public_ca,
    question_rates,
    rate_settings,
    state_limits,
    step_settings,
)
from zlh_api.artifacts.serving import routes as artifact_routes
from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.audit import routes as audit_routes
from zlh_api.audit.patrol import Patrol
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor
from zlh_api.audit_log import routes as audit_log_routes
from zlh_api.audit_log.service import AuditLog
from zlh_api.authority.service import AuthorityService
from zlh_api.catalog import routes as catalog_routes
from zlh_api.catalog.service import CatalogService, CatalogSource
from zlh_api.config.model import ApiConfig
from zlh_api.console.service import ConsoleService
from zlh_api.console.sockets import ConsoleProxy
from zlh_api.containers import routes as container_routes
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.service import ContainerService, Hosting
from zlh_api.customers.standings import StandingsService
from zlh_api.cuts.service import ConnectionCuts
from zlh_api.database.pool import Database
from zlh_api.drivers.port import ContainerDriver
from zlh_api.due import DueWork
from zlh_api.edge import routes as edge_routes
from zlh_api.edge.directory_watch import DirectoryWatch
from zlh_api.edge.platform_routes import PlatformRoutes, render_platform_files
from zlh_api.edge.relieving_proxy import RelievingProxy
from zlh_api.edge.traefik import Traefik, read_api_trust
from zlh_api.exposures import routes as exposure_routes
from zlh_api.exposures.service import ExposureService
from zlh_api.history import routes as history_routes
from zlh_api.history.service import HistoryService
from zlh_api.processes import routes as process_routes
from zlh_api.proof import routes as proof_routes
from zlh_api.proof.name_servers import NameServerLinks
from zlh_api.proof.report import ProofReports
from zlh_api.proof.service import Prober, Sights
from zlh_api.quotas import routes as quota_routes
from zlh_api.quotas.service import QuotaService
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Ports, Steps
from zlh_api.runtimes import routes as runtime_routes
from zlh_api.runtimes.service import RuntimeService
from zlh_api.suspensions import routes as suspension_routes
from zlh_api.suspensions.service import SuspensionService
from zlh_api.web import platform_routes, portal
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.gate import Gate
from zlh_api.web.open_calls import OpenCalls
from zlh_api.web.rate_limits import RateLimits
from zlh_api.web.server import CallLimits
from zlh_api.web.session_cookie import SessionCookie
from zlh_common.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Parts:
    """What an API process consists of."""

    database: Database
    driver: ContainerDriver
    agents: AgentClient
    authority: AuthorityService
    superseded: SupersededSockets
    consoles: ConsoleProxy
    accounts: Accounts
    standings: StandingsService
    quotas: QuotaService
    suspensions: SuspensionService
    catalog: CatalogService
    artifacts: ServedTree
    containers: ContainerService
    exposures: ExposureService
    access: AccessService
    cuts: ConnectionCuts
    live: LiveContainers
    history: HistoryService
    links: AgentLinks
    reconciler: Reconciler
    auditor: Auditor
    audit_log: AuditLog
    patrol: Patrol
    prober: Prober
    proofs: ProofReports
    proxy: Traefik
    platform_routes: PlatformRoutes
    directory_watch: DirectoryWatch
    cookie: SessionCookie
    clock: Clock


@asynccontextmanager
async def open_parts(config: ApiConfig, *, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Make every part, and close them in the reverse order."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        database = Database(config.database.dsn, max_connections=config.database.max_connections)
        stack.push_async_callback(database.close)
        # One connection for what stays open, which no crowd of requests takes away.
        apart = Database(config.database.dsn, max_connections=1)
        stack.push_async_callback(apart.close)
        authority = await asyncio.to_thread(Authority, config.keys_dir, clock)
        context = await asyncio.to_thread(authority.client_context)
        agents = await stack.enter_async_context(AgentClient(context, RowPins(database)))
        rotation = AuthorityService(database, authority, clock)
        rotation.on_context = agents.use
        traefik = await stack.enter_async_context(
            Traefik(
                api_url=config.traefik.api_url,
                web_url=config.traefik.web_url,
                ca=public_ca(config),
                trust=await asyncio.to_thread(read_api_trust, config.traefik.api_ca, config.traefik.api_credentials),
            )
        )
        circuit = make_circuit(clock)
        driver = await asyncio.to_thread(make_driver, config, circuit)
        stack.push_async_callback(driver.close)
        source = CatalogSource(config.artifacts.urls, config.artifacts.trusted_root, config.state_dir / "catalog")
        catalog = CatalogService(source, config.channels, clock)
        stack.push_async_callback(catalog.close)
        hosting = Hosting(
            config.container_domain,
            config.container_scheme,
            config.container_port,
            has_dns=bool(config.dns),
            reserved_ports=frozenset({config.agent_port}),
        )
        quotas = QuotaService(database, config.quota.quota)
        accounts = make_accounts(database, clock, quotas)
        containers = ContainerService(
            database,
            catalog,
            hosting,
            limits=state_limits(config, driver),
            customers=accounts.customers,
            quotas=quotas,
        )
        history = HistoryService(database, clock, keeping(config))
        live = LiveContainers(containers, history)
        catalog.on_change = live.note_catalog
        dns_circuits = DnsCircuits(clock)
        dns = make_dns(config, dns_circuits, clock)
        stack.push_async_callback(dns.close)
        proxy_circuit, proxy = make_proxy_circuit(clock), proxy_setting(config)
        directory = await stack.enter_async_context(open_directory(config, proxy_circuit))
        ports = Ports(
            database=database,
            driver=driver,
            authority=authority,
            agents=agents,
            routes=directory,
            proxy=RelievingProxy(traefik, directory),
            clock=clock,
            dns=dns,
        )
        steps = Steps(ports, step_settings(config, proxy))
        reconciler = Reconciler(database, driver, steps, make_pace(config.reconciler))
        circuit.on_closed = dns_circuits.on_closed = proxy_circuit.on_closed = reconciler.note_back
        auditor = Auditor(database, driver, directory, audit_setting(config), dns, clock)
        patrol = Patrol(auditor, Remover(database, driver, directory, dns))
        sights = Sights(traefik, NameServerLinks(database, dns), traefik, steps.route_file)
        yield Parts(
            database=database,
            driver=driver,
            agents=agents,
            authority=rotation,
            superseded=SupersededSockets(agents),
            consoles=ConsoleProxy(await stack.enter_async_context(ConsoleService(agents))),
            accounts=accounts,
            standings=StandingsService(apart, accounts.last_use),
            quotas=quotas,
            suspensions=SuspensionService(database),
            catalog=catalog,
            artifacts=ServedTree(config.artifacts.folder, config.artifacts.keys, clock),
            containers=containers,
            exposures=ExposureService(database, containers, quotas, hosting),
            access=AccessService(
                database,
                hosting,
                QuestionLimits(question_rates(config.rate_limits), clock),
                portal_url=config.portal_url,
            ),
            cuts=ConnectionCuts(database, agents, agent_port=config.agent_port),
            live=live,
            history=history,
            links=AgentLinks(database, agents, history, agent_port=config.agent_port),
            reconciler=reconciler,
            auditor=auditor,
            audit_log=AuditLog(database, clock),
            patrol=patrol,
            prober=Prober(database, patrol.lease, sights, proof_setting(config)),
            proofs=ProofReports(database, clock, sights.links, patrol_facts(config, database)),
            proxy=traefik,
            platform_routes=PlatformRoutes(directory, render_platform_files(config.portal_url, proxy)),
            directory_watch=DirectoryWatch(directory),
            cookie=SessionCookie(has_tls=urlsplit(config.portal_url).scheme == "https"),
            clock=clock,
        )


def make_endpoints(parts: Parts, config: ApiConfig) -> list[Endpoint]:
    """Return everything that is answered, slice by slice; the portal comes last, since it answers for the rest."""
    port, agents, containers = config.agent_port, parts.agents, parts.containers
    runtimes = RuntimeService(containers, parts.catalog, agents, agent_port=port)
    slices = [
        *account_endpoints(parts.accounts, parts.cookie, portal_url=config.portal_url),
        *quota_routes.endpoints(parts.quotas),
        *suspension_routes.endpoints(parts.suspensions, parts.accounts.customers),
        *catalog_routes.endpoints(parts.catalog),
        *artifact_routes.endpoints(parts.artifacts),
        *container_routes.endpoints(containers, parts.live),
        *exposure_routes.endpoints(parts.exposures),
        *access_routes.endpoints(
            parts.access,
            parts.accounts.callers,
            parts.cookie,
            portal_url=config.portal_url,
            backend_url=proxy_setting(config).api_url,
        ),
        *agent_routes.endpoints(agents, parts.consoles, agent_port=port),
        *process_routes.endpoints(containers, agents, parts.consoles, agent_port=port),
        *runtime_routes.endpoints(runtimes),
        *history_routes.endpoints(parts.history, agents, parts.clock, agent_port=port),
        *audit_routes.endpoints(parts.auditor),
        *proof_routes.endpoints(parts.proofs),
        *audit_log_routes.endpoints(parts.audit_log),
    ]
    checks = make_checks(parts.database, parts.proxy, parts.catalog, parts.artifacts, parts.authority)
    facts = {"catalog": parts.catalog.facts, "authority": parts.authority.facts}
    return [
        *platform_routes.endpoints(checks, slices, facts=facts, cookie_name=parts.cookie.name),
        *slices,
        *edge_routes.endpoints(containers, parts.clock, domain=config.container_domain),
        *portal.endpoints(portal.default_folder()),
    ]


def make_due_work(parts: Parts) -> dict[str, DueWork]:
    """Return what is done at times of the database, by the channel on which sooner ones are announced."""
    exposures, access = parts.exposures, parts.access
    return {
        "port_expiry_due": DueWork(exposures.seconds_to_expiry, exposures.end_expired),
        "access_expiry_due": DueWork(access.seconds_to_expiry, access.end_expired),
    }


def make_gate(parts: Parts, config: ApiConfig) -> Gate:
    """Return what every request passes before its endpoint."""
    origins = frozenset({config.portal_url.rstrip("/"), config.api_url})
    accounts = parts.accounts
    return Gate(accounts.callers, accounts.customers, parts.containers, parts.standings, parts.cookie, origins)


def make_limits(parts: Parts, config: ApiConfig) -> CallLimits:
    """Return how often this process may be called, and how many calls may stay open."""
    section = config.rate_limits
    rates = RateLimits(rate_settings(section), parts.cookie, parts.clock)
    return CallLimits(rates, OpenCalls(open_settings(section)))
