"""Brings a repository into an empty workspace once, tries again what may pass, and remembers how it ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from zlh_agent.workspace.clone_rules import MAX_TRIES
from zlh_agent.workspace.cloning import name_order, run_clone
from zlh_agent.workspace.errors import StepFailed, WorkspaceNotEmpty
from zlh_agent.workspace.login_environment import Account
from zlh_agent.workspace.records import CloneRecord, WorkspaceRecords
from zlh_common.clock import Clock
from zlh_common.schema.spec import Repository
from zlh_common.schema.status import Step, StepState
from zlh_common.step_names import CLONE_REPOSITORY

log = structlog.get_logger()
_STATES = {"done": StepState.DONE, "failed": StepState.FAILED, "skipped": StepState.SKIPPED}


class ClonedRepository:
    """The repository of one workspace. `run` may be cancelled at any line: the next one goes on where it was."""

    def __init__(
        self,
        records: WorkspaceRecords,
        clock: Clock,
        *,
        workspace: Path,
        limit_s: float,
        on_change: Callable[[], None],
    ) -> None:
        self._records = records
        self._clock = clock
        self._workspace = workspace
        self._limit_s = limit_s
        self._on_change = on_change
        self._record: CloneRecord | None = None
        self._tries = 0
        self.step: Step | None = None

    async def load(self) -> None:
        """Take up what is known."""
        self._record = await asyncio.to_thread(self._records.load_clone)
        if self._record is not None and self._record.state in _STATES:
            self._show_end(self._record)

    def is_settled(self, attempt: int) -> bool:
        """Tell whether nothing is to be done: it was cloned, or is not tried again before somebody says so."""
        record = self._record
        if record is None or record.state == "running":
            return False
        return record.state == "done" or record.attempt >= attempt

    def is_done(self) -> bool:
        """Tell whether the repository was cloned, or the workspace was somebody's already."""
        return self._record is not None and self._record.state in {"done", "skipped"}

    async def run(self, repository: Repository, attempt: int, account: Account | None) -> bool:
        """Try once; return whether it is settled. What may pass is not, until it has failed too often."""
        if self._record is None or self._record.state != "running" or self._record.attempt < attempt:
            self._tries = 0
            await self._keep(CloneRecord(attempt, secrets.token_hex(16), "running", self._clock.now()))
        record = self._record
        assert record is not None
        self._show(Step(name=CLONE_REPOSITORY, state=StepState.RUNNING, started_at=record.started_at, progress=0.0))
        home = account.home if account is not None else str(self._workspace.parent)
        order = name_order(repository, workspace=str(self._workspace), home=home, token=record.token)
        try:
            await run_clone(order, account, limit_s=self._limit_s, on_progress=self._show_progress)
        except StepFailed as error:
            return await self._fail(record, error)
        await self._keep(msgspec.structs.replace(record, state="done", finished_at=self._clock.now()))
        log.info("workspace.cloned", url=repository.url, branch=repository.branch)
        return True

    @property
    def tries(self) -> int:
        """How often in a row it has failed of what may pass."""
        return self._tries

    async def _fail(self, record: CloneRecord, error: StepFailed) -> bool:
        self._tries += 1
        is_final = not error.retryable or self._tries >= MAX_TRIES
        log.warning("workspace.not_cloned", code=error.code, is_final=is_final, detail=error.detail)
        failed = msgspec.structs.replace(
            record,
            state="skipped" if error.code == WorkspaceNotEmpty.code else "failed",
            finished_at=self._clock.now(),
            code=error.code,
            message=error.detail if is_final else f"{error.detail} It is tried again.",
            exit_code=error.exit_code,
            output=error.output,
        )
        if is_final:
            await self._keep(failed)
        else:
            self._show_end(failed)
        return is_final

    async def _keep(self, record: CloneRecord) -> None:
        await asyncio.to_thread(self._records.save_clone, record)
        self._record = record
        if record.state in _STATES:
            self._show_end(record)

    def _show_progress(self, fraction: float, message: str) -> None:
        if self.step is not None and self.step.state is StepState.RUNNING:
            self._show(msgspec.structs.replace(self.step, progress=fraction, message=message))

    def _show_end(self, record: CloneRecord) -> None:
        self._show(
            Step(
                name=CLONE_REPOSITORY,
                state=_STATES[record.state],
                started_at=record.started_at,
                finished_at=record.finished_at,
                progress=1.0 if record.state == "done" else None,
                code=record.code,
                message=record.message,
                exit_code=record.exit_code,
                output=record.output,
            )
        )

    def _show(self, step: Step) -> None:
        self.step = step
        self._on_change()
