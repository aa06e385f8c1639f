"""Who is in which wave, when the next begins, when all of it halts, and what became of one container."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from zlh_api.rollouts.model import Candidate, Outcome, RolloutRow, Sight, Told, WaveCount
from zlh_api.rollouts.outcome_rules import (
    MESSAGE_CHARS,
    OUTPUT_CHARS,
    PATIENCE,
    SILENCE,
    judge_refusal,
    judge_told,
    judge_waiting,
)
from zlh_api.rollouts.wave_rules import are_shares_rising, decide, needs_another_canary, next_wave_at, plan_waves
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.agent_update import AgentUpdate, AgentUpdateState
from zlh_common.schema.rollouts import MemberState, RolloutState, StartRollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "0.9.0", "0.10.0"
OWNER = OwnerMark(str(UUID(int=1)))
SEED = UUID(int=7)


def wish(**fields: object) -> StartRollout:
    """Return a wish for the new version."""
    return StartRollout(**{"version": NEW, "soak_minutes": 10, **fields})  # type: ignore[arg-type]


def going(**fields: object) -> RolloutRow:
    """Return a roll-out that runs, in its first wave."""
    row = {
        "id": SEED, "version": NEW, "state": RolloutState.RUNNING, "reason": None, "wish": wish(), "wave": 0,
        "through_at": None, "started_by": "x", "created_at": NOW, "finished_at": None, "looked_at": NOW,
        "swept_at": NOW,
    }  # fmt: skip
    return RolloutRow(**{**row, **fields})  # type: ignore[arg-type]


def candidate(vmid: int, *, is_online: bool = True, protocol: int = 10, fixed: str | None = None) -> Candidate:
    """Return a container with an old agent."""
    return Candidate(OwnerMark(str(UUID(int=vmid))), Vmid(vmid), f"c{vmid}", OLD, protocol, fixed, is_online)


def sight(**fields: object) -> Sight:
    """Return an agent that is online, at rest and old."""
    seen = {
        "is_wanted": True, "is_online": True, "is_busy": False, "version": OLD, "protocol": 10, "fixed_because": None,
        "update": None,
    }  # fmt: skip
    return Sight(**{**seen, **fields})  # type: ignore[arg-type]


def update(state: AgentUpdateState, **fields: object) -> AgentUpdate:
    """Return what an agent tells of the update to the new version."""
    told = {"version": NEW, "attempt": 0, "state": state, "before": OLD, "started_at": NOW}
    return AgentUpdate(**{**told, **fields})  # type: ignore[arg-type]


TOLD = Told(OWNER, MemberState.UPDATING, 0, NOW, None, has_answered=True)


def counts(*waves: WaveCount) -> dict[int, WaveCount]:
    """Return counts by wave."""
    return {each.wave: each for each in waves}


def test_waves_hold_everybody_once_and_rise_with_the_shares() -> None:
    """One comes first, then as much of all as each share says; whoever is offline does not come first."""
    those = [candidate(number, is_online=number % 3 > 0) for number in range(1, 1001)]
    waves = plan_waves(those, wish(), seed=SEED)
    assert [len(wave) for wave in waves] == [1, 49, 200, 750]
    assert sorted(each.vmid for wave in waves for each in wave) == list(range(1, 1001))
    assert waves[0][0].is_online


def test_named_canaries_come_first() -> None:
    """However many are named, the following waves count them in."""
    waves = plan_waves([candidate(n) for n in range(1, 101)], wish(canaries=(5, 7, 9)), seed=SEED)
    assert [each.vmid for each in waves[0]] == [5, 7, 9]
    assert [len(wave) for wave in waves] == [3, 2, 20, 75]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 19, 20, 21])
def test_small_fleets_lose_nobody(size: int) -> None:
    """A share of few containers may be nobody; the last wave takes the rest."""
    waves = plan_waves([candidate(n) for n in range(1, size + 1)], wish(), seed=SEED)
    assert sum(map(len, waves)) == size
    assert len(waves) == 4


def test_who_comes_first_is_chance_and_stays() -> None:
    """Another roll-out begins with somebody else, the same one always with the same."""
    those = [candidate(n) for n in range(1, 101)]
    first = {plan_waves(those, wish(), seed=UUID(int=n))[0][0].vmid for n in range(20)}
    assert len(first) > 5
    assert plan_waves(those, wish(), seed=SEED) == plan_waves(list(reversed(those)), wish(), seed=SEED)


@pytest.mark.parametrize(
    ("shares", "is_right"),
    [((100,), True), ((5, 25, 100), True), ((25, 5, 100), False), ((5, 5, 100), False), ((5, 25), False)],
)
def test_shares_rise_to_all(shares: tuple[int, ...], *, is_right: bool) -> None:
    """Whatever is no way to all containers is refused."""
    assert are_shares_rising(shares) is is_right


def test_a_wave_opens_the_next_once_it_is_through_and_watched() -> None:
    """Its soak time counts from when nobody of it is waited for."""
    through = counts(WaveCount(0, updated=1), WaveCount(1, ready=5))
    first = decide(going(), through, now=NOW)
    assert (first.wave, first.through_at, first.room) == (0, NOW, 0)
    watched = going(through_at=NOW)
    assert next_wave_at(watched) == NOW + timedelta(minutes=10)
    assert decide(watched, through, now=NOW + timedelta(minutes=9)).wave == 0
    opened = decide(watched, through, now=NOW + timedelta(minutes=10))
    assert (opened.wave, opened.through_at) == (1, None)


def test_a_wave_that_is_no_longer_through_is_watched_anew() -> None:
    """Somebody has come back while it was watched: the time begins again behind him."""
    back = counts(WaveCount(0, updated=1, ready=1, fresh=1), WaveCount(1, ready=5))
    verdict = decide(going(through_at=NOW), back, now=NOW + timedelta(hours=1))
    assert (verdict.wave, verdict.through_at, verdict.room) == (0, None, 1)


def test_a_first_wave_that_proves_nothing_opens_no_other() -> None:
    """Where nobody of it was updated, nothing is known of the new version."""
    for first in (WaveCount(0, absent=1), WaveCount(0, unable=1), WaveCount(0)):
        verdict = decide(going(), counts(first, WaveCount(1, ready=5)), now=NOW)
        assert (verdict.wave, verdict.room, verdict.through_at) == (0, 0, None)
        assert verdict.reason is not None
        assert needs_another_canary(going(), first)
    assert not needs_another_canary(going(), WaveCount(0, ready=1, fresh=1))
    assert not needs_another_canary(going(wish=wish(canaries=(1,))), WaveCount(0, absent=1))


def test_nobody_to_be_told_is_no_reason_to_wait() -> None:
    """A fleet without anybody who could be told is done."""
    state = going()
    for _ in range(9):
        verdict = decide(state, counts(WaveCount(3, unable=2)), now=NOW + timedelta(days=1))
        state = replace(state, wave=verdict.wave, through_at=verdict.through_at, state=verdict.state)
        if state.through_at is not None:
            state = replace(state, through_at=NOW)
    assert state.state is RolloutState.DONE


def test_any_failure_of_the_first_wave_halts() -> None:
    """The canary is there for that."""
    verdict = decide(going(), counts(WaveCount(0, failed=1), WaveCount(1, ready=9)), now=NOW)
    assert (verdict.state, verdict.room) == (RolloutState.HALTED, 0)


@pytest.mark.parametrize(
    ("told", "failed", "halts"), [(10, 3, False), (10, 4, True), (1000, 20, False), (1000, 21, True)]
)
def test_later_failures_halt_beyond_what_is_allowed(told: int, failed: int, *, halts: bool) -> None:
    """Three, or two in a hundred of those that were told, whichever is more."""
    wave = WaveCount(1, updated=told - failed - 1, failed=failed)
    verdict = decide(going(wave=1), counts(WaveCount(0, updated=1), wave), now=NOW)
    assert (verdict.state is RolloutState.HALTED) is halts


def test_what_a_person_has_accepted_halts_nothing() -> None:
    """Whoever goes on behind a halt has seen who failed."""
    verdict = decide(going(), counts(WaveCount(0, accepted=1), WaveCount(1, ready=9)), now=NOW)
    assert verdict.state is RolloutState.RUNNING


@pytest.mark.parametrize("state", [each for each in RolloutState if each not in {"running", "done"}])
def test_nobody_is_told_by_one_that_does_not_run(state: RolloutState) -> None:
    """Paused, halted, cancelled and superseded stay what they are, and have no room."""
    verdict = decide(going(state=state, wave=1), counts(WaveCount(0, ready=9), WaveCount(1, ready=9)), now=NOW)
    assert (verdict.state, verdict.room) == (state, 0)


def test_who_comes_back_behind_the_end_is_told() -> None:
    """One that is done takes stragglers, no more at a time than before, and halts where too many of them fail."""
    done = going(state=RolloutState.DONE, wave=3)
    back = counts(WaveCount(0, updated=1), WaveCount(3, ready=50, under_way=5))
    assert decide(done, back, now=NOW).room == 15
    lost = counts(WaveCount(0, updated=1), WaveCount(3, failed=4))
    assert decide(done, lost, now=NOW).state is RolloutState.HALTED


def count_wave(number: int, states: Counter[str]) -> WaveCount:
    """Return how a wave is, of whose members some were found busy before."""
    others = {name: count for name, count in states.items() if name not in {"ready", "busy"}}
    return WaveCount(number, ready=states["ready"] + states["busy"], fresh=states["ready"], **others)


def test_who_is_busy_for_ever_holds_up_nobody() -> None:
    """Whoever was busy when it was his turn is told when he can be, and the next waves come in their time."""
    state, now = going(wave=1), NOW
    for _ in range(3):
        busy = counts(WaveCount(0, updated=1), WaveCount(1, updated=4, ready=1), WaveCount(2, ready=9))
        for _ in range(2):
            verdict = decide(state, busy, now=now)
            state = replace(state, wave=verdict.wave, through_at=verdict.through_at, state=verdict.state)
            now += timedelta(minutes=31)
            assert verdict.room, "and it is told as soon as it can be"
    assert state.wave >= 2


def test_a_canary_that_is_busy_proves_nothing() -> None:
    """A first wave of which nobody was updated opens no other, and another container comes first."""
    busy = WaveCount(0, ready=1)
    later = decide(going(), counts(busy, WaveCount(1, ready=5, fresh=5)), now=NOW + timedelta(days=1))
    assert (later.wave, later.through_at) == (0, None)
    assert needs_another_canary(going(), busy)


def test_never_more_than_the_share_of_the_wave_and_at_once_as_allowed() -> None:
    """Through random fates of a fleet, whatever comes and goes: the invariants of the module hold after each look."""
    for seed in range(60):
        chance = random.Random(seed)
        size, at_once = chance.randint(1, 300), chance.randint(1, 30)
        order = wish(
            at_once=at_once, soak_minutes=chance.choice((0, 5)), failure_percent_allowed=chance.choice((2, 100))
        )
        waves = plan_waves([candidate(n) for n in range(1, size + 1)], order, seed=UUID(int=seed))
        of = {each.vmid: number for number, wave in enumerate(waves) for each in wave}
        states = dict.fromkeys(of, "ready")
        state, now = going(wish=order), NOW
        for _ in range(400):
            now += timedelta(minutes=1)
            for vmid, its in states.items():
                if its == "under_way" and chance.random() < 0.5:
                    states[vmid] = "updated" if chance.random() < 0.98 else "failed"
                elif its in {"ready", "absent", "awaited", "busy"} and chance.random() < 0.1:
                    states[vmid] = chance.choice(("ready", "ready", "absent", "awaited", "busy"))
            seen = {number: Counter(states[v] for v in of if of[v] == number) for number in range(len(waves))}
            verdict = decide(state, {n: count_wave(n, c) for n, c in seen.items()}, now=now)
            chosen = [v for v in of if states[v] in {"ready", "busy"} and of[v] <= verdict.wave][: verdict.room]
            states.update(dict.fromkeys(chosen, "under_way"))
            under_way = [v for v in of if states[v] == "under_way"]
            told = [v for v in of if states[v] in {"under_way", "updated", "failed"}]
            assert len(under_way) <= at_once, seed
            assert len(told) <= sum(len(wave) for wave in waves[: verdict.wave + 1]), seed
            assert verdict.wave - state.wave in {0, 1}, seed
            if verdict.wave:
                assert any(states[v] == "updated" for v in of if of[v] == 0), seed
            if verdict.state is RolloutState.HALTED:
                assert not chosen, seed
                break
            state = replace(state, wave=verdict.wave, through_at=verdict.through_at, state=verdict.state)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (sight(), MemberState.UPDATING),
        (sight(version=NEW), MemberState.UPDATED),
        (sight(version="0.11.0"), MemberState.UPDATED),
        (sight(protocol=9), MemberState.TOO_OLD),
        (sight(fixed_because="It is the checkout's."), MemberState.FIXED),
        (sight(is_busy=True), None),
        (sight(update=update(AgentUpdateState.PROVING, version="0.9.5")), None),
        (sight(update=update(AgentUpdateState.FAILED, version="0.9.5")), MemberState.UPDATING),
    ],
)
def test_who_is_told_when_the_turn_comes(seen: Sight, state: MemberState | None) -> None:
    """Who need not or cannot be told is told as such; who is busy is left alone."""
    outcome = judge_waiting(seen, NEW)
    assert (outcome.state if outcome else None) == state


@pytest.mark.parametrize(
    ("seen", "state", "code"),
    [
        (sight(), MemberState.UPDATING, None),
        (sight(version=NEW), MemberState.UPDATED, None),
        (sight(update=update(AgentUpdateState.PREPARING)), MemberState.UPDATING, None),
        (sight(version=NEW, update=update(AgentUpdateState.PROVING)), MemberState.PROVING, None),
        (sight(version=NEW, update=update(AgentUpdateState.PROBATION)), MemberState.PROVING, None),
        (sight(version=NEW, update=update(AgentUpdateState.DONE)), MemberState.UPDATED, None),
        (sight(update=update(AgentUpdateState.DONE)), MemberState.FAILED, "agent_update_untrue"),
        (sight(update=update(AgentUpdateState.FAILED, code="disk_full")), MemberState.FAILED, "disk_full"),
        (sight(update=update(AgentUpdateState.UNDONE, code="died", exit_code=3)), MemberState.UNDONE, "died"),
        (sight(update=update(AgentUpdateState.UNDONE)), MemberState.UNDONE, "agent_update_failed"),
        # Of another update than this one.
        (sight(update=update(AgentUpdateState.DONE, version="0.9.5")), MemberState.UPDATING, None),
    ],
)
def test_what_became_of_one(seen: Sight, state: MemberState, code: str | None) -> None:
    """By its report, each position of which means one thing."""
    outcome = judge_told(TOLD, seen, NEW, now=NOW)
    assert (outcome.state, outcome.code) == (state, code)


def test_an_earlier_attempt_says_nothing_of_this_one() -> None:
    """One that was told again is not what it was before."""
    again = replace(TOLD, attempt=2)
    failed = sight(update=update(AgentUpdateState.FAILED, attempt=1))
    assert judge_told(again, failed, NEW, now=NOW).state is MemberState.UPDATING


def test_who_does_not_come_back_has_failed() -> None:
    """Five minutes of silence, counted from the first look that finds it, and not before."""
    away = sight(is_online=False)
    first = judge_told(TOLD, away, NEW, now=NOW)
    assert first == Outcome(MemberState.UPDATING, silent_since=NOW)
    silent = replace(TOLD, silent_since=NOW)
    assert judge_told(silent, away, NEW, now=NOW + SILENCE).state is MemberState.UPDATING
    late = judge_told(silent, away, NEW, now=NOW + SILENCE + timedelta(seconds=1))
    assert (late.state, late.code) == (MemberState.FAILED, "agent_not_back")


@pytest.mark.parametrize("is_online", [True, False])
def test_who_is_switched_off_waits_again(is_online: bool) -> None:
    """Whatever its agent told last, and however long ago."""
    seen = sight(is_wanted=False, is_online=is_online, update=update(AgentUpdateState.PROBATION))
    told = replace(TOLD, state=MemberState.PROVING, silent_since=NOW)
    assert judge_told(told, seen, NEW, now=NOW + 2 * PATIENCE) == Outcome(MemberState.WAITING)


def test_nobody_keeps_a_wave_waiting_without_end() -> None:
    """An agent that prepares for ever, or says nothing of what it was told, has failed after its time."""
    late = NOW + PATIENCE + timedelta(seconds=1)
    preparing = judge_told(TOLD, sight(update=update(AgentUpdateState.PREPARING)), NEW, now=late)
    assert (preparing.state, preparing.code) == (MemberState.FAILED, "agent_update_never_ended")
    unsaid = judge_told(TOLD, sight(), NEW, now=NOW + SILENCE + timedelta(seconds=1))
    assert (unsaid.state, unsaid.code) == (MemberState.FAILED, "agent_not_told")


def test_a_strangers_reasons_are_cut() -> None:
    """However much an agent has to say, people read the first of a message and the last of an output."""
    said = update(
        AgentUpdateState.UNDONE, code="c" * 10**5, message="m" * 10**6, output="o" * 10**6 + "end", exit_code=2**70
    )
    outcome = judge_told(TOLD, sight(update=said), NEW, now=NOW)
    code, message, output = outcome.code or "", outcome.message or "", outcome.output or ""
    assert (len(code), len(message), len(output)) == (64, MESSAGE_CHARS, OUTPUT_CHARS)
    assert output.endswith("end")
    assert outcome.exit_code is None


def test_an_agent_that_knows_no_updates_is_too_old() -> None:
    """It says that there is no such thing; any other refusal is a failure in its own words."""
    assert judge_refusal(code="not_found", detail="x", status=404).state is MemberState.TOO_OLD
    refused = judge_refusal(code="disk_full", detail="No room.", status=507)
    assert (refused.state, refused.code, refused.message) == (MemberState.FAILED, "disk_full", "No room.")
