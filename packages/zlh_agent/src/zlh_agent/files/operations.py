"""Work on files that may take long: under way in a task of its own, asked for by its id, cancelled by its child's end.

What has ended is kept for a while, for whoever asks late. The work itself comes from whoever starts it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from zlh_agent.files.finishing import to_its_end
from zlh_agent.files.model import Amount
from zlh_agent.files.refusals import own_disk_code
from zlh_agent.files.staging_store import StagingRecord, StagingStore
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.file_names import text_to_name
from zlh_common.schema.file_refusals import FileRefused, FilesUnavailable, OperationLimit, OperationNotFound
from zlh_common.schema.files import (
    OPERATION_WAIT_S,
    FileOperation,
    OperationKind,
    OperationResult,
    OperationState,
)

log = structlog.get_logger()
MAX_RUNNING, MAX_KEPT = 8, 50
SWEEP_S = 60.0
Sweep = Callable[[str, str], Awaitable[None]]
Tell = Callable[[Amount], None]
# Is told how to tell its progress, and returns what has come of it.
Work = Callable[[Tell], Awaitable[OperationResult]]


@dataclass(frozen=True, slots=True)
class About:
    """What an operation is on; paths are texts as `zlh_common.file_names` writes them."""

    kind: OperationKind
    root: str
    path: str
    to: str | None = None
    total_bytes: int | None = None
    # Where it keeps what is not whole yet: removed where it does not end by itself.
    staging: str | None = None


@dataclass(slots=True)
class _Operation:
    id: str
    about: About
    started_at: datetime
    state: OperationState = OperationState.RUNNING
    finished_at: datetime | None = None
    amount: Amount = field(default_factory=Amount)
    result: OperationResult | None = None
    error: ZlhError | None = None
    task: asyncio.Task[None] | None = None
    # Once is enough: another would end the removal of what is left.
    is_cancelled: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether something is done for it, be it that its leavings are removed."""
        return self.task is not None and not self.task.done()

    def show(self) -> FileOperation:
        return FileOperation(
            id=self.id,
            kind=self.about.kind,
            state=self.state,
            root=self.about.root,
            path=self.about.path,
            to=self.about.to,
            started_at=self.started_at,
            finished_at=self.finished_at,
            done_bytes=self.amount.byte_count,
            done_files=self.amount.files,
            total_bytes=self.about.total_bytes,
            code=self.error.code if self.error else None,
            message=self.error.detail if self.error else None,
            result=self.result,
        )


