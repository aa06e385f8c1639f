"""What a caller can want of containers. Nothing here makes anything happen: it writes wishes, the reconciler acts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import msgspec

from zlh_api.catalog.service import CatalogService
from zlh_api.containers import store
from zlh_api.containers.addon_choice import choose_first_addons, switch_code_server
from zlh_api.containers.addon_rules import AddonNeedsDev, addon_hosts, names_of
from zlh_api.containers.addon_wishes import publish_addons, write_addons
from zlh_api.containers.game_choice import Agreement, choose_first_game, try_game
from zlh_api.containers.model import Container, Power, RuntimeWish
from zlh_api.containers.refusals import (
    BeingDeleted,
    CannotInstall,
    NameReserved,
    NameTaken,
    NoCustomer,
    RuntimeMissing,
)
from zlh_api.containers.rendered import RenderedReports
from zlh_api.containers.rules import decide_first_resources, decide_resources
from zlh_api.containers.status import render_status
from zlh_api.containers.workspace_rules import decide_first_workspace, decide_retry, decide_workspace
from zlh_api.customers.model import Caller
from zlh_api.customers.refusals import CustomerSuspended
from zlh_api.customers.service import CustomerService
from zlh_api.database.pool import Connection, Database
from zlh_api.games.model import GamePool, GameWish
from zlh_api.games.port_rules import count_public_ports, wanted_ports
from zlh_api.games.refusals import FieldsOfOtherKind, NotAGame
from zlh_api.quotas.rules import Usage
from zlh_api.quotas.service import QuotaService
from zlh_api.quotas.store import Held
from zlh_api.reconcile.plan import GameSteps, first_steps, last_steps
from zlh_common.addons import CODE_SERVER
from zlh_common.errors import NotFound
from zlh_common.names import HostName, OwnerMark, Vmid, is_label, render_host
from zlh_common.schema.permissions import Permission
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.resources import Limits, Resources
from zlh_common.schema.spec import CreateContainer, PatchContainer, WantedRuntime
from zlh_common.schema.status import ContainerStatus, StepState
from zlh_common.schema.structs import encode

PAGE_LIMIT = 200
# What a port is kept for where the container's agent listens.
AGENT = "the container's agent"


@dataclass(frozen=True, slots=True)
class Hosting:
    """How container hosts look from outside: their domain, and the scheme and port in front of it."""

    domain: str
    scheme: str
    port: int
    # Whether a container's names get records at DNS providers.
    has_dns: bool = False
    # Whether DNS tells the public ports of game servers whose players' programs ask for them.
    has_services: bool = False
    # Of containers, what belongs to the platform, and to what of it: where their agents and addons listen.
    reserved_ports: Mapping[int, str] = field(default_factory=dict)
    # The ports that the proxy has for game servers.
    game_pool: GamePool = field(default_factory=GamePool)

    def url(self, host: HostName) -> str:
        """Return where a host opens in a browser."""
        return f"{self.scheme}://{self.browser_host(host)}/"

    def browser_host(self, host: HostName) -> str:
        """Return a host as browsers name it: with the port, where that is not the usual one."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return render_host(host, self.domain) + ("" if self.port == usual else f":{self.port}")


