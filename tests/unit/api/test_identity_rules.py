"""What an agent's identity lacks, and what of that can be mended while it runs: over every combination."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations

import msgspec
import pytest

from unit.api.test_status import RUNNING
from zlh_api.agents.standing import Standing
from zlh_api.containers.model import Container, HeldIdentity
from zlh_api.reconcile.identity_rules import IDENTITY_MARGIN, Lack, find_lacks, knows_trust, may_renew

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STANDING = Standing(3, 2, 2)
GOOD = HeldIdentity(known=b"k" * 32, generation=3, trusts=(2, 3), asked=1, done=1)
ALL_LACKS = [frozenset(some) for some in chain.from_iterable(combinations(Lack, size) for size in range(len(Lack) + 1))]


def container(held: HeldIdentity = GOOD, *, left: timedelta = IDENTITY_MARGIN * 2, protocol: int = 4) -> Container:
    """Return a container whose agent has this identity."""
    assert RUNNING.agent is not None
    agent = msgspec.structs.replace(RUNNING.agent, protocol_version=protocol)
    return replace(RUNNING, identity=held, identity_expires_at=NOW + left, agent=agent)


def test_one_that_is_as_it_should_be_lacks_nothing() -> None:
    """It is left alone, also the moment before its margin."""
    assert find_lacks(container(left=IDENTITY_MARGIN + timedelta(seconds=1)), STANDING, now=NOW) == frozenset()


@pytest.mark.parametrize(
    ("held", "lack"),
    [
        (replace(GOOD, asked=2), Lack.ASKED),
        (replace(GOOD, known=None), Lack.UNKNOWN),
        (replace(GOOD, known=b""), Lack.UNKNOWN),
        (replace(GOOD, wanted=(b"w",)), Lack.UNKNOWN),
        (replace(GOOD, generation=2), Lack.SIGNED_BEFORE),
        (replace(GOOD, generation=4), Lack.SIGNED_BEFORE),
        (replace(GOOD, trusts=(2, 2)), Lack.TRUSTS_OTHERS),
        (replace(GOOD, trusts=(1, 3)), Lack.TRUSTS_OTHERS),
    ],
)
def test_each_lack_is_seen(held: HeldIdentity, lack: Lack) -> None:
    """One at a time."""
    assert find_lacks(container(held), STANDING, now=NOW) == {lack}


def test_one_that_ends_soon_or_has_none_lacks_time() -> None:
    """From the margin on, and where nothing is written."""
    assert find_lacks(container(left=IDENTITY_MARGIN), STANDING, now=NOW) == {Lack.ENDS}
    assert Lack.ENDS in find_lacks(replace(container(), identity_expires_at=None), STANDING, now=NOW)


@pytest.mark.parametrize("lacks", ALL_LACKS, ids=lambda lacks: ",".join(sorted(lacks)) or "nothing")
def test_an_agent_is_given_what_it_would_be_better_off_with(lacks: frozenset[Lack]) -> None:
    """Never without a lack, which would have no end; and never what its version does not know."""
    assert not any(may_renew(container(protocol=protocol), lacks) for protocol in (1, 2))
    assert may_renew(container(protocol=3), lacks) is bool(lacks - {Lack.TRUSTS_OTHERS})
    assert may_renew(container(protocol=4), lacks) is bool(lacks)
    assert not may_renew(replace(container(), agent=None), lacks)


def test_whom_it_believes_is_told_from_protocol_4_on() -> None:
    """An agent that has said nothing is told nothing."""
    assert [knows_trust(container(protocol=number)) for number in (2, 3, 4, 5)] == [False, False, True, True]
    assert not knows_trust(replace(container(), agent=None))
