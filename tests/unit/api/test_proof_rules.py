"""When a link is broken, whose fault it is, and who is looked at next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.edge.model import Router
from zlh_api.proof import rules
from zlh_api.proof.model import NAME, ROUTE, LinkMemory, LinkSeen, Memory, Provable
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.edge import EdgeOutage, LinkState
from zlh_common.schema.status import Connection

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FILE = (
    ("http", "dev-101", "3000-dev-101-abc"),
    ("http", "5173-dev-101", "5173-dev-101-abc"),
    ("udp", "dev-101", "game-dev-101-abc"),
)
UDP = Router("game-dev-101-abc", "enabled")


def seen(*, is_good: bool, link: str = NAME) -> LinkSeen:
    """Return one look at a link."""
    return LinkSeen(link, is_good, None if is_good else "name_not_answering", None if is_good else "It is silent.")


def walk(*looks: bool, every: timedelta = 5 * SECOND) -> list[LinkMemory]:
    """Return what is known of a link after each of these looks."""
    known: LinkMemory | None = None
    walked = []
    for number, is_good in enumerate(looks):
        known = rules.take(known, seen(is_good=is_good), NOW + number * every)
        walked.append(known)
    return walked


def row(number: int, *, is_asked: bool = False, is_due: bool = True) -> Provable:
    """Return a container."""
    owner = OwnerMark(f"00000000-0000-0000-0000-{number:012}")
    return Provable(owner, Vmid(number), "dev", "abc", (), is_due, is_in_work=False, is_asked=is_asked)


def test_one_failure_is_no_fault_and_two_are() -> None:
    """What goes by in a moment is told to nobody."""
    assert [link.is_broken for link in walk(True, False, True, False, True)] == [False] * 5
    assert [link.is_broken for link in walk(True, False, False)] == [False, False, True]


def test_a_fault_is_taken_back_by_the_first_success() -> None:
    """Where it has not come back lately."""
    assert [link.is_broken for link in walk(False, False, False, True)] == [False, True, True, False]


def test_a_link_that_flaps_is_believed_ever_later() -> None:
    """Each time that it came back within the window, it must hold twice as often; once that is past, once will do."""
    once = [False, False, True]
    looks = walk(*once, *once, True, *once, True, True, True)
    assert [link.is_broken for link in looks] == [
        *(False, True, False),
        *(False, True, True, False),
        *(False, True, True, True, True, False),
    ]
    later = replace(looks[-1], at=NOW)
    for number, is_good in enumerate(once):
        later = rules.take(later, seen(is_good=is_good), NOW + rules.FLAP_WINDOW * 2 + number * SECOND)
    assert not later.is_broken


@given(st.lists(st.booleans(), max_size=60))
def test_whatever_was_seen_a_link_that_holds_is_believed_in_the_end(looks: list[bool]) -> None:
    """And one that fails for good is called broken, at the second look at the latest."""
    assert not walk(*looks, *[True] * rules.MOST_SUCCESSES)[-1].is_broken
    assert walk(*looks, False, False)[-1].is_broken


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_change_is_told_once(looks: list[bool]) -> None:
    """What is told of a link alternates: broken, mended, broken, and so on."""
    memory, told = Memory(), []
    for number, is_good in enumerate(looks):
        after = rules.take_all(memory, [seen(is_good=is_good)], NOW + number * SECOND)
        told += [change.is_broken for change in rules.find_changes(memory, after)]
        assert rules.is_news(memory, after) or not rules.find_changes(memory, after)
        memory = after
    assert told == [number % 2 == 0 for number in range(len(told))]


def test_faults_stand_in_the_order_of_the_chain() -> None:
    """Each word once, however many providers do not answer."""
    memory = Memory()
    for number in range(2):
        links = [seen(is_good=False, link=link) for link in (NAME, "dns:b", "dns:a", ROUTE)]
        memory = rules.take_all(memory, links, NOW + number * SECOND)
    assert rules.faults_of(memory) == ("route_not_loaded", "records_not_answered", "name_not_answering")
    assert [link.link for link in memory.links] == [ROUTE, "dns:a", "dns:b", NAME]
    kept = rules.forget_links(memory, ["dns:b"])
    assert [link.link for link in kept.links] == [ROUTE, "dns:b", NAME]


@pytest.mark.parametrize(
    ("routers", "word"),
    [
        ({}, "does not list"),
        ({"dev-101": Router("3000-dev-101-abc", "enabled")}, "does not list the route 5173-dev-101"),
        (
            {
                "dev-101": Router("3000-dev-101-old", "enabled"),
                "5173-dev-101": Router("5173-dev-101-abc", "enabled"),
            },
            "another file",
        ),
        (
            {
                "dev-101": Router("3000-dev-101-abc", "disabled", "no such middleware"),
                "5173-dev-101": Router("5173-dev-101-abc", "enabled"),
            },
            "no such middleware",
        ),
        (
            {
                "dev-101": Router("3000-dev-101-abc@file", "enabled"),
                "5173-dev-101": Router("5173-dev-101-abc", "enabled"),
            },
            None,
        ),
    ],
    ids=["nothing", "a part", "an earlier file", "refused", "all"],
)
def test_a_route_holds_with_every_router_of_this_very_file(routers: dict[str, Router], word: str | None) -> None:
    """A router with the service of an earlier file is as good as none."""
    listed = {("http", name): router for name, router in routers.items()}
    found = rules.judge_route(FILE, {**listed, ("udp", "dev-101"): UDP})
    assert not rules.judge_route(FILE, listed).is_good
    assert found.is_good is (word is None)
    assert word is None or word in (found.message or "")


@pytest.mark.parametrize(
    ("failed", "good", "is_outage"),
    [
        *((0, 0, False), (0, 9, False), (1, 0, False), (1, 5, False), (2, 0, True), (3, 1, False), (5, 1, True)),
        *((4000, 1000, True), (100, 4900, False)),
    ],
)
def test_what_hardly_anybody_is_spared_is_nobodys_own_fault(failed: int, good: int, is_outage: bool) -> None:
    """One container alone tells nothing of the others."""
    looks = [seen(is_good=False)] * failed + [seen(is_good=True)] * good
    assert rules.is_outage(looks) is is_outage
    assert rules.is_outage(looks, is_proxy_away=True) is (is_outage or (failed, good) == (1, 0))


def test_an_outage_goes_on_since_it_began() -> None:
    """However often it is seen; one that is over and comes back begins anew."""
    first = EdgeOutage(code="proxy_away", message="It is away.", since=NOW)
    again = EdgeOutage(code="proxy_away", message="It is still away.", since=NOW + SECOND)
    (kept,) = rules.keep_since([first], [again])
    assert (kept.message, kept.since) == ("It is still away.", NOW)
    assert rules.keep_since([], [again]) == (again,)


def test_who_is_asked_for_by_a_person_comes_first_and_nobody_is_forgotten() -> None:
    """Then hints, then those who have waited longest; whoever holds waits for its time."""
    rows = [row(number, is_asked=number == 104) for number in range(101, 106)]
    memories = {
        each.owner: Memory(checked_at=NOW - rules.WHOLE_EVERY - (200 - each.vmid) * SECOND) for each in rows[1:]
    }
    memories[rows[4].owner] = Memory(checked_at=NOW)
    due = rules.choose_due(rows, memories, {103}, now=NOW, limit=10)
    assert [each.vmid for each in due] == [104, 103, 101, 102]
    assert rules.choose_due(rows, memories, {103}, now=NOW, limit=2) == due[:2]


def test_what_is_in_doubt_is_looked_at_again_soon() -> None:
    """And what is broken sooner than what holds."""
    good, doubtful, broken = (
        Memory((walk(*looks)[-1],), checked_at=NOW) for looks in ((True,), (True, False), (False, False))
    )
    assert rules.due_at(good) == NOW + rules.WHOLE_EVERY
    assert rules.due_at(doubtful) == NOW + rules.DOUBTFUL_EVERY
    assert rules.due_at(broken) == NOW + rules.BROKEN_EVERY


def test_witnesses_are_spread_over_all_that_have_answered() -> None:
    """Nobody who was asked in the same look, and nobody of whom nothing is known."""
    rows = [row(number) for number in range(101, 131)]
    memories = {each.owner: rules.take_all(Memory(), [seen(is_good=True)], NOW) for each in rows[:20]}
    chosen = rules.choose_witnesses(rows, memories, {rows[0].owner}, limit=5)
    assert len(chosen) == 5
    assert len({each.vmid for each in chosen}) == 5
    assert all(101 < each.vmid <= 120 for each in chosen)
    assert rules.choose_witnesses(rows, {}, set(), limit=5) == []


def test_the_chain_names_the_link_that_is_broken() -> None:
    """And says of an outage that it is one, and of what is off that nothing is looked at."""
    memory = Memory()
    for number in range(2):
        looks = [seen(is_good=True, link=ROUTE), seen(is_good=False)]
        memory = rules.take_all(memory, looks, NOW + number * SECOND)

    def states(of: Provable | None, *outages: EdgeOutage, configured: tuple[str, ...] = ()) -> dict[str, LinkState]:
        links = rules.render_chain(
            of,
            memory,
            connection=Connection.ONLINE,
            heard_at=NOW,
            outages=outages,
            configured=configured,
            is_looking=True,
        )
        return {link.link: link.state for link in links}

    holds, broken, skipped, unknown = LinkState.HOLDS, LinkState.BROKEN, LinkState.SKIPPED, LinkState.UNKNOWN
    assert states(row(101)) == {"agent": holds, "route": holds, "dns": skipped, "name": broken}
    assert list(states(row(101), configured=("dns:a", "dns:b"))) == ["agent", "route", "dns:a", "dns:b", "name"]
    away = EdgeOutage(code="proxy_away", message="It is away.", since=NOW)
    assert states(row(101), away)["route"] is unknown
    assert set(states(row(101, is_due=False)).values()) == {skipped}
    assert set(states(None).values()) == {skipped}


def test_a_link_that_was_not_looked_at_yet_says_what_is_known_and_when_that_changes() -> None:
    """Somebody whose container is ready is not told that nobody has looked."""

    def told(is_looking: bool) -> dict[str, str | None]:
        links = rules.render_chain(
            row(101),
            Memory(),
            connection=Connection.ONLINE,
            heard_at=NOW,
            outages=(),
            configured=("dns:a",),
            is_looking=is_looking,
        )
        return {link.link: link.message for link in links if link.state is LinkState.UNKNOWN}

    assert list(told(True)) == ["route", "dns:a", "name"]
    for message in told(True).values():
        assert message is not None
        assert message.startswith("It was proved as the container became ready.")
        assert message.endswith("within a minute.")
    for message in told(False).values():
        assert message is not None
        assert "within" not in message
        assert "once the platform is well" in message
