"""A world that misbehaves by chance: a driver, a proxy's directory and agents that fail before or after their effect,
take their time or never answer; API processes that freeze, and that end without a word.

Each effect is written down with the fence of whoever brought it about.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from asyncpg.pool import PoolConnectionProxy

from fakes.dns_provider import FakeProvider
from fakes.driver import FakeDriver, FakeGuest
from fakes.edge import FakeRoutes
from fakes.faults import Faults
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.dns.model import FoundRecord, Whose
from zlh_api.drivers.port import GuestFailed, GuestPlan, SystemAway, Warrant
from zlh_api.edge.model import RouteFile
from zlh_api.edge.port import Check, unconditional
from zlh_api.edge.traefik_file import parse_mark
from zlh_api.reconcile.pace import Pace
from zlh_api.reconcile.service import Reconciler
from zlh_api.reconcile.steps import Steps
from zlh_common.names import OwnerMark

# A minute of work in a second. A look, a step and a lease take as long as a busy machine may need.
FAST = Pace(
    workers=4,
    slow_after_s=0.05,
    most_workers=8,
    lease_s=0.6,
    margin_s=0.15,
    poll_s=0.05,
    drift_s=0.2,
    first_retry_s=0.01,
    most_retry_s=0.08,
    break_s=0.05,
    turn_s=0.08,
    spread_s=0.02,
    connect_s=0.3,
    observe_s=1.0,
    step_s=1.0,
    slow_steps_s={},
)
FREEZE_S = FAST.lease_s * 1.3


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that was done to a guest or a route, by whom, and when by the machine's clock."""

    name: str
    owner: str
    fence: int
    at: float


@dataclass
class Ledger:
    """What was done, and what should not have been."""

    effects: list[Effect] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def record(self, name: str, owner: str, fence: int) -> None:
        """Write down an effect that is about to be."""
        self.effects.append(Effect(name, owner, fence, time.time()))


class OwnedDatabase(Database):
    """One process's way to the pool that all of a world share; a dead or a frozen one gets nothing from it."""

    def __init__(self, pool: Database) -> None:
        self._shared = pool
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.is_dead = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnectionProxy]:
        """Lend a connection."""
        await self.thawed.wait()
        if self.is_dead:
            raise DatabaseUnavailable
        async with self._shared.connection() as connection:
            yield connection


class Process:
    """One API process, as far as it reconciles."""

    def __init__(self, pool: Database, driver: FakeDriver, steps: Callable[[Database], Steps], chance: Random) -> None:
        self.database = OwnedDatabase(pool)
        self._reconciler = Reconciler(self.database, driver, steps(self.database), FAST, chance=chance.random)
        context = contextvars.copy_context()
        context.run(PROCESS.set, self)
        self.task = asyncio.create_task(self._reconciler.run(), context=context)

    def kill(self) -> None:
        """End it as a power cut would: it writes nothing any more and gives nothing back."""
        self.database.is_dead = True
        self.task.cancel()

    async def freeze(self) -> None:
        """Let it do nothing for longer than its leases last, and go on then as if nothing had been."""
        self.database.thawed.clear()
        # By the loop itself: whoever cancels the call that froze must not leave the process frozen for ever.
        asyncio.get_running_loop().call_later(FREEZE_S, self.database.thawed.set)
        await self.database.thawed.wait()

    async def stop(self) -> None:
        """End it in order, or see that it has ended."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class Chaos(Faults):
    """Decides by chance how each call goes."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self.chance = chance
        self.is_on = True
        self.away_until = 0.0
        # How much goes wrong differs from run to run.
        self.share = chance.choice([0.02, 0.08, 0.2])

    async def before(self, name: str) -> None:
        """Go wrong without effect, or late."""
        self.calls.append(name)
        await PROCESS.get().database.thawed.wait()
        if self.is_on and time.monotonic() < self.away_until:
            raise SystemAway(system="the cluster", reason="refused", retry_in_s=0.02)
        if self.is_on and self.chance.random() < self.share:
            await self._misbehave(name)

    async def after(self, name: str) -> None:
        """Go wrong after the effect, before anybody hears of it."""
        if self.is_on and self.chance.random() < self.share:
            await self._misbehave(name)

    async def _misbehave(self, name: str) -> None:
        process = PROCESS.get()
        match self.chance.choices(["fail", "break", "slow", "hang", "freeze", "kill"], [8, 1, 6, 1, 5, 3])[0]:
            case "fail":
                raise GuestFailed(what=name, reason="chance")
            case "break":
                raise ZeroDivisionError(name)
            case "slow":
                await asyncio.sleep(self.chance.uniform(0, 0.1))
            case "hang":
                await asyncio.Event().wait()
            case "freeze":
                await process.freeze()
            case _:
                process.kill()
                await asyncio.Event().wait()

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Surround a call that nobody needs a right for; the test's own looks are spared."""
        if PROCESS.get(None) is None:
            yield
            return
        await self.before(name)
        yield
        await self.after(name)


