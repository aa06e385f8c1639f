"""What is done to installed versions follows from spec and disk, and may be broken off between any two lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.runtimes.plan import (
    Action,
    Blocked,
    Held,
    Install,
    Reinstall,
    Remove,
    Switch,
    find_unwanted,
    needs_step,
    plan,
    still_wants,
)
from zlh_common.schema.spec import AgentSpec, WantedRuntime


def want(text: str) -> tuple[WantedRuntime, ...]:
    """Return a spec in short: `a1* a2 a3<` are a default, another version and a former default; `a1*/2` its attempt."""
    found = []
    for word in text.split():
        name, _, attempt = word.partition("/")
        version = name.rstrip("*<")
        found.append(
            WantedRuntime(
                name=version[0],
                version=version[1:],
                default="*" in name,
                previous="<" in name,
                attempt=int(attempt or 0),
            )
        )
    return tuple(found)


def hold(text: str) -> list[Held]:
    """Return a disk in short: `a1*` is the one that `current` leads to, `a2!` one with a broken record."""
    found = []
    for word in text.split():
        name, _, attempt = word.partition("/")
        version = name.rstrip("*!")
        found.append(Held(version[0], version[1:], "*" in name, int(attempt or 0), "!" not in name))
    return found


def show(actions: Sequence[Action]) -> str:
    """Return actions in short."""
    words = {Install: "+", Reinstall: "~", Switch: ">", Remove: "-", Blocked: "?"}
    return " ".join(
        words[type(action)]
        + (
            f"{action.name}{action.version}"
            if isinstance(action, Remove | Blocked)
            else f"{action.runtime.name}{action.runtime.version}"
        )
        for action in actions
    )


@pytest.mark.parametrize(
    ("wanted", "held", "used", "planned"),
    [
        ("", "", "", ""),
        ("a1*", "", "", "+a1"),
        ("a1*", "a1*", "", ""),
        ("a1*", "a1", "", ">a1"),
        ("a2* a1<", "a1*", "", "+a2"),
        ("a2* a1<", "a1* a2", "", ">a2"),
        ("a2* a1<", "a1 a2*", "", ""),
        ("a1* a2<", "a1 a2*", "", ">a1"),
        # A former default that is gone is not fetched to go back to; one that is broken goes.
        ("a2* a1<", "a2*", "", ""),
        ("a2* a1<", "a1! a2*", "", "-a1"),
        # Upgraded twice: what came before the former default goes.
        ("a3* a2<", "a1 a2*", "", "+a3 -a1"),
        # What works goes only when its successor is whole and in use.
        ("a2*", "a1*", "", "+a2"),
        ("a2*", "a1* a2", "", ">a2"),
        ("a2*", "a1 a2*", "", "-a1"),
        ("a2*", "a1! a2*", "", "-a1"),
        ("a2*", "a1!*", "", "+a2"),
        # Side by side, defaults first.
        ("a1 a2* b1*", "", "", "+a2 +b1 +a1"),
        ("a1 a2* b1*", "a1 a2* b1*", "", ""),
        ("a1* a2", "a1 a2*", "", ">a1"),
        # Dropped whole: what PATH leads to goes last.
        ("", "a1* a2", "", "-a2 -a1"),
        ("b1*", "a1* b1*", "", "-a1"),
        ("", "a1*", "a1", "?a1"),
        ("a2*", "a1 a2*", "a1 a2", "?a1"),
        # Unpacked anew, where it is there.
        ("a1*/1", "a1*", "", "~a1"),
        ("a1*/1", "a1*/1", "", ""),
        ("a1*/1", "a1*/2", "", ""),
        ("a1*/1", "a1!*", "", "+a1"),
        ("a2* a1</1", "a1 a2*", "", "~a1"),
        ("a2* a1</1", "a2*", "", ""),
    ],
)
def test_what_follows_from_spec_and_disk(wanted: str, held: str, used: str, planned: str) -> None:
    """Each case in short; see `want`, `hold` and `show`."""
    in_use = {(word[0], word[1:]) for word in used.split()}
    assert show(plan(want(wanted), hold(held), in_use)) == planned


@pytest.mark.parametrize(
    ("action", "wanted", "held", "is_wanted"),
    [
        (Install(*want("a1*")), "a1*", "", True),
        (Install(*want("a1*")), "a1* b1*", "", True),
        (Install(*want("a1*")), "a2*", "", False),
        (Install(*want("a1*")), "a1*/1", "", False),
        (Install(want("a1 a2*")[0]), "a1*", "", False),
        (Remove("a", "1"), "a2*", "a1 a2*", True),
        (Remove("a", "1"), "a2* a1<", "a1 a2*", False),
        (Remove("a", "1"), "a2*", "a1*", False),
    ],
)
def test_what_a_newer_spec_calls_off(action: Action, wanted: str, held: str, is_wanted: bool) -> None:
    """What it would have done in the same way goes on, all else does not."""
    assert still_wants(action, want(wanted), hold(held)) is is_wanted


def test_a_former_default_that_is_gone_is_no_step() -> None:
    """Nobody waits for what will not come."""
    wanted = want("a2* a1<")
    assert [needs_step(runtime, hold("a2*")) for runtime in wanted] == [True, False]
    assert [needs_step(runtime, hold("a1 a2*")) for runtime in wanted] == [True, True]
    assert [needs_step(runtime, hold("a1! a2*")) for runtime in wanted] == [True, False]


# All combinations, and a kill between any two lines.

NAMES, VERSIONS = ("a", "b"), ("1", "2", "3")


@dataclass
class Disk:
    """Trees and links, changed as the children change them: one rename at a time."""

    trees: dict[tuple[str, str], Held] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)

    def held(self) -> list[Held]:
        """Return what an agent finds that starts now."""
        return [replace(tree, is_current=self.current.get(key[0]) == key[1]) for key, tree in self.trees.items()]

    def works(self, name: str) -> bool:
        """Tell whether `current` leads to a tree."""
        return (name, self.current.get(name, "")) in self.trees

    def do(self, action: Action) -> Iterator[None]:
        """Carry an action out, with a stop after each line that counts."""
        match action:
            case Install(runtime) | Reinstall(runtime) | Switch(runtime):
                key = runtime.name, runtime.version
                if not isinstance(action, Switch):
                    self.trees[key] = Held(*key, False, runtime.attempt)
                    yield
                if runtime.default:
                    self.current[runtime.name] = runtime.version
                    yield
            case Remove(name, version):
                if self.current.get(name) == version:
                    del self.current[name]
                    yield
                del self.trees[name, version]
                yield
            case Blocked():
                pass


@st.composite
def specs(draw: st.DrawFn) -> tuple[WantedRuntime, ...]:
    """Return whatever a spec may say."""
    wanted: list[WantedRuntime] = []
    for name in NAMES:
        versions = draw(st.lists(st.sampled_from(VERSIONS), unique=True))
        previous = draw(st.sampled_from((None, *versions[1:])))
        for number, version in enumerate(versions):
            wanted.append(
                WantedRuntime(
                    name=name,
                    version=version,
                    default=number == 0,
                    previous=version == previous,
                    attempt=draw(st.integers(0, 2)),
                )
            )
    spec = AgentSpec(generation=1, runtimes=tuple(draw(st.permutations(wanted))))
    return spec.runtimes


@st.composite
def disks(draw: st.DrawFn) -> Disk:
    """Return whatever may lie on a disk: broken records, links that lead nowhere."""
    keys = draw(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS))))
    trees = {key: Held(*key, False, draw(st.integers(0, 2)), draw(st.booleans())) for key in sorted(keys)}
    links = {name: draw(st.sampled_from((None, *VERSIONS, "../../etc"))) for name in NAMES}
    return Disk(trees, {name: link for name, link in links.items() if link is not None})


def check_reached(disk: Disk, wanted: Sequence[WantedRuntime]) -> None:
    """Fail unless the disk is what the spec says."""
    for runtime in wanted:
        tree = disk.trees.get((runtime.name, runtime.version))
        assert runtime.previous or tree is not None, runtime
        assert tree is None or (tree.is_whole and tree.attempt >= runtime.attempt), runtime
        assert not runtime.default or disk.current[runtime.name] == runtime.version, runtime
    assert disk.trees.keys() <= {(runtime.name, runtime.version) for runtime in wanted}


@given(wanted=specs(), disk=disks(), data=st.data())
def test_every_disk_becomes_what_the_spec_says_whatever_is_killed(
    wanted: tuple[WantedRuntime, ...], disk: Disk, data: st.DataObject
) -> None:
    """The plan ends; what worked works at each moment, and what `current` leads to goes only with its runtime."""
    names = {runtime.name for runtime in wanted}
    fetched: list[tuple[str, str]] = []
    for _ in range(60):
        planned = plan(wanted, disk.held(), ())
        if not planned:
            break
        # Any of those that may be done now: the ones before it may have failed.
        action = data.draw(st.sampled_from(planned))
        working = {name for name in names if disk.works(name)}
        kept = {runtime.name: disk.current.get(runtime.name) for runtime in wanted}
        if isinstance(action, Remove):
            assert action.name not in names or kept[action.name] != action.version
        if isinstance(action, Install):
            assert not action.runtime.previous
            fetched.append((action.runtime.name, action.runtime.version))
        for _ in disk.do(action):
            assert {name for name in names if disk.works(name)} >= working
            if data.draw(st.booleans()):
                break
    else:
        pytest.fail("the plan has no end")
    assert len(fetched) == len(set(fetched))
    check_reached(disk, wanted)


@given(before=specs(), wanted=specs())
def test_what_is_in_use_waits_and_holds_up_nothing_else(
    before: tuple[WantedRuntime, ...], wanted: tuple[WantedRuntime, ...]
) -> None:
    """With every version in use, all is brought and nothing is removed; once they are free, the rest goes."""
    disk = Disk()
    for spec, used in ((before, False), (wanted, True), (wanted, False)):
        for _ in range(60):
            in_use = disk.trees.keys() if used else ()
            planned = [action for action in plan(spec, disk.held(), in_use) if not isinstance(action, Blocked)]
            if not planned:
                break
            assert not (used and isinstance(planned[0], Remove))
            for _ in disk.do(planned[0]):
                pass
        if used:
            waiting = plan(spec, disk.held(), disk.trees.keys())
            assert {(entry.name, entry.version) for entry in waiting if isinstance(entry, Blocked)} == {
                *find_unwanted(spec, disk.held())
            }
    check_reached(disk, wanted)


@given(wanted=specs(), disk=disks())
def test_defaults_come_first_and_removals_last(wanted: tuple[WantedRuntime, ...], disk: Disk) -> None:
    """What people wait for is not kept waiting by the rest."""
    ranks = [
        2 if isinstance(action, Remove | Blocked) else int(not action.runtime.default)
        for action in plan(wanted, disk.held(), ())
    ]
    assert ranks == sorted(ranks)
