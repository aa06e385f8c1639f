"""The work on one claimed container: look, decide, take one step, write it down, and look again.

Nothing is kept in memory between two steps but the claim, so a worker may die at any line: its lease runs out, another
takes over, and finds by looking what is done and what is not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from zlh_api.containers import store as containers
from zlh_api.containers.addon_rules import AddonNotOpen, describe_absence, find_run, is_opened, names_of
from zlh_api.containers.model import Container, Guest, Power
from zlh_api.containers.rules import find_in_force, is_refused_harmlessly
from zlh_api.database.pool import Database
from zlh_api.drivers.port import ContainerDriver, GuestSeen, SlotBusy, SystemAway
from zlh_api.games.server_rules import ServerNotReady, describe_server_absence, is_server_off, is_server_ready
from zlh_api.reconcile import journal, store
from zlh_api.reconcile.identity_rules import may_renew
from zlh_api.reconcile.model import LeaseLost
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.plan import (
    DELETION_STEPS,
    PROVISIONING_STEPS,
    RECORD_STEPS,
    Addons,
    Await,
    Do,
    Next,
    Route,
    Seen,
    Server,
    Settled,
    Wanted,
    decide_next,
)
from zlh_api.reconcile.spec import accepted_generation
from zlh_api.reconcile.step_figures import StepFigures
from zlh_api.reconcile.steps import Steps, has_closing_failed, has_publishing_failed, has_renewal_failed, plan_guest
from zlh_api.reconcile.warrant import ClaimWarrant, StepWarrant
from zlh_common.addons import CODE_SERVER
from zlh_common.errors import ZlhError
from zlh_common.request_ids import following
from zlh_common.schema.status import Connection, StepState

log = structlog.get_logger()
# A step that was taken this often in one go, and whose effect is still missing, does not do what it says.
TAKES_BEFORE_DOUBT = 10
# What the journal calls a look that failed.
OBSERVE = "observe"


class AgentSilent(ZlhError):
    """The guest runs, and its agent does not speak to us."""

    code, status, retryable = "agent_silent", 504, True

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"The guest runs, but its agent has not answered for {waited_s:.0f} s.")


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
    """When to look at a container again; where it `is_held`, not before, unless it is woken for a reason.

    A customer's wish is one, and so is the turn or the system that it waits for.
    """

    seconds: float
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Workplace:
    """What all workers of a process share."""

    database: Database
    driver: ContainerDriver
    steps: Steps
    pace: Pace
    # A number between 0 and 1.
    chance: Callable[[], float]
    figures: StepFigures


class Worker:
    """Works on one claim until it waits or is settled."""

    def __init__(self, place: Workplace, warrant: ClaimWarrant, *, on_slow: Callable[[bool], None]) -> None:
        self._place = place
        self._warrant = warrant
        self._claim = warrant.claim
        # Told when a step begins to last, and when it no longer does.
        self._on_slow = on_slow
        self._taken: Counter[Do] = Counter()
        # When to try its records again that have failed or wait, once all else is done.
        self._records_pause: Pause | None = None

    async def reconcile(self) -> Pause:
        """Take steps until there is none to take; return when to look again. Raise LeaseLost, DatabaseUnavailable."""
        while True:
            async with self._place.database.connection() as connection:
                container = await containers.find_by_owner(connection, self._claim.owner)
            if container is None:
                return self._until_drift()
            with following(container.request_id):
                pause = await self._advance(container)
            if pause is not None:
                return pause

    async def _advance(self, container: Container) -> Pause | None:
        """Look and do what follows; return None where there may be more to do at once."""
        try:
            seen = await self._observe(container)
        except (SlotBusy, SystemAway) as reason:
            return await self._wait(container, OBSERVE, reason)
        except ZlhError as error:
            return await self._fail(container, OBSERVE, error)
        await self._note_seen(container)
        step = decide_next(_wanted(container), seen)
        match step:
            case Settled():
                return self._records_pause or await self._settle(container, seen)
            case Await():
                return self._no_later_than_records(await self._await(container, step))
            case Do() if self._taken[step] == TAKES_BEFORE_DOUBT:
                return await self._fail(container, step, StepWithoutEffect())
            case Do():
                self._taken[step] += 1
                return await self._take(container, step, seen)

    async def _observe(self, container: Container) -> Seen:
        place, agent = self._place, container.agent
        try:
            async with asyncio.timeout(place.pace.observe_s):
                guest = await place.driver.observe(plan_guest(container))
                # A guest that runs open is seen to, whatever else cannot be looked at.
                is_violator = guest.state is Guest.RUNNING and not guest.is_closed
                route = Route.STALE if is_violator else await place.steps.observe_route(container)
        except TimeoutError as exc:
            raise StepTimedOut(place.pace.observe_s) from exc
        await self._keep_seen(container, guest)
        lacks = place.steps.find_lacks(container)
        return Seen(
            has_address=container.address is not None,
            guest=guest.state,
            is_closed=guest.is_closed,
            is_sized=guest.is_sized,
            is_tidy=guest.is_tidy,
            has_identity=not lacks,
            is_agent_online=container.connection is Connection.ONLINE,
            accepted_generation=accepted_generation(container, place.steps.origins(container)),
            observed_generation=agent.observed_generation if agent else 0,
            route=route,
            is_proved=container.provisioned_at is not None,
            has_closing_failed=has_closing_failed(container),
            has_publishing_failed=has_publishing_failed(container),
            may_renew_identity=may_renew(container, lacks),
            has_renewal_failed=has_renewal_failed(container),
            is_resize_put_off=place.steps.seconds_to_resize(container) > 0,
            records=place.steps.observe_records(container),
            is_records_put_off=self._records_pause is not None,
            addons=_observe_addons(container),
            has_ports=place.steps.has_ports(container),
            server=_observe_server(container),
        )

    async def _keep_seen(self, container: Container, guest: GuestSeen) -> None:
        """Write what was seen of the guest, where that is new."""
        in_force = find_in_force(container, guest.state, is_sized=guest.is_sized)
        if guest.state is container.guest and in_force == container.resources_in_force:
            return
        async with self._place.database.transaction() as connection:
            await store.save_guest(connection, self._claim, guest.state)
            await store.save_in_force(connection, self._claim, in_force)

    async def _note_seen(self, container: Container) -> None:
        """Write that a look that failed or waited before has succeeded, and wake who waits for the same."""
        looked = next((step for step in container.steps if step.name == OBSERVE), None)
        if looked is None or looked.state is StepState.DONE:
            return
        async with self._place.database.connection() as connection:
            await journal.journal_done(connection, self._claim, OBSERVE)
        if looked.code == SystemAway.code:
            await self._end_wait(is_answered=True)

    async def _take(self, container: Container, step: Do, seen: Seen) -> Pause | None:
        """Take one step and write down how it went; return the pause that follows, None for none."""
        place, limit_s = self._place, self._place.pace.step_limit_s(step)
        async with place.database.connection() as connection:
            await journal.journal_start(connection, self._claim, step, follows=_is_listed(container, step))
        began, has_failed = time.monotonic(), True
        try:
            timing = place.figures.timing(step)
            with self._watch_slowness(), timing, StepWarrant(place.database, self._warrant) as warrant:
                async with asyncio.timeout(limit_s):
                    await place.steps.take(step, warrant, container)
        except LeaseLost:
            raise
        except (SlotBusy, SystemAway) as reason:
            pause, has_failed = await self._wait(container, step, reason), False
        except ZlhError as error:
            pause = await self._fail(container, step, error)
        except TimeoutError:
            pause = await self._fail(container, step, StepTimedOut(limit_s))
        except Exception as error:
            log.exception("step.broke", vmid=container.vmid, step=step)
            pause = await self._fail(container, step, StepBroke(type(error).__name__))
        else:
            log.info("step.done", vmid=container.vmid, step=step, seconds=round(time.monotonic() - began, 4))
            place.figures.note_done(step)
            return await self._finish(container, step)
        # A guest that runs, and whose network could not be closed, is not left running for as long as a pause; and what
        # else there is to do does not wait for limits while those before hold.
        is_open = step is Do.CLOSE_NETWORK and seen.guest is Guest.RUNNING
        if step in RECORD_STEPS and seen.is_proved and not container.is_deleting:
            self._records_pause = pause
            return None
        if step is Do.OPEN_CODE_SERVER or (step is Do.CHECK_READY and container.game is not None):
            # Whoever tells of another run of it is heard at once; it is the last of all where it holds up nothing.
            return self._no_later_than_records(Pause(pause.seconds))
        # A route that was tried before its turn lets the spec go first.
        is_behind = seen.accepted_generation < container.spec_generation
        if step is Do.PUBLISH_ROUTE and is_behind and not seen.has_publishing_failed:
            return None
        return None if is_open or (has_failed and is_refused_harmlessly(container, step)) else pause

    def _no_later_than_records(self, pause: Pause) -> Pause:
        put_off = self._records_pause
        return pause if put_off is None or pause.seconds < put_off.seconds else Pause(put_off.seconds)

    async def _finish(self, container: Container, step: Do) -> Pause | None:
        if step is Do.FORGET:
            return self._until_drift()
        async with self._place.database.connection() as connection:
            await journal.journal_done(connection, self._claim, step)
        if container.waiting_for is not None:
            has_waited = any(each.name == step and each.code == SystemAway.code for each in container.steps)
            await self._end_wait(is_answered=has_waited)
        return None

    async def _await(self, container: Container, step: Await) -> Pause:
        """Write down what is waited for; whoever brings it wakes us."""
        if step is Await.INSTALL:
            # The agent's own steps tell how far it is.
            async with self._place.database.connection() as connection:
                await journal.journal_done(connection, self._claim, Do.SEND_SPEC)
            return self._until_drift()
        async with self._place.database.connection() as connection:
            waited = await journal.journal_start(connection, self._claim, step, follows=_is_listed(container, step))
        waited_s, limit_s = waited.total_seconds(), self._place.pace.await_limit_s(step)
        if waited_s > limit_s:
            pause = await self._fail(container, step, _describe_silence(step, waited_s))
            return pause if step is Await.CONNECT_AGENT else Pause(pause.seconds)
        return Pause(min(limit_s - waited_s + 0.1, self._place.pace.drift_s))

    async def _wait(self, container: Container, step: str, reason: SlotBusy | SystemAway) -> Pause:
        """Write down what the container waits for: no failure is counted, and whoever has it or brings it wakes us."""
        pace, chance = self._place.pace, self._place.chance()
        if isinstance(reason, SlotBusy):
            waiting_for, delay_s = reason.slot, pace.turn_after_s(chance=chance)
        else:
            waiting_for = store.AWAY + reason.system
            delay_s = pace.away_after_s(reason.retry_in_s, chance=chance)
        async with self._place.database.transaction() as connection:
            await store.save_wait(connection, self._claim, waiting_for)
            await journal.journal_waiting(connection, self._claim, step, reason, next_try_in_s=delay_s)
        log.info("step.waits", vmid=container.vmid, step=step, waiting_for=waiting_for, retry_in_s=round(delay_s, 2))
        self._place.figures.note_waiting(step)
        return Pause(delay_s, is_held=True)

    async def _fail(self, container: Container, step: str, error: ZlhError) -> Pause:
        async with self._place.database.transaction() as connection:
            attempts = await store.count_failure(connection, self._claim)
            delay_s = self._place.pace.retry_after_s(attempts, chance=self._place.chance())
            await journal.journal_failed(connection, self._claim, step, error, next_try_in_s=delay_s)
        if container.waiting_for is not None:
            await self._end_wait(is_answered=False)
        log.warning(
            "step.failed",
            vmid=container.vmid,
            step=step,
            code=error.code,
            error=error.detail,
            attempts=attempts,
            retry_in_s=round(delay_s, 2),
        )
        self._place.figures.note_failed(step, error.code)
        return Pause(delay_s, is_held=True)

    async def _settle(self, container: Container, seen: Seen) -> Pause:
        """Write that nothing is left to do, or where limits are put off, wait until they are due."""
        if seen.is_resize_put_off and not seen.is_sized:
            return Pause(min(self._place.steps.seconds_to_resize(container), self._place.pace.drift_s))
        async with self._place.database.transaction() as connection:
            await journal.journal_settled(connection, self._claim, request_id=container.request_id)
            if container.attempts:
                await store.forget_failures(connection, self._claim)
        if container.waiting_for is not None:
            await self._end_wait(is_answered=False)
        place = self._place
        return Pause(place.pace.drift_after_s(chance=place.chance(), is_patrolled=place.driver.survey_tells_drift))

    async def _end_wait(self, *, is_answered: bool) -> None:
        """Wait no more; a turn that was not used is the next one's, and a system that has answered is back for all."""
        async with self._place.database.connection() as connection:
            waited_for = await store.end_wait(connection, self._claim)
            if waited_for is None:
                return
            if not waited_for.startswith(store.AWAY):
                await store.wake_next(connection, waited_for)
            elif is_answered:
                system = waited_for.removeprefix(store.AWAY)
                await store.wake_all(connection, system, spread_s=self._place.pace.spread_s)

    def _until_drift(self) -> Pause:
        return Pause(self._place.pace.drift_after_s(chance=self._place.chance()))

    @contextmanager
    def _watch_slowness(self) -> Iterator[None]:
        """Tell once the step lasts so long that it merely takes its time, so that others need not wait for it."""
        timer = asyncio.get_running_loop().call_later(self._place.pace.slow_after_s, self._on_slow, True)
        try:
            yield
        finally:
            timer.cancel()
            self._on_slow(False)


