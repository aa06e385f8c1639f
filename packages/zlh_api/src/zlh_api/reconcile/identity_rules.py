"""Whether an agent has the identity that it should have, and whether it can take another while it runs: pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from zlh_api.agents.standing import Standing
from zlh_api.containers.model import Container

# An identity is replaced when it has less than this left.
IDENTITY_MARGIN = timedelta(days=30)
# From this version of the protocol on, an agent takes another identity while it runs; from the later one on, also
# whom it believes.
RENEWS_IDENTITY, RENEWS_TRUST = 3, 4


class Lack(StrEnum):
    """Why an agent should have another identity."""

    ENDS = "ends"
    ASKED = "asked"
    # It is not known which of those that it was given it has.
    UNKNOWN = "unknown"
    # Another generation of CAs signs by now.
    SIGNED_BEFORE = "signed-before"
    # It does not know the API by the CAs by which it should.
    TRUSTS_OTHERS = "trusts-others"


def find_lacks(container: Container, standing: Standing, *, now: datetime) -> frozenset[Lack]:
    """Return all that the identity of a container's agent lacks; nothing where it is as it should be."""
    held, expires_at = container.identity, container.identity_expires_at
    lacks = {
        Lack.ENDS: expires_at is None or expires_at - now <= IDENTITY_MARGIN,
        Lack.ASKED: held.done < held.asked,
        Lack.UNKNOWN: not held.known or bool(held.wanted),
        Lack.SIGNED_BEFORE: held.generation != standing.issuing,
        Lack.TRUSTS_OTHERS: held.trusts != standing.trusts,
    }
    return frozenset(lack for lack, is_so in lacks.items() if is_so)


def may_renew(container: Container, lacks: frozenset[Lack]) -> bool:
    """Tell whether the agent would lack less after another identity, given to it while it runs."""
    protocol = container.agent.protocol_version if container.agent else 0
    if protocol < RENEWS_IDENTITY:
        return False
    return bool(lacks if protocol >= RENEWS_TRUST else lacks - {Lack.TRUSTS_OTHERS})


def knows_trust(container: Container) -> bool:
    """Tell whether the agent takes whom it believes while it runs."""
    return container.agent is not None and container.agent.protocol_version >= RENEWS_TRUST
