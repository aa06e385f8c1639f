"""What a run has found: as a table for people, and as JSON and Markdown for later."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.measure import Budget, Row, Spread

HEAD = ("row", "unit", "ours (min … max)", "peer", "peer's (min … max)", "ours / peer", "budget", "kept", "note")


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "memory": memory.partition(":")[2].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def render_number(figure: float) -> str:
    """Return three digits that matter."""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def render_spread(spread: Spread | None) -> str:
    """Return median, and minimum and maximum where they differ from it."""
    if spread is None:
        return ""
    median = render_number(spread.median)
    if spread.low == spread.high:
        return median
    return f"{median} ({render_number(spread.low)} … {render_number(spread.high)})"


def render_budget(budget: Budget | None) -> str:
    """Return a budget as a comparison."""
    if budget is None:
        return "-"
    return f"{'≥' if budget.is_floor else '≤'} {budget.limit:g}{' x' if budget.of == 'ratio' else ''}"


def render_verdict(row: Row) -> str:
    """Return whether the budget is kept."""
    kept = row.budget.is_kept(row) if row.budget else None
    return {None: "-", True: "yes", False: "**no**"}[kept]


def render_cells(row: Row) -> tuple[str, ...]:
    """Return one line of the table."""
    return (
        row.name,
        row.unit,
        render_spread(row.ours),
        row.peer_name or "-",
        render_spread(row.peer) or "-",
        render_spread(row.ratio) or "-",
        render_budget(row.budget),
        render_verdict(row),
        row.note,
    )


def render_markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(render_cells(row) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def print_row(row: Row) -> None:
    """Print one row, as soon as it is known."""
    peer = f"   {row.peer_name} {render_spread(row.peer)}   ours/peer {render_spread(row.ratio)}" if row.peer else ""
    verdict = f"   budget {render_budget(row.budget)}: {render_verdict(row).strip('*')}" if row.budget else ""
    note = f"   [{row.note}]" if row.note else ""
    print(f"{row.name:<32} {render_spread(row.ours):>24} {row.unit}{peer}{verdict}{note}", flush=True)


def write_results(folder: Path, rows: Sequence[Row], *, failed: dict[str, str], about: dict[str, Any]) -> Path:
    """Write `<date>.json` and `<date>.md`; return the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now().astimezone()
    stem = folder / now.strftime("%Y-%m-%dT%H-%M-%S")
    machine = describe_machine()
    document = {"at": now.isoformat(timespec="seconds"), "machine": machine, **about, "failed": failed}
    listed = [{**asdict(row), "kept": row.budget.is_kept(row) if row.budget else None} for row in rows]
    stem.with_suffix(".json").write_text(json.dumps({**document, "rows": listed}, indent=1) + "\n")
    facts = ", ".join(f"{name} {value}" for name, value in {**machine, **about}.items())
    broken = "".join(f"\nNot measured: `{name}`: {reason}\n" for name, reason in failed.items())
    markdown = stem.with_suffix(".md")
    markdown.write_text(f"# Measured at {now:%Y-%m-%d %H:%M}\n\n{facts}\n\n{render_markdown(rows)}{broken}")
    return markdown
