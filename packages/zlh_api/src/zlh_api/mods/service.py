"""Mods of game servers: planned here, and carried out by agents whose answers are bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from msgspec import UNSET
from msgspec.structs import replace

from zlh_api.agents.appetite import Appetite
from zlh_api.agents.client import AgentClient, AgentNonsense, AgentRefused, decode_report
from zlh_api.agents.routes import find_agent
from zlh_api.containers.model import Container
from zlh_api.mods.fitting_rules import list_fitting
from zlh_api.mods.identifying_rules import find_unknown_digests, render_adoption, render_identified
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import MAX_SEARCH_OFFSET, SEARCH_LIMIT, Modrinth
from zlh_api.mods.plan_rules import render_acts, render_offered, render_plan
from zlh_api.mods.planning import plan
from zlh_api.mods.refusals import ModProjectUnknown, ModsImpossible, ModsNotConfigured
from zlh_api.mods.report_rules import bound_report, ledger_of, refusal_of
from zlh_common.clock import Clock
from zlh_common.schema.mod_refusals import ModRollbackImpossible, ModsChanged, ModsNotOffered, ModUnknown
from zlh_common.schema.mods import (
    ChangeProgress,
    ChangeState,
    FoundMods,
    IdentifiedFiles,
    ModAct,
    ModChange,
    ModLedger,
    ModPlan,
    ModRollback,
    ModsReport,
    OfferedVersions,
    PlanMods,
    PutMod,
    RollBackMods,
    SwitchMod,
)
from zlh_common.schema.structs import encode

# A thousand mods with all that is said of each, and the last changes.
MAX_REPORT_BYTES = 8 * 2**20
LOOK_TIMEOUT_S = 30.0
# Every file is read.
VERIFY_TIMEOUT_S = 180.0
T = TypeVar("T")


class ModService:
    """One for each API process."""

    def __init__(
        self,
        modrinth: Modrinth | None,
        agents: AgentClient,
        clock: Clock,
        *,
        find_target: Callable[[Container], Target | None],
        agent_port: int,
    ) -> None:
        self._modrinth = modrinth
        self._agents = agents
        self._clock = clock
        self._find_target = find_target
        self._agent_port = agent_port
        self._appetite = Appetite()

    async def report(self, container: Container) -> ModsReport:
        """Return what is there."""
        self._require_target(container)
        return bound_report(await self._ask(container, "GET", "/mods", ModsReport))

    async def verify(self, container: Container) -> ModsReport:
        """Have every file compared with its hash."""
        self._require_target(container)
        return bound_report(await self._ask(container, "POST", "/mods/verify", ModsReport, timeout_s=VERIFY_TIMEOUT_S))

    async def search(self, container: Container, text: str, *, offset: int) -> FoundMods:
        """Return what fits the server, a page of it."""
        target, modrinth = self._require_target(container), self._require_modrinth()
        report = await self.report(container)
        installed = frozenset(seen.entry.file.project_id for seen in report.mods)
        found, total = await modrinth.search(text, target, offset=offset, installed=installed)
        after = offset + SEARCH_LIMIT
        has_more = bool(found) and after < min(total, MAX_SEARCH_OFFSET + 1)
        return FoundMods(items=found, total=total, next=str(after) if has_more else UNSET)

    async def find_versions(self, container: Container, project: str) -> OfferedVersions:
        """Return the versions of a project that fit the server; raise ModProjectUnknown."""
        target, modrinth = self._require_target(container), self._require_modrinth()
        about = (await modrinth.fetch_projects([project]))[project]
        if about is None:
            raise ModProjectUnknown(project=project)
        listing = await modrinth.fetch_listing(about.id, target)
        return render_offered(about, list_fitting(listing, target))

    async def plan(self, container: Container, asked: PlanMods) -> ModPlan:
        """Return what a wish would come to."""
        ledger = await self._fetch_ledger(container)
        found, _ = await plan(self._require_modrinth(), asked, ledger, self._require_target(container))
        return render_plan(found, ledger)

    async def change(
        self, container: Container, asked: PlanMods, *, actor: UUID, of: str | None = None
    ) -> ChangeProgress:
        """Begin what a wish comes to; raise ModsImpossible, ModsChanged and what the agent refuses.

        One that is `of` a project raises ModUnknown where that has no mod here.
        """
        ledger = await self._fetch_ledger(container)
        if of is not None:
            _require(ledger, of)
        if asked.revision not in {None, ledger.revision}:
            raise ModsChanged
        found, snapshot = await plan(self._require_modrinth(), asked, ledger, self._require_target(container))
        if not found.is_possible:
            raise ModsImpossible(found.problems)
        acts = render_acts(found, ledger, snapshot, actor=str(actor), reason=asked.reason, now=self._clock.now())
        return await self._begin(container, ledger, acts, actor=actor, reason=asked.reason)

    async def switch(self, container: Container, act: SwitchMod, *, actor: UUID) -> ChangeProgress:
        """Enable or disable a mod, or pin it; Modrinth need not be there for it."""
        ledger = await self._fetch_ledger(container)
        _require(ledger, act.project_id)
        return await self._begin(container, ledger, (act,), actor=actor)

    async def repair(self, container: Container, project: str, *, actor: UUID) -> ChangeProgress:
        """Have the very file once more that the ledger says; Modrinth need not be there for it, only its files."""
        ledger = await self._fetch_ledger(container)
        _require(ledger, project)
        entry = next(entry for entry in ledger.entries if entry.file.project_id == project)
        again = PutMod(entry=replace(entry, installed_at=self._clock.now(), actor=str(actor)))
        return await self._begin(container, ledger, (again,), actor=actor, reason="repaired")

    async def roll_back(self, container: Container, asked: RollBackMods, *, actor: UUID) -> ChangeProgress:
        """Undo the last change."""
        ledger = await self._fetch_ledger(container)
        if not ledger.changes:
            raise ModRollbackImpossible(reason="there was none")
        rollback = ModRollback(
            id=uuid4().hex,
            change_id=asked.change_id or ledger.changes[-1].id,
            actor=str(actor),
            reason=asked.reason,
            origins=self._modrinth.file_origins if self._modrinth else (),
        )
        return await self._ask(container, "POST", "/mods/rollback", ChangeProgress, body=rollback)

    async def find_change(self, container: Container, change_id: str) -> ChangeProgress:
        """Return how far a change is."""
        self._require_target(container)
        return await self._ask(container, "GET", f"/mods/changes/{change_id}", ChangeProgress)

    async def identify(self, container: Container, *, adopt: bool, actor: UUID) -> IdentifiedFiles:
        """Look up files that nobody knows, and take them into the ledger where that is asked for."""
        modrinth = self._require_modrinth()
        report = await self.verify(container)
        versions = await modrinth.identify(find_unknown_digests(report))
        projects = await modrinth.fetch_projects([version.project_id for version in versions.values() if version])
        items = render_identified(report, versions, projects)
        acts = render_adoption(report, versions, projects, actor=str(actor), now=self._clock.now()) if adopt else ()
        if not acts:
            return IdentifiedFiles(items=items)
        progress = await self._begin(container, ledger_of(report), acts, actor=actor, reason="identified")
        return IdentifiedFiles(items=items, change=progress)

    def _require_modrinth(self) -> Modrinth:
        if self._modrinth is None:
            raise ModsNotConfigured
        return self._modrinth

    def _require_target(self, container: Container) -> Target:
        if (target := self._find_target(container)) is None:
            raise ModsNotOffered
        return target

    async def _fetch_ledger(self, container: Container) -> ModLedger:
        return ledger_of(await self.report(container))

    async def _begin(
        self,
        container: Container,
        ledger: ModLedger,
        acts: tuple[ModAct, ...],
        *,
        actor: UUID,
        reason: str = "",
    ) -> ChangeProgress:
        change_id = uuid4().hex
        if not acts:
            return ChangeProgress(id=change_id, state=ChangeState.DONE)
        change = ModChange(
            id=change_id,
            actor=str(actor),
            revision=ledger.revision,
            acts=acts,
            reason=reason,
            origins=self._modrinth.file_origins if self._modrinth else (),
        )
        return await self._ask(container, "POST", "/mods/changes", ChangeProgress, body=change)

    async def _ask(
        self,
        container: Container,
        method: str,
        path: str,
        shape: type[T],
        *,
        body: Any = None,
        timeout_s: float = LOOK_TIMEOUT_S,
    ) -> T:
        agent = find_agent(container, self._agent_port)
        raw = None if body is None else encode(body)
        try:
            answer = await self._agents.exchange(
                agent, method, path, body=raw, timeout_s=timeout_s, max_bytes=MAX_REPORT_BYTES
            )
        except AgentRefused as error:
            raise refusal_of(error.agent_code, error.agent_detail) or error from error
        # A ledger of megabytes takes a tenth of a second to be taken apart, in a thread too.
        await self._appetite.wait_for_turn(agent.owner, len(answer.body))
        told = await asyncio.to_thread(decode_report, answer.body, shape)
        wanted = body.id if isinstance(body, ModChange | ModRollback) else path.removeprefix("/mods/changes/")
        if isinstance(told, ChangeProgress) and told.id != wanted:
            raise AgentNonsense("it tells of another change")
        return told


def _require(ledger: ModLedger, project: str) -> None:
    if project not in {entry.file.project_id for entry in ledger.entries}:
        raise ModUnknown(project_id=project)
