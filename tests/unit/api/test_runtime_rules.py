"""What becomes of the runtimes of a container, whatever is asked and in whatever order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zlh_api.containers.model import RuntimeWish
from zlh_api.runtimes import rules
from zlh_api.runtimes.rules import Key, Seen, Wishes
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import CatalogVersion
from zlh_common.schema.spec import MAX_RUNTIMES, AgentSpec
from zlh_common.schema.status import InstalledRuntime, Step, StepState

NAMES = ("go", "java", "node")
VERSIONS = ("20.1.0", "22.2.0", "24.3.0", "26.4.0")
NODE_20, NODE_22, NODE_24 = (RuntimeWish(name="node", version=version) for version in VERSIONS[:3])


def record(name: str, version: str, *, default: bool = False, faults: int = 0) -> InstalledRuntime:
    """Return what an agent tells of an installed version."""
    return InstalledRuntime(
        name=name,
        version=version,
        default=default,
        verified=faults == 0,
        faults=faults,
        size=1,
        sha256="0" * 64,
        source="x",
        installed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def told(wishes: Wishes) -> list[tuple[str, str]]:
    """Return versions with what they are."""
    return [(wish.version, _describe(wish)) for wish in wishes]


def _describe(wish: RuntimeWish) -> str:
    return " ".join(word for word in ("default", "previous", "beside") if getattr(wish, word))


def keys(*wishes: RuntimeWish) -> set[Key]:
    """Return the keys of wishes, as what is installed."""
    return {(wish.name, wish.version) for wish in wishes}


def offered(*versions: str, edition: str | None = None) -> list[CatalogVersion]:
    """Return versions as the catalog offers them."""
    return [
        CatalogVersion(version=each, channel="stable", default=False, licence="MIT", artifacts=(), edition=edition)
        for each in versions
    ]


def test_two_upgrades_keep_the_version_before_the_last() -> None:
    """20 → 22 → 24: one goes back to 22, and 20 has gone."""
    wishes: Wishes = (NODE_20,)
    wishes = rules.upgrade_runtime(wishes, "node", "22.2.0", installed=keys(NODE_20))
    assert told(wishes) == [("20.1.0", "previous"), ("22.2.0", "default")]
    wishes = rules.upgrade_runtime(wishes, "node", "24.3.0", installed=keys(NODE_20, NODE_22))
    assert told(wishes) == [("22.2.0", "previous"), ("24.3.0", "default")]


def test_a_version_that_was_asked_for_beside_the_default_stays() -> None:
    """It was wished for by itself, whatever was the default meanwhile."""
    wishes = rules.install_runtime((NODE_22,), "node", "20.1.0", default=None, installed=keys(NODE_22))
    assert told(wishes) == [("22.2.0", "default"), ("20.1.0", "beside")]
    everything = keys(NODE_20, NODE_22, NODE_24)
    wishes = rules.install_runtime(wishes, "node", "20.1.0", default=True, installed=everything)
    assert told(wishes) == [("22.2.0", "previous"), ("20.1.0", "default beside")]
    wishes = rules.upgrade_runtime(wishes, "node", "24.3.0", installed=everything)
    assert told(wishes) == [("20.1.0", "previous beside"), ("24.3.0", "default")]
    wishes = rules.upgrade_runtime(wishes, "node", "26.4.0", installed=everything)
    assert told(wishes) == [("20.1.0", "beside"), ("24.3.0", "previous"), ("26.4.0", "default")]


def test_what_is_kept_for_a_rollback_can_be_asked_for() -> None:
    """From then on it is wanted for itself, and its agent would install it anew."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    wishes = rules.install_runtime(wishes, "node", "20.1.0", default=False, installed=keys(NODE_20))
    assert told(wishes) == [("20.1.0", "previous beside"), ("22.2.0", "default")]
    assert not wishes[0].order().previous


