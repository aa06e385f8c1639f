"""How each step is taken. Every method is idempotent: it will be called again after a crash at any line."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path

import asyncpg
import structlog

from zlh_api.agents.addon_door import AddonDoor, HttpAddonDoor
from zlh_api.agents.authority import Authority, Grant
from zlh_api.agents.client import AgentAddress, AgentClient, AgentNonsense, AgentRefused, decode_report
from zlh_api.containers import store as containers
from zlh_api.containers.addon_rules import AddonNotOpen, describe_absence, find_run, own_hosts
from zlh_api.containers.model import Container
from zlh_api.containers.refusals import AgentTooOld
from zlh_api.containers.rules import seconds_to_resize
from zlh_api.containers.wanted_records import want_records
from zlh_api.cuts import store as cuts
from zlh_api.database.pool import Database
from zlh_api.dns.rules import Kept, Wanted, digest_all, find_stale, parse_kept, render_kept
from zlh_api.dns.service import DnsService
from zlh_api.drivers.port import ContainerDriver, GuestPlan, Identity, SystemAway
from zlh_api.edge.model import GamePort, ProxySetting, RouteFile, RouteWish, expose
from zlh_api.edge.port import Proxy, RouteDirectory
from zlh_api.edge.traefik_file import file_name, parse_mark, render_route_file
from zlh_api.edge.traefik_games import game_router
from zlh_api.edge.traefik_http import router_names
from zlh_api.games import store as games
from zlh_api.games.model import GamePool
from zlh_api.games.port_rules import find_missing, find_ping, wanted_ports
from zlh_api.games.server_rules import ServerNotReady, describe_server_absence, is_agent_too_old
from zlh_api.history import hand_edits
from zlh_api.reconcile import journal, store
from zlh_api.reconcile.addresses import candidate_addresses
from zlh_api.reconcile.identity_rules import Lack, find_lacks, knows_trust
from zlh_api.reconcile.model import LeaseLost, PutIdentity
from zlh_api.reconcile.plan import Do, Records, Route
from zlh_api.reconcile.spec import known_protocol, render_spec
from zlh_api.reconcile.warrant import StepWarrant
from zlh_common.addons import ADDON_PORTS, CODE_SERVER
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.names import HostName, OwnerMark, render_host
from zlh_common.schema.identity import IdentityTaken, RenewIdentity
from zlh_common.schema.structs import encode

log = structlog.get_logger()

# How long an address rests before another container may have it.
REST_S = 60.0
# How many addresses are tried at a time.
CANDIDATES = 64
# How many the database is asked of at once, where those before were taken.
MOST_AT_ONCE = 16_384
# How soon a stop in order, which may take minutes, gives way to one at once.
IMPATIENCE_POLL_S = 0.5
# Stands in the place of a digest from the intent to withdraw a route until the proxy has let go of it.
WITHDRAWING = "withdrawing"


class NoAddressFree(ZlhError):
    """Every address of the block is taken or resting."""

    code, status, retryable = "no_address_free", 503, True

    def __init__(self, block: str) -> None:
        super().__init__(f"No address of {block} is free; delete containers or configure a larger block.", block=block)


class NoGamePortFree(ZlhError):
    """Every port that the proxy has for game servers is taken."""

    code, status, retryable = "no_game_port_free", 503, True

    def __init__(self, protocol: str, pool: range) -> None:
        super().__init__(
            f"No {protocol} port from {pool.start} to {pool.stop - 1} is free for this game server; delete another "
            "one, or have an operator make `[traefik.games]` larger.",
            protocol=protocol,
        )


class IdentityOutdated(ZlhError):
    """The CAs have changed since the guest was given its keys."""

    code, status, retryable = "identity_outdated", 503, True

    def __init__(self) -> None:
        super().__init__("The CAs have changed since the guest was given its keys; it gets others before it starts.")


@dataclass(frozen=True, slots=True)
class Ports:
    """What the steps act through."""

    database: Database
    driver: ContainerDriver
    authority: Authority
    agents: AgentClient
    routes: RouteDirectory
    proxy: Proxy
    clock: Clock
    dns: DnsService = field(default_factory=DnsService)
    addons: AddonDoor = field(default_factory=HttpAddonDoor)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the steps need to know of this installation."""

    address_block: str
    # Tells this installation's addresses from another's on the same machine.
    installation: str
    agent_port: int
    trusted_root: Path
    proxy: ProxySetting
    # How browsers name a host, with the port where they do.
    browser_host: Callable[[HostName], str]
    # Where code-server listens in its container.
    addon_port: int = ADDON_PORTS[CODE_SERVER]
    # The ports that the proxy has for game servers.
    game_pool: GamePool = field(default_factory=GamePool)


