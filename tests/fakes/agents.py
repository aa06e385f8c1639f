"""Agents that take every spec, and a link that writes what they report into the row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from cryptography.x509 import load_pem_x509_certificate
from websockets.asyncio.client import ClientConnection

from fakes.faults import Faults
from zlh_api.agents.client import (
    CALL_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    AgentAddress,
    AgentAnswer,
    AgentClient,
    AgentUnreachable,
)
from zlh_api.agents.transfers import Transfer
from zlh_api.database.pool import Database
from zlh_api.direct_bytes import Bytes
from zlh_common.errors import ZlhError
from zlh_common.names import OwnerMark
from zlh_common.schema.game import GameBackup, GameReport, WantedGame
from zlh_common.schema.identity import IdentityTaken, RenewIdentity
from zlh_common.schema.process import ProcessState, WantedProcess
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.status import (
    AddonState,
    AddonStatus,
    AgentStatus,
    InstalledRuntime,
    ProcessStatus,
    Step,
    StepState,
)
from zlh_common.schema.structs import decode, encode


class FakeAgents(AgentClient):
    """Answers for every agent; what it is told has been reached at once."""

    def __init__(self, faults: Faults, database: Database) -> None:
        self.faults = faults
        self.database = database
        self.specs: dict[OwnerMark, AgentSpec] = {}
        # How far an agent says it is behind the spec that it took.
        self.lags = 0
        # How far it is behind with the spec that it holds.
        self.unreached = 0
        # Whether there is a link that hears the agents.
        self.is_linked = True
        # Whether the link tells what was reached before the answer to the spec, in which it was not, is there.
        self.is_overtaken = False
        # What every agent answers to a call that is not known here.
        self.answer = b"{}"
        # What it answers to one that is, by method and path; an error is raised.
        self.answers: dict[str, bytes | ZlhError] = {}
        self.users = b'{"users":[]}'
        self.calls: list[tuple[str, str]] = []
        self.protocol_version = 2
        # A real client, and where it meets who answers for the files of every agent.
        self.files: tuple[AgentClient, AgentAddress] | None = None
        # Every identity that an agent was given, and how many CAs one believes that is told of none.
        self.identities: list[RenewIdentity] = []
        self.client_cas: int | None = None
        # How every agent's addons are, and since when they run.
        self.addon_state = AddonState.RUNNING
        self.addon_started_at: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
        # How every agent's game server is where it is switched on, and what it tells of its backups.
        self.server_state: ProcessState = "running"
        self.server_exited_at: datetime | None = None
        self.backups: tuple[GameBackup, ...] = ()
        # False of one of before it made them because somebody asks.
        self.makes_backups = True
        # Versions that cannot be installed, and those whose files are not what was installed.
        self.broken: set[tuple[str, str]] = set()
        self.faulty: set[tuple[str, str]] = set()
        self._held: dict[OwnerMark, dict[tuple[str, str], InstalledRuntime]] = {}

    def report(self, owner: OwnerMark) -> AgentStatus:
        """Return what one agent says of itself."""
        spec = self.specs.get(owner)
        generation = max(0, spec.generation - self.lags) if spec else 0
        now = datetime.now(UTC)
        return AgentStatus(
            protocol_version=self.protocol_version,
            agent_version="0.1.0",
            owner=owner,
            boot_id="boot",
            started_at=now,
            observed_at=now,
            spec_generation=generation,
            observed_generation=max(0, generation - self.unreached),
            steps=tuple(self._step(wanted) for wanted in spec.runtimes) if spec else (),
            runtimes=tuple(self._checked(record) for record in self._held.get(owner, {}).values()),
            addons=tuple(self._addon(wanted) for wanted in spec.addons if wanted.default) if spec else (),
            processes=(self._server(spec.game.process),) if spec and spec.game else (),
            game=self._game(spec.game) if spec and spec.game else None,
        )

    def _server(self, wanted: WantedProcess) -> ProcessStatus:
        state = self.server_state if wanted.power == "on" else "stopped"
        return ProcessStatus(name=wanted.name, state=state, ready=state == "running", exited_at=self.server_exited_at)

    def _game(self, wanted: WantedGame) -> GameReport:
        return GameReport(
            template=wanted.template,
            version=wanted.version,
            backups=self.backups,
            backups_answered=wanted.backups_asked if self.makes_backups else None,
        )

    def _addon(self, wanted: WantedRuntime) -> AddonStatus:
        return AddonStatus(
            name=wanted.name,
            state=self.addon_state,
            version=wanted.version,
            started_at=self.addon_started_at,
            message=None if self.addon_state is AddonState.RUNNING else "It said no more.",
            versions=(_installed(wanted),),
        )

    def _checked(self, record: InstalledRuntime) -> InstalledRuntime:
        is_faulty = (record.name, record.version) in self.faulty
        return msgspec.structs.replace(record, verified=not is_faulty, faults=int(is_faulty))

    def _step(self, wanted: WantedRuntime) -> Step:
        name = f"install-{wanted.name}" if wanted.default else f"install-{wanted.name}-{wanted.version}"
        if (wanted.name, wanted.version) in self.broken:
            return Step(name=name, state=StepState.FAILED, code="smoke_test_failed", message="It does not run.")
        return Step(name=name, state=StepState.DONE, progress=1.0)

    def _reconcile(self, owner: OwnerMark, spec: AgentSpec) -> None:
        """Install what is wanted, mend what is wanted anew, and let go of the rest."""
        held = self._held.get(owner, {})
        found = {}
        for wanted in spec.runtimes:
            key = (wanted.name, wanted.version)
            if wanted.attempt:
                self.faulty.discard(key)
            if key in self.broken or (wanted.previous and key not in held):
                continue
            found[key] = _installed(wanted)
        self._held[owner] = found

    async def put_spec(self, agent: AgentAddress, spec: AgentSpec) -> AgentStatus:
        """Take the spec."""
        async with self.faults.call("put_spec"):
            self.specs[agent.owner] = spec
            self._reconcile(agent.owner, spec)
            if self.is_linked:
                await self.note_online(agent.owner)
            answer = self.report(agent.owner)
            is_older = {"observed_generation": spec.generation - 1} if self.is_overtaken else {}
            return msgspec.structs.replace(answer, **is_older)

    async def call(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> bytes:
        """Answer whatever the test says."""
        async with self.faults.call("call"):
            self.calls.append((method, path))
            if path == "/status":
                return encode(self.report(agent.owner))
            usual = self.users if path.endswith("/users") else self.answer
            if path == "/identity" and body is not None:
                usual = self._take_identity(body)
            answer = self.answers.get(f"{method} {path}", usual)
            if isinstance(answer, ZlhError):
                raise answer
            return answer

    async def exchange(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> AgentAnswer:
        """Answer as the agent of files does, where there is one, else whatever the test says."""
        if self.files is None:
            return AgentAnswer(200, {}, await self.call(agent, method, path, body=body, timeout_s=timeout_s))
        client, address = self.files
        return await client.exchange(
            address, method, path, body=body, headers=headers, timeout_s=timeout_s, max_bytes=max_bytes
        )

    @asynccontextmanager
    async def open_transfer(
        self,
        agent: AgentAddress,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: AsyncIterator[Bytes] | None = None,
        also: Collection[int] = (),
    ) -> AsyncIterator[Transfer]:
        """Lend a transfer with the agent of files, where there is one."""
        if self.files is None:
            raise AgentUnreachable("it has no files")
        client, address = self.files
        async with client.open_transfer(address, method, path, headers=headers, body=body, also=also) as transfer:
            yield transfer

    @asynccontextmanager
    async def open_socket(
        self,
        agent: AgentAddress,
        path: str,
        *,
        query: dict[str, str] | None = None,
        subprotocol: str | None = None,
        has_heartbeat: bool = False,
    ) -> AsyncIterator[ClientConnection]:
        """Have no console to offer."""
        self.calls.append(("WS", path))
        raise AgentUnreachable("it has no consoles")
        yield  # what makes it a generator

    async def note_online(self, owner: OwnerMark) -> None:
        """Write what the link would when the agent reports."""
        report = msgspec.json.decode(encode(self.report(owner)))
        async with self.database.connection() as connection:
            await connection.execute(
                "update containers set connection = 'online', agent_status = $2, observed_at = now(), "
                "wake_at = least(wake_at, now()) where owner = $1",
                UUID(owner),
                report,
            )

    async def note_offline(self, owner: OwnerMark) -> None:
        """Write what the link would when the agent falls silent."""
        async with self.database.connection() as connection:
            await connection.execute(
                "update containers set connection = 'offline', wake_at = least(wake_at, now()) where owner = $1",
                UUID(owner),
            )

    def _take_identity(self, body: bytes) -> bytes:
        """Answer as an agent does that shows this identity from now on."""
        wish = decode(body, RenewIdentity)
        self.identities.append(wish)
        certificate = load_pem_x509_certificate(wish.certificate.encode())
        told = self.client_cas if wish.client_ca is None else wish.client_ca.count("BEGIN CERTIFICATE")
        return encode(IdentityTaken(expires_at=certificate.not_valid_after_utc, client_cas=told))


def _installed(wanted: WantedRuntime) -> InstalledRuntime:
    return InstalledRuntime(
        name=wanted.name,
        version=wanted.version,
        default=wanted.default,
        previous=wanted.previous,
        verified=True,
        size=1,
        sha256="0" * 64,
        source="node.tar.xz",
        installed_at=datetime.now(UTC),
    )
