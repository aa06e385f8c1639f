"""Where the figures of an API process come from."""

from __future__ import annotations

from pathlib import Path

from zlh_api.app.upkeep import Upkeep
from zlh_api.config.model import ApiConfig
from zlh_api.containers.census import CensusService
from zlh_api.database.pool import Database
from zlh_api.monitoring.service import Monitor, MonitoringSetting, Sources
from zlh_api.rollouts.service import RolloutService
from zlh_common.clock import Clock


def make_monitor(
    config: ApiConfig,
    database: Database,
    upkeep: Upkeep,
    rollouts: RolloutService,
    *,
    sources: Sources,
    clock: Clock,
) -> Monitor:
    """Return who answers scrapes."""
    return Monitor(
        database=database,
        census=CensusService(database, clock),
        auditor=upkeep.auditor,
        proofs=upkeep.proofs,
        rollouts=rollouts,
        sources=sources,
        setting=MonitoringSetting(config.driver, _folders(config), config.backup_record),
        clock=clock,
    )


def _folders(config: ApiConfig) -> dict[str, Path]:
    """Return the folders whose disks must not fill."""
    served = config.artifacts.folder
    return {"state": config.state_dir} if served is None else {"state": config.state_dir, "artifacts": served}