class OperationService:
    """The operations of one container."""

    def __init__(self, clock: Clock, store: StagingStore, sweep: Sweep, *, wait_s: float = OPERATION_WAIT_S) -> None:
        """`sweep` removes, below a root, what work has left that did not end."""
        self._clock = clock
        self._store = store
        self._sweep = sweep
        self._wait_s = wait_s
        self._operations: dict[str, _Operation] = {}
        self._left: list[StagingRecord] = []
        self._is_closing = False

    async def load(self) -> None:
        """Take up what an agent before us has not ended: it is told as interrupted, and swept by `run`."""
        self._left = await asyncio.to_thread(self._store.load)
        for record in self._left:
            about = About(record.kind, record.root, record.path, record.to, staging=record.staging)
            state, now = OperationState.INTERRUPTED, self._clock.now()
            self._operations[record.id] = _Operation(record.id, about, record.started_at, state, now)

    async def run(self) -> None:
        """Remove what was left, for ever."""
        while True:
            self._left = [record for record in self._left if not await self._is_swept(record)]
            await self._clock.sleep(SWEEP_S)

    def new_id(self) -> str:
        """Return a word that nobody else has, for a name beside a target."""
        return uuid.uuid4().hex

    async def start(self, about: About, work: Work) -> FileOperation:
        """Begin it, and wait a little: raise its refusal where it has failed by then, else return how far it is.

        Raises OperationLimit where as many are under way as may be, FilesUnavailable where too much was left of others.
        Whoever asked may go: it goes on.
        """
        if sum(held.is_under_way for held in self._operations.values()) >= MAX_RUNNING:
            raise OperationLimit(limit=MAX_RUNNING)
        if about.staging is not None and len(self._left) >= MAX_KEPT:
            # Else a customer who shuts their folder away would have us keep records of it without end.
            raise FilesUnavailable(reason=f"what {MAX_KEPT} operations have left cannot be removed at the moment")
        operation = _Operation(uuid.uuid4().hex, about, self._clock.now())
        self._operations[operation.id] = operation
        operation.task = asyncio.create_task(self._run(operation, work))
        await asyncio.wait([operation.task], timeout=self._wait_s)
        if operation.error is not None:
            raise operation.error
        return operation.show()

    def rows(self) -> tuple[FileOperation, ...]:
        """Return those that are known, newest first."""
        return tuple(operation.show() for operation in reversed(self._operations.values()))

    def find(self, operation_id: str) -> FileOperation:
        """Return one; raise OperationNotFound."""
        return self._find(operation_id).show()

    async def cancel(self, operation_id: str) -> FileOperation:
        """End one, and return what became of it; one that has ended stays as it is."""
        operation = self._find(operation_id)
        await _end(operation)
        return operation.show()

    async def close(self) -> None:
        """End all of them; the next agent tells them as interrupted."""
        self._is_closing = True
        for operation in self._operations.values():
            await _end(operation)

    def _find(self, operation_id: str) -> _Operation:
        if operation_id not in self._operations:
            raise OperationNotFound
        return self._operations[operation_id]

    async def _run(self, operation: _Operation, work: Work) -> None:
        def tell(amount: Amount) -> None:
            operation.amount = amount

        try:
            await self._remember(operation)
            operation.result = await work(tell)
            operation.state = OperationState.DONE
        except asyncio.CancelledError:
            operation.state = OperationState.INTERRUPTED if self._is_closing else OperationState.CANCELLED
            raise
        except ZlhError as error:
            operation.error, operation.state = error, OperationState.FAILED
        finally:
            if operation.state is OperationState.RUNNING:
                operation.state = OperationState.FAILED
            await self._clean(operation)
            operation.finished_at = self._clock.now()
            self._forget_old()

    async def _remember(self, operation: _Operation) -> None:
        if operation.about.staging is None:
            return
        try:
            # One that is cancelled at once would else be forgotten before it is written down, and stay for ever.
            await to_its_end(asyncio.to_thread(self._store.save, _record_of(operation)))
        except OSError as exc:
            raise FileRefused(own_disk_code(exc), path=operation.about.path) from exc

    async def _clean(self, operation: _Operation) -> None:
        record = _record_of(operation)
        if operation.state is OperationState.INTERRUPTED:
            await self._leave(record)
        elif record.staging is None:
            return
        elif operation.state is OperationState.DONE:
            await asyncio.to_thread(self._store.forget, record.id)
        elif not await self._is_swept(record):
            self._left.append(record)

    async def _leave(self, record: StagingRecord) -> None:
        """Have the next agent tell of it; what is staged goes now, and else at that agent's start."""
        try:
            await asyncio.to_thread(self._store.save, record)
        except OSError as error:
            log.warning("operation.not_remembered", operation=record.id, error=str(error))
        await self._is_removed(record)

    async def _is_swept(self, record: StagingRecord) -> bool:
        if not await self._is_removed(record):
            return False
        await asyncio.to_thread(self._store.forget, record.id)
        return True

    async def _is_removed(self, record: StagingRecord) -> bool:
        """Remove what is staged; tell whether nobody need try again."""
        if record.staging is None:
            return True
        try:
            await self._sweep(record.root, text_to_name(record.staging))
        except FileRefused as refused:
            # The customer has it by now, or has shut the folder.
            log.warning("operation.staging_stays", path=record.staging, code=refused.code)
        except ZlhError as error:
            log.warning("operation.staging_stays", path=record.staging, code=error.code)
            return False
        return True

    def _forget_old(self) -> None:
        ended = [held.id for held in self._operations.values() if held.state is not OperationState.RUNNING]
        for operation_id in ended[:-MAX_KEPT]:
            del self._operations[operation_id]


def _record_of(operation: _Operation) -> StagingRecord:
    about = operation.about
    return StagingRecord(
        id=operation.id,
        kind=about.kind,
        root=about.root,
        path=about.path,
        to=about.to,
        started_at=operation.started_at,
        staging=about.staging,
    )


async def _end(operation: _Operation) -> None:
    task = operation.task
    if task is None or task.done():
        return
    if operation.state is OperationState.RUNNING and not operation.is_cancelled:
        operation.is_cancelled = True
        task.cancel()
    await asyncio.wait([task])
