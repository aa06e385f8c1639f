"""How much a customer may have in all of their containers, and what more they may get: pure.

What exists is never touched: a quota that is lowered below what is used refuses what would be more, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from zlh_common.errors import ZlhError
from zlh_common.schema.customers import Quota, QuotaUse

# What is counted, in the order in which it is told.
KINDS: tuple[str, ...] = Quota.__struct_fields__
_WORDS = {
    "containers": ("containers", "delete a container"),
    "cpu": ("cores", "make a container smaller or delete one"),
    "memory_mib": ("MiB of memory", "make a container smaller or delete one"),
    "disk_mib": ("MiB of disk", "delete a container"),
    "exposures": ("published ports", "take a port back, or delete a game server"),
    "members": ("members", "remove a member"),
}
_SPELLED = {field.name: field.encode_name for field in msgspec.structs.fields(Quota)}
# What goes with a container that is being deleted.
_OF_CONTAINERS = frozenset(KINDS) - {"members"}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a customer has, or what a call would add to it."""

    containers: int = 0
    # Cores, in hundredths.
    cpu: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0
    # Ports that are published, and those of game servers that the proxy's own ports are for.
    exposures: int = 0
    members: int = 0
    # Of the containers, those that are being deleted: they count until they are gone.
    deleting: int = 0


class QuotaExceeded(ZlhError):
    """The customer would have more than their quota allows."""

    code, status = "quota_exceeded", 409

    def __init__(self, kind: str, *, limit: float, used: float, wanted: float, deleting: int = 0) -> None:
        things, remedy = _WORDS[kind]
        verb = "is" if used == 1 else "are"
        leaving = (
            f" {deleting} of the customer's containers are being deleted and count until they are gone; try again then."
            if deleting and kind in _OF_CONTAINERS
            else ""
        )
        super().__init__(
            f"This takes {_count(wanted, things)}, and {_say(used)} of the {_say(limit)} that this customer may "
            f"have {verb} in use. To go on, {remedy}, or ask who runs the platform for a larger quota.{leaving}",
            quota=_SPELLED[kind],
            limit=limit,
            used=used,
            wanted=wanted,
        )


def decide_quota(own: Quota, default: Quota) -> Quota:
    """Return what holds for a customer: their own figures, and the platform's where they have none."""
    named = {kind: getattr(own, kind) for kind in KINDS if getattr(own, kind) is not None}
    return msgspec.structs.replace(default, **named)


def is_limited(quota: Quota, more: Usage) -> bool:
    """Tell whether anything that would grow has a limit at all."""
    return any(getattr(more, kind) > 0 and getattr(quota, kind) is not None for kind in KINDS)


def refuse_excess(quota: Quota, used: Usage, more: Usage) -> None:
    """Raise QuotaExceeded where something that grows would be more than the quota; what shrinks never is."""
    for kind in KINDS:
        limit, has, wanted = getattr(quota, kind), getattr(used, kind), getattr(more, kind)
        # In hundredths, so that ten times 0.1 is 1.
        if limit is not None and wanted > 0 and round(has + wanted, 2) > limit:
            raise QuotaExceeded(kind, limit=limit, used=has, wanted=round(wanted, 2), deleting=used.deleting)


def report_use(own: Quota, default: Quota, used: Usage) -> tuple[QuotaUse, ...]:
    """Return what is used of what there is, kind by kind."""
    quota = decide_quota(own, default)
    return tuple(
        QuotaUse(
            name=_SPELLED[kind],
            used=getattr(used, kind),
            quota=getattr(quota, kind),
            is_own=getattr(own, kind) is not None,
        )
        for kind in KINDS
    )


def _count(figure: float, things: str) -> str:
    """Return "1 more container" or "3 more containers"; a unit of memory has no plural."""
    return f"{_say(figure)} more {things.removesuffix('s') if figure == 1 else things}"


def _say(figure: float) -> str:
    """Return a figure for people: cores in hundredths, all else whole."""
    return f"{figure:.2f}".rstrip("0").rstrip(".")