class Steps:
    """Takes one step of one claimed container."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._settings = settings
        self._taken_by: dict[Do, Callable[[StepWarrant, Container], Awaitable[None]]] = {
            Do.RESERVE_ADDRESS: self._reserve_address,
            Do.RESERVE_PORTS: self._reserve_ports,
            Do.CREATE_GUEST: self._create_guest,
            Do.CLOSE_NETWORK: self._close_network,
            Do.RESIZE_GUEST: self._resize_guest,
            Do.PUT_IDENTITY: self._put_identity,
            Do.START_GUEST: self._start_guest,
            Do.SEND_SPEC: self._send_spec,
            Do.RENEW_IDENTITY: self._renew_identity,
            Do.PUBLISH_ROUTE: self._publish_route,
            Do.CONFIRM_ROUTE: self._confirm_route,
            Do.OPEN_CODE_SERVER: self._open_code_server,
            Do.PUBLISH_RECORDS: self._publish_records,
            Do.ANSWER_DNS: self._answer_dns,
            Do.CHECK_READY: self._check_ready,
            Do.STOP_GUEST: self._stop_guest,
            Do.WITHDRAW_ROUTE: self._withdraw_route,
            Do.DESTROY_GUEST: self._destroy_guest,
            Do.WITHDRAW_RECORDS: self._withdraw_records,
            Do.RELEASE_ADDRESS: self._release_address,
            Do.FORGET: self._forget,
        }

    async def take(self, step: Do, warrant: StepWarrant, container: Container) -> None:
        """Take the step; raise a ZlhError that says why not."""
        warrant.check()
        await self._taken_by[step](warrant, container)

    def route_file(self, container: Container) -> RouteFile:
        """Return the file that the proxy should have for a container with an address."""
        assert container.address is not None
        wish = RouteWish(
            owner=container.owner,
            host=container.host,
            address=container.address,
            exposed=tuple(expose(entry.port, entry.visibility, entry.kind) for entry in container.exposures),
            games=_lead_games(container),
        )
        return render_route_file(wish, self._settings.proxy)

    def has_ports(self, container: Container) -> bool:
        """Tell whether each port of a game server that needs one of the proxy's has one."""
        if container.game is None:
            return True
        return not find_missing(wanted_ports(container.game.definition, self._settings.game_pool), container.game_ports)

    async def observe_route(self, container: Container) -> Route:
        """Return how far the container's file is."""
        present = await self._ports.routes.fetch(file_name(container.host))
        if container.is_deleting or container.address is None:
            # The proxy may go on using a file that is gone; it has let go only when the row says so.
            is_ours = present is not None and parse_mark(present) == container.owner
            return Route.STALE if is_ours or container.route_confirmed else Route.ABSENT
        if present is None:
            return Route.ABSENT
        wanted = self.route_file(container)
        if present != wanted.text:
            return Route.STALE
        return Route.CONFIRMED if container.route_confirmed == wanted.digest else Route.WRITTEN

    def observe_records(self, container: Container) -> Records:
        """Return how far the container's records are, by what we have written and seen; the patrol looks at them."""
        kept = parse_kept(container.records_written)
        if container.is_deleting:
            return Records.STALE if self._find_left(kept) else Records.SETTLED
        wanted = self._want_records(container)
        if find_stale(kept, wanted):
            return Records.STALE
        is_answered = not wanted or container.records_answered == digest_all(wanted)
        return Records.SETTLED if is_answered else Records.WRITTEN

    def origins(self, container: Container) -> tuple[str, ...]:
        """Return of whose pages the container's addons take requests."""
        return tuple(self._settings.browser_host(host) for host in own_hosts(container))

    def seconds_to_resize(self, container: Container) -> float:
        """Return how long refused limits are left alone by now."""
        return seconds_to_resize(container, now=self._ports.clock.now())

    def find_lacks(self, container: Container) -> frozenset[Lack]:
        """Return what the identity of the container's agent lacks."""
        return find_lacks(container, self._ports.authority.standing, now=self._ports.clock.now())

    async def _reserve_address(self, warrant: StepWarrant, container: Container) -> None:
        settings = self._settings
        start = int.from_bytes(hashlib.sha256(settings.installation.encode()).digest()[:4], "big") + container.vmid
        # After a failure, past those that were tried: strangers may hold any number of them.
        start += container.attempts * CANDIDATES
        for address in await self._find_free_addresses(start):
            if not await self._ports.driver.is_address_free(address):
                continue
            try:
                async with self._ports.database.transaction() as connection:
                    await store.save_address(connection, warrant.claim, address)
            except asyncpg.UniqueViolationError:
                # Another worker was faster; the next address is as good.
                continue
            return
        raise NoAddressFree(settings.address_block)

    async def _find_free_addresses(self, start: int) -> list[str]:
        """Return addresses that no container has, as many as are tried; the database is asked of few at first."""
        block = self._settings.address_block
        every = candidate_addresses(block, start=start, unusable=(), limit=IPv4Network(block).num_addresses)
        free: list[str] = []
        count = CANDIDATES
        while len(free) < CANDIDATES and (some := list(islice(every, count))):
            async with self._ports.database.connection() as connection:
                unusable = await store.fetch_unusable_addresses(connection, some)
            free += [address for address in some if address not in unusable]
            count = min(4 * count, MOST_AT_ONCE)
        return free[:CANDIDATES]

    async def _reserve_ports(self, warrant: StepWarrant, container: Container) -> None:
        assert container.game is not None
        pool = self._settings.game_pool
        for port in find_missing(wanted_ports(container.game.definition, pool), container.game_ports):
            async with self._ports.database.transaction() as connection:
                await store.fenced(connection, warrant.claim)
                if not await games.hold_port(connection, container.owner, port, pool.of(port.protocol)):
                    raise NoGamePortFree(port.protocol, pool.of(port.protocol))

    async def _create_guest(self, warrant: StepWarrant, container: Container) -> None:
        # A new guest holds no keys, whatever an earlier one of this container held.
        async with self._ports.database.connection() as connection:
            await store.forget_identity(connection, warrant.claim)
        await self._ports.driver.ensure_created(plan_guest(container), warrant)

    async def _close_network(self, warrant: StepWarrant, container: Container) -> None:
        await self._ports.driver.ensure_closed(plan_guest(container), warrant)

    async def _resize_guest(self, warrant: StepWarrant, container: Container) -> None:
        await self._ports.driver.ensure_sized(plan_guest(container), warrant)

    async def _put_identity(self, warrant: StepWarrant, container: Container) -> None:
        ports = self._ports
        grant = await self._want_identity(warrant, container)
        trusted_root = await asyncio.to_thread(self._settings.trusted_root.read_bytes)
        identity = Identity(
            certificate=grant.issued.certificate,
            private_key=grant.issued.private_key,
            client_ca=grant.client_ca,
            trusted_root=trusted_root,
        )
        await ports.driver.ensure_identity(plan_guest(container), identity, warrant)
        await self._keep_identity(warrant, container, grant, is_trust_known=True)

    async def _want_identity(self, warrant: StepWarrant, container: Container) -> Grant:
        """Make an identity and write down that it is on its way; whatever becomes of it, it is accepted."""
        grant = self._ports.authority.grant(container.owner, after=container.identity.issued_until)
        async with self._ports.database.connection() as connection:
            await store.want_identity(connection, warrant.claim, grant.issued.sha256, grant.issued.expires_at)
        return grant

    async def _keep_identity(
        self, warrant: StepWarrant, container: Container, grant: Grant, *, is_trust_known: bool
    ) -> None:
        """Write down that an identity has arrived."""
        put = PutIdentity(
            grant.issued.expires_at,
            grant.issued.sha256,
            grant.generation,
            grant.trusts if is_trust_known else None,
            done=container.identity.asked,
        )
        async with self._ports.database.connection() as connection:
            await store.save_identity(connection, warrant.claim, put)

    async def _start_guest(self, warrant: StepWarrant, container: Container) -> None:
        # Written before the start: a crash in between costs no second restart.
        async with self._ports.database.transaction() as connection:
            if not await store.may_start(connection, warrant.claim):
                raise IdentityOutdated
            await store.clear_faults(connection, warrant.claim)
            await store.save_restart_done(connection, warrant.claim, container.restart_wanted)
        await self._ports.driver.ensure_started(plan_guest(container), warrant)

    async def _renew_identity(self, warrant: StepWarrant, container: Container) -> None:
        """Give the running agent another identity. One that was given and not written down is good all the same."""
        takes_trust = knows_trust(container)
        grant = await self._want_identity(warrant, container)
        issued = grant.issued
        wish = RenewIdentity(
            certificate=issued.certificate.decode(),
            private_key=issued.private_key.decode(),
            client_ca=grant.client_ca.decode() if takes_trust else None,
        )
        warrant.check()
        try:
            answer = await self._ports.agents.call(self._dial(container), "POST", "/identity", body=encode(wish))
        except AgentRefused:
            async with self._ports.database.connection() as connection:
                await store.unwant_identity(connection, warrant.claim, issued.sha256)
            raise
        taken = decode_report(answer, IdentityTaken)
        if taken.expires_at != issued.expires_at:
            raise AgentNonsense("it shows another identity than the one that it was given")
        first, last = grant.trusts
        if takes_trust and taken.client_cas != last - first + 1:
            raise AgentNonsense("it believes others than those that it was told to")
        await self._keep_identity(warrant, container, grant, is_trust_known=takes_trust)

    def _dial(self, container: Container) -> AgentAddress:
        assert container.address is not None
        return AgentAddress(container.owner, container.address, self._settings.agent_port)

    async def _send_spec(self, warrant: StepWarrant, container: Container) -> None:
        agent = self._dial(container)
        if is_agent_too_old(container):
            raise AgentTooOld("run game servers")
        protocol, origins = known_protocol(container), self.origins(container)
        spec = render_spec(container, protocol, origins)
        report = await self._ports.agents.put_spec(agent, spec)
        if report.owner != container.owner:
            raise AgentNonsense("it speaks for another container")
        if report.spec_generation < spec.generation:
            raise AgentNonsense(f"it took generation {spec.generation} and holds {report.spec_generation}")
        # Kept at once: the link may bring it later, and until then the spec would be sent over and over.
        try:
            async with self._ports.database.connection() as connection:
                await store.save_report(connection, warrant.claim, report, protocol=protocol, origins=origins)
        except asyncpg.DataError as exc:
            raise AgentNonsense("its report holds what no text may hold") from exc

    async def _publish_route(self, warrant: StepWarrant, container: Container) -> None:
        file = self.route_file(container)
        if container.route_confirmed == file.digest:
            await self._note_edit(warrant, file)
        await self._ports.routes.publish(file, check=warrant.check)

    async def _note_edit(self, warrant: StepWarrant, file: RouteFile) -> None:
        """Write down that a file which the proxy uses is not what was written, before it is: else it would be lost.

        Whoever came in by what stood there is cut off; one that is gone has let nobody in.
        """
        owner, present = warrant.claim.owner, await self._ports.routes.fetch(file.name)
        if present == file.text:
            return
        async with self._ports.database.transaction() as connection:
            await store.doubt_route(connection, warrant.claim, file.digest)
            await hand_edits.tell_route_edited(connection, owner, file.name, is_there=present is not None)
            if present is not None:
                await cuts.wish_guarded(connection, owner)

    async def _confirm_route(self, warrant: StepWarrant, container: Container) -> None:
        file = self.route_file(container)
        await self._ports.proxy.wait_loaded(file)
        async with self._ports.database.connection() as connection:
            await store.save_route(connection, warrant.claim, file.digest)
            await cuts.note_route(connection, container.owner, container.row_version)

    async def _open_code_server(self, warrant: StepWarrant, container: Container) -> None:
        """Ask whether it opens, and write down of which run that is true; no row is held meanwhile."""
        run = find_run(container, CODE_SERVER)
        if run is None:
            raise AddonNotOpen(CODE_SERVER, describe_absence(container, CODE_SERVER) or "it does not run")
        assert container.address is not None
        await self._ports.addons.check_open(CODE_SERVER, container.address, self._settings.addon_port)
        async with self._ports.database.connection() as connection:
            generation = container.spec_generation
            await store.save_opened(connection, warrant.claim, CODE_SERVER, run, generation=generation)

    def _want_records(self, container: Container) -> Wanted:
        return want_records(self._ports.dns, container)

    def _find_left(self, kept: Kept) -> list[str]:
        """Return the providers at which something may be left; those that are configured no more cannot be asked."""
        names = [provider.setting.name for provider in self._ports.dns.providers]
        return [name for name in names if name in kept.written]

    async def _publish_records(self, warrant: StepWarrant, container: Container) -> None:
        dns, kept = self._ports.dns, parse_kept(container.records_written)
        stale = find_stale(kept, self._want_records(container))
        # Where a record may be is written down before it is there, and found again whoever dies in between.
        kept = kept.with_intent(stale)
        await self._save_records(warrant, kept)
        whose = {name: dns.know(container.owner, container.host, kept.at(name).names) for name in stale}
        calls = {name: dns.write(name, whose[name], records, warrant.check) for name, records in stale.items()}
        done, error = await _settle_all(calls)
        await self._save_records(warrant, kept.with_written({name: stale[name] for name in done}))
        if error is not None:
            raise error

    async def _answer_dns(self, warrant: StepWarrant, container: Container) -> None:
        dns, wanted = self._ports.dns, self._want_records(container)
        names = {record.name for records in wanted.values() for record in records}
        await dns.wait_answered(dns.know(container.owner, container.host, names), wanted)
        async with self._ports.database.connection() as connection:
            await store.save_answered(connection, warrant.claim, digest_all(wanted))

    async def _withdraw_records(self, warrant: StepWarrant, container: Container) -> None:
        dns, kept = self._ports.dns, parse_kept(container.records_written)
        calls = {
            name: dns.withdraw(name, dns.know(container.owner, container.host, kept.at(name).names), warrant.check)
            for name in self._find_left(kept)
        }
        done, error = await _settle_all(calls)
        await self._save_records(warrant, kept.without(done))
        if error is not None:
            raise error

    async def _save_records(self, warrant: StepWarrant, kept: Kept) -> None:
        async with self._ports.database.connection() as connection:
            await store.save_records(connection, warrant.claim, render_kept(kept))

    async def _check_ready(self, warrant: StepWarrant, container: Container) -> None:
        host = render_host(container.host, self._settings.proxy.domain)
        if reason := describe_server_absence(container):
            raise ServerNotReady(reason)
        await self._ports.proxy.check_ready(host, container.vmid)
        ping = find_ping(container.game.definition, container.game_ports) if container.game else None
        if ping is not None:
            await self._ports.proxy.check_game(host, ping.public_port)
        async with self._ports.database.connection() as connection:
            await store.save_proved(connection, warrant.claim)

    async def _stop_guest(self, warrant: StepWarrant, container: Container) -> None:
        """Stop the guest in order, until somebody wants it at once."""
        driver, plan = self._ports.driver, plan_guest(container)
        # What is about to be deleted has nothing to save, and what is open to everybody has no time for it.
        if not (container.is_deleting or container.is_stopped_at_once or has_closing_failed(container)):
            if await self._stop_in_order(warrant, plan):
                return
            log.info("guest.stop_cut_short", vmid=container.vmid)
        await driver.ensure_stopped(plan, warrant, at_once=True)

    async def _stop_in_order(self, warrant: StepWarrant, plan: GuestPlan) -> bool:
        """Stop the guest in order; give that up and return False once nobody waits for it any more."""
        stopping = asyncio.create_task(self._ports.driver.ensure_stopped(plan, warrant))
        try:
            while not stopping.done():
                await asyncio.wait({stopping}, timeout=IMPATIENCE_POLL_S)
                if not stopping.done() and await self._is_impatient(plan.owner):
                    return False
            await stopping
        finally:
            stopping.cancel()
            await asyncio.wait({stopping})
        return True

    async def _is_impatient(self, owner: OwnerMark) -> bool:
        async with self._ports.database.connection() as connection:
            return await containers.must_stop_at_once(connection, owner)

    async def _destroy_guest(self, warrant: StepWarrant, container: Container) -> None:
        await self._ports.driver.ensure_destroyed(plan_guest(container), warrant)

    async def _withdraw_route(self, warrant: StepWarrant, container: Container) -> None:
        ports = self._ports
        async with ports.database.connection() as connection:
            await store.save_route(connection, warrant.claim, WITHDRAWING)
        await ports.routes.withdraw(file_name(container.host), container.owner, check=warrant.check)
        exposed = (exposure.port for exposure in container.exposures)
        led = tuple((game.protocol, game_router(container.host, game)) for game in _lead_games(container))
        await ports.proxy.wait_unloaded(router_names(container.host, exposed), led)
        async with ports.database.connection() as connection:
            await store.save_route(connection, warrant.claim, None)

    async def _release_address(self, warrant: StepWarrant, _container: Container) -> None:
        async with self._ports.database.transaction() as connection:
            await store.rest_address(connection, warrant.claim, rest_s=REST_S)

    async def _forget(self, warrant: StepWarrant, container: Container) -> None:
        asked = {provider.setting.name for provider in self._ports.dns.providers}
        written = parse_kept(container.records_written).written
        left = {name: each.names for name, each in written.items() if name not in asked and each.names}
        async with self._ports.database.transaction() as connection:
            await journal.journal_forgotten(connection, warrant.claim)
            await store.delete_container(connection, warrant.claim, left)


