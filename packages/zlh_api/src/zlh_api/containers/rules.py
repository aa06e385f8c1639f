"""How much a container gets of what its customer asks for: pure.

What is not named stays as it is. Nothing is above what the platform allows, and no disk gets smaller than it is or may
be by now: files would be lost, and no driver does it. How much one
customer may have in all of their containers is told by `quotas.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from zlh_api.containers.model import Container, Guest
from zlh_api.reconcile.plan import Do
from zlh_common.errors import ZlhError
from zlh_common.schema.resources import Limits, Resources, ResourceWish
from zlh_common.schema.status import StepState

# The steps that give a guest its disk.
SIZING_STEPS = frozenset({str(Do.CREATE_GUEST), str(Do.RESIZE_GUEST)})
UNITS = {"cpu": "cores", "memory_mib": "MiB of memory", "disk_mib": "MiB of disk", "pids": "processes and threads"}


class ResourcesEmpty(ZlhError):
    """A wish for resources names none."""

    code, status = "resources_empty", 422

    def __init__(self) -> None:
        super().__init__(
            "`resources` names no limit: give at least one of cpu, memoryMib, diskMib and pids, or leave it out."
        )


class ResourcesTooLarge(ZlhError):
    """More is asked for than one container may have."""

    code, status = "resources_too_large", 422

    def __init__(self, asked: Resources, maximum: Resources) -> None:
        problems = tuple(
            {
                "field": f"resources.{spell(name)}",
                "asked": getattr(asked, name),
                "allowed": getattr(maximum, name),
                "message": f"{getattr(asked, name)} {UNITS[name]} are more than the {getattr(maximum, name)} "
                "that one container may have here.",
            }
            for name in find_excess(asked, maximum)
        )
        super().__init__(" ".join(str(problem["message"]) for problem in problems), problems=problems)


class DiskCannotShrink(ZlhError):
    """A smaller disk is asked for than the container has."""

    code, status = "disk_cannot_shrink", 422

    def __init__(self, *, asked_mib: int, least_mib: int) -> None:
        message = (
            f"The disk has {least_mib} MiB, and a disk cannot be made smaller, to {asked_mib} MiB, "
            "without losing files. Ask for as much or more, or move to a new container."
        )
        problem = {"field": "resources.diskMib", "asked": asked_mib, "allowed": least_mib, "message": message}
        super().__init__(message, problems=(problem,))


def decide_first_resources(wish: ResourceWish | None, limits: Limits) -> Resources:
    """Return what a new container gets; raise ResourcesEmpty, ResourcesTooLarge."""
    asked = _fill(wish, limits.default)
    _refuse_excess(asked, limits.maximum)
    return asked


def decide_resources(wish: ResourceWish, container: Container, limits: Limits) -> Resources:
    """Return what a container that exists shall have; raise ResourcesEmpty, ResourcesTooLarge, DiskCannotShrink.

    What it has already, it may keep, whatever the platform allows by now.
    """
    asked, had = _fill(wish, container.resources), container.resources
    kept = {name: max(getattr(limits.maximum, name), getattr(had, name)) for name in Resources.__struct_fields__}
    _refuse_excess(asked, Resources(**kept))
    least_mib = find_least_disk(container)
    if asked.disk_mib < least_mib:
        raise DiskCannotShrink(asked_mib=asked.disk_mib, least_mib=least_mib)
    return asked


def find_least_disk(container: Container) -> int:
    """Return the MiB that the disk has or may have by now: a larger one that the host has refused does not count."""
    is_under_way = any(step.name in SIZING_STEPS and step.state is StepState.RUNNING for step in container.steps)
    if is_under_way or (has_guest(container) and container.resources_in_force is None):
        return container.resources.disk_mib
    return container.resources_in_force.disk_mib if container.resources_in_force else 0


def has_guest(container: Container) -> bool:
    """Tell whether there is a whole guest of ours."""
    return container.guest in {Guest.STOPPED, Guest.RUNNING}


def find_in_force(container: Container, guest: Guest, *, is_sized: bool) -> Resources | None:
    """Return which limits hold, by what was seen of the guest just now."""
    if guest not in {Guest.STOPPED, Guest.RUNNING}:
        return None
    if is_sized:
        return container.resources
    # Something has changed them past us; until that is undone, nobody knows what they are.
    return None if container.resources_in_force == container.resources else container.resources_in_force


def is_resize_pending(container: Container) -> bool:
    """Tell whether the guest is not yet held to the limits that are wanted."""
    return has_guest(container) and container.resources_in_force != container.resources


def is_refused_harmlessly(container: Container, step_name: str) -> bool:
    """Tell whether limits were refused while those before hold, which keeps nothing from a container."""
    return step_name == Do.RESIZE_GUEST and container.resources_in_force is not None


def seconds_to_resize(container: Container, *, now: datetime) -> float:
    """Return how long refused limits are left alone, so that other steps go first; 0 where they are due."""
    for step in container.steps:
        if is_refused_harmlessly(container, step.name) and step.state is StepState.FAILED and step.next_try_at:
            return max(0.0, (step.next_try_at - now).total_seconds())
    return 0.0


def find_excess(asked: Resources, maximum: Resources) -> Iterator[str]:
    """Yield the fields of which more is asked for than is allowed."""
    return (name for name in Resources.__struct_fields__ if getattr(asked, name) > getattr(maximum, name))


def round_cpu(cpu: float) -> float:
    """Return cores in hundredths, the finest that every driver can set."""
    return round(cpu, 2)


def spell(name: str) -> str:
    """Return how a field of Resources is spelled on the wire."""
    return {field.name: field.encode_name for field in msgspec.structs.fields(Resources)}[name]


def _fill(wish: ResourceWish | None, base: Resources) -> Resources:
    """Return `base` with what is wished; raise ResourcesEmpty where that is nothing."""
    if wish is None:
        return base
    named = {name: getattr(wish, name) for name in wish.__struct_fields__ if getattr(wish, name) is not None}
    if not named:
        raise ResourcesEmpty
    if "cpu" in named:
        named["cpu"] = round_cpu(named["cpu"])
    return msgspec.structs.replace(base, **named)


def _refuse_excess(asked: Resources, maximum: Resources) -> None:
    if any(find_excess(asked, maximum)):
        raise ResourcesTooLarge(asked, maximum)
