"""A real API process on a PostgreSQL of its own, whose containers are rows that nobody works on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from bench.measure import Run
from bench.programs import our_environment, running, wait_port
from bench.real_agent import RealAgent
from bench.sockets import Address
from guards.ports import free_port
from zlh_api.customers.secret import token_digest
from zlh_api.database.embedded.server import EmbeddedPostgres
from zlh_api.database.migrate import migrate
from zlh_api.reconcile.plan import PROVISIONING_STEPS
from zlh_common.schema.status import AgentStatus, InstalledRuntime, ProcessStatus, Step, StepState
from zlh_common.schema.structs import encode

TOKEN = "bench-token"
# Rows that somebody else works on and that have no address, so neither reconciler nor patrol nor links touch them:
# there is no guest behind any of them, and the platform would make one.
# Whoever measures sends more than anybody may; what counting costs is measured all the same.
_MANY = "{ per_s = 1000000, burst = 1000000 }"
_KINDS = (
    "reads", "changes", "customer_reads", "customer_changes", "address_reads", "address_changes",
    "access_sign_in", "access_container", "access_strangers",
)  # fmt: skip
_NO_LIMITS = "[rate_limits]\n" + "".join(f"{kind} = {_MANY}\n" for kind in _KINDS)
_INSERT = """
insert into containers (owner, customer_id, kind, name, spec, guest, connection, agent_status, observed_at,
    provisioned_at, wake_at, address, lease_holder, lease_until)
select gen_random_uuid(), $1, 'dev', 'bench-' || $2::text || '-' || number,
    '{"runtimes": [{"name": "node", "version": "24.19.0"}]}', 'running', 'online', $3::jsonb, now(), now(),
    now() + interval '10 years', null, gen_random_uuid(), now() + interval '10 years'
