"""`zlh-api proxmox check`: what a cluster lacks, as a table or for programs.

Exit codes: 0 nothing is missing, 1 something is, 2 something could not be looked at.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zlh_api.drivers.proxmox.preflight import Preflight
from zlh_common.schema.preflight import PreflightReport, Verdict
from zlh_common.schema.structs import encode
from zlh_common.shown_text import clean_line

WHOLE, LACKING, UNKNOWN = 0, 1, 2
MOST_CHARS = 500
_STYLE = {Verdict.HOLDS: "green", Verdict.DOUBTFUL: "yellow", Verdict.LACKS: "red", Verdict.UNKNOWN: "yellow"}


async def run(arguments: argparse.Namespace, preflight: Preflight) -> int:
    """Look, print what was seen, and return the exit code."""
    report = await preflight.look()
    if arguments.json:
        sys.stdout.write(encode(report).decode() + "\n")
    else:
        print_report(Console(), report)
    return decide_code(report)


def decide_code(report: PreflightReport) -> int:
    """Return the exit code that says how the cluster stands."""
    verdicts = {row.verdict for row in report.rows}
    if Verdict.UNKNOWN in verdicts:
        return UNKNOWN
    return LACKING if Verdict.LACKS in verdicts else WHOLE


def print_report(console: Console, report: PreflightReport) -> None:
    """Print what was looked at, then what there is to do, in order and ready to be copied."""
    table = Table("what", "", "about it", title=f"Cluster at {_shown(report.url)}", title_justify="left")
    for row in report.rows:
        verdict = Text(row.verdict, style=_STYLE[row.verdict])
        table.add_row(Text(_shown(row.subject)), verdict, Text(_shown(row.message), overflow="fold"))
    console.print(table)
    todo = list(dict.fromkeys(line for row in report.rows for line in row.todo))
    if todo:
        console.print("What to do:", highlight=False)
    for line in todo:
        console.print(Text(f"  {_shown(line)}"), soft_wrap=True)
    counts = {verdict: sum(row.verdict is verdict for row in report.rows) for verdict in Verdict}
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count), highlight=False)


def _shown(text: str) -> str:
    """Return what a cluster has said as a line that moves no cursor."""
    return clean_line(text, MOST_CHARS)
