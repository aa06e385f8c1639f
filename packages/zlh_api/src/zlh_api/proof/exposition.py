"""The figures of the edge in Prometheus' text format."""

from __future__ import annotations

from datetime import datetime

from zlh_api.proof.rules import ALL_FAULTS
from zlh_common.exposition import render_gauge
from zlh_common.schema.edge import EdgeStatus

_DAY_S = 86_400


def render_edge_metrics(edge: EdgeStatus, now: datetime) -> str:
    """Return every figure that is known; what is not has no series."""
    proxy = edge.proxy
    # Each has a series also while no container has it, so that an alarm can be written down before the first one.
    counts = dict.fromkeys(ALL_FAULTS, 0) | edge.fault_counts
    lines = [
        render_gauge(
            "zlh_edge_containers",
            "Containers whose name does not lead to them, by what is broken.",
            [({"fault": fault}, count) for fault, count in counts.items()],
        ),
        render_gauge(
            "zlh_edge_outage",
            "What all containers lack at this moment.",
            [({"code": outage.code}, 1) for outage in edge.outages],
        ),
        render_gauge("zlh_edge_proof_alive", "Whether somebody proves.", [({}, int(edge.is_alive))]),
        render_gauge("zlh_edge_proof_containers", "Containers that should answer.", [({}, edge.containers)]),
        render_gauge("zlh_edge_proof_round_seconds", "How long the last look took.", [({}, edge.took_s)]),
        render_gauge(
            "zlh_edge_proof_age_seconds",
            "Since the last look.",
            [({}, round((now - edge.looked_at).total_seconds(), 3) if edge.looked_at is not None else None)],
        ),
        render_gauge(
            "zlh_edge_proxy_reachable",
            "Whether the proxy's API answers.",
            [({}, int(proxy.is_reachable) if proxy is not None else None)],
        ),
        render_gauge(
            "zlh_edge_proxy_routers",
            "Routers that it has loaded.",
            [({}, proxy.routers if proxy is not None else None)],
        ),
        render_gauge(
            "zlh_edge_certificate_days_left",
            "Until a certificate ends, by one of the hosts that show it.",
            [
                ({"host": each.example}, round((each.certificate.not_after - now).total_seconds() / _DAY_S, 2))
                for each in edge.certificates
            ],
        ),
        render_gauge(
            "zlh_edge_files_quarantined",
            "Foreign files that kept the proxy from loading any, and were moved away.",
            [({}, len(edge.files.quarantined) if edge.files is not None else None)],
        ),
        render_gauge(
            "zlh_edge_provider_reachable",
            "Whether a DNS provider answers.",
            [({"provider": each.name}, int(each.is_reachable)) for each in edge.providers or ()],
        ),
    ]
    return "".join(lines)
