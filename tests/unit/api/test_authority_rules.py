"""How both CAs are changed: walked through with processes and agents that follow in any order, some of them never."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from zlh_api.agents.standing import Standing
from zlh_api.authority.model import Holder, Registered, Scene
from zlh_api.authority.rules import SHARE_OF_LIFE, Move, decide_move, describe, is_due, move_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIFE = timedelta(days=3650)
START = Standing(1, 1, 1)


def registered(number: int, *, made_at: datetime = NOW) -> Registered:
    """Return a generation as the database knows it."""
    return Registered(number, bytes([number]), made_at, made_at + LIFE)


@dataclass
class Process:
    """An API process, which learns of things when it looks."""

    keys: set[int]
    standing: Standing = START
    trusts: set[int] = field(default_factory=lambda: {1})

    def look(self, scene: Scene) -> None:
        """Go by what the database says now."""
        self.standing = scene.standing
        self.trusts = {each.number for each in scene.registered if each.number in self.keys}


@dataclass
class Agent:
    """An agent that runs: who signed it, and whom it believes."""

    generation: int = 1
    trusts: tuple[int, int] = (1, 1)

    def take(self, standing: Standing) -> None:
        """Be given another identity by a process that goes by this."""
        self.generation, self.trusts = standing.issuing, standing.trusts


class Walk:
    """All of an installation; whatever happens, everybody who runs can reach everybody."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generations = [registered(1)]
        self.standing = Standing(1, 1, 1)
        self.processes = [Process({1}) for _ in range(3)]
        self.agents = [Agent() for _ in range(4)]

    def scene(self) -> Scene:
        """Return what the database says."""
        issuing = self.standing.issuing
        behind = sum(agent.generation < issuing or agent.trusts[1] < issuing for agent in self.agents)
        holders = tuple(Holder(frozenset(each.trusts), each.standing) for each in self.processes)
        return Scene(tuple(self.generations), self.standing, holders, behind)

    def step(self, *, now: datetime) -> None:
        """Let somebody do something."""
        process = self.random.choice(self.processes)
        match self.random.randrange(4):
            case 0:
                process.look(self.scene())
            case 1:
                self.random.choice(self.agents).take(process.standing)
            case 2:
                # The folder is copied, or shared and seen.
                process.keys.add(self.generations[-1].number)
            case _:
                self.move(now=now)

    def move(self, *, now: datetime) -> None:
        """Carry out what follows."""
        move = decide_move(self.scene(), now=now)
        if move is Move.MAKE:
            self.generations.append(registered(self.generations[-1].number + 1, made_at=now))
        elif move is not None:
            self.standing = move_on(self.scene(), move)
            self.generations = [each for each in self.generations if each.number >= self.standing.oldest]

    def check(self) -> None:
        """Everybody who runs can reach everybody."""
        for process in self.processes:
            for agent in self.agents:
                first, last = agent.trusts
                assert first <= process.standing.presented <= last, (process, agent)
                assert agent.generation in process.trusts, (process, agent)


@pytest.mark.parametrize("seed", range(40))
def test_everybody_reaches_everybody_at_every_moment(seed: int) -> None:
    """Whoever follows late: what is shown is believed, on both sides, after every single act."""
    walk = Walk(seed)
    for act in range(4000):
        walk.step(now=NOW + LIFE * 0.7 * (1 + act // 1000))
        walk.check()
    # It is carried through four times, and not by standing still.
    assert walk.standing.oldest >= 4


def test_one_who_does_not_follow_holds_up_the_rest() -> None:
    """An agent that is never told, or a process without the keys: nothing is taken from anybody."""
    for stuck in ("agent", "process"):
        walk = Walk(0)
        later = NOW + LIFE * 0.7
        for _ in range(4000):
            walk.step(now=later)
            if stuck == "agent":
                walk.agents[0] = Agent()
            else:
                walk.processes[0].keys, walk.processes[0].trusts = {1}, {1}
            walk.check()
        assert walk.standing == (Standing(2, 1, 1) if stuck == "agent" else Standing(1, 1, 1))


def test_another_generation_is_due_after_two_thirds_of_a_life() -> None:
    """Not before, and there is never a third one beside two."""
    scene = Scene((registered(1),), Standing(1, 1, 1), (), 0)
    assert not is_due(scene, now=NOW + LIFE * SHARE_OF_LIFE - timedelta(seconds=1))
    assert is_due(scene, now=NOW + LIFE * SHARE_OF_LIFE)
    assert decide_move(scene, now=NOW + LIFE) is Move.MAKE
    two = Scene((registered(1), registered(2)), Standing(1, 1, 1), (Holder(frozenset({1}), Standing(1, 1, 1)),), 0)
    assert decide_move(two, now=NOW + 2 * LIFE) is None


@pytest.mark.parametrize(
    ("numbers", "standing", "words"),
    [
        ((1,), Standing(1, 1, 1), "settled"),
        ((1, 2), Standing(1, 1, 1), "distributing"),
        ((1, 2), Standing(2, 1, 1), "spreading"),
        ((1, 2), Standing(2, 2, 1), "retiring"),
        ((2,), Standing(2, 2, 2), "settled"),
    ],
)
def test_how_far_it_is_has_a_word(numbers: tuple[int, ...], standing: Standing, words: str) -> None:
    """Each phase has one."""
    assert describe(Scene(tuple(map(registered, numbers)), standing, (), 0)) == words