def _lead_games(container: Container) -> tuple[GamePort, ...]:
    """Return which ports of the proxy lead to the container's game server."""
    return tuple(GamePort(held.protocol, held.public_port, held.port) for held in container.game_ports)


def has_closing_failed(container: Container) -> bool:
    """Tell whether the last try to close the guest's network has failed or had to wait."""
    return any(step.name == Do.CLOSE_NETWORK and step.code for step in container.steps)


def has_publishing_failed(container: Container) -> bool:
    """Tell whether the last try to write its route has failed or had to wait."""
    return any(step.name == Do.PUBLISH_ROUTE and step.code for step in container.steps)


def has_renewal_failed(container: Container) -> bool:
    """Tell whether the last try to give its agent another identity has failed."""
    return any(step.name == Do.RENEW_IDENTITY and step.code for step in container.steps)


async def _settle_all(calls: Mapping[str, Awaitable[None]]) -> tuple[list[str], BaseException | None]:
    """Make all calls at once; return the names of those that went well, and what is the most to tell of the others."""
    ended = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
    done = [name for name, error in ended.items() if error is None]
    errors = [error for error in ended.values() if error is not None]
    return done, min(errors, key=_rank, default=None)


def _rank(error: BaseException) -> int:
    """What needs a person is told before what time mends; a lost lease, and what nobody foresaw, before both."""
    if isinstance(error, LeaseLost) or not isinstance(error, ZlhError):
        return 0
    return 2 if isinstance(error, SystemAway) else 1


def plan_guest(container: Container) -> GuestPlan:
    """Return how the container's guest should be."""
    return GuestPlan(
        owner=container.owner,
        vmid=container.vmid,
        kind=container.kind,
        address=container.address,
        resources=container.resources,
        notes=container.driver_notes,
    )
