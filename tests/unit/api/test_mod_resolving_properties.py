"""What holds for every plan, on graphs that nobody has drawn."""

from __future__ import annotations

from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fakes.mod_graph import BEGIN, Graph, carry_out, edge, versions_of
from zlh_api.mods.model import Chosen, Edge, Resolution, Snapshot, Target, Version
from zlh_api.mods.plan_rules import render_acts, render_plan
from zlh_api.mods.resolving_rules import resolve
from zlh_common.schema.mods import ModLedger, ModWish, PlanMods, PutMod, RemoveMod

TARGET = Target(("fabric", "quilt"), "1.21.8")
NAMES = tuple("abcdefgh")
VERSIONS = 3
LOADERS = (("fabric",), ("fabric",), ("fabric", "quilt"), ("quilt",), ("quilt", "forge"), ("forge",))
KINDS = ("required",) * 9 + ("optional", "incompatible", "embedded")

edges = st.builds(
    lambda kind, project, number, how: edge(
        kind,
        None if how == "version" else project,
        None if how == "project" else f"{project}-v{number}",
    ),
    st.sampled_from(KINDS),
    st.sampled_from((*NAMES, *NAMES, *NAMES, "nowhere")),
    st.integers(1, VERSIONS),
    st.sampled_from(("project",) * 6 + ("version", "both")),
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw a graph of a few projects with some versions each."""
    graph = Graph()
    for name in NAMES:
        graph.project(name, environment=draw(st.sampled_from(("both",) * 9 + ("server", "unknown", "client"))))
        for number in range(1, 1 + draw(st.sampled_from((0, 1, 2, 2, 3, 3, 3, 3, 3)))):
            graph.version(
                name,
                number,
                *draw(st.lists(edges, max_size=2)),
                channel=draw(st.sampled_from(("release", "release", "beta", "alpha"))),
                loaders=draw(
                    st.sampled_from(
                        (("fabric",), ("fabric",), ("fabric", "quilt"), ("quilt",), ("quilt", "forge"), ("forge",))
                    )
                ),
                games=draw(st.sampled_from((("1.21.8",),) * 5 + (("1.21.7",),))),
                trouble=draw(st.sampled_from(("",) * 7 + ("it has no file",))),
            )
    return graph


names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)
wishes = st.builds(
    PlanMods,
    install=st.lists(
        st.builds(
            ModWish,
            project=st.sampled_from(NAMES),
            version=st.none(),
            channel=st.sampled_from(("release", "alpha")),
        ),
        max_size=3,
        unique_by=lambda wish: wish.project,
    ).map(tuple),
    update=names,
    update_all=st.booleans(),
    remove=names,
    remove_orphans=st.booleans(),
    channel=st.sampled_from(("release", "beta", "alpha")),
)


def sensible(asked: PlanMods, ledger: ModLedger) -> PlanMods:
    """Return a wish without what contradicts itself, or is about mods that are not there."""
    known = {entry.file.project_id for entry in ledger.entries}
    remove = tuple(name for name in asked.remove if name in known)
    return replace(
        asked,
        remove=remove,
        update=tuple(name for name in asked.update if name in known and name not in remove),
        install=tuple(wish for wish in asked.install if wish.project not in remove),
        update_all=asked.update_all and not remove,
    )


def live(found: Resolution) -> dict[str, Chosen]:
    """Return what the server would load."""
    return {p: each for p, each in found.chosen.items() if each.is_enabled or p in found.enabled_again}


def project_of(graph: Graph, one: Edge) -> str | None:
    """Return where an edge leads, or None where that is nowhere."""
    version: Version | None = graph.versions.get(one.version_id or "")
    return one.project_id or (version.project_id if version else None)


def check(graph: Graph, found: Resolution, ledger: ModLedger, asked: PlanMods) -> None:
    """Hold a plan that is possible against everything that is promised of one."""
    loaded = live(found)
    embedded = {project_of(graph, e) for each in loaded.values() for e in each.edges if e.kind == "embedded"}
    needed: set[str | None] = set()
    for each in loaded.values():
        for one in each.edges:
            other = project_of(graph, one)
            if one.kind == "required" and other != each.project_id:
                needed.add(other)
                assert other in loaded or other in embedded, (each, one)
                if one.version_id and other in loaded:
                    assert loaded[other].version_id == one.version_id
            if one.kind == "incompatible" and other != each.project_id and other in loaded:
                assert one.version_id not in {None, loaded[other].version_id}
    known = {entry.file.project_id for entry in ledger.entries}
    wished = {wish.project for wish in asked.install}
    for project, each in found.chosen.items():
        if each.version is None:
            assert project in known
            continue
        assert graph.projects[project].environment != "client"
        assert set(each.version.loaders) & set(TARGET.loaders)
        assert each.version.file
        assert project in needed | wished | known, "nobody wants it"
    assert not set(asked.remove) & found.chosen.keys()
    assert len({each.file_name for each in found.chosen.values()}) == len(found.chosen)


@settings(max_examples=400)
@given(graphs(), st.lists(wishes, min_size=1, max_size=4))
def test_possible_plans_keep_every_promise(graph: Graph, asks: list[PlanMods]) -> None:
    """All that is required is there, nothing that excludes another, nothing unneeded; and acts bring it about."""
    ledger = ModLedger()
    for given_wish in asks:
        asked = sensible(given_wish, ledger)
        found, snapshot = graph.resolve(asked, ledger, TARGET)
        if not found.is_possible:
            assert any(problem.is_fatal for problem in found.problems)
            continue
        check(graph, found, ledger, asked)
        after = carry_out(found, ledger, snapshot)
        assert {e.file.project_id: e.file.version_id for e in after.entries} == versions_of(found)
        ledger = after


@given(graphs(), wishes, wishes, st.randoms(use_true_random=False))
def test_plans_depend_on_nothing_but_what_is_known(
    graph: Graph, first: PlanMods, asked: PlanMods, chance: Random
) -> None:
    """The same graph in any order, asked again with all of it in hand, comes to the same plan."""
    before, snapshot = graph.resolve(sensible(first, ModLedger()), ModLedger(), TARGET)
    ledger = carry_out(before, ModLedger(), snapshot) if before.is_possible else ModLedger()
    found, snapshot = graph.resolve(asked, ledger, TARGET)

    def shuffled(given: dict) -> dict:  # type: ignore[type-arg]
        pairs = list(given.items())
        chance.shuffle(pairs)
        return dict(pairs)

    listings = {p: tuple(chance.sample(v, len(v))) for p, v in snapshot.listings.items()}
    again = resolve(
        asked,
        ledger,
        Snapshot(shuffled(dict(snapshot.projects)), shuffled(listings), shuffled(dict(snapshot.versions))),
        TARGET,
    )
    assert render_plan(again, ledger) == render_plan(found, ledger)


@given(graphs(), wishes)
def test_asking_again_for_what_is_there_changes_nothing(graph: Graph, asked: PlanMods) -> None:
    """A wish that was carried out comes to no further act, unless what it removed is to be removed once more."""
    asked = sensible(asked, ModLedger())
    found, snapshot = graph.resolve(asked, ModLedger(), TARGET)
    assume(found.is_possible)
    ledger = carry_out(found, ModLedger(), snapshot)
    found, snapshot = graph.resolve(asked, ledger, TARGET)
    acts = render_acts(found, ledger, snapshot, actor="x", reason="", now=BEGIN)
    assert not [act for act in acts if isinstance(act, PutMod | RemoveMod)]
