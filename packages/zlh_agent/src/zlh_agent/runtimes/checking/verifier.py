"""Compares installed versions with their lists: when asked, and each about once a day; and knows what that has found.

One comparison of a version at a time, which all who ask meanwhile share. A version that is changed is not compared.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from zlh_agent.runtimes.checking.checks import CheckStore
from zlh_agent.runtimes.errors import RuntimeBusy, RuntimeChildFailed, RuntimeNotInstalled
from zlh_agent.runtimes.model import VerifiedLine, VerifyOrder
from zlh_agent.runtimes.plan import Version
from zlh_agent.runtimes.rules import Check, choose_check
from zlh_agent.runtimes.short_child import run_short_child
from zlh_agent.runtimes.store import Installed
from zlh_common.clock import Clock
from zlh_common.schema.runtime import RuntimeVerification
from zlh_common.schema.status import InstalledRuntime

log = structlog.get_logger()
ASKED_LIMIT_S, IDLE_LIMIT_S = 600.0, 3600.0
# So many are compared at once where several are asked for.
AT_ONCE = 2
LOOK_S = 600.0
# Agents that were started together do not read their disks together.
JITTER = timedelta(hours=4)


class Tell(Protocol):
    """Writes down what has happened to a version."""

    def __call__(self, kind: str, key: Version, text: str, /, **facts: str | int) -> Awaitable[None]:
        """Write it down."""
        ...


class Verifier:
    """Holds the newest findings of each install; `load` once, and `close` at last."""

    def __init__(
        self, state: Path, clock: Clock, *, note: Tell, find_user: Callable[[], Awaitable[tuple[int, int] | None]]
    ) -> None:
        """`find_user` says whom a child becomes."""
        self.on_change: Callable[[], None] = lambda: None
        self._store = CheckStore(state)
        self._clock = clock
        self._note = note
        self._find_user = find_user
        self._checks: dict[Version, Check] = {}
        self._running: dict[Version, asyncio.Task[RuntimeVerification]] = {}
        # The one that gives way to everything: nobody who asks waits for it.
        self._idle: Version | None = None
        self._changing: set[Version] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def load(self) -> None:
        """Take up what former agents have found."""
        self._checks = {(check.name, check.version): check for check in await asyncio.to_thread(self._store.load)}

    async def close(self) -> None:
        """End what runs; may be called twice."""
        for key in list(self._running):
            await self._call_off(key)

    def find(self, installed: Sequence[Installed], key: Version) -> Installed:
        """Return one install; raise RuntimeNotInstalled."""
        for entry in installed:
            if entry.key == key:
                return entry
        raise RuntimeNotInstalled(name=key[0], version=key[1])

    def report(self, entry: Installed, *, is_previous: bool) -> InstalledRuntime:
        """Return what the status says of an install."""
        record, check = entry.record, self._check_of(entry)
        return InstalledRuntime(
            name=record.name,
            version=record.version,
            default=entry.is_current,
            verified=check is None or check.faults == 0,
            size=record.size,
            sha256=record.sha256,
            source=record.source,
            installed_at=record.installed_at,
            previous=is_previous,
            checked_at=None if check is None else check.checked_at,
            faults=0 if check is None else check.faults,
        )

    def _check_of(self, entry: Installed) -> Check | None:
        check = self._checks.get((entry.record.name, entry.record.version))
        return check if check is not None and check.installed_at == entry.record.installed_at else None

    async def verify(
        self, installed: Sequence[Installed], key: Version, *, is_idle: bool = False
    ) -> RuntimeVerification:
        """Return what a comparison finds, which all share who ask while it runs.

        Raises RuntimeNotInstalled, RuntimeChildFailed, and RuntimeBusy where the version is changed meanwhile.
        """
        entry = self.find(installed, key)
        if key == self._idle and not is_idle:
            await self._call_off(key)
        if key in self._changing:
            raise RuntimeBusy(name=key[0], version=key[1])
        if key not in self._running:
            self._start(entry, key, is_idle=is_idle)
        running = self._running[key]
        # Whoever goes leaves it to the others.
        await asyncio.wait({running})
        if running.cancelled():
            raise RuntimeBusy(name=key[0], version=key[1])
        return running.result()

    def _start(self, entry: Installed, key: Version, *, is_idle: bool) -> None:
        async def run() -> RuntimeVerification:
            found = await self._compare(entry, is_idle=is_idle)
            return await self._keep(entry, key, found, is_asked=not is_idle)

        def end(running: asyncio.Task[RuntimeVerification]) -> None:
            del self._running[key]
            if is_idle:
                self._idle = None
            # Whoever has asked may have gone; a failure that nobody takes would be told as one of ours.
            if not running.cancelled():
                running.exception()

        running = self._running[key] = asyncio.create_task(run())
        # Not at the end of `run`: one that is called off at once never begins.
        running.add_done_callback(end)
        if is_idle:
            self._idle = key

    async def _compare(self, entry: Installed, *, is_idle: bool) -> VerifiedLine:
        order = VerifyOrder(tree=str(entry.folder), is_idle=is_idle, user=await self._find_user())
        module = "zlh_agent.runtimes.checking.verify_child"
        if is_idle:
            answer = await run_short_child(module, order, limit_s=IDLE_LIMIT_S)
        else:
            async with self._places:
                answer = await run_short_child(module, order, limit_s=ASKED_LIMIT_S)
        assert isinstance(answer, VerifiedLine)
        return answer

    async def _keep(
        self, entry: Installed, key: Version, found: VerifiedLine, *, is_asked: bool
    ) -> RuntimeVerification:
        before = self._check_of(entry)
        check = Check(
            name=key[0],
            version=key[1],
            installed_at=entry.record.installed_at,
            checked_at=self._clock.now(),
            faults=found.faults,
        )
        self._checks[key] = check
        await self._save()
        self.on_change()
        await self._tell(key, check, before, is_asked=is_asked)
        return RuntimeVerification(
            name=key[0],
            version=key[1],
            verified=check.faults == 0,
            checked_at=check.checked_at,
            faults=check.faults,
            changed=found.changed,
            missing=found.missing,
            added=found.added,
        )

    async def _tell(self, key: Version, check: Check, before: Check | None, *, is_asked: bool) -> None:
        """Write down what somebody asked for and what is news: a version that stays as it is each day is neither."""
        last = 0 if before is None else before.faults
        name, version = key
        if check.faults and (is_asked or check.faults != last):
            text = f"{check.faults} files of {name} {version} are not what was installed."
            await self._note("changed", key, text, faults=check.faults)
        elif not check.faults and (is_asked or last):
            await self._note("verified", key, f"All files of {name} {version} are what was installed.")

    async def _save(self) -> None:
        await asyncio.to_thread(self._store.save, list(self._checks.values()))

    @asynccontextmanager
    async def changing(self, key: Version, *, is_rewritten: bool) -> AsyncIterator[None]:
        """Keep comparisons away from a version while it is changed; forget what was found of one that is rewritten."""
        self._changing.add(key)
        try:
            if is_rewritten:
                await self._call_off(key)
            yield
            if is_rewritten and self._checks.pop(key, None) is not None:
                await self._save()
        finally:
            self._changing.discard(key)

    async def _call_off(self, key: Version) -> None:
        running = self._running.get(key)
        if running is not None:
            running.cancel()
            await asyncio.wait({running})

    async def check_for_ever(self, installed: Callable[[], Sequence[Installed]]) -> None:
        """Compare each version once its day has come, one at a time and never while one is changed."""
        chance = secrets.SystemRandom()
        jitter = timedelta(0)
        while True:
            await self._clock.sleep(LOOK_S * chance.uniform(0.5, 1.5))
            key = None if self._changing else choose_check(self._last(installed()), self._clock.now(), jitter)
            if key is None:
                continue
            jitter = JITTER * chance.random()
            try:
                await self.verify(installed(), key, is_idle=True)
            except (RuntimeBusy, RuntimeChildFailed) as error:
                log.warning("runtime.not_checked", name=key[0], version=key[1], error=error.detail)

    def _last(self, installed: Sequence[Installed]) -> dict[Version, datetime]:
        """Return when each install was last known to be right or wrong."""
        found = {}
        for entry in installed:
            check = self._check_of(entry)
            at = entry.record.installed_at if check is None else check.checked_at
            found[entry.record.name, entry.record.version] = at
        return found
