"""Asks the rules, writes what they say into the spec, and asks agents what only they know.

No agent is asked while a row is held: one that is slow would keep everybody else from it. What it says may be old by
the time the wish is written; it refuses by itself to remove what is in use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import msgspec

from zlh_api.agents.client import AgentAddress, AgentClient, AgentNonsense, AgentRefused, decode_report, decode_status
from zlh_api.agents.routes import find_agent
from zlh_api.catalog.service import CatalogNotLoaded, CatalogService
from zlh_api.containers.model import Container, RuntimeWish
from zlh_api.containers.refusals import CannotInstall
from zlh_api.containers.service import ContainerService
from zlh_api.games.refusals import RuntimesOfGame
from zlh_api.runtimes import rules
from zlh_api.runtimes.rules import NothingToRepair, RuntimePending, Seen, Wishes, render_seen
from zlh_common.errors import NotFound
from zlh_common.schema.catalog import CatalogVersion
from zlh_common.schema.runtime import (
    InstallRuntime,
    RuntimeInUse,
    RuntimePruning,
    RuntimeRef,
    Runtimes,
    RuntimeUser,
    RuntimeUsers,
    RuntimeVerification,
)
from zlh_common.schema.status import AgentStatus, Connection

# Every file of a tree is read: 300 MB from a slow disk that others use as well.
VERIFY_TIMEOUT_S = 180
MAX_USERS = 100
USER_CHARS = 64
Told = TypeVar("Told")


class RuntimeService:
    """Runtimes of containers that exist."""

    def __init__(
        self, containers: ContainerService, catalog: CatalogService, agents: AgentClient, *, agent_port: int
    ) -> None:
        self._containers = containers
        self._catalog = catalog
        self._agents = agents
        self._agent_port = agent_port

    def report(self, container: Container) -> Runtimes:
        """Return what is installed and what is still to happen."""
        return rules.render_runtimes(
            container.runtimes, render_seen(container), find_upgrades(container.runtimes, self._installable)
        )

    async def install(self, container: Container, wish: InstallRuntime) -> Runtimes:
        """Want one more version, or another default; raise CannotInstall or RuntimeLimit."""
        _refuse_game(container)
        await self._catalog.catch_up()

        def change(current: Container) -> Wishes:
            version = self._resolve(current.runtimes, wish.name, wish.version)
            installed = render_seen(current).installed
            return rules.install_runtime(
                current.runtimes, wish.name, version, default=wish.default, installed=installed
            )

        return self.report(await self._containers.change_runtimes(container, change))

    async def upgrade(self, container: Container, name: str, version: str | None) -> Runtimes:
        """Want a newer default, and keep the former one to go back to."""
        _refuse_game(container)
        await self._catalog.catch_up()

        def change(current: Container) -> Wishes:
            rules.find_default(current.runtimes, name)
            if version is None:
                chosen = rules.choose_upgrade(current.runtimes, name, self._installable(name))
            else:
                chosen = self._resolve(current.runtimes, name, version)
            installed = render_seen(current).installed
            return rules.upgrade_runtime(current.runtimes, name, chosen, installed=installed)

        return self.report(await self._containers.change_runtimes(container, change))

    async def roll_back(self, container: Container, name: str) -> Runtimes:
        """Want the version before the default again."""
        _refuse_game(container)

        def change(current: Container) -> Wishes:
            return rules.roll_back(current.runtimes, name, installed=render_seen(current).installed)

        return self.report(await self._containers.change_runtimes(container, change))

    async def repair(self, container: Container, name: str, version: str) -> Runtimes:
        """Want a version anew from its archive."""
        return await repair_as_of_now(
            self._agents, container, lambda newer: self._repair(container, name, version, newer), self._agent_port
        )

    async def _repair(self, container: Container, name: str, version: str, newer: AgentStatus | None) -> Runtimes:
        def change(current: Container) -> Wishes:
            seen = render_seen(replace(current, agent=newer) if newer else current)
            generation = current.spec_generation + 1
            return rules.repair_runtime(current.runtimes, name, version, seen, generation=generation)

        return self.report(await self._containers.change_runtimes(container, change))

    async def remove(self, container: Container, name: str, version: str) -> Runtimes:
        """Want a version no more; raise RuntimeInUse where its agent names who uses it."""
        _refuse_game(container)
        _remove(container, name, version)
        if users := await self._fetch_users(container, name, version):
            raise RuntimeInUse(name=name, version=version, users=users)
        changed = await self._containers.change_runtimes(container, lambda current: _remove(current, name, version))
        return self.report(changed)

    async def prune(self, container: Container) -> RuntimePruning:
        """Want nothing more that is there for a rollback alone; what is in use stays."""
        _refuse_game(container)
        in_use = {
            (wish.name, wish.version)
            for wish in rules.find_prunable(container.runtimes, render_seen(container).installed)
            if await self._fetch_users(container, wish.name, wish.version)
        }
        removed: tuple[RuntimeRef, ...] = ()

        def change(current: Container) -> Wishes:
            nonlocal removed
            installed = render_seen(current).installed
            kept, removed = rules.prune_runtimes(current.runtimes, in_use, installed=installed)
            return kept

        await self._containers.change_runtimes(container, change)
        kept = tuple(RuntimeRef(name=name, version=version) for name, version in sorted(in_use))
        return RuntimePruning(removed=removed, in_use=kept)

    async def verify(self, container: Container, name: str, version: str | None) -> RuntimeVerification:
        """Have the agent compare every file of a version with its hash; the default where none is named."""
        wish = (
            rules.find_default(container.runtimes, name)
            if version is None
            else rules.find_wish(container.runtimes, name, version)
        )
        return await fetch_verification(self._agents, find_agent(container, self._agent_port), wish)

    async def _fetch_users(self, container: Container, name: str, version: str) -> tuple[RuntimeUser, ...]:
        """Return who uses an installed version, as far as its agent is heard and knows."""
        seen: Seen = render_seen(container)
        if container.connection is not Connection.ONLINE or (name, version) not in seen.installed:
            return ()
        agent = find_agent(container, self._agent_port)
        answer = self._agents.call(agent, "GET", f"/runtimes/{name}/{version}/users")
        return await _users(answer)

    def _resolve(self, wishes: Wishes, name: str, version: str | None) -> str:
        """Return the exact version that is meant; one that is wanted already need not be offered any more."""
        if version is not None and rules.is_wanted(wishes, name, version):
            return version
        answer = self._catalog.validate(name, version)
        if not answer.ok or answer.version is None:
            raise CannotInstall(answer.problems)
        return answer.version

    def _installable(self, name: str) -> list[CatalogVersion]:
        """Return the versions of a runtime that can be installed here."""
        runtime = next((entry for entry in self._catalog.current().runtimes if entry.name == name), None)
        return [
            entry
            for entry in (runtime.versions if runtime else ())
            if self._catalog.validate(name, entry.version).version == entry.version
        ]


def _refuse_game(container: Container) -> None:
    if container.game is not None:
        raise RuntimesOfGame(container.vmid)


def find_upgrades(wishes: Wishes, installable: Callable[[str], list[CatalogVersion]]) -> list[RuntimeRef]:
    """Return where upgrades would lead; nowhere as long as there is no catalog."""
    try:
        return rules.find_upgrades(wishes, installable)
    except CatalogNotLoaded:
        return []


async def repair_as_of_now(
    agents: AgentClient, container: Container, repair: Callable[[AgentStatus | None], Awaitable[Told]], agent_port: int
) -> Told:
    """Return what `repair` does by the last report, or by a newer one before there is nothing to repair.

    A check that has just found a fault may be newer than that report, so the agent is asked.
    """
    try:
        return await repair(None)
    except NothingToRepair:
        if container.connection is not Connection.ONLINE:
            raise
    raw = await agents.call(find_agent(container, agent_port), "GET", "/status")
    return await repair(decode_status(raw))


async def fetch_verification(agents: AgentClient, agent: AgentAddress, wish: RuntimeWish) -> RuntimeVerification:
    """Have an agent compare every file of a version of a runtime or addon; raise RuntimePending, AgentNonsense."""
    path = f"/runtimes/{wish.name}/{wish.version}/verify"
    try:
        raw = await agents.call(agent, "POST", path, timeout_s=VERIFY_TIMEOUT_S)
    except AgentRefused as error:
        if error.agent_status == NotFound.status:
            raise RuntimePending(wish.name, wish.version) from error
        raise
    found = decode_report(raw, RuntimeVerification)
    if (found.name, found.version) != (wish.name, wish.version):
        raise AgentNonsense("it verified another version")
    return found


def _remove(container: Container, name: str, version: str) -> Wishes:
    installed = render_seen(container).installed
    return rules.remove_runtime(container.runtimes, name, version, installed=installed)


async def _users(answer: Awaitable[bytes]) -> tuple[RuntimeUser, ...]:
    """Return the users that an agent names, bounded; none where it has no such version."""
    try:
        told = decode_report(await answer, RuntimeUsers)
    except AgentRefused as error:
        if error.agent_status == NotFound.status:
            return ()
        raise
    return tuple(_bound_user(user) for user in told.users[:MAX_USERS])


def _bound_user(user: RuntimeUser) -> RuntimeUser:
    owner = user.owner[:USER_CHARS] if user.owner else None
    return msgspec.structs.replace(user, name=user.name[:USER_CHARS], owner=owner)
