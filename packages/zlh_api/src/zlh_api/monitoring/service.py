"""Gathers what a scrape is told; nobody is made to do anything by it.

A part that does not answer is left out, so that the others are told while something is away.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import structlog

from zlh_api import __version__
from zlh_api.audit.service import Auditor
from zlh_api.containers.census import CensusService
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.monitoring.exposition import render_own, render_platform
from zlh_api.monitoring.model import OwnFigures, PlatformFigures
from zlh_api.monitoring.process_use import read_backup, read_disks, read_use
from zlh_api.proof.report import ProofReports
from zlh_api.reconcile.step_figures import StepFigures
from zlh_api.rollouts.service import RolloutService
from zlh_api.web.request_figures import RequestFigures
from zlh_common.clock import Clock

log = structlog.get_logger()
Told = TypeVar("Told")
# What a dependency says of itself is waited for so long.
HEALTH_S = 5.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures of this process come from, apart from the database."""

    requests: RequestFigures
    steps: StepFigures
    open_calls: Callable[[], Mapping[str, tuple[int, int]]]
    circuits: Callable[[], Mapping[str, bool]]
    # As /api/healthz asks them: None where it is well.
    checks: Mapping[str, Callable[[], Awaitable[str | None]]]
    catalog_ends_at: Callable[[], datetime | None]
    ca_ends_at: Callable[[], datetime | None]


@dataclass(frozen=True, slots=True)
class MonitoringSetting:
    """What the configuration says."""

    driver: str
    folders: Mapping[str, Path]
    backup_record: Path


@dataclass(frozen=True, slots=True)
class Monitor:
    """Answers scrapes."""

    database: Database
    census: CensusService
    auditor: Auditor
    proofs: ProofReports
    rollouts: RolloutService
    sources: Sources
    setting: MonitoringSetting
    clock: Clock
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "started_at", self.clock.now())

    async def render(self) -> str:
        """Return everything that is known now, as text for Prometheus."""
        own, platform_figures, edge, rollouts = await asyncio.gather(
            self._own(),
            self._platform(),
            _unless_away(self.proofs.render_metrics()),
            _unless_away(self.rollouts.render_metrics()),
        )
        told = render_own(own) + render_platform(platform_figures, self.clock.now())
        return told + (rollouts or "") + (edge or "")

    async def _own(self) -> OwnFigures:
        sources, setting = self.sources, self.setting
        answers = await asyncio.gather(*(_is_well(check) for check in sources.checks.values()))
        return OwnFigures(
            version=__version__,
            python=platform.python_version(),
            driver=setting.driver,
            use=await asyncio.to_thread(read_use, self.started_at),
            requests=sources.requests,
            steps=sources.steps,
            open_calls=sources.open_calls(),
            pool=self.database.figures,
            circuits=sources.circuits(),
            healthy=dict(zip(sources.checks, answers, strict=True)),
            disks=await asyncio.to_thread(read_disks, setting.folders),
        )

    async def _platform(self) -> PlatformFigures:
        return PlatformFigures(
            census=await _unless_away(self.census.count()),
            audit=await _unless_away(self.auditor.fetch_status()),
            catalog_ends_at=self.sources.catalog_ends_at(),
            ca_ends_at=self.sources.ca_ends_at(),
            backup=await asyncio.to_thread(read_backup, self.setting.backup_record),
        )


async def _is_well(check: Callable[[], Awaitable[str | None]]) -> bool:
    try:
        async with asyncio.timeout(HEALTH_S):
            return await check() is None
    except TimeoutError:
        return False


async def _unless_away(call: Awaitable[Told]) -> Told | None:
    try:
        return await call
    except DatabaseUnavailable as error:
        log.warning("monitoring.database_away", error=error.detail)
        return None
