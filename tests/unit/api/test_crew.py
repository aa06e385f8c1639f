"""For whom there is room in one process."""

from __future__ import annotations

from uuid import UUID, uuid4

from zlh_api.reconcile.crew import Crew
from zlh_api.reconcile.model import Claim
from zlh_api.reconcile.pace import Pace
from zlh_common.names import OwnerMark, Vmid

GREEDY, MODEST = uuid4(), uuid4()


def claim(number: int, customer: UUID = GREEDY) -> Claim:
    """Return a claim on one container of a customer."""
    return Claim(OwnerMark(str(uuid4())), Vmid(number), 1, customer)


def crew(*claims: Claim) -> Crew:
    """Return a crew of four, eight with those who merely take their time."""
    made = Crew(Pace(workers=4, most_workers=8))
    for each in claims:
        made.join(each)
    return made


def test_whoever_works_takes_room_until_he_leaves() -> None:
    """Leaving twice is leaving once."""
    first, second = claim(1), claim(2)
    made = crew(first, second)
    assert made.room == 2
    made.leave(first)
    made.leave(first)
    assert made.room == 3


def test_a_step_that_lasts_makes_room_for_others() -> None:
    """Until it no longer does, or there are as many as there may be."""
    claims = [claim(number) for number in range(4)]
    made = crew(*claims)
    assert made.room == 0
    for each in claims:
        made.mark(each, is_slow=True)
    assert made.room == 4
    made.mark(claims[0], is_slow=False)
    assert made.room == 3
    for number in range(4, 8):
        made.join(claim(number))
        made.mark(claims[0], is_slow=True)
    assert made.room == 0


def test_a_mark_that_comes_too_late_counts_for_nothing() -> None:
    """Who has left is not slow."""
    made, gone = crew(), claim(1)
    made.mark(gone, is_slow=True)
    made.join(claim(2))
    assert made.room == 3


def test_a_customer_is_sated_at_its_share() -> None:
    """Half of all seats; others are not asked about."""
    claims = [claim(number) for number in range(3)]
    made = crew(*claims, claim(7, MODEST))
    assert made.sated() == []
    made.join(claim(4))
    assert made.sated() == [GREEDY]
    made.leave(claims[0])
    assert made.sated() == []