def test_a_rollback_swaps_and_swaps_again() -> None:
    """What was left is kept to go back to in its turn."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    installed = keys(NODE_20, NODE_22)
    back = rules.roll_back(wishes, "node", installed=installed)
    assert told(back) == [("20.1.0", "default"), ("22.2.0", "previous")]
    assert rules.roll_back(back, "node", installed=installed) == wishes


def test_a_failed_upgrade_leaves_nothing_behind() -> None:
    """The version that never got there goes with the rollback, and with the next upgrade as well."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    assert told(rules.roll_back(wishes, "node", installed=keys(NODE_20))) == [("20.1.0", "default")]
    wishes = rules.upgrade_runtime(wishes, "node", "24.3.0", installed=keys(NODE_20))
    assert told(wishes) == [("20.1.0", "previous"), ("24.3.0", "default")]
    with pytest.raises(rules.NothingToRollBack):
        rules.roll_back((NODE_20,), "node", installed=keys(NODE_20))


def test_an_upgrade_takes_the_newest_of_its_edition() -> None:
    """Numbers are compared as numbers, and a JDK is not followed by a JRE."""
    wishes: Wishes = (RuntimeWish(name="java", version="9.0.2"),)
    jdk, jre = offered("9.0.2", "21.0.5", edition="JDK"), offered("25.0.1", edition="JRE")
    assert rules.choose_upgrade(wishes, "java", [*jre, *jdk]) == "21.0.5"
    assert rules.choose_upgrade(wishes, "java", offered("10.0.0", "9.0.1")) == "10.0.0"
    with pytest.raises(rules.RuntimeIsNewest, match=r"9\.0\.2"):
        rules.choose_upgrade(wishes, "java", [*offered("9.0.2", edition="JDK"), *jre])
    with pytest.raises(rules.RuntimeNotFound):
        rules.choose_upgrade(wishes, "node", offered("24.0.0"))


def test_an_upgrade_to_an_older_version_names_the_way() -> None:
    """One is told whether a rollback leads there."""
    wishes = rules.upgrade_runtime((NODE_22,), "node", "24.3.0", installed=keys(NODE_22))
    with pytest.raises(rules.RuntimeIsOlder, match="roll back"):
        rules.upgrade_runtime(wishes, "node", "22.2.0", installed=keys(NODE_22))
    with pytest.raises(rules.RuntimeIsOlder, match="as the default"):
        rules.upgrade_runtime(wishes, "node", "20.1.0", installed=keys(NODE_22))
    assert rules.upgrade_runtime(wishes, "node", "24.3.0", installed=keys(NODE_22)) == wishes


def test_what_may_not_be_removed_is_told_why() -> None:
    """The last runtime and a default that others stand beside stay; everything else may go."""
    with pytest.raises(rules.LastRuntime):
        rules.remove_runtime((NODE_20,), "node", "20.1.0", installed=())
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    with pytest.raises(rules.RuntimeIsDefault, match=r"20\.1\.0"):
        rules.remove_runtime(wishes, "node", "22.2.0", installed=keys(NODE_20, NODE_22))
    assert told(rules.remove_runtime(wishes, "node", "20.1.0", installed=keys(NODE_20, NODE_22))) == [
        ("22.2.0", "default")
    ]
    both: Wishes = (NODE_20, RuntimeWish(name="go", version="1.27.3"))
    assert rules.remove_runtime(both, "go", "1.27.3", installed=keys(*both)) == (NODE_20,)
    # What is still to come may never get there; it may go, and what works may not.
    assert rules.remove_runtime(both, "go", "1.27.3", installed=keys(NODE_20)) == (NODE_20,)
    with pytest.raises(rules.LastRuntime):
        rules.remove_runtime(both, "node", "20.1.0", installed=keys(NODE_20))


@pytest.mark.parametrize(
    ("name", "version", "suggestion"), [("nod", "20.1.0", "node"), ("node", "20.1", "20.1.0"), ("x", "y", None)]
)
def test_what_is_not_there_is_told_with_the_nearest(name: str, version: str, suggestion: str | None) -> None:
    """A typing mistake is answered with what was meant."""
    with pytest.raises(rules.RuntimeNotFound) as refused:
        rules.remove_runtime((NODE_20, RuntimeWish(name="go", version="1.27.3")), name, version, installed=())
    assert refused.value.data["suggestion"] == suggestion