def _wanted(container: Container) -> Wanted:
    return Wanted(
        power=Power.ON if container.game is not None else container.power,
        is_suspended=container.is_suspended,
        is_deleting=container.is_deleting,
        spec_generation=container.spec_generation,
        is_restart_due=container.restart_done < container.restart_wanted,
        is_server_off=is_server_off(container),
    )


def _describe_silence(step: Await, waited_s: float) -> ZlhError:
    """Return what is wrong where somebody has been waited for so long."""
    if step is Await.RUN_CODE_SERVER:
        return AddonNotOpen(CODE_SERVER, f"its agent has not started it for {waited_s:.0f} s")
    if step is Await.RUN_SERVER:
        return ServerNotReady(f"its agent has not told that it is for {waited_s:.0f} s")
    return AgentSilent(waited_s)


def _observe_addons(container: Container) -> Addons:
    """Return how far the addons are, by what their agent says and what was seen of it."""
    names = names_of(container.addons)
    if all(is_opened(container, name) for name in names):
        return Addons.SETTLED
    if any(describe_absence(container, name) for name in names):
        return Addons.ABSENT
    return Addons.UNSEEN if all(find_run(container, name) for name in names) else Addons.WAITING


def _observe_server(container: Container) -> Server:
    """Return how far the game server is, by what its agent says."""
    if container.game is None or is_server_ready(container):
        return Server.SETTLED
    return Server.ABSENT if describe_server_absence(container) else Server.WAITING


def _is_listed(container: Container, step: Next) -> bool:
    """Tell whether a step stands in the list that the container is working off, so that what precedes it is done."""
    return str(step) in (DELETION_STEPS if container.is_deleting else PROVISIONING_STEPS)
