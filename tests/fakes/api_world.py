"""An API process whose database is real, and whose driver, agents and proxy are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from aiohttp import DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from fakes.agents import FakeAgents
from fakes.dns_provider import FakeProvider
from fakes.driver import FakeDriver
from fakes.edge import FakeProxy, FakeRoutes
from fakes.faults import Faults
from fakes.proof import NoCertificates, NoEdgeFacts, NoNameLinks
from zlh_api.access.question_limits import QuestionLimits, QuestionRates
from zlh_api.access.service import AccessService
from zlh_api.agents.addon_door import AddonDoor, HttpAddonDoor
from zlh_api.agents.authority import Authority
from zlh_api.agents.links import AgentLinks
from zlh_api.agents.superseded import SupersededSockets
from zlh_api.app.accounts import Accounts, make_accounts
from zlh_api.app.agents import Agents
from zlh_api.app.parts import Parts, make_endpoints, make_gate
from zlh_api.app.settings import proxy_setting, state_limits
from zlh_api.app.upkeep import Upkeep
from zlh_api.app.wishes import Wishes
from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.audit.lease import PatrolLease
from zlh_api.audit.patrol import Patrol
from zlh_api.audit.removal import Remover
from zlh_api.audit.service import Auditor, AuditSetting
from zlh_api.audit_log.service import AuditLog
from zlh_api.authority.service import AuthorityService
from zlh_api.catalog.service import CatalogService, CatalogSource
from zlh_api.circuit import Circuits
from zlh_api.config.driver_tables import ProcessDriverSection
from zlh_api.config.edge_tables import TraefikSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import ArtifactsSection, DatabaseSection
from zlh_api.console.service import ConsoleService
from zlh_api.console.sockets import ConsoleProxy
from zlh_api.containers.live import LiveContainers
from zlh_api.containers.service import AGENT, ContainerService, Hosting
from zlh_api.customers.model import Caller, Client
from zlh_api.customers.secret import Secret, token_digest
from zlh_api.customers.standings import StandingsService
from zlh_api.cuts.service import ConnectionCuts
from zlh_api.database.pool import Database
from zlh_api.dns.service import DnsService
from zlh_api.edge.directory_watch import DirectoryWatch
from zlh_api.edge.model import PLATFORM_OWNER, ProxySetting
from zlh_api.edge.platform_routes import FILE_NAMES, PlatformRoutes, render_platform_files
from zlh_api.exposures.service import ExposureService
from zlh_api.games.model import GamePool
from zlh_api.history.service import HistoryService, Keeping
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import Modrinth
from zlh_api.nodes.service import NodesService
from zlh_api.once.service import Once
from zlh_api.proof.port import CertificateSight, NameLinks
from zlh_api.proof.report import ProofReports
from zlh_api.proof.service import Prober, ProofSetting, Sights
from zlh_api.quotas.service import QuotaService
from zlh_api.reconcile.attempts import AttemptsService
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.step_figures import StepFigures
from zlh_api.reconcile.steps import Ports, Settings, Steps
from zlh_api.rollouts.worker import RolloutWorker
from zlh_api.suspensions.service import SuspensionService
from zlh_api.web.access_watch import LOOK_AGAIN_S, AccessWatch
from zlh_api.web.client_address import Proxies
from zlh_api.web.connections import BoundedRunner, ConnectionLimits
from zlh_api.web.endpoint import Endpoint
from zlh_api.web.open_calls import OpenCalls, OpenSettings
from zlh_api.web.rate_limits import RateLimits, Rates, RateSettings
from zlh_api.web.server import CallLimits, Entrance, build_application
from zlh_api.web.session_cookie import SessionCookie
from zlh_api.web.token_buckets import Rate
from zlh_common.addons import ADDON_PORTS, CODE_SERVER
from zlh_common.clock import Clock, SystemClock
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.catalog import Artifact, Catalog, CatalogRuntime, CatalogVersion
from zlh_common.schema.customers import Quota
from zlh_common.schema.resources import Limits, Resources
from zlh_common.schema.status import PROTOCOL_VERSION
from zlh_common.schema.template import CatalogTemplate

AGENT_PORT = 7443
RESERVED = {AGENT_PORT: AGENT, **{port: name for name, port in ADDON_PORTS.items()}}
HOSTING = Hosting("localhost", "http", 80, reserved_ports=RESERVED)
ADDRESS_BLOCK = "127.77.0.0/24"
PROXY = ProxySetting("localhost", "web", "http://127.0.0.1:8400")
PORTAL = "http://portal.localhost:8400"
PASSWORD = "correct horse battery"
# It judges nothing.
WAIT_S = 60
# What a container may have here: by default two cores, 2 GiB of memory and 10 GiB of disk, at most twice that.
LIMITS = Limits(
    default=Resources(),
    maximum=Resources(cpu=4.0, memory_mib=4096, disk_mib=20_480, pids=4096),
    enforced=("cpu", "memoryMib", "diskMib", "pids"),
    driver="fake",
)
# So many calls that no test meets a limit, but for those that set some.
ANY_RATES = Rates(Rate(1e6, 10**6), Rate(1e6, 10**6))
ANY_QUESTIONS = QuestionRates(*[Rate(1e6, 10**6)] * 4)
# No limits, but for tests that set some.
QUOTA = Quota()
NODE = {"kind": "dev", "runtime": "node", "version": "24"}


def catalog() -> Catalog:
    """Return a catalog with one runtime for this machine."""
    archive = Artifact(
        platform=this_platform(),
        path="archives/node.tar.zst",
        size=1,
        unpacked_size=1,
        entries=1,
        sha256="0" * 64,
        source="node.tar.xz",
        source_sha256="0" * 64,
    )
    version = CatalogVersion(version="24.19.0", channel="stable", default=True, licence="MIT", artifacts=(archive,))
    node = CatalogRuntime(name="node", title="Node.js", versions=(version,))
    return Catalog(format=1, published_at=datetime(2026, 1, 1, tzinfo=UTC), runtimes=(node,))


@dataclass(frozen=True)
class People:
    """Bearer tokens by what their holder may do; `stranger` owns another customer, `operator` runs the platform."""

    owner: str = "owner-token"
    viewer: str = "viewer-token"
    stranger: str = "stranger-token"
    operator: str = "operator-token"


class _Server(TestServer):
    """Serves with the limits of a real API process."""

    def __init__(self, application: Application, limits: ConnectionLimits) -> None:
        super().__init__(application)
        self.limits = limits

    async def _make_runner(self, **settings: Any) -> BoundedRunner:
        return BoundedRunner(self.app, self.limits, **settings)


class World:
    """The parts of an API process, joined as its composition root joins them."""

    def __init__(self, database: Database, dsn: str, folder: Path, authority: Authority) -> None:
        self.database = database
        self.dsn = dsn
        self.folder = folder
        self.clock: Clock = SystemClock()
        self.limits = ConnectionLimits()
        self.circuits = Circuits(self.clock)
        self.step_figures = StepFigures()
        self.faults = Faults()
        self.driver = FakeDriver(self.faults)
        self.routes = FakeRoutes(self.faults)
        self.proxy = FakeProxy(self.faults, self.routes)
        self.agents = FakeAgents(self.faults, database)
        self.driver.on_started = self.agents.note_online
        self.driver.on_stopped = self.agents.note_offline
        self.door: AddonDoor = HttpAddonDoor()
        # Where addons really listen: no test has port 6000 of loopback for itself.
        self.addon_port = ADDON_PORTS[CODE_SERVER]
        self.authority = authority
        # Follows the CAs from its `start` on.
        self.rotation = AuthorityService(database, authority, self.clock)
        (folder / "root.json").write_text("{}")
        self.people = People()
        self.quotas = QuotaService(database, QUOTA)
        self.accounts = make_accounts(database, self.clock, self.quotas)
        self.catalog = CatalogService(CatalogSource(("http://127.0.0.1:1",), folder / "root.json", folder), ("stable",))
        self.catalog._catalog, self.catalog._trouble = catalog(), None
        self.suspensions = SuspensionService(database)
        self.containers = ContainerService(
            database,
            self.catalog,
            HOSTING,
            limits=LIMITS,
            customers=self.accounts.customers,
            quotas=self.quotas,
        )
        self.hosting = HOSTING
        self.exposures = ExposureService(database, self.containers, self.quotas, self.hosting)
        self.access = self.access_at(self.hosting, portal_url=PORTAL)
        self.history = HistoryService(database, self.clock, Keeping(entries=10))
        self.live = LiveContainers(self.containers, self.history)
        self.agent_port = AGENT_PORT
        # How long who stays open goes unlooked at where nothing is told.
        self.look_again_s = LOOK_AGAIN_S
        # Of what was served last.
        self.watch: AccessWatch | None = None
        self.endpoints: list[Endpoint] = []
        self.rates_clock: Clock = self.clock
        # Who is believed in what they say of their clients.
        self.trusted_proxies: Proxies = ()
        self.rates = RateSettings(ANY_RATES, ANY_RATES, ANY_RATES, refusal_wait_s=0.0)
        self.open_settings = OpenSettings(*[1000] * 7)
        # Who is asked for mods, and what those of every container must be made for.
        self.modrinth: Modrinth | None = None
        self.mod_target: Target | None = None
        self.audit_log = AuditLog(database, self.clock)
        self.name_links: NameLinks = NoNameLinks()
        self.certificates: CertificateSight = NoCertificates()
        self.proofs = ProofReports(database, self.clock, NoNameLinks(), NoEdgeFacts())
        self.dns = DnsService()
        self.game_pool = GamePool()
        self._opened: list[Database] = []

    def access_at(
        self, hosting: Hosting, *, portal_url: str, rates: QuestionRates = ANY_QUESTIONS, clock: Clock | None = None
    ) -> AccessService:
        """Return who says who may open what at these hosts."""
        return AccessService(self.database, hosting, QuestionLimits(rates, clock or self.clock), portal_url=portal_url)

    def use_dns(self, *providers: FakeProvider, patience_s: float = 0.0) -> None:
        """Have records at these providers, from now on and for whoever is made from now on."""
        self.dns = DnsService(providers, domain=PROXY.domain, clock=self.clock, patience_s=patience_s)
        self.containers._hosting = replace(
            self.containers._hosting, has_dns=bool(providers), has_services=bool(providers)
        )

    def use_games(self, pool: GamePool, *offers: CatalogTemplate) -> None:
        """Offer game templates, have ports for them, and agents that keep game servers, from now on."""
        self.catalog._catalog = msgspec.structs.replace(self.catalog.current(), game_templates=offers)
        self.game_pool = pool
        self.containers._hosting = replace(self.containers._hosting, game_pool=pool)
        self.agents.protocol_version = PROTOCOL_VERSION

    def remover(self, database: Database | None = None) -> Remover:
        """Return who takes away what deleted containers have left."""
        return Remover(database or self.database, self.driver, self.routes, self.dns)

    def steps(self, database: Database) -> Steps:
        """Return the steps as they are taken through a pool."""
        ports = Ports(
            database=database,
            driver=self.driver,
            authority=self.authority,
            agents=self.agents,
            routes=self.routes,
            proxy=self.proxy,
            clock=self.clock,
            addons=self.door,
            dns=self.dns,
        )
        settings = Settings(
            address_block=ADDRESS_BLOCK,
            installation="test",
            agent_port=7443,
            trusted_root=self.folder / "root.json",
            proxy=PROXY,
            browser_host=self.hosting.browser_host,
            addon_port=self.addon_port,
            game_pool=self.game_pool,
        )
        return Steps(ports, settings)

    def auditor(self, database: Database | None = None) -> Auditor:
        """Return who compares, through a pool."""
        setting = AuditSetting(ADDRESS_BLOCK, PROXY, FILE_NAMES, PLATFORM_OWNER)
        return Auditor(database or self.database, self.driver, self.routes, setting, self.dns, self.clock)

    @asynccontextmanager
    async def patrol(self, database: Database | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """Run one patrol, which looks when it is asked to, for the length of the block; yields its task."""
        database = database or self.database
        made = Patrol(self.auditor(database), self.remover(database))
        tasks = [
            asyncio.create_task(made.run()),
            asyncio.create_task(database.listen({"patrol_due": made.look_now}, on_connect=made.look_now)),
        ]
        try:
            yield tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def prober(self, lease: PatrolLease, database: Database | None = None) -> Prober:
        """Return who proves, under a lease."""
        database = database or self.database
        sights = Sights(self.proxy, self.name_links, self.certificates, self.steps(database).route_file)
        return Prober(database, lease, sights, ProofSetting(PROXY.domain, "portal.localhost"))

    @asynccontextmanager
    async def proving(self, database: Database | None = None) -> AsyncIterator[Prober]:
        """Run one prober, which looks when it is asked to, without a patrol, for the length of the block."""
        database = database or self.database
        lease = PatrolLease(database)
        made = self.prober(lease, database)
        channels: dict[str, Callable[[str], None]] = {"proof_due": made.look_now, "proof_hinted": made.note_hint}
        tasks = [
            asyncio.create_task(lease.run()),
            asyncio.create_task(made.run()),
            asyncio.create_task(database.listen(channels, on_connect=made.look_now)),
        ]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def reconciler(
        self, database: Database | None = None, pace: Pace | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Run one reconciler, woken by the database, for the length of the block; yields its task."""
        database = database or self.database
        made = Reconciler(database, self.driver, self.steps(database), pace, figures=self.step_figures)
        tasks = [
            asyncio.create_task(made.run()),
            asyncio.create_task(database.listen({"container_due": made.wake}, on_connect=made.wake)),
        ]
        try:
            yield tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def another_pool(self, *, max_connections: int = 16) -> Database:
        """Return one more pool, as of another API process, closed with the world."""
        opened = Database(self.dsn, max_connections=max_connections)
        self._opened.append(opened)
        return opened

    def another_accounts(self) -> Accounts:
        """Return what another API process has about people."""
        pool = self.another_pool()
        return make_accounts(pool, self.clock, QuotaService(pool, QUOTA))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[TestClient[Request, Application]]:
        """Serve the API, as told by the database of what changes, and lend a client of it."""
        async with ConsoleService(self.agents) as consoles:
            parts, config = self.parts(consoles), self.config()
            gate = make_gate(parts, config)
            watch = self.watch = AccessWatch(gate.pass_again, look_again_s=self.look_again_s)
            async with self._listening(watch):
                self.endpoints = make_endpoints(parts, config)
                limits = self.call_limits(parts.cookie, parts.open_calls)
                entrance = Entrance(
                    gate, watch, limits, self.audit_log, Once(self.database), figures=parts.request_figures
                )
                application = build_application(self.endpoints, entrance, trusted_proxies=self.trusted_proxies)
                server = _Server(application, self.limits)
                # A test says itself which cookie it sends.
                async with TestClient(server, cookie_jar=DummyCookieJar()) as client:
                    yield client
                await self.audit_log.close()

    def call_limits(self, cookie: SessionCookie, open_calls: OpenCalls | None = None) -> CallLimits:
        """Return how often this world may be called, and how many calls may stay open."""
        rates = RateLimits(self.rates, cookie, self.rates_clock)
        return CallLimits(rates, open_calls or OpenCalls(self.open_settings))

    @asynccontextmanager
    async def _listening(self, watch: AccessWatch) -> AsyncIterator[None]:
        channels = {
            "access_changed": watch.note_change,
            "container_changed": self.live.note_change,
            "container_happened": self.live.note_happening,
            "rollout_changed": self.live.note_rollout,
        }
        begun = asyncio.Event()

        def note_begun() -> None:
            begun.set()
            watch.note_all()

        tasks = [
            asyncio.create_task(watch.run()),
            asyncio.create_task(self.audit_log.run()),
            asyncio.create_task(self.database.listen(channels, on_connect=note_begun)),
        ]
        try:
            await begun.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def config(self) -> ApiConfig:
        """Return what an API process of this world is told."""
        nowhere = "http://127.0.0.1:1"
        return ApiConfig(
            portal_url=PORTAL,
            container_domain="localhost",
            agent_port=self.agent_port,
            keys_dir=self.folder / "keys",
            state_dir=self.folder / "state",
            backup_record=self.folder / "backup.json",
            database=DatabaseSection(dsn=self.dsn),
            artifacts=ArtifactsSection(url=nowhere, trusted_root=self.folder / "root.json"),
            process=ProcessDriverSection(root=self.folder / "containers"),
            traefik=TraefikSection(directory=self.folder / "routes", api_url=nowhere, web_url=nowhere),
        )

    def parts(self, consoles: ConsoleService) -> Parts:
        """Return the parts of which the endpoints of an API process are made."""
        return Parts(
            database=self.database,
            driver=self.driver,
            agents=Agents(self.agents, self.authority, self.rotation),
            wishes=self._wishes(),
            upkeep=self._upkeep(),
            attempts=AttemptsService(self.database, self.clock),
            nodes=NodesService(self.database, self.driver, state_limits(self.config(), self.driver), self.clock),
            superseded=SupersededSockets(self.agents),
            consoles=ConsoleProxy(consoles),
            standings=StandingsService(self.another_pool(max_connections=1), self.accounts.last_use),
            suspensions=self.suspensions,
            catalog=self.catalog,
            artifacts=ServedTree(self.folder / "artifacts", None, self.clock),
            cuts=ConnectionCuts(self.database, self.agents, agent_port=self.agent_port),
            rollouts=RolloutWorker(self.database, self.agents, agent_port=self.agent_port),
            links=AgentLinks(self.database, self.agents, self.history, agent_port=self.agent_port),
            audit_log=self.audit_log,
            proxy=self.proxy,  # type: ignore[arg-type] # of the proxy an endpoint asks no more than the fake has
            platform_routes=PlatformRoutes(self.routes, render_platform_files(PORTAL, proxy_setting(self.config()))),
            directory_watch=DirectoryWatch(self.routes),
            cookie=SessionCookie(has_tls=False),
            clock=self.clock,
            circuits=self.circuits,
            open_calls=OpenCalls(self.open_settings),
            modrinth=self.modrinth,
            find_mod_target=lambda _container: self.mod_target,
        )

    def _wishes(self) -> Wishes:
        return Wishes(
            accounts=self.accounts,
            quotas=self.quotas,
            containers=self.containers,
            exposures=self.exposures,
            access=self.access,
            history=self.history,
            live=self.live,
        )

    def _upkeep(self) -> Upkeep:
        patrol = Patrol(self.auditor(), self.remover())
        return Upkeep(
            reconciler=Reconciler(self.database, self.driver, self.steps(self.database), figures=self.step_figures),
            auditor=self.auditor(),
            patrol=patrol,
            prober=self.prober(patrol.lease),
            proofs=self.proofs,
        )

    async def sign_in(self, email: str, password: str = PASSWORD) -> tuple[Caller, Secret]:
        """Sign in as a browser of this machine does; return the caller and the token of the cookie."""
        proof = await self.accounts.sign_in.prove(email, password, client="127.0.0.1")
        return await self.accounts.sessions.open(proof, Client("127.0.0.1", "a browser"))

    async def add_people(self) -> None:
        """Write an owner and a viewer of one customer, the owner of another, and an operator."""
        async with self.database.transaction() as connection:
            customers = [uuid4(), uuid4()]
            for number, customer in enumerate(customers):
                await connection.execute("insert into customers values ($1, $2)", customer, f"customer {number}")
            people: dict[str, UUID | None] = {
                "owner": customers[0],
                "viewer": customers[0],
                "stranger": customers[1],
                "operator": None,
            }
            for name, membership in people.items():
                user = uuid4()
                await connection.execute(
                    "insert into users (id, email, password_hash, is_operator) values ($1, $2, 'none', $3)",
                    user,
                    f"{name}@example.org",
                    membership is None,
                )
                role = "viewer" if name == "viewer" else "owner"
                if membership is not None:
                    await connection.execute(
                        "insert into memberships values ($1, $2, $3)",
                        membership,
                        user,
                        role,
                    )
                await connection.execute(
                    "insert into api_tokens (id, token_sha256, user_id, name) values ($1, $2, $3, 't')",
                    uuid4(),
                    token_digest(getattr(self.people, name)),
                    user,
                )

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Return rows, for a look at what is really there."""
        async with self.database.connection() as connection:
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows

    async def wait_until(self, sql: str, *values: Any) -> None:
        """Return once a query yields true; raise TimeoutError where it does not within a minute."""
        async with asyncio.timeout(WAIT_S):
            while True:
                rows = await self.fetch(sql, *values)
                if rows and rows[0][0]:
                    return
                await asyncio.sleep(0.01)

    async def wait_settled(self, owner: UUID | str) -> None:
        """Return once a container is proved and nobody works on it."""
        await self.wait_until(
            "select lease_until is null and provisioned_at is not null and wake_at > now() "
            "from containers where owner = $1::text::uuid",
            str(owner),
        )

    async def wait_forgotten(self) -> None:
        """Return once no container is left."""
        await self.wait_until("select count(*) = 0 from containers")

    async def close(self) -> None:
        """Close what was opened here."""
        for opened in self._opened:
            await opened.close()