def test_a_pruning_takes_what_is_for_a_rollback_alone() -> None:
    """What is in use stays, and so does what was asked for."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    assert rules.prune_runtimes(wishes, keys(NODE_20), installed=keys(NODE_20, NODE_22)) == (wishes, ())
    kept, gone = rules.prune_runtimes(wishes, (), installed=keys(NODE_20, NODE_22))
    assert (told(kept), [each.version for each in gone]) == ([("22.2.0", "default")], ["20.1.0"])
    asked = rules.install_runtime(wishes, "node", "20.1.0", default=None, installed=())
    assert rules.prune_runtimes(asked, (), installed=keys(NODE_20, NODE_22)) == (asked, ())


def test_a_pruning_leaves_what_works_while_its_successor_is_not_there() -> None:
    """An upgrade that is under way, or has failed, needs its way back."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=keys(NODE_20))
    assert rules.prune_runtimes(wishes, (), installed=keys(NODE_20)) == (wishes, ())


def test_there_is_a_limit() -> None:
    """It counts all runtimes together, and what is there can still be asked for and upgraded in place of another."""
    wishes: Wishes = (NODE_20,)
    for number in range(MAX_RUNTIMES - 1):
        wishes = rules.install_runtime(wishes, "go", f"1.{number}.0", default=None, installed=())
    with pytest.raises(rules.RuntimeLimit):
        rules.install_runtime(wishes, "java", "21.0.0", default=None, installed=())
    with pytest.raises(rules.RuntimeLimit):
        rules.upgrade_runtime(wishes, "node", "22.2.0", installed=keys(NODE_20))
    assert len(rules.upgrade_runtime(wishes, "node", "22.2.0", installed=())) == MAX_RUNTIMES
    assert rules.install_runtime(wishes, "go", "1.1.0", default=None, installed=()) == wishes


@dataclass
class Faulty:
    """An agent that has told of a fault, or of a failed install."""

    installed: dict[Key, InstalledRuntime] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    accepted: int = 4

    def seen(self) -> Seen:
        """Return it as the rules take it."""
        return Seen(self.installed, self.steps, self.accepted)


def test_a_repair_is_asked_for_once() -> None:
    """Until the agent has taken it and is done with it, asking again changes nothing."""
    agent = Faulty({("node", "20.1.0"): record("node", "20.1.0", faults=1)})
    asked = rules.repair_runtime((NODE_20,), "node", "20.1.0", agent.seen(), generation=5)
    assert (asked[0].attempt, asked[0].attempt_generation) == (1, 5)
    assert rules.repair_runtime(asked, "node", "20.1.0", agent.seen(), generation=6) == asked
    agent.accepted = 5
    agent.steps = (Step(name="install-node-20.1.0", state=StepState.RUNNING),)
    assert rules.repair_runtime(asked, "node", "20.1.0", agent.seen(), generation=6) == asked
    agent.steps = (Step(name="install-node-20.1.0", state=StepState.FAILED, code="download_failed"),)
    again = rules.repair_runtime(asked, "node", "20.1.0", agent.seen(), generation=6)
    assert (again[0].attempt, again[0].attempt_generation) == (2, 6)


def test_what_is_sound_needs_no_repair() -> None:
    """Only a fault that is known, or a failure, is a reason."""
    sound = Seen({("node", "20.1.0"): record("node", "20.1.0")}, (), 4)
    with pytest.raises(rules.NothingToRepair):
        rules.repair_runtime((NODE_20,), "node", "20.1.0", sound, generation=5)
    missing = Seen({}, (Step(name="install-node", state=StepState.FAILED),), 4)
    assert rules.repair_runtime((NODE_20,), "node", "20.1.0", missing, generation=5)[0].attempt == 1
    assert rules.repair_runtime((NODE_20,), "node", "20.1.0", Seen({}, (), 3), generation=5) == (NODE_20,)


