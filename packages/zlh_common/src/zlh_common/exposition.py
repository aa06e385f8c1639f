"""Figures in Prometheus' text format 0.0.4: names with their units, totals as counters, what is not known left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from zlh_common.schema.metrics import ContainerMetrics, Metrics, Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Figure = float | int | None
Series = Sequence[tuple[Mapping[str, str], Figure]]

_CONTAINER: dict[str, tuple[str, str, Callable[[ContainerMetrics], Figure]]] = {
    "zlh_container_uptime_seconds": ("gauge", "Since the container has started.", lambda c: c.uptime_s),
    "zlh_container_cpu_seconds_total": ("counter", "Processor time used.", lambda c: c.cpu_s),
    "zlh_container_cpu_limit_cores": ("gauge", "Cores that may be used.", lambda c: c.cpu_limit_cores),
    "zlh_container_memory_bytes": ("gauge", "Memory in use, page cache included.", lambda c: c.memory_bytes),
    "zlh_container_memory_cache_bytes": ("gauge", "Of it, what can be given back.", lambda c: c.memory_cache_bytes),
    "zlh_container_memory_limit_bytes": ("gauge", "Memory that may be used.", lambda c: c.memory_limit_bytes),
    "zlh_container_processes": ("gauge", "Processes, threads included in a real container.", lambda c: c.processes),
    "zlh_container_processes_limit": ("gauge", "How many there may be.", lambda c: c.processes_limit),
    "zlh_container_disk_used_bytes": ("gauge", "Of the workspace's file system.", lambda c: c.disk_used_bytes),
    "zlh_container_disk_total_bytes": ("gauge", "Size of the workspace's file system.", lambda c: c.disk_total_bytes),
    "zlh_container_network_received_bytes_total": ("counter", "Without the loopback.", lambda c: c.received_bytes),
    "zlh_container_network_sent_bytes_total": ("counter", "Without the loopback.", lambda c: c.sent_bytes),
}  # fmt: skip
_PROCESS: dict[str, tuple[str, str, Callable[[Usage], Figure]]] = {
    "zlh_process_cpu_seconds_total": ("counter", "Processor time used.", lambda u: u.cpu_s),
    "zlh_process_resident_memory_bytes": ("gauge", "Resident memory.", lambda u: u.memory_bytes),
    "zlh_process_proportional_memory_bytes": (
        "gauge", "Resident memory, shared pages by their share.", lambda u: u.memory_proportional_bytes,
    ),
    "zlh_process_disk_read_bytes_total": ("counter", "Read from disks.", lambda u: u.read_bytes),
    "zlh_process_disk_written_bytes_total": ("counter", "Written to disks.", lambda u: u.written_bytes),
    "zlh_process_processes": ("gauge", "Processes that run.", lambda u: u.processes),
    "zlh_process_threads": ("gauge", "Threads that run.", lambda u: u.threads),
    "zlh_process_open_files": ("gauge", "Open descriptors.", lambda u: u.open_files),
}  # fmt: skip


def render_exposition(metrics: Metrics, labels: Mapping[str, str]) -> str:
    """Return the sample as text; every series carries `labels`."""
    return "".join([*_container_lines(metrics, labels), *_process_lines(metrics, labels)])


def render_gauge(name: str, text: str, series: Series) -> str:
    """Return one gauge with all of its series; "" where none of them is known."""
    return "".join(_family(name, "gauge", text, series))


def render_counter(name: str, text: str, series: Series) -> str:
    """Return one counter with all of its series; "" where none of them is known."""
    return "".join(_family(name, "counter", text, series))


def render_histogram(
    name: str, text: str, bounds: Sequence[float], series: Sequence[tuple[Mapping[str, str], Sequence[int], float]]
) -> str:
    """Return one histogram; each series has its labels, how many fell below each bound but no lower one, and their sum.

    The last count is of what lies above all bounds, so there is one more than bounds.
    """
    lines = [f"# HELP {name} {text}\n# TYPE {name} histogram\n"] if series else []
    ends = [*map(str, bounds), "+Inf"]
    for labels, counts, total in series:
        below = 0
        for end, count in zip(ends, counts, strict=True):
            below += count
            lines.append(f"{name}_bucket{_render_labels({**labels, 'le': end})} {below}\n")
        lines.append(f"{name}_sum{_render_labels(labels)} {total}\n{name}_count{_render_labels(labels)} {below}\n")
    return "".join(lines)


def _container_lines(metrics: Metrics, labels: Mapping[str, str]) -> Iterator[str]:
    for name, (kind, text, figure) in _CONTAINER.items():
        yield from _family(name, kind, text, [(labels, figure(metrics.container))])


def _process_lines(metrics: Metrics, labels: Mapping[str, str]) -> Iterator[str]:
    for name, (kind, text, figure) in _PROCESS.items():
        series = [({**labels, "name": one.name, "kind": one.kind}, figure(one.usage)) for one in metrics.processes]
        yield from _family(name, kind, text, series)


def _family(name: str, kind: str, text: str, series: Series) -> Iterator[str]:
    told = [(labels, value) for labels, value in series if value is not None]
    if told:
        yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in told:
        yield f"{name}{_render_labels(labels)} {value}\n"


def _render_labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
