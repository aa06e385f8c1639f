"""What supervision says in the terms of a shim, and what a shim's word means here."""

from __future__ import annotations

from zlh_agent.shim.model import EXITED, Rung, Snapshot
from zlh_agent.shim.records import ExitRecord
from zlh_agent.shim.signals import signal_name, signal_number
from zlh_agent.supervision.model import Exit
from zlh_common.schema.process import StopPolicy


def render_ladder(stop: StopPolicy) -> list[Rung]:
    """Return the ladder of a stop policy; SIGKILL follows by itself."""
    rungs = [Rung(signal=signal_number(stop.signal), grace_ms=int(stop.grace_s * 1000))]
    if stop.command is not None:
        text = stop.command.encode() + b"\n"
        rungs.insert(0, Rung(text=text, grace_ms=int(stop.command_grace_s * 1000)))
    return rungs


def end_of(source: Snapshot | ExitRecord) -> Exit | None:
    """Return how the last child ended; None for a shim whose child runs, or that has had none."""
    if isinstance(source, ExitRecord):
        return Exit(source.code, signal_name(source.signal), source.out_of_memory, source.exited_at_ns)
    if source.state != EXITED:
        return None
    return Exit(source.exit_code, signal_name(source.exit_signal), source.out_of_memory, source.exited_at_ns)