class ContainerService:
    """Reads and writes wishes about containers."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogService,
        hosting: Hosting,
        *,
        limits: Limits,
        customers: CustomerService,
        quotas: QuotaService,
    ) -> None:
        self._database = database
        self._customers = customers
        self._quotas = quotas
        self._catalog = catalog
        self._hosting = hosting
        self.limits = limits
        self._rendered = RenderedReports()

    async def find_visible(self, caller: Caller, vmid: Vmid) -> Container:
        """Return a container that the caller may know of; raise NotFound for a foreign one as for a missing one."""
        async with self._database.connection() as connection:
            container = await store.find_by_vmid(connection, vmid)
        if container is None or not caller.may_know(container.customer_id):
            raise NotFound("container")
        return container

    async def find(self, vmid: Vmid) -> Container:
        """Return a container, whoever asks; raise NotFound."""
        async with self._database.connection() as connection:
            container = await store.find_by_vmid(connection, vmid)
        if container is None:
            raise NotFound("container")
        return container

    async def fetch_page(
        self, caller: Caller, *, after: int, limit: int, customer: UUID | None = None
    ) -> tuple[list[msgspec.Raw], str | None]:
        """Return one page of reports that the caller may see, as JSON, and what to ask for the next.

        Of one customer's alone where that is named; NotFound is raised for a foreign one as for a missing one.
        """
        limit = max(1, min(limit, PAGE_LIMIT))
        customers = None if caller.is_operator else [entry.customer_id for entry in caller.memberships]
        if customer is not None:
            await self._customers.find_visible(caller, customer)
            customers = [customer]
        async with self._database.connection() as connection:
            rows = await store.fetch_page(connection, customers=customers, after=after, limit=limit + 1)
            reports = await self._fetch_reports(connection, [(owner, version) for owner, _, version in rows[:limit]])
        more = str(rows[limit - 1][1]) if len(rows) > limit else None
        return [msgspec.Raw(report) for report in reports], more

    async def fetch_report(self, vmid: Vmid) -> tuple[UUID, bytes]:
        """Return whose a container is and its report as JSON, whoever asks; raise NotFound."""
        async with self._database.connection() as connection:
            found = await store.find_version(connection, vmid)
            if found is None:
                raise NotFound("container")
            customer, owner, version = found
            reports = await self._fetch_reports(connection, [(owner, version)])
        if not reports:
            raise NotFound("container")
        return customer, reports[0]

    async def _fetch_reports(self, connection: Connection, wanted: Sequence[tuple[OwnerMark, int]]) -> list[bytes]:
        """Return reports in this order as JSON, of these versions or later ones; those that are gone are left out."""
        found = {owner: self._rendered.find(owner, version) for owner, version in wanted}
        if missing := [owner for owner, report in found.items() if report is None]:
            for container in await store.find_by_owners(connection, missing):
                report = found[container.owner] = encode(self.report(container))
                self._rendered.keep(container.owner, container.version, report)
        return [report for report in found.values() if report is not None]

    def report(self, container: Container) -> ContainerStatus:
        """Return the report of a container."""
        hosting = self._hosting
        urls = {name: hosting.url(host) for name, host in addon_hosts(container).items()}
        return render_status(
            container,
            domain=hosting.domain,
            url=hosting.url(container.host),
            addon_urls=urls,
            has_services=hosting.has_services,
        )

    async def choose_customer(self, caller: Caller, named: str | None) -> UUID:
        """Return for whom the caller creates a container; raise NoCustomer, CustomerSuspended, NotFound."""
        chosen = _customer_of(caller, named)
        if named is not None:
            # An operator may name any customer, and also one that there is not.
            await self._customers.find_visible(caller, chosen)
        return chosen

    async def create(
        self, customer_id: UUID, wish: CreateContainer, *, created_by: UUID | None = None
    ) -> ContainerStatus:
        """Write the wish of a user for a new container of a customer that they may act for."""
        _check_name(wish.name)
        _check_kind(wish)
        workspace = decide_first_workspace(wish)
        await self._catalog.catch_up()
        resources = decide_first_resources(wish.resources, self.limits)
        runtimes, game = self._choose(wish, resources, created_by)
        addons = choose_first_addons(self._catalog, wish)
        async with self._database.transaction() as connection:
            held = await self._quotas.hold_active(connection, customer_id)
            await self._quotas.ensure_room(connection, held, _use_of(resources, game))
            owner = OwnerMark(str(uuid4()))
            try:
                await store.insert_container(
                    connection,
                    owner=owner,
                    customer_id=customer_id,
                    kind=wish.kind,
                    name=wish.name,
                    runtimes=runtimes,
                    addons=addons,
                    resources=resources,
                    workspace=workspace,
                    game=game,
                )
            except asyncpg.UniqueViolationError as exc:
                raise NameTaken(wish.name or "") from exc
            await store.insert_steps(connection, owner, self._first_steps(game, has_addons=bool(addons)))
            await publish_addons(connection, owner, names_of(addons), enabled_by=created_by)
            created = await store.find_by_owner(connection, owner)
        assert created is not None
        return self.report(created)

    def _first_steps(self, game: GameWish | None, *, has_addons: bool) -> list[tuple[str, StepState]]:
        steps = None
        if game is not None:
            steps = GameSteps(has_ports=bool(wanted_ports(game.definition, self._hosting.game_pool)))
        return first_steps(has_dns=self._hosting.has_dns, has_addons=has_addons, game=steps)

    def _choose(
        self, wish: CreateContainer, resources: Resources, created_by: UUID | None
    ) -> tuple[tuple[WantedRuntime, ...], GameWish | None]:
        if wish.kind == "game":
            agreement = Agreement(wish.accept_eula, created_by, datetime.now(UTC))
            chosen = choose_first_game(self._catalog, wish, memory_mib=resources.memory_mib, agreement=agreement)
            return chosen.runtimes or (), chosen.wish
        if wish.runtime is None:
            raise RuntimeMissing
        answer = self._catalog.validate(wish.runtime, wish.version)
        if not answer.ok or answer.version is None:
            raise CannotInstall(answer.problems)
        return (WantedRuntime(name=wish.runtime, version=answer.version),), None

    async def patch(
        self, container: Container, wish: PatchContainer, *, changed_by: UUID | None = None
    ) -> ContainerStatus:
        """Write what a user names in `wish`: all of it, or nothing where any of it cannot be."""
        _check_name(wish.name)
        if wish.enable_code_server:
            await self._catalog.catch_up()
        async with self.adding(container) as (connection, held):
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            if wish.resources is not None:
                resources = decide_resources(wish.resources, current, self.limits)
                await self._quotas.ensure_room(connection, held, _growth(current.resources, resources))
                if current.game is not None:
                    try_game(current.game, resources.memory_mib)
                await store.update_resources(connection, current.owner, resources)
            workspace = decide_workspace(current.kind, current.workspace, wish)
            if workspace != current.workspace:
                await store.update_workspace(connection, current.owner, workspace)
            if wish.enable_code_server is not None:
                addons = switch_code_server(self._catalog, current, is_wanted=wish.enable_code_server)
                await write_addons(connection, current, addons, enabled_by=changed_by)
            if wish.power is not None and wish.power != current.power.value:
                await store.update_power(connection, current.owner, Power(wish.power))
            if wish.name is not None:
                try:
                    await store.update_name(connection, current.owner, wish.name)
                except asyncpg.UniqueViolationError as exc:
                    raise NameTaken(wish.name) from exc
            return await self._read(connection, current)

    async def set_power(self, container: Container, power: Power) -> ContainerStatus:
        """Write whether the guest should run."""
        async with self._changing(container) as connection:
            await store.update_power(connection, container.owner, power)
            return await self._read(connection, container)

    async def restart(self, container: Container) -> ContainerStatus:
        """Write that the guest should go down and come up once."""
        async with self._changing(container) as connection:
            await store.ask_restart(connection, container.owner)
            return await self._read(connection, container)

    async def kill(self, container: Container) -> ContainerStatus:
        """Write that the guest should be off now, whatever runs in it."""
        async with self._changing(container) as connection:
            await store.ask_kill(connection, container.owner)
            return await self._read(connection, container)

    async def retry_workspace(self, container: Container) -> ContainerStatus:
        """Write that a failed clone is tried again and the start script run once more; raise WorkspaceHasNothing."""
        async with self._changing(container) as connection:
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            await store.update_workspace(connection, current.owner, decide_retry(current.workspace))
            return await self._read(connection, current)

    async def renew_identity(self, container: Container) -> ContainerStatus:
        """Write that its agent must have another identity now, which ends the one before."""
        async with self._changing(container) as connection:
            await store.ask_identity(connection, container.owner)
            return await self._read(connection, container)

    async def change_processes(
        self, container: Container, change: Callable[[tuple[WantedProcess, ...]], tuple[WantedProcess, ...]]
    ) -> Container:
        """Write what `change` makes of the processes as they are now; return the container as it is then."""
        async with self._changing(container) as connection:
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            processes = change(current.processes)
            if processes == current.processes:
                return current
            await store.update_processes(connection, container.owner, processes)
            changed = await store.find_by_owner(connection, container.owner)
        assert changed is not None
        return changed

    async def change_runtimes(
        self, container: Container, change: Callable[[Container], tuple[RuntimeWish, ...]]
    ) -> Container:
        """Write which runtimes `change` makes of the container as it is now; return the container as it is then."""
        async with self._changing(container) as connection:
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            runtimes = change(current)
            if runtimes == current.runtimes:
                return current
            is_new_spec = [wish.order() for wish in runtimes] != [wish.order() for wish in current.runtimes]
            await store.update_runtimes(connection, container.owner, runtimes, is_new_spec=is_new_spec)
            changed = await store.find_by_owner(connection, container.owner)
        assert changed is not None
        return changed

    async def change_addons(
        self, container: Container, change: Callable[[Container], tuple[RuntimeWish, ...]], *, changed_by: UUID | None
    ) -> Container:
        """Write which addons `change` makes of the container as it is now; return the container as it is then.

        The port of each is published for as long as it is wanted, in the name of the user who has enabled it.
        Raise AddonNeedsDev, AddonNameTaken, AddonPortTaken.
        """
        async with self._changing(container) as connection:
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            if not await write_addons(connection, current, change(current), enabled_by=changed_by):
                return current
            changed = await store.find_by_owner(connection, container.owner)
        assert changed is not None
        return changed

    async def change_game(
        self, container: Container, change: Callable[[Container, GameWish], tuple[GameWish, tuple[RuntimeWish, ...]]]
    ) -> Container:
        """Write what `change` makes of the game server as it is now; return the container as it is then.

        Raise NotAGame, QuotaExceeded where it has more public ports than it may, and whatever `change` refuses.
        """
        async with self.adding(container) as (connection, held):
            current = await store.find_by_owner(connection, container.owner)
            if current is None:
                raise NotFound("container")
            if current.game is None:
                raise NotAGame(current.vmid)
            game, runtimes = change(current, current.game)
            if (game, runtimes) == (current.game, current.runtimes):
                return current
            growth = count_public_ports(game.definition) - count_public_ports(current.game.definition)
            await self._quotas.ensure_room(connection, held, Usage(exposures=growth))
            await store.update_game(connection, container.owner, game, runtimes)
            changed = await store.find_by_owner(connection, container.owner)
        assert changed is not None
        return changed

    async def delete(self, container: Container) -> ContainerStatus:
        """Write that the container must go; asking twice changes nothing."""
        async with self._database.transaction() as connection:
            if await store.mark_deleting(connection, container.owner):
                await store.insert_steps(connection, container.owner, last_steps(has_dns=self._hosting.has_dns))
            return await self._read(connection, container)

    @asynccontextmanager
    async def _changing(self, container: Container) -> AsyncIterator[Connection]:
        """Lend a transaction in which nobody else changes the row; raise NotFound or BeingDeleted."""
        async with self._database.transaction() as connection:
            await _lock(connection, container)
            yield connection

    @asynccontextmanager
    async def adding(self, container: Container) -> AsyncIterator[tuple[Connection, Held]]:
        """Lend a transaction in which nobody else changes the row, or adds to what the customer has.

        Raise NotFound or BeingDeleted."""
        async with self._database.transaction() as connection:
            held = await self._quotas.hold(connection, container.customer_id)
            await _lock(connection, container)
            yield connection, held

    async def _read(self, connection: Connection, container: Container) -> ContainerStatus:
        current = await store.find_by_owner(connection, container.owner)
        if current is None:
            raise NotFound("container")
        return self.report(current)


def _check_name(name: str | None) -> None:
    """Refuse a name that an unnamed container could need."""
    if name is not None and is_label(name.lower()):
        raise NameReserved(name)


def _check_kind(wish: CreateContainer) -> None:
    """Refuse what containers of the other kind have; what else a game container lacks has refusals of its own."""
    if wish.kind == "game":
        if wish.enable_code_server:
            raise AddonNeedsDev(CODE_SERVER)
        strange = {"runtime": wish.runtime is not None}
    else:
        strange = {
            "template": wish.template is not None,
            "variables": bool(wish.variables),
            "acceptEula": wish.accept_eula,
        }
    if fields := tuple(name for name, is_named in strange.items() if is_named):
        raise FieldsOfOtherKind(wish.kind, fields)


def _customer_of(caller: Caller, named: str | None) -> UUID:
    """Return for which customer a container is made: the one that is named, or the first that one may act for.

    One that the caller may not act for is like one that there is none of; nobody looks whether an operator's exists.
    """
    if named is not None:
        return _named_customer(caller, UUID(named))
    acting = caller.customers_with(Permission.CHANGE_CONTAINERS)
    going = [entry.customer_id for entry in caller.memberships if not entry.is_suspended]
    if found := next((customer for customer in acting if customer in going), None):
        return found
    if acting or any(caller.is_held_back(Permission.CHANGE_CONTAINERS, e.customer_id) for e in caller.memberships):
        raise CustomerSuspended
    raise NoCustomer


def _named_customer(caller: Caller, customer: UUID) -> UUID:
    if caller.is_held_back(Permission.CHANGE_CONTAINERS, customer):
        raise CustomerSuspended
    if not caller.may(Permission.CHANGE_CONTAINERS, customer):
        raise NotFound("customer")
    return customer


async def _lock(connection: Connection, container: Container) -> None:
    is_deleting = await store.lock(connection, container.owner)
    if is_deleting is None:
        raise NotFound("container")
    if is_deleting:
        raise BeingDeleted(container.vmid)


def _use_of(resources: Resources, game: GameWish | None) -> Usage:
    """Return what a new container adds to what its customer has."""
    return Usage(
        containers=1,
        cpu=resources.cpu,
        memory_mib=resources.memory_mib,
        disk_mib=resources.disk_mib,
        exposures=0 if game is None else count_public_ports(game.definition),
    )


def _growth(had: Resources, asked: Resources) -> Usage:
    """Return what other limits of a container add to what its customer has; less of one is no room for another."""
    return Usage(
        cpu=asked.cpu - had.cpu,
        memory_mib=asked.memory_mib - had.memory_mib,
        disk_mib=asked.disk_mib - had.disk_mib,
    )