class ChaosDriver(FakeDriver):
    """Keeps the contract of a driver, whatever else goes wrong, and watches over what must never be."""

    # Nobody patrols in these runs, so each process looks for itself at what hands have changed.
    survey_tells_drift = False

    def __init__(self, chaos: Chaos, ledger: Ledger) -> None:
        super().__init__(chaos)
        self.chaos = chaos
        self.ledger = ledger
        # Whose guests are not ours, and how they must stay.
        self.strangers: dict[int, FakeGuest] = {}
        # Whose networks a hand has opened.
        self.opened: set[int] = set()

    async def ensure_created(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Make the guest; a node makes one at a time."""
        async with warrant.slot(f"node:{plan.vmid % 2}"):
            await super().ensure_created(plan, warrant)
        alike = [guest.owner for guest in self.guests.values() if guest.address == plan.address]
        if len(set(alike)) > 1:
            self.ledger.violations.append(f"{plan.address} belongs to {alike}")

    async def ensure_started(self, plan: GuestPlan, warrant: Warrant) -> None:
        """Start the guest, and see that it was closed before."""
        before = self.guests.get(plan.vmid)
        was_running = before is not None and before.is_running
        try:
            await super().ensure_started(plan, warrant)
        finally:
            guest = self.guests.get(plan.vmid)
            is_open = guest is not None and guest.is_running and guest.closed_for != guest.address
            # A hand may have opened it in the moment after the start.
            if is_open and not was_running and plan.vmid not in self.opened:
                self.ledger.violations.append(f"{plan.vmid} was started open")

    def _effect(self, name: str, warrant: Warrant) -> AbstractAsyncContextManager[None]:
        return _effect(self.chaos, self.ledger, name, warrant)


class ChaosRoutes(FakeRoutes):
    """The proxy's directory, with the same faults."""

    def __init__(self, chaos: Chaos, ledger: Ledger) -> None:
        super().__init__(chaos)
        self.chaos = chaos
        self.ledger = ledger

    async def publish(self, file: RouteFile, *, check: Check = unconditional) -> None:
        """Put a file there."""
        async with _effect(self.chaos, self.ledger, "publish", _warrant_of(check)):
            self.files[file.name] = file.text

    async def withdraw(self, name: str, owner: str, *, check: Check = unconditional) -> None:
        """Take a file away."""
        async with _effect(self.chaos, self.ledger, "withdraw", _warrant_of(check)):
            present = self.files.get(name)
            if present is not None and parse_mark(present) == owner:
                del self.files[name]


class ChaosProvider(FakeProvider):
    """A DNS provider with the same faults, which may be away by itself."""

    def __init__(self, chaos: Chaos, ledger: Ledger, name: str) -> None:
        super().__init__(chaos, name)
        self.chaos = chaos
        self.ledger = ledger
        self.away_until = 0.0

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return what is at the names that are known."""
        self._be_away()
        return await super().find(whose)

    @asynccontextmanager
    async def effect(self, name: str, check: Check) -> AsyncIterator[None]:
        """Surround one write."""
        self._be_away()
        async with _effect(self.chaos, self.ledger, name, _warrant_of(check)):
            yield

    def _be_away(self) -> None:
        if self.chaos.is_on and time.monotonic() < self.away_until:
            raise SystemAway(system=f"the DNS provider {self.setting.name}", reason="refused", retry_in_s=0.02)


@asynccontextmanager
async def _effect(chaos: Chaos, ledger: Ledger, name: str, warrant: Any) -> AsyncIterator[None]:
    await chaos.before(name)
    warrant.check()
    ledger.record(name, warrant.claim.owner, warrant.claim.fence)
    yield
    await chaos.after(name)


def _warrant_of(check: Check) -> Any:
    # A bound method: what it belongs to says who acts.
    return check.__self__  # type: ignore[attr-defined]


def stranger(chance: Random) -> FakeGuest:
    """Return a guest of somebody else, running and open to all."""
    guest = FakeGuest(OwnerMark(f"foreign-{chance.random()}"), None)
    guest.is_running = True
    return guest