def test_what_is_still_to_happen_is_told() -> None:
    """Wanted and not there, there and not wanted, there and not the default yet; a way back that is gone is nothing."""
    wishes: Wishes = (
        msgspec.structs.replace(NODE_24, default=True),
        msgspec.structs.replace(NODE_22, default=False, beside=True),
        msgspec.structs.replace(NODE_20, default=False, previous=True),
        RuntimeWish(name="go", version="1.27.3"),
    )
    installed = {
        ("node", "24.3.0"): record("node", "24.3.0"),
        ("java", "21.0.0"): record("java", "21.0.0", default=True),
    }
    steps = (Step(name="install-go", state=StepState.RUNNING), Step(name="remove-java-21.0.0", state=StepState.PENDING))
    pending = {entry.version: entry for entry in rules.render_runtimes(wishes, Seen(installed, steps, 1)).pending}
    assert {version: (entry.wanted, entry.default) for version, entry in pending.items()} == {
        "24.3.0": (True, True),
        "22.2.0": (True, False),
        "1.27.3": (True, True),
        "21.0.0": (False, False),
    }
    assert (pending["1.27.3"].step, pending["21.0.0"].step) == steps


class AnySequence(RuleBasedStateMachine):
    """Everything that can be asked, beside an agent that installs, fails and loses whatever it likes."""

    @initialize(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS))
    def create(self, name: str, version: str) -> None:
        self.wishes: Wishes = (RuntimeWish(name=name, version=version),)
        self.installed: set[Key] = set()

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS), default=st.sampled_from([None, True, False]))
    def install(self, name: str, version: str, default: bool | None) -> None:
        once = rules.install_runtime(self.wishes, name, version, default=default, installed=self.installed)
        assert rules.install_runtime(once, name, version, default=default, installed=self.installed) == once
        assert rules.find_wish(once, name, version).default or default is not True
        self.wishes = once

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS))
    def upgrade(self, name: str, version: str) -> None:
        with suppress(ZlhError):
            once = rules.upgrade_runtime(self.wishes, name, version, installed=self.installed)
            assert rules.find_default(once, name).version == version
            assert rules.upgrade_runtime(once, name, version, installed=self.installed) == once
            self.wishes = once

    @rule(name=st.sampled_from(NAMES))
    def roll_back(self, name: str) -> None:
        with suppress(ZlhError):
            self.wishes = rules.roll_back(self.wishes, name, installed=self.installed)

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS))
    def remove(self, name: str, version: str) -> None:
        with suppress(ZlhError):
            self.wishes = rules.remove_runtime(self.wishes, name, version, installed=self.installed)

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS), accepted=st.integers(0, 3))
    def repair(self, name: str, version: str, accepted: int) -> None:
        seen = Seen({key: record(*key, faults=1) for key in self.installed}, (), accepted)
        with suppress(ZlhError):
            self.wishes = rules.repair_runtime(self.wishes, name, version, seen, generation=3)

    @rule(in_use=st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS))))
    def prune(self, in_use: set[Key]) -> None:
        kept, gone = rules.prune_runtimes(self.wishes, in_use, installed=self.installed)
        assert len(kept) + len(gone) == len(self.wishes)
        self.wishes = kept

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        self.installed = data.draw(st.sets(st.sampled_from(sorted(keys(*self.wishes)))))

    @invariant()
    def each_runtime_has_one_default(self) -> None:
        """The spec's own check refuses everything else; here it must never have to."""
        names = {wish.name for wish in self.wishes}
        assert names
        for name in names:
            mine = [wish for wish in self.wishes if wish.name == name]
            assert sum(wish.default for wish in mine) == 1
            assert sum(wish.previous for wish in mine) <= 1
            # What is neither the default nor the way back is there because somebody asked for it.
            assert all(wish.default or wish.previous or wish.beside for wish in mine)
        AgentSpec(generation=1, runtimes=tuple(wish.order() for wish in self.wishes))
        AgentSpec(generation=1, runtimes=tuple(wish.order() for wish in self.wishes if wish.default))


AnySequence.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnySequence = AnySequence.TestCase


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS)), unique=True))
def test_only_what_was_installed_is_kept_to_go_back_to(installed: list[Key]) -> None:
    """A version that never ran is no way back."""
    wishes = rules.upgrade_runtime((NODE_20,), "node", "22.2.0", installed=installed)
    previous = rules.find_previous(wishes, "node")
    assert (previous is not None) == (("node", "20.1.0") in installed)
