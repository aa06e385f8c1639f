"""The figures of process and platform in Prometheus' text format.

No label ever holds what a customer has written, and none stands for one container: how many series there are depends on
what this version can do and on what is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from zlh_api.audit.record_surveys import NO_PROVIDER
from zlh_api.containers.census import Census
from zlh_api.monitoring.model import BackupRecord, OwnFigures, PlatformFigures, ProcessUse
from zlh_api.reconcile.step_figures import STEP_BOUNDS_S, StepFigures
from zlh_api.web.request_figures import REQUEST_BOUNDS_S, RequestFigures
from zlh_common.exposition import render_counter, render_gauge, render_histogram
from zlh_common.schema.audit import AuditReport, AuditStatus, FindingKind, QueueFigures, Severity


def render_own(figures: OwnFigures) -> str:
    """Return what this process knows of itself."""
    return "".join([*_process(figures), *_requests(figures.requests), *_steps(figures.steps), *_systems(figures)])


def render_platform(figures: PlatformFigures, now: datetime) -> str:
    """Return what is true of the whole platform; what is not known has no series."""
    return "".join(
        [
            *(_containers(figures.census) if figures.census is not None else ()),
            *(_audit(figures.audit, now) if figures.audit is not None else ()),
            *_ends(figures),
            *_backup(figures.backup),
        ]
    )


def _process(figures: OwnFigures) -> Iterator[str]:
    about = {"version": figures.version, "python": figures.python, "driver": figures.driver}
    yield render_gauge("zlh_build_info", "Always 1; what runs.", [(about, 1)])
    yield from _use(figures.use)
    for name, text, index in (
        ("zlh_open_calls", "WebSockets, event streams and file transfers that are open.", 0),
        ("zlh_open_calls_limit", "How many there may be.", 1),
    ):
        yield render_gauge(name, text, [({"kind": kind}, found[index]) for kind, found in figures.open_calls.items()])
    for name, text in (("free", "Free for this process"), ("size", "Size")):
        yield render_gauge(
            f"zlh_disk_{name}_bytes",
            f"{text}, of the file system of a folder.",
            [({"folder": folder}, getattr(disk, f"{name}_bytes")) for folder, disk in figures.disks.items()],
        )


def _use(use: ProcessUse) -> Iterator[str]:
    # By the names that every program gives these.
    yield render_counter("process_cpu_seconds_total", "Processor time used.", [({}, round(use.cpu_s, 3))])
    yield render_gauge("process_resident_memory_bytes", "Resident memory.", [({}, use.memory_bytes)])
    yield render_gauge("process_open_fds", "Open descriptors.", [({}, use.open_files)])
    yield render_gauge("process_max_fds", "How many there may be.", [({}, use.most_files)])
    yield render_gauge("process_start_time_seconds", "When it was started.", [({}, use.started_at.timestamp())])


def _requests(requests: RequestFigures) -> Iterator[str]:
    yield render_counter(
        "zlh_http_requests_total",
        "Requests by endpoint and class of status (agent: of an agent that was asked); no endpoint where none was met.",
        [
            ({"method": method, "route": route, "status": status}, count)
            for (method, route, status), count in sorted(requests.answers.items())
        ],
    )
    yield render_histogram(
        "zlh_http_request_seconds",
        "How long an answer took, without what lasts for as long as its client stays.",
        REQUEST_BOUNDS_S,
        [
            ({"method": method, "route": route}, took.counts, round(took.total_s, 6))
            for (method, route), took in sorted(requests.durations.items())
        ],
    )


def _steps(steps: StepFigures) -> Iterator[str]:
    yield render_counter(
        "zlh_reconcile_steps_total",
        "Steps that this process has taken, by what came of them.",
        [({"step": step, "outcome": outcome}, count) for (step, outcome), count in sorted(steps.outcomes.items())],
    )
    yield render_counter(
        "zlh_reconcile_failures_total",
        "Steps that have failed, by the code of the reason.",
        [({"code": code}, count) for code, count in sorted(steps.failures.items())],
    )
    yield render_histogram(
        "zlh_reconcile_step_seconds",
        "How long a step took, whatever came of it.",
        STEP_BOUNDS_S,
        [({"step": step}, took.counts, round(took.total_s, 6)) for step, took in sorted(steps.durations.items())],
    )


def _systems(figures: OwnFigures) -> Iterator[str]:
    pool = figures.pool
    yield render_gauge(
        "zlh_dependency_healthy",
        "Whether what this process depends on is well, as /api/healthz tells it.",
        [({"dependency": name}, int(is_well)) for name, is_well in figures.healthy.items()],
    )
    yield render_gauge(
        "zlh_circuit_closed",
        "Whether calls go out to a system; 0 while it is held to be away.",
        [({"system": system}, int(is_closed)) for system, is_closed in sorted(figures.circuits.items())],
    )
    yield render_gauge(
        "zlh_database_connections",
        "Connections of the pool.",
        [({"state": "used"}, pool.used), ({"state": "idle"}, pool.idle)],
    )
    yield render_gauge("zlh_database_connections_limit", "How many there may be.", [({}, pool.limit)])
    yield render_counter("zlh_database_failures_total", "Calls that found no database.", [({}, pool.failures)])


def _containers(census: Census) -> Iterator[str]:
    yield render_gauge(
        "zlh_containers",
        "Containers by kind and lifecycle.",
        [({"kind": kind, "lifecycle": lifecycle}, count) for (kind, lifecycle), count in census.lifecycles.items()],
    )
    yield render_gauge("zlh_containers_ready", "Containers that are ready.", [({}, census.ready)])
    for name, text, label, counts in (
        ("zlh_containers_degraded", "Containers by what is wrong with them.", "reason", census.degraded),
        ("zlh_containers_failing", "Containers by the code of a step that fails.", "code", census.failing),
    ):
        yield render_gauge(name, text, [({label: word}, count) for word, count in sorted(counts.items())])
    yield render_gauge("zlh_agents_expected", "Agents that should be connected.", [({}, census.agents_expected)])
    yield render_gauge("zlh_agents_connected", "Of these, those that are.", [({}, census.agents_connected)])
    yield _end(
        "zlh_agent_identity_ends", "When the certificate of an agent that runs ends first", census.identity_ends_at
    )


def _audit(audit: AuditStatus, now: datetime) -> Iterator[str]:
    yield from _queue(audit.queue)
    yield render_gauge("zlh_audit_alive", "Whether somebody patrols.", [({}, int(audit.patrol.is_alive))])
    if audit.report is not None:
        yield from _report(audit.report, now)


def _queue(queue: QueueFigures) -> Iterator[str]:
    words = ("settled", "working", "due", "waiting", "held", "awaiting")
    yield render_gauge(
        "zlh_reconcile_containers",
        "Containers by what is being done about them.",
        [({"work": word}, getattr(queue, word)) for word in words],
    )
    yield render_gauge("zlh_reconcile_failing", "Containers that have failed of late.", [({}, queue.failing)])
    # 0 where nothing is due, so that a threshold can be written down.
    yield render_gauge(
        "zlh_reconcile_oldest_due_seconds",
        "How long the container has been due that has been so for longest.",
        [({}, round(max(0.0, queue.oldest_due_s or 0.0), 3))],
    )


def _report(report: AuditReport, now: datetime) -> Iterator[str]:
    counts = {(kind, severity): 0 for kind in FindingKind for severity in Severity}
    for finding in report.findings:
        counts[finding.kind, finding.severity] += 1
    yield render_gauge(
        "zlh_audit_findings",
        "Differences between our books and the world that the last look has shown, the worst 500 of them.",
        [({"kind": kind, "severity": severity}, count) for (kind, severity), count in counts.items()],
    )
    yield render_gauge(
        "zlh_audit_seen",
        "Whether a system could be looked at.",
        [({"system": part.name}, int(part.count is not None)) for part in report.parts if part.trouble != NO_PROVIDER],
    )
    age_s = round((now - report.looked_at).total_seconds(), 3)
    yield render_gauge("zlh_audit_age_seconds", "Since the last look.", [({}, age_s)])


def _ends(figures: PlatformFigures) -> Iterator[str]:
    yield _end("zlh_catalog_ends", "When the signatures of the catalog end", figures.catalog_ends_at)
    yield _end("zlh_ca_ends", "When the private CA ends that signs agents", figures.ca_ends_at)


def _end(name: str, text: str, moment: datetime | None) -> str:
    seconds = moment.timestamp() if moment is not None else None
    return render_gauge(f"{name}_timestamp_seconds", f"{text}, in Unix time.", [({}, seconds)])


def _backup(backup: BackupRecord | None) -> Iterator[str]:
    yield _end("zlh_backup_finished", "When the last backup was finished", backup.finished_at if backup else None)
    yield render_gauge("zlh_backup_size_bytes", "How large it is.", [({}, backup.size_bytes if backup else None)])
