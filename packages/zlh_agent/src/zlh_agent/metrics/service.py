"""Samples: at most two a second however many ask, one a minute for those who watch, and never more than one at once.

The kernel is looked at in a thread of its own: a file system or a process that does not answer costs nobody else one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import structlog

from zlh_agent.metrics.model import Key, Reading, Target
from zlh_agent.metrics.reader import Place, read_all
from zlh_agent.metrics.rules import Totals, add_up, forget_gone, has_fallen, render_metrics
from zlh_agent.watchers import Watchers
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.metrics import Metrics

log = structlog.get_logger()
SAMPLE_S = 60.0
# A sample this old is still handed out, and is not too close to measure a share against.
FRESH_S = 0.5
READ_TIMEOUT_S = 8.0


class MetricsUnavailable(ZlhError):
    """The kernel does not tell, or not in time."""

    code, status, retryable = "metrics_unavailable", 503, True

    def __init__(self) -> None:
        super().__init__("The kernel does not tell the figures of this container at the moment.")


class MetricsService:
    """`targets` tells what runs now; `names` what there is at all, running or not."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._totals = Totals(0.0)
        # What the shares of the next sample are measured against: when asked, and once a minute.
        self._asked_before = self._minute_before = Totals(0.0)
        self._latest: tuple[float, Metrics] | None = None
        self._looking = asyncio.Lock()
        self._sampling: asyncio.Task[Metrics] | None = None
        self._watchers = Watchers()
        # The sample of the last minute; None until there is one.
        self.newest: Metrics | None = None
        self.targets: Callable[[], Sequence[Target]] = tuple
        self.names: Callable[[], Sequence[Key]] = tuple

    async def sample(self) -> Metrics:
        """Return a sample that is at most half a second old; raise MetricsUnavailable."""
        if self._latest is not None and self._clock.monotonic() - self._latest[0] < FRESH_S:
            return self._latest[1]
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample_for_askers())
        # Whoever goes leaves it to the others.
        return await asyncio.shield(self._sampling)

    async def _sample_for_askers(self) -> Metrics:
        try:
            metrics, self._asked_before = await self._look(self._asked_before)
            self._latest = (self._clock.monotonic(), metrics)
            return metrics
        finally:
            self._sampling = None

    async def run(self) -> None:
        """Take a sample now and one each minute, for those who watch."""
        while True:
            try:
                self.newest, self._minute_before = await self._look(self._minute_before)
            except MetricsUnavailable as error:
                log.warning("metrics.not_read", error=error.detail)
            self._watchers.wake()
            await self._clock.sleep(SAMPLE_S)

    def watch(self) -> AbstractContextManager[asyncio.Event]:
        """Lend an event that is set with each sample of a minute; whoever waits on it clears it."""
        return self._watchers.watch()

    async def _look(self, before: Totals) -> tuple[Metrics, Totals]:
        async with self._looking:
            targets = tuple(self.targets())
            reading = await self._read(targets)
            if has_fallen(self._totals, reading):
                # Seen twice it has really gone; otherwise something ended between two looks.
                reading = await self._read(targets)
            self._totals = forget_gone(add_up(self._totals, reading), self.names())
            metrics = render_metrics(reading, targets, self._totals, before, self._clock.now())
            return metrics, self._totals

    async def _read(self, targets: Sequence[Target]) -> Reading:
        reading = asyncio.get_running_loop().run_in_executor(self._thread, read_all, self._place, targets)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await reading
        except (TimeoutError, OSError) as exc:
            raise MetricsUnavailable from exc

    async def close(self) -> None:
        """Let go of the thread; may be called twice."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)