from generate_series(1, $4::integer) as number
"""
_STEPS = """
insert into steps (owner, position, name, state, started_at, finished_at)
select c.owner, s.position, s.name, 'done', now(), now()
from containers c cross join unnest($1::text[]) with ordinality as s(name, position) on conflict do nothing
"""


def make_report(owner: str) -> AgentStatus:
    """Return what the agent of a container says in which a runtime was installed and two processes run."""
    then = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)
    processes = tuple(
        ProcessStatus(name=name, state="running", pid=4711, started_at=then, ready=True) for name in ("web", "worker")
    )
    node = InstalledRuntime(
        name="node",
        version="24.19.0",
        default=True,
        verified=True,
        size=195_000_000,
        sha256="a" * 64,
        source="https://artifacts.example.org/archives/node-24.19.0.tar.zst",
        installed_at=then,
        checked_at=then,
    )
    installed = Step(name="install-node-24.19.0", state=StepState.DONE, started_at=then, finished_at=then, progress=1.0)
    return AgentStatus(
        protocol_version=2,
        agent_version="0.1.0",
        owner=owner,
        boot_id="6ee0d3f4-7c1e-4a7a-9a43-6d1d9be1c6c1",
        started_at=then,
        observed_at=then,
        spec_generation=1,
        observed_generation=1,
        steps=(installed,),
        processes=processes,
        runtimes=(node,),
    )


@dataclass
class RealApi:
    """One API process; `open()` runs its database and the process."""

    folder: Path
    keys: Path
    agent_port: int = 7443
    port: int = field(default_factory=free_port)
    pid: int = 0
    dsn: str = ""
    customer: UUID = field(default_factory=uuid4)
    # What is run in the place of the API itself.
    program: tuple[str, ...] = ("-m", "zlh_api")

    @classmethod
    def make(cls, run: Run, agent: RealAgent | None = None) -> RealApi:
        """Return an API that can dial `agent`, where there is one."""
        folder = run.fresh_folder("api")
        return cls(folder, agent.keys, agent.port) if agent else cls(folder, folder / "keys")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """Run the database for the length of the block, with the schema and one user; lends a connection."""
        postgres = EmbeddedPostgres(self.folder / "postgres")
        self.dsn = (await postgres.ensure_started()).dsn
        try:
            connection = await asyncpg.connect(self.dsn)
            try:
                await migrate(connection)
                await self._add_person(connection)
                yield connection
            finally:
                await connection.close()
        finally:
            await postgres.stop()

    @asynccontextmanager
    async def started(self) -> AsyncIterator[float]:
        """Run the process for the length of the block; yields the seconds from exec until it listens."""
        config, log = self.folder / "api.toml", self.folder / "api.log"
        config.write_text(self._render_config())
        argv = [sys.executable, *self.program, "serve", "--config", str(config)]
        began = time.perf_counter()
        async with running(argv, log=log, env=our_environment()) as child:
            await wait_port(self.port, child, log)
            self.pid = child.pid
            yield time.perf_counter() - began

    async def fill(self, connection: asyncpg.Connection, count: int) -> None:
        """Add containers until there are `count`."""
        have = await connection.fetchval("select count(*) from containers")
        report = encode(make_report(str(uuid4()))).decode()
        await connection.execute(_INSERT, self.customer, str(have), report, count - have)
        await connection.execute(_STEPS, PROVISIONING_STEPS)
        await connection.execute("analyze containers, steps")

    async def add_agent(self, connection: asyncpg.Connection, agent: RealAgent) -> int:
        """Add the row of a real agent; return its VMID."""
        vmid: int = await connection.fetchval(
            "with held as (insert into link_holders values (gen_random_uuid(), now() + interval '10 years') "
            "returning holder) "
            "insert into containers (owner, customer_id, kind, name, spec, guest, connection, provisioned_at, wake_at, "
            "address, identity_known, link_holder, lease_holder, lease_until) "
            "select $1, $2, 'dev', 'real', '{}', 'running', 'online', now(), now() + interval '10 years', "
            "$3::text::inet, null, holder, holder, now() + interval '10 years' from held returning vmid",
            UUID(agent.owner),
            self.customer,
            agent.host,
        )
        return vmid

    def address(self) -> Address:
        """Return where it is reached, and as whom."""
        return Address("127.0.0.1", self.port, "", token=TOKEN)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a client that is signed in."""
        async with aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            yield session

    async def _add_person(self, connection: asyncpg.Connection) -> None:
        user = uuid4()
        await connection.execute("insert into customers values ($1, 'bench')", self.customer)
        await connection.execute(
            "insert into users (id, email, password_hash) values ($1, 'bench@example.org', 'none')", user
        )
        await connection.execute("insert into memberships values ($1, $2, 'owner')", self.customer, user)
        await connection.execute(
            "insert into api_tokens (id, token_sha256, user_id, name) values ($1, $2, $3, 'bench')",
            uuid4(),
            token_digest(TOKEN),
            user,
        )

    def _render_config(self) -> str:
        root = self.folder / "root.json"
        root.write_text("{}")
        return (
            f'listen_port = {self.port}\nportal_url = "http://portal.localhost:{self.port}"\n'
            f'container_domain = "localhost"\ncontainer_scheme = "http"\nagent_port = {self.agent_port}\n'
            f"keys_dir = {json.dumps(str(self.keys))}\nstate_dir = {json.dumps(str(self.folder / 'state'))}\n"
            f"[database]\ndsn = {json.dumps(self.dsn)}\n"
            f'[artifacts]\nurl = "http://127.0.0.1:9"\ntrusted_root = {json.dumps(str(root))}\n'
            f"[process]\nroot = {json.dumps(str(self.folder / 'containers'))}\n"
            f"{_NO_LIMITS}"
            f"[traefik]\ndirectory = {json.dumps(str(self.folder / 'routes'))}\n"
            'api_url = "http://127.0.0.1:9"\nweb_url = "http://127.0.0.1:9"\n'
        )
