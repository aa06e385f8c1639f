"""Entries and samples as agents tell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zlh_common.schema.history import Happening
from zlh_common.schema.metrics import ContainerMetrics, Metrics

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def happening(number: int) -> Happening:
    """Return the entry of a journal with this number."""
    return Happening(
        number=number,
        at=BEGINNING + timedelta(seconds=number),
        kind="process.exited",
        subject="web",
        message=f"web exited with code {number}.",
        data={"code": number},
    )


def sample(at: datetime) -> Metrics:
    """Return a sample of a container in which nothing runs."""
    container = ContainerMetrics(
        source="cgroup2",
        uptime_s=1.0,
        cpu_s=1.0,
        cpu_cores=None,
        cpu_limit_cores=None,
        memory_bytes=1,
        memory_cache_bytes=None,
        memory_limit_bytes=None,
        processes=1,
        processes_limit=None,
        disk_used_bytes=None,
        disk_total_bytes=None,
        received_bytes=None,
        sent_bytes=None,
    )
    return Metrics(observed_at=at, container=container, processes=())
