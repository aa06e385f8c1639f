"""Who is in which wave, when the next one begins, and when all of it halts: pure.

Invariants: whoever is told belongs to a wave up to the present one, so never more than its share have been told; never
more than `at_once` are between two versions; a roll-out that does not run tells nobody. A wave is through when nobody
of it is under way and nobody is left that could be told, and stays so for its soak time; who is busy when it is his
turn is told later, and holds up nobody. Of the first one somebody must
have been updated: a wave that proves nothing opens no other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from zlh_api.rollouts.model import Candidate, Going, Verdict, WaveCount
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_update import UPDATES_ITSELF
from zlh_common.schema.rollouts import MemberState, RolloutState, StartRollout
from zlh_common.version_order import version_order

# States in which somebody may be told.
TELLING = frozenset({RolloutState.RUNNING, RolloutState.DONE})


def is_below(version: str, wanted: str) -> bool:
    """Tell whether an agent of this version is to be brought to the wanted one."""
    return version_order(version) < version_order(wanted)


def are_shares_rising(shares: Sequence[int]) -> bool:
    """Tell whether each wave is larger than the one before, and the last one is all."""
    return list(shares) == sorted(set(shares)) and shares[-1] == 100


def may_be_told(candidate: Candidate) -> bool:
    """Tell whether an agent can be told while it runs, by what it says of itself."""
    return candidate.protocol >= UPDATES_ITSELF and candidate.fixed_because is None


def first_state(candidate: Candidate) -> MemberState:
    """Return where a member stands that nobody has told."""
    if may_be_told(candidate):
        return MemberState.WAITING
    return MemberState.TOO_OLD if candidate.fixed_because is None else MemberState.FIXED


def plan_waves(candidates: Sequence[Candidate], wish: StartRollout, *, seed: UUID) -> tuple[tuple[Candidate, ...], ...]:
    """Return the members of each wave, in their order.

    Who can be told now comes before who cannot, and else chance decides, so that no customer is always the first.
    """
    named = set(wish.canaries)
    canaries = [each for each in candidates if each.vmid in named]
    rest = sorted((each for each in candidates if each.vmid not in named), key=lambda each: _turn(each, seed))
    if not canaries:
        canaries, rest = rest[:1], rest[1:]
    waves, told, begin = [tuple(canaries)], len(canaries), 0
    for share in wish.shares:
        end = begin + max(0, math.floor(len(candidates) * share / 100) - told)
        end = len(rest) if share == 100 else end
        waves.append(tuple(rest[begin:end]))
        told, begin = told + end - begin, end
    return tuple(waves)


def decide(going: Going, counts: Mapping[int, WaveCount], *, now: datetime) -> Verdict:
    """Return what follows from how the members are."""
    if going.state not in TELLING:
        return Verdict(going.state, going.wave, going.through_at, going.reason)
    if reason := find_halt(going, counts):
        return Verdict(RolloutState.HALTED, going.wave, None, reason)
    open_ones = [counts.get(number, WaveCount(number)) for number in range(going.wave + 1)]
    under_way = sum(each.under_way for each in counts.values())
    ready = sum(each.ready for each in open_ones)
    room = max(0, min(going.wish.at_once - under_way, ready))
    if going.state is RolloutState.DONE:
        return Verdict(going.state, going.wave, going.through_at, going.reason, room)
    # Where nobody can be told at all, nothing is to be proved to anybody.
    is_nobody_left = not any(each.total - each.unable for each in counts.values())
    if waits_for := _find_awaited(going, open_ones, is_nobody_left=is_nobody_left):
        return Verdict(going.state, going.wave, None, waits_for, room)
    return replace(_follow_up(going, now), room=room)


def find_halt(going: Going, counts: Mapping[int, WaveCount]) -> str | None:
    """Return why no further container may be told, or None."""
    first = counts.get(0, WaveCount(0)).failed
    if first:
        return f"{first} of the first wave failed; no failure is allowed there."
    failed, told = sum(each.failed for each in counts.values()), sum(each.told for each in counts.values())
    allowed = max(going.wish.failures_allowed, told * going.wish.failure_percent_allowed // 100)
    if failed > allowed:
        return f"{failed} of {told} that were told failed; {allowed} are allowed."
    return None


def needs_another_canary(going: Going, first: WaveCount) -> bool:
    """Tell whether another container is to come first: the chosen one is gone, away or cannot be told."""
    has_one = first.fresh or first.awaited or first.told
    return going.state is RolloutState.RUNNING and going.wave == 0 and not going.wish.canaries and not has_one


def next_wave_at(going: Going) -> datetime | None:
    """Return when the next wave begins, or the whole is done, if nothing comes between; None where that is open."""
    if going.through_at is None or going.state is not RolloutState.RUNNING:
        return None
    return going.through_at + timedelta(minutes=going.wish.soak_minutes)


def _follow_up(going: Going, now: datetime) -> Verdict:
    """Return what follows once nobody of the present wave is waited for."""
    through_at = going.through_at or now
    if now < through_at + timedelta(minutes=going.wish.soak_minutes):
        return Verdict(going.state, going.wave, through_at, None)
    if going.wave < going.last_wave:
        return Verdict(going.state, going.wave + 1, None, None)
    return Verdict(RolloutState.DONE, going.wave, through_at, None)


def _find_awaited(going: Going, open_ones: Sequence[WaveCount], *, is_nobody_left: bool) -> str | None:
    """Return what a wave waits for that is not through, or None."""
    under_way = sum(each.under_way for each in open_ones)
    left = sum(each.fresh + each.awaited for each in open_ones)
    if under_way or left:
        return f"{under_way} are under way, {left} more are waited for."
    first = open_ones[0]
    has_proved = bool(first.updated or first.accepted)
    if going.wave == 0 and not has_proved and not is_nobody_left:
        return "It waits for the first wave, of which nobody is online and free."
    return None


def _turn(candidate: Candidate, seed: UUID) -> tuple[bool, bytes]:
    is_able = candidate.is_online and may_be_told(candidate)
    return not is_able, _chance(candidate.owner, seed)


def _chance(owner: OwnerMark, seed: UUID) -> bytes:
    return hashlib.sha256(f"{seed}{owner}".encode()).digest()
