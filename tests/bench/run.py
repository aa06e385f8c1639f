"""`make bench`: measures ours and its peers side by side, and says which budgets are kept.

run.py                      everything
run.py --quick              small sizes, without the slow rows: under a minute; its figures say little
run.py console api.list     the rows that begin with these names
run.py --list               what there is
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# This folder is on the path where this file is started; `tests` stands there for it, as in the tests.
sys.path[0] = str(ROOT / "tests")

from bench import (  # noqa: E402 - after the path
    access,
    agent,
    agent_update,
    api,
    api_busy,
    api_limits,
    api_transfers,
    artifacts,
    audit_log,
    bridged_ports,
    console,
    console_crowd,
    container,
    edge_files,
    edge_proof,
    edge_records,
    fan_in,
    file_archives,
    file_transfers,
    files,
    games,
    idle_containers,
    install,
    journal,
    looks,
    monitoring,
    ports,
    provisioning,
    revocation,
    rollouts,
    stack,
    supervision,
)
from bench.measure import Case, Row, Run  # noqa: E402
from bench.real_agent import find_shims  # noqa: E402
from bench.report import print_row, write_results  # noqa: E402
from zlh_common.logs import configure_logs  # noqa: E402

CASES: tuple[Case, ...] = (
    *install.CASES,
    *files.CASES,
    *file_archives.CASES,
    *file_transfers.CASES,
    *api_transfers.CASES,
    *console.CASES,
    *console_crowd.CASES,
    *revocation.CASES,
    *agent.CASES,
    *agent_update.CASES,
    *ports.CASES,
    *bridged_ports.CASES,
    *supervision.CASES,
    *container.CASES,
    *api.CASES,
    *api_busy.CASES,
    *audit_log.CASES,
    *api_limits.CASES,
    *monitoring.CASES,
    *idle_containers.CASES,
    *fan_in.CASES,
    *looks.CASES,
    *games.CASES,
    *rollouts.CASES,
    *journal.CASES,
    *access.CASES,
    *edge_records.CASES,
    *edge_proof.CASES,
    *provisioning.CASES,
    *artifacts.CASES,
    *edge_files.CASES,
    *stack.CASES,
)


def choose_cases(names: Sequence[str], *, is_quick: bool) -> list[Case]:
    """Return the cases whose names begin with one of `names`, all without any; a quick run leaves out the slow ones."""
    chosen = [case for case in CASES if not names or any(case.name.startswith(name) for name in names)]
    return [case for case in chosen if not (is_quick and case.is_slow)]


async def measure(cases: Sequence[Case], run: Run) -> tuple[list[Row], dict[str, str]]:
    """Return every row, and why a case has none; one that breaks does not stop the others."""
    rows, failed = [], {}
    for case in cases:
        print(f"\n{case.name}: {case.about}", file=sys.stderr, flush=True)
        try:
            found = await case.measure(run)
        except Exception as exc:  # noqa: BLE001 - whatever broke, the other cases go on, and the run says so
            traceback.print_exc()
            failed[case.name] = f"{type(exc).__name__}: {exc}"
            continue
        for row in found:
            print_row(row)
        rows += found
    return rows, failed


def end_shims(folder: Path) -> None:
    """End shims that a case which broke has left; with each goes its shell."""
    for pid in find_shims(folder, but=()):
        os.kill(pid, signal.SIGKILL)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure ZLH and its peers side by side.")
    parser.add_argument("names", nargs="*", metavar="ROW", help="beginnings of names of rows; default: all")
    parser.add_argument("--repeat", type=int, default=None, help="how often each side is measured (default 5, quick 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes, no slow rows: does it work at all?")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--results", type=Path, default=ROOT / "bench-results", help="where the files go")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; 0 unless something could not be measured. A missed budget is a finding, not a failure."""
    arguments = parse_arguments(argv)
    configure_logs(level="ERROR")
    if arguments.list:
        for case in CASES:
            print(f"{case.name:<24} {case.about}{' (slow)' if case.is_slow else ''}")
        return 0
    cases = choose_cases(arguments.names, is_quick=arguments.quick)
    if not cases:
        print("No row begins so; --list shows what there is.", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="zlh-bench-"))
    # A server that must not run as root has to pass here.
    folder.chmod(0o711)
    cache = Path(tempfile.gettempdir()) / "zlh-bench-cache"
    cache.mkdir(exist_ok=True)
    repeat = arguments.repeat or (1 if arguments.quick else 5)
    try:
        rows, failed = asyncio.run(measure(cases, Run(repeat, arguments.quick, folder, cache)))
    finally:
        end_shims(folder)
        shutil.rmtree(folder, ignore_errors=True)
    about = {"repeat": repeat, "quick": arguments.quick}
    print(f"\nWritten: {write_results(arguments.results, rows, failed=failed, about=about)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
