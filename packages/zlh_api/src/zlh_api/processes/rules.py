"""What becomes of the definitions of a container's processes when somebody wants one to be different."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from zlh_common.addons import ADDON_PORTS
from zlh_common.errors import NotFound, ZlhError
from zlh_common.line_patterns import find_pattern_problem
from zlh_common.schema.process import (
    MAX_DEFINITIONS_BYTES,
    MAX_PROCESSES,
    LineProbe,
    ProcessSwitchedOff,
    PutProcess,
    WantedProcess,
)
from zlh_common.schema.status import Process, ProcessStatus
from zlh_common.schema.structs import encode

Processes = tuple[WantedProcess, ...]


class ProcessLimit(ZlhError):
    """The container has as many processes as one may have."""

    code, status = "process_limit", 409

    def __init__(self) -> None:
        super().__init__(f"A container has at most {MAX_PROCESSES} processes; delete one first.", limit=MAX_PROCESSES)


class ProcessesTooLarge(ZlhError):
    """The definitions of all processes of a container together are longer than its agent takes."""

    code, status = "processes_too_large", 409

    def __init__(self) -> None:
        super().__init__(
            f"The processes of a container have at most {MAX_DEFINITIONS_BYTES} bytes of definitions together; "
            "shorten one.",
            limitBytes=MAX_DEFINITIONS_BYTES,
        )


class ProcessUnusable(ZlhError):
    """Nothing can be started like this."""

    code, status = "process_unusable", 422

    def __init__(self, reason: str) -> None:
        super().__init__(f"A process cannot be like this: {reason}.")


class ProcessNameReserved(ZlhError):
    """A process of the platform has this name: that of an addon, or a game server."""

    code, status = "process_name_reserved", 422

    def __init__(self, name: str, *, of: str = "of the addon") -> None:
        super().__init__(f"{name} is what the process {of} is called. Choose another name.", name=name)


class ProcessPending(ZlhError):
    """The process is declared, and its agent has not heard of it yet."""

    code, status, retryable = "process_pending", 503, True

    def __init__(self, name: str) -> None:
        super().__init__(f"The agent has not been told of process {name} yet; try again in a moment.", name=name)


def find_process(processes: Sequence[WantedProcess], name: str) -> WantedProcess:
    """Return the definition of this name; raise NotFound."""
    found = next((process for process in processes if process.name == name), None)
    if found is None:
        raise NotFound("process")
    return found


def find_switched_on(processes: Sequence[WantedProcess], name: str) -> WantedProcess:
    """Return the definition of this name; raise NotFound, or ProcessSwitchedOff where its agent may not know yet."""
    found = find_process(processes, name)
    if found.power == "off":
        raise ProcessSwitchedOff(name)
    return found


def put_process(processes: Processes, name: str, wish: PutProcess) -> tuple[Processes, bool]:
    """Return the definitions with this one as wished, and whether it is new.

    Raise ProcessNameReserved, ProcessUnusable, ProcessLimit or ProcessesTooLarge.

    A power that is not named stays, and is on for a new one. Switching it on by this is a start like any other.
    """
    former = next((process for process in processes if process.name == name), None)
    if former is None and name in ADDON_PORTS:
        raise ProcessNameReserved(name)
    if former is None and len(processes) >= MAX_PROCESSES:
        raise ProcessLimit
    values = {key: value for key, value in msgspec.to_builtins(wish).items() if key != "power"}
    power = wish.power or (former.power if former is not None else "on")
    is_start = former is not None and former.power == "off" and power == "on"
    attempt = (former.attempt if former is not None else 0) + is_start
    wanted = _make({**values, "name": name, "power": power, "attempt": attempt})
    _check_pattern(wanted)
    changed = (*processes, wanted) if former is None else _replace(processes, wanted)
    if len(encode(changed)) > MAX_DEFINITIONS_BYTES:
        raise ProcessesTooLarge
    return changed, former is None


def _check_pattern(wanted: WantedProcess) -> None:
    probe = wanted.policy.ready.probe
    if isinstance(probe, LineProbe) and (problem := find_pattern_problem(probe.pattern)):
        raise ProcessUnusable(f"of its pattern, {problem}")


def _make(values: dict[str, object]) -> WantedProcess:
    try:
        return msgspec.convert(values, type=WantedProcess)
    except msgspec.ValidationError as exc:
        raise ProcessUnusable(str(exc)) from exc


def switch_process(processes: Processes, name: str, power: Literal["on", "off"]) -> Processes:
    """Return the definitions with this one on, as a new attempt, or off; raise NotFound."""
    former = find_process(processes, name)
    attempt = former.attempt + (power == "on")
    return _replace(processes, msgspec.structs.replace(former, power=power, attempt=attempt))


def remove_process(processes: Processes, name: str) -> Processes:
    """Return the definitions without this one; raise NotFound."""
    gone = find_process(processes, name)
    return tuple(process for process in processes if process is not gone)


def render_process(wanted: WantedProcess, statuses: Sequence[ProcessStatus], *, with_values: bool) -> Process:
    """Return a process as people see it: the wish beside what its agent reports, if it does.

    Without `with_values`, of the environment the names alone.
    """
    status = next((status for status in statuses if status.name == wanted.name), None)
    return Process(
        name=wanted.name,
        argv=wanted.argv,
        folder=wanted.folder,
        environment={name: value if with_values else None for name, value in wanted.environment.items()},
        power=wanted.power,
        policy=wanted.policy,
        status=status,
    )


def _replace(processes: Processes, wanted: WantedProcess) -> Processes:
    return tuple(wanted if process.name == wanted.name else process for process in processes)
