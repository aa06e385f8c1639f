"""The loop: claim what is due, look, decide, take one step, write it down, and look again.

Nothing is kept in memory between two steps but the claim, so a worker may die at any line: its lease runs out, another
takes over, and finds by looking what is done and what is not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import structlog

from zlh_api.containers import store as containers
from zlh_api.containers.model import Container
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.drivers.port import ContainerDriver
from zlh_api.reconcile import store
from zlh_api.reconcile.model import Claim, LeaseLost
from zlh_api.reconcile.plan import (
    DELETION_STEPS,
    PROVISIONING_STEPS,
    Await,
    Do,
    Next,
    Seen,
    Settled,
    Wanted,
    decide_next,
    retry_delay_s,
)
from zlh_api.reconcile.spec import accepted_generation
from zlh_api.reconcile.steps import Steps, plan_guest
from zlh_api.reconcile.warrant import ClaimWarrant, boottime
from zlh_common.errors import ZlhError
from zlh_common.request_ids import following
from zlh_common.schema.status import Connection

log = structlog.get_logger()
# Each container is looked at this often even if nobody says that anything has changed.
DRIFT_S = 30.0
# And this often where the patrol sees every change that such a look could see.
PATROLLED_DRIFT_S = 900.0
POLL_S = 1.0
RENEW_S = store.LEASE_S / 3
STEP_TIMEOUT_S = 120.0
# Templates of some gigabytes are unpacked, and volumes wiped, while others wait for the same disks.
SLOW_STEPS_S = {Do.CREATE_GUEST: 900.0, Do.DESTROY_GUEST: 600.0, Do.RESIZE_GUEST: 300.0, Do.STOP_GUEST: 180.0}
# How long the agent of a started guest may stay silent before that is an error to show.
CONNECT_TIMEOUT = timedelta(seconds=20)
WORKERS = 16
RETRY_AFTER_DROP_S = 1.0
# A step that was taken this often in one go, and whose effect is still missing, does not do what it says.
TAKES_BEFORE_DOUBT = 10
# After an error that nobody foresaw, outside of any step: rare, and nothing says when it will be over.
RETRY_AFTER_BREAK_S = 5.0


class AgentSilent(ZlhError):
    """The guest runs, and its agent does not speak to us."""

    code, status, retryable = "agent_silent", 504, True

    def __init__(self, waited: timedelta) -> None:
        super().__init__(f"The guest runs, but its agent has not answered for {waited.total_seconds():.0f} s.")


class StepTimedOut(ZlhError):
    """A step took longer than it may."""

    code, status, retryable = "step_timed_out", 504, True

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"The step took longer than {limit_s:.0f} s and was given up; it is tried again.")


class StepBroke(ZlhError):
    """A step failed in a way that nobody foresaw; the log has the details."""

    code, status, retryable = "step_broke", 500, True

    def __init__(self, kind: str) -> None:
        super().__init__(f"The step broke ({kind}); it is tried again. The details are in the API's log.")


class StepWithoutEffect(ZlhError):
    """A step succeeds, and what it should bring about is not seen."""

    code, status, retryable = "step_without_effect", 500, True

    def __init__(self) -> None:
        super().__init__(
            "The step reports success, but its effect does not last: something undoes it. It is tried again."
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """When to look at a container again; where it `is_held`, not before, unless a customer wishes something."""

    seconds: float
    is_held: bool = False


class Reconciler:
    """One of any number of workers' homes; all of them share the database and nothing else."""

    def __init__(self, database: Database, driver: ContainerDriver, steps: Steps) -> None:
        self._database = database
        self._driver = driver
        self._steps = steps
        self._holder = uuid4()
        self._due = asyncio.Event()
        self._working = 0
        self._drift_s = PATROLLED_DRIFT_S if driver.survey_tells_drift else DRIFT_S

    def wake(self, _payload: str = "") -> None:
        """Look for due containers now."""
        self._due.set()

    async def run(self) -> None:
        """Work for ever; what is under way when this is cancelled is given back."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._due.clear()
                for warrant in await self._claim():
                    self._working += 1
                    group.create_task(self._work(warrant))
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._due.wait()
                except TimeoutError:
                    continue

    async def _claim(self) -> list[ClaimWarrant]:
        # Claiming more than can be worked on would only hold leases.
        if self._working >= WORKERS:
            return []
        asked_at = boottime()
        try:
            async with self._database.connection() as connection:
                claims = await store.claim_due(connection, holder=self._holder, limit=WORKERS - self._working)
        except DatabaseUnavailable:
            log.warning("reconcile.database_away")
            return []
        return [ClaimWarrant(self._database, claim, asked_at=asked_at) for claim in claims]

    async def _work(self, warrant: ClaimWarrant) -> None:
        """Work on one claim until it waits or is settled, then give it back."""
        pause, claim = Pause(0.0), warrant.claim
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(_renew_for_ever(warrant))
                pause = await self._reconcile(warrant)
                renewal.cancel()
        except* (LeaseLost, DatabaseUnavailable) as errors:
            pause = Pause(RETRY_AFTER_DROP_S)
            log.warning("reconcile.dropped", vmid=claim.vmid, error=str(errors.exceptions[0]))
        except* Exception:
            # One container must never cost all others their worker.
            pause = Pause(RETRY_AFTER_BREAK_S, is_held=True)
            log.exception("reconcile.broke", vmid=claim.vmid)
        finally:
            self._working -= 1
            await asyncio.shield(self._give_back(claim, pause))
            self._due.set()

    async def _give_back(self, claim: Claim, pause: Pause) -> None:
        try:
            async with self._database.connection() as connection:
                hold_s = pause.seconds if pause.is_held else 0.0
                await store.release(connection, claim, wake_in_s=pause.seconds, hold_s=hold_s)
        except (LeaseLost, DatabaseUnavailable):
            # Forgotten, lost, or left to run out: all of them are somebody else's from here on.
            return

    async def _reconcile(self, warrant: ClaimWarrant) -> Pause:
        """Take steps until there is none to take; return when to look again."""
        taken: Counter[Do] = Counter()
        while True:
            async with self._database.connection() as connection:
                container = await containers.find_by_owner(connection, warrant.claim.owner)
            if container is None:
                return Pause(DRIFT_S)
            with following(container.request_id):
                pause = await self._advance(warrant, container, taken)
            if pause is not None:
                return pause

    async def _advance(self, warrant: ClaimWarrant, container: Container, taken: Counter[Do]) -> Pause | None:
        """Look and do what follows; return None where there may be more to do at once."""
        claim = warrant.claim
        try:
            seen = await self._observe(claim, container)
        except ZlhError as error:
            return await self._fail(claim, container, "observe", error)
        step = decide_next(_wanted(container), seen)
        match step:
            case Settled():
                await self._settle(claim, container)
                return Pause(self._drift_s)
            case Await():
                return await self._await(claim, container, step)
            case Do() if taken[step] == TAKES_BEFORE_DOUBT:
                return await self._fail(claim, container, step, StepWithoutEffect())
            case Do():
                taken[step] += 1
                return await self._take(warrant, container, step)

    async def _observe(self, claim: Claim, container: Container) -> Seen:
        guest = await self._driver.observe(plan_guest(container))
        if guest.state is not container.guest:
            async with self._database.connection() as connection:
                await store.save_guest(connection, claim, guest.state)
        agent = container.agent
        return Seen(
            has_address=container.address is not None,
            guest=guest.state,
            is_closed=guest.is_closed,
            is_sized=guest.is_sized,
            has_identity=self._steps.is_identity_good(container),
            is_agent_online=container.connection is Connection.ONLINE,
            accepted_generation=accepted_generation(container),
            observed_generation=agent.observed_generation if agent else 0,
            route=await self._steps.observe_route(container),
            is_proved=container.provisioned_at is not None,
        )

    async def _take(self, warrant: ClaimWarrant, container: Container, step: Do) -> Pause | None:
        """Take one step and write down how it went; return the pause that follows, None for none."""
        claim, limit_s = warrant.claim, SLOW_STEPS_S.get(step, STEP_TIMEOUT_S)
        async with self._database.transaction() as connection:
            await store.journal_start(connection, claim, step, follows=_is_listed(container, step))
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit_s):
                await self._steps.take(step, warrant, container)
        except LeaseLost:
            raise
        except ZlhError as error:
            return await self._fail(claim, container, step, error)
        except TimeoutError:
            return await self._fail(claim, container, step, StepTimedOut(limit_s))
        except Exception as error:
            log.exception("step.broke", vmid=container.vmid, step=step)
            return await self._fail(claim, container, step, StepBroke(type(error).__name__))
        log.info("step.done", vmid=container.vmid, step=step, seconds=round(time.monotonic() - began, 4))
        if step is Do.FORGET:
            return Pause(DRIFT_S)
        async with self._database.transaction() as connection:
            await store.journal_done(connection, claim, step)
        return None

    async def _await(self, claim: Claim, container: Container, step: Await) -> Pause:
        """Write down what is waited for; whoever brings it wakes us."""
        if step is Await.INSTALL:
            # The agent's own steps tell how far it is.
            async with self._database.transaction() as connection:
                await store.journal_done(connection, claim, Do.SEND_SPEC)
            return Pause(DRIFT_S)
        async with self._database.transaction() as connection:
            waited = await store.journal_start(connection, claim, step, follows=_is_listed(container, step))
        if waited > CONNECT_TIMEOUT:
            return await self._fail(claim, container, step, AgentSilent(waited))
        return Pause((CONNECT_TIMEOUT - waited).total_seconds() + 0.1)

    async def _fail(self, claim: Claim, container: Container, step: str, error: ZlhError) -> Pause:
        async with self._database.transaction() as connection:
            attempts = await store.count_failure(connection, claim)
            await store.journal_start(connection, claim, step, follows=False)
            await store.journal_failed(
                connection, claim, step, code=error.code, message=error.detail, output=error.data.get("output")
            )
        delay_s = retry_delay_s(attempts)
        log.warning(
            "step.failed",
            vmid=container.vmid,
            step=step,
            code=error.code,
            error=error.detail,
            attempts=attempts,
            retry_in_s=delay_s,
        )
        return Pause(delay_s, is_held=True)

    async def _settle(self, claim: Claim, container: Container) -> None:
        async with self._database.transaction() as connection:
            await store.journal_settled(connection, claim, request_id=container.request_id)
            if container.attempts:
                await store.forget_failures(connection, claim)


async def _renew_for_ever(warrant: ClaimWarrant) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        await warrant.renew()


def _wanted(container: Container) -> Wanted:
    return Wanted(
        power=container.power,
        is_deleting=container.is_deleting,
        spec_generation=container.spec_generation,
        is_restart_due=container.restart_done < container.restart_wanted,
    )


def _is_listed(container: Container, step: Next) -> bool:
    """Tell whether a step stands in the list that the container is working off, so that what precedes it is done."""
    return str(step) in (DELETION_STEPS if container.is_deleting else PROVISIONING_STEPS)
