"""What can be wished of the addons of a container; their versions go by the rules of those of runtimes.

Whether files are sound is asked of the container's agent, never while its row is held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from zlh_api.agents.client import AgentClient
from zlh_api.agents.routes import find_agent
from zlh_api.catalog.service import CatalogService
from zlh_api.containers.addon_choice import resolve_addon
from zlh_api.containers.addon_rules import AddonNeedsDev, AddonNotFound, disable_addon, names_of
from zlh_api.containers.model import Container, RuntimeWish
from zlh_api.containers.service import ContainerService
from zlh_api.runtimes import rules
from zlh_api.runtimes.rules import RuntimeNotFound, Wishes, render_addons_seen
from zlh_api.runtimes.service import fetch_verification, find_upgrades, repair_as_of_now
from zlh_common.schema.addon import Addons, EnableAddon
from zlh_common.schema.catalog import CatalogVersion
from zlh_common.schema.runtime import RuntimeVerification
from zlh_common.schema.status import AgentStatus


class AddonService:
    """Addons of containers that exist."""

    def __init__(
        self, containers: ContainerService, catalog: CatalogService, agents: AgentClient, *, agent_port: int
    ) -> None:
        self._containers = containers
        self._catalog = catalog
        self._agents = agents
        self._agent_port = agent_port

    def report(self, container: Container) -> Addons:
        """Return which addons there are, how far they are, and what could be done about them."""
        wishes = container.addons
        versions = rules.render_runtimes(
            wishes, render_addons_seen(container), find_upgrades(wishes, self._installable)
        )
        return Addons(
            addons=self._containers.report(container).addons,
            versions=versions.runtimes,
            pending=versions.pending,
            upgrades=versions.upgrades,
        )

    async def enable(self, container: Container, wish: EnableAddon, *, enabled_by: UUID | None) -> Addons:
        """Want an addon in the name of a user, or another version of it; the same again changes nothing.

        Raise AddonNotOffered, CannotInstall, AddonNeedsDev, AddonNameTaken, AddonPortTaken, RuntimeLimit.
        """
        if container.kind != "dev":
            raise AddonNeedsDev(wish.name)
        await self._catalog.catch_up()

        def change(current: Container) -> Wishes:
            if wish.version is None and wish.name in names_of(current.addons):
                return current.addons
            version = self._resolve(current.addons, wish.name, wish.version)
            installed = render_addons_seen(current).installed
            return rules.install_runtime(current.addons, wish.name, version, default=True, installed=installed)

        return await self._change(container, change, changed_by=enabled_by)

    async def upgrade(self, container: Container, name: str, version: str | None) -> Addons:
        """Want a newer version to run, and keep the former one to go back to."""
        _find(container.addons, name)
        await self._catalog.catch_up()

        def change(current: Container) -> Wishes:
            _find(current.addons, name)
            if version is None:
                chosen = rules.choose_upgrade(current.addons, name, self._installable(name))
            else:
                chosen = self._resolve(current.addons, name, version)
            installed = render_addons_seen(current).installed
            return rules.upgrade_runtime(current.addons, name, chosen, installed=installed)

        return await self._change(container, change)

    async def roll_back(self, container: Container, name: str) -> Addons:
        """Want the version to run again that did before."""

        def change(current: Container) -> Wishes:
            _find(current.addons, name)
            return rules.roll_back(current.addons, name, installed=render_addons_seen(current).installed)

        return await self._change(container, change)

    async def repair(self, container: Container, name: str, version: str) -> Addons:
        """Want a version anew from its archive; before there is nothing to repair, its agent is asked once more."""
        return await repair_as_of_now(
            self._agents, container, lambda newer: self._repair(container, name, version, newer), self._agent_port
        )

    async def _repair(self, container: Container, name: str, version: str, newer: AgentStatus | None) -> Addons:
        def change(current: Container) -> Wishes:
            _find(current.addons, name, version)
            seen = render_addons_seen(replace(current, agent=newer) if newer else current)
            generation = current.spec_generation + 1
            return rules.repair_runtime(current.addons, name, version, seen, generation=generation)

        return await self._change(container, change)

    async def remove(self, container: Container, name: str) -> Addons:
        """Want an addon no more, in any version: its process ends, its port is taken back, its files go."""

        def change(current: Container) -> Wishes:
            _find(current.addons, name)
            return disable_addon(current.addons, name)

        return await self._change(container, change)

    async def verify(self, container: Container, name: str, version: str | None) -> RuntimeVerification:
        """Have the agent compare every file of a version with its hash; of the one that runs where none is named."""
        _find(container.addons, name, version)
        wishes = container.addons
        wish = rules.find_default(wishes, name) if version is None else rules.find_wish(wishes, name, version)
        return await fetch_verification(self._agents, find_agent(container, self._agent_port), wish)

    async def _change(
        self, container: Container, change: Callable[[Container], Wishes], *, changed_by: UUID | None = None
    ) -> Addons:
        return self.report(await self._containers.change_addons(container, change, changed_by=changed_by))

    def _resolve(self, wishes: Wishes, name: str, version: str | None) -> str:
        """Return the exact version that is meant; one that is wanted already need not be offered any more."""
        if version is not None and rules.is_wanted(wishes, name, version):
            return version
        return resolve_addon(self._catalog, name, version)

    def _installable(self, name: str) -> list[CatalogVersion]:
        """Return the versions of an addon that can be installed here."""
        offer = next((entry for entry in self._catalog.current().addons if entry.name == name), None)
        return [entry for entry in (offer.versions if offer else ()) if self._catalog.offers_addon(name, entry.version)]


def _find(wishes: Sequence[RuntimeWish], name: str, version: str | None = None) -> None:
    """Raise AddonNotFound where there is no such addon, or not this version of it."""
    try:
        rules.find_default(wishes, name)
        if version is not None:
            rules.find_wish(wishes, name, version)
    except RuntimeNotFound as exc:
        has = [f"{wish.name} {wish.version}" for wish in wishes]
        raise AddonNotFound(name, version, has=has) from exc
