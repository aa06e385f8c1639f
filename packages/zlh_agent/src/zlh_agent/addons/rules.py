"""What an addon is told to be, and what is done about one that runs from what it should not: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from zlh_common.schema.process import ProcessState
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AddonState, AddonStatus, InstalledRuntime, ProcessStatus, Step, StepState
from zlh_common.step_names import is_removal, name_install

_UP: frozenset[ProcessState] = frozenset({"starting", "running"})
_FAILED: frozenset[ProcessState] = frozenset({"backoff", "error"})


class Renewal(StrEnum):
    """How a process comes to what is wanted of it now."""

    RESTART = "restart"
    RETRY = "retry"


def decide_renewal(state: ProcessState, *, is_outdated: bool, was_tried: bool) -> Renewal | None:
    """Return what brings a process to another version: once, whatever happens meanwhile.

    What is being stopped comes to it by itself, and what somebody killed stays down. One that was given up or waits for
    its restart gets one try at once with what is new (`was_tried`): what keeps the old one down may not keep this one.
    """
    if not is_outdated:
        return None
    if state in _UP:
        return Renewal.RESTART
    return Renewal.RETRY if state in _FAILED and not was_tried else None


def tell_addon(
    name: str,
    *,
    wanted: WantedRuntime | None,
    is_known: bool,
    versions: Sequence[InstalledRuntime],
    steps: Sequence[Step],
    process: ProcessStatus | None,
) -> AddonStatus:
    """Return what is told of one addon; `steps` are its own, and nothing is wanted of one that is on its way out."""
    version = next((entry.version for entry in versions if entry.default), None)
    state, message = _position(name, wanted, steps, process, is_known=is_known)
    is_up = process is not None and process.pid is not None
    return AddonStatus(
        name=name,
        state=state,
        version=version,
        message=message,
        started_at=process.started_at if process is not None and is_up else None,
        versions=tuple(versions),
    )


def with_last_use(told: AddonStatus, last_used_at: datetime | None) -> AddonStatus:
    """Return the same with what the program says of its use; one that does not run says nothing."""
    return told if told.started_at is None else msgspec.structs.replace(told, last_used_at=last_used_at)


def _position(
    name: str, wanted: WantedRuntime | None, steps: Sequence[Step], process: ProcessStatus | None, *, is_known: bool
) -> tuple[AddonState, str | None]:
    if wanted is None:
        return AddonState.STOPPING, next(
            (step.message for step in steps if is_removal(step.name) and step.message), None
        )
    if not is_known:
        return AddonState.ERROR, f"This agent does not know how {name} is run; a newer one may."
    install = next((step for step in steps if step.name == name_install(wanted)), None)
    if process is None:
        has_failed = install is not None and install.state is StepState.FAILED
        return AddonState.ERROR if has_failed else AddonState.INSTALLING, install.message if install else None
    return _state_of(process), _why(name, wanted, install, process)


def _state_of(process: ProcessStatus) -> AddonState:
    if process.outdated and process.state in _UP:
        # What runs is not what is told of; it is being restarted.
        return AddonState.STOPPING
    if process.state == "running" and not process.ready:
        return AddonState.STARTING
    return AddonState(process.state)


def _why(name: str, wanted: WantedRuntime, install: Step | None, process: ProcessStatus) -> str | None:
    """Say why it is where it is; of one that runs, why that is not the version that is wanted."""
    if process.reason is not None:
        return process.reason.message
    if install is not None and install.state is StepState.FAILED:
        return f"{name} {wanted.version} could not be installed: {install.message}"
    return None
