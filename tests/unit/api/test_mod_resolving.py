"""From a wish to mods: which version, what it needs, and what is wrong with it."""

from __future__ import annotations

from msgspec.structs import replace

from fakes.mod_graph import BEGIN, FABRIC, Graph, carry_out, codes_of, edge, grow, installed, versions_of, wish
from zlh_api.mods.model import Edge, Target
from zlh_api.mods.plan_rules import render_acts, render_plan
from zlh_common.schema.mods import ModLedger, ModWish, Need, PlanMods, PutMod, RemoveMod, SwitchMod


def disabled(ledger: ModLedger, project: str) -> ModLedger:
    """Return the ledger with one mod disabled."""
    entries = (replace(e, is_enabled=e.file.project_id != project) for e in ledger.entries)
    return replace(ledger, entries=tuple(entries))


def pinned(ledger: ModLedger, project: str) -> ModLedger:
    """Return the ledger with one mod pinned."""
    return replace(ledger, entries=tuple(replace(e, is_pinned=e.file.project_id == project) for e in ledger.entries))


def test_newest_version_within_the_channel_is_chosen() -> None:
    """An alpha that is newer is left where releases were asked for, and taken where alphas were."""
    graph = Graph()
    graph.version("a", 1)
    graph.version("a", 2)
    graph.version("a", 3, channel="alpha")
    assert versions_of(graph.resolve(wish("a"))[0]) == {"a": "a-v2"}
    assert versions_of(graph.resolve(wish("a", channel="beta"))[0]) == {"a": "a-v2"}
    assert versions_of(graph.resolve(wish("a", channel="alpha"))[0]) == {"a": "a-v3"}


def test_a_channel_that_has_nothing_is_named_with_the_one_that_has() -> None:
    """Nobody gets a beta who has not asked for one, and everybody learns that there is one."""
    graph = Graph()
    graph.version("a", 1, channel="beta")
    found, _ = graph.resolve(wish("a"))
    assert codes_of(found) == ["mod_none_in_channel"]
    assert "beta" in found.problems[0].message
    assert not found.is_possible


def test_own_loader_is_preferred_to_a_newer_version_for_another() -> None:
    """A server of Paper takes the plugin that was made for Paper, where there is one."""
    graph = Graph()
    graph.version("a", 1, loaders=("paper",))
    graph.version("a", 2, loaders=("spigot",))
    target = Target(("paper", "spigot", "bukkit"), "1.21.8")
    assert versions_of(graph.resolve(wish("a"), target=target)[0]) == {"a": "a-v1"}
    assert versions_of(graph.resolve(wish("a"), target=Target(("spigot",), "1.21.8"))[0]) == {"a": "a-v2"}


def test_what_fits_no_server_of_this_kind_is_refused() -> None:
    """Another loader or another version of the game is no fit."""
    graph = Graph()
    graph.version("a", 1, loaders=("forge",))
    graph.version("b", 1, games=("1.20",))
    found, _ = graph.resolve(wish("a", "b"))
    assert codes_of(found) == ["mod_none_fits", "mod_none_fits"]


def test_a_slug_is_as_good_as_an_id() -> None:
    """What stands in an address of Modrinth can be asked for, and is kept by its id."""
    graph = Graph()
    graph.version("a", 1)
    assert versions_of(graph.resolve(wish("slug-a"))[0]) == {"a": "a-v1"}
    assert codes_of(graph.resolve(wish("slug-x"))[0]) == ["mod_not_found"]


def test_required_mods_come_along_transitively() -> None:
    """By project and by version alone, over several steps; a loop of such needs ends."""
    graph = Graph()
    graph.version("a", 1, edge("required", "b"))
    graph.version("b", 1, edge("required", None, "c-v1"))
    graph.version("c", 1, edge("required", "a"))
    graph.version("c", 2)
    found, _ = graph.resolve(wish("a"))
    assert versions_of(found) == {"a": "a-v1", "b": "b-v1", "c": "c-v1"}
    assert found.is_possible
    plan = render_plan(found, ModLedger())
    assert {line.project_id: line.needed_by for line in plan.mods} == {"a": (), "b": ("A",), "c": ("B",)}


def test_optional_mods_are_named_and_left() -> None:
    """What a mod can make use of is told, and is had by asking for it."""
    graph = Graph()
    graph.version("a", 1, edge("optional", "b"))
    graph.version("b", 1)
    found, _ = graph.resolve(wish("a"))
    assert versions_of(found) == {"a": "a-v1"}
    assert codes_of(found, is_fatal=False) == ["mod_optional"]
    assert "B" in found.problems[0].message
    assert codes_of(graph.resolve(wish("a", "b"))[0]) == []


def test_incompatible_mods_are_named_both() -> None:
    """By project, or by one version of it alone."""
    graph = Graph()
    graph.version("a", 1, edge("incompatible", "b"))
    graph.version("b", 1)
    graph.version("c", 1, edge("incompatible", None, "b-v0"))
    graph.version("b", 0)
    found, _ = graph.resolve(wish("a", "b"))
    assert codes_of(found) == ["mods_incompatible"]
    assert "A and B" in found.problems[0].message
    assert codes_of(graph.resolve(wish("c", "b"))[0]) == []
    assert codes_of(graph.resolve(wish("c", "b@b-v0"))[0]) == ["mods_incompatible"]


def test_incompatible_with_what_is_there_is_found_too() -> None:
    """The author of either may say it: of the mod that is new, and of the one that is there."""
    graph = Graph()
    graph.version("a", 1, edge("incompatible", "b"))
    graph.version("b", 1)
    assert codes_of(graph.resolve(wish("b"), installed(graph, "a"))[0]) == ["mods_incompatible"]
    assert codes_of(graph.resolve(wish("a"), installed(graph, "b"))[0]) == ["mods_incompatible"]
    assert codes_of(graph.resolve(wish("b"), disabled(installed(graph, "a"), "a"))[0]) == []


def test_embedded_mods_are_not_fetched() -> None:
    """What lies within a mod that is there fulfils whoever needs it."""
    graph = Graph()
    graph.version("a", 1, edge("embedded", "lib"))
    graph.version("b", 1, edge("required", "lib"))
    graph.version("lib", 1)
    assert versions_of(graph.resolve(wish("a", "b"))[0]) == {"a": "a-v1", "b": "b-v1"}
    assert set(versions_of(graph.resolve(wish("b"))[0])) == {"b", "lib"}


def test_mods_for_players_alone_are_refused() -> None:
    """With the reason, also where another mod needs them."""
    graph = Graph()
    graph.project("c", environment="client")
    graph.version("c", 1)
    graph.version("a", 1, edge("required", "c"))
    assert codes_of(graph.resolve(wish("c"))[0]) == ["mod_client_only"]
    assert codes_of(graph.resolve(wish("a"))[0]) == ["mod_client_only"]


def test_what_is_no_mod_is_refused() -> None:
    """A pack of mods or of textures is nothing for the folder."""
    graph = Graph()
    graph.project("p", kind="modpack")
    graph.version("p", 1)
    assert codes_of(graph.resolve(wish("p"))[0]) == ["mod_wrong_kind"]


def test_two_demands_for_one_mod_are_a_conflict() -> None:
    """Each side is named with the version that it needs."""
    graph = Graph()
    graph.version("lib", 1)
    graph.version("lib", 2)
    graph.version("a", 1, edge("required", "lib", "lib-v1"))
    graph.version("b", 1, edge("required", "lib", "lib-v2"))
    found, _ = graph.resolve(wish("a", "b"))
    assert codes_of(found) == ["mods_conflict"]
    assert all(word in found.problems[0].message for word in ("A needs 1.0", "B needs 2.0", "LIB"))


def test_a_demand_for_one_version_moves_what_is_there() -> None:
    """And says so where that is a step back."""
    graph = Graph()
    graph.version("lib", 1)
    graph.version("lib", 2)
    graph.version("lib", 3)
    ledger = carry_out(*_two(graph, wish("lib@lib-v2")))
    graph.version("up", 1, edge("required", "lib", "lib-v3"))
    graph.version("down", 1, edge("required", "lib", "lib-v1"))
    found, _ = graph.resolve(wish("up"), ledger)
    assert (versions_of(found)["lib"], codes_of(found)) == ("lib-v3", [])
    found, _ = graph.resolve(wish("down"), ledger)
    assert (versions_of(found)["lib"], codes_of(found)) == ("lib-v1", ["mod_downgrade"])
    assert found.is_possible


def _two(graph: Graph, asked: PlanMods) -> tuple:  # type: ignore[type-arg]
    found, snapshot = graph.resolve(asked)
    return found, ModLedger(), snapshot


def test_a_pin_holds() -> None:
    """Against an update, a demand and a wish; the first is told, the others are refused."""
    graph = Graph()
    graph.version("a", 1)
    ledger = pinned(installed(graph, "a"), "a")
    graph.version("a", 2)
    graph.version("b", 1, edge("required", "a", "a-v2"))
    assert versions_of(graph.resolve(PlanMods(update_all=True), ledger)[0]) == {"a": "a-v1"}
    found, _ = graph.resolve(PlanMods(update=("a",)), ledger)
    assert (versions_of(found), codes_of(found, is_fatal=False)) == ({"a": "a-v1"}, ["mod_stays_pinned"])
    assert codes_of(graph.resolve(wish("b"), ledger)[0]) == ["mods_conflict"]
    assert codes_of(graph.resolve(wish("a@a-v2"), ledger)[0]) == ["mod_pinned"]


def test_what_is_there_stays_unless_an_update_is_asked_for() -> None:
    """A wish for one mod moves no other."""
    graph = Graph()
    graph.version("a", 1)
    ledger = installed(graph, "a")
    graph.version("a", 2)
    graph.version("b", 1, edge("required", "a"))
    assert versions_of(graph.resolve(wish("b"), ledger)[0]) == {"a": "a-v1", "b": "b-v1"}
    assert versions_of(graph.resolve(PlanMods(update=("a",)), ledger)[0]) == {"a": "a-v2"}
    assert versions_of(graph.resolve(PlanMods(update_all=True), ledger)[0]) == {"a": "a-v2"}
    assert versions_of(graph.resolve(wish("a"), ledger)[0]) == {"a": "a-v2"}


def test_an_update_brings_what_the_new_version_needs_and_drops_what_it_does_not() -> None:
    """In one change with it."""
    graph = Graph()
    graph.version("a", 1, edge("required", "old"))
    graph.version("old", 1)
    ledger = installed(graph, "a")
    graph.version("a", 2, edge("required", "new"))
    graph.version("new", 1)
    found, _ = graph.resolve(PlanMods(update_all=True), ledger)
    assert (versions_of(found), found.removed) == ({"a": "a-v2", "new": "new-v1"}, ("old",))


def test_an_update_never_goes_back() -> None:
    """Who has a beta and updates within releases keeps it; who asks for a release gets one, and is told."""
    graph = Graph()
    graph.version("a", 1)
    graph.version("a", 2, channel="beta")
    found, snapshot = graph.resolve(wish("a", channel="beta"))
    ledger = carry_out(found, ModLedger(), snapshot)
    found, _ = graph.resolve(PlanMods(update_all=True), ledger)
    assert (versions_of(found), codes_of(found)) == ({"a": "a-v2"}, ["mod_kept_newer"])
    found, _ = graph.resolve(wish("a"), ledger)
    assert (versions_of(found), codes_of(found)) == ({"a": "a-v1"}, ["mod_downgrade"])
    assert found.is_possible


def test_an_update_is_held_back_by_who_needs_one_version() -> None:
    """And tells by whom."""
    graph = Graph()
    graph.version("lib", 1)
    graph.version("a", 1, edge("required", "lib", "lib-v1"))
    ledger = installed(graph, "a")
    graph.version("lib", 2)
    found, _ = graph.resolve(PlanMods(update_all=True), ledger)
    assert versions_of(found) == {"a": "a-v1", "lib": "lib-v1"}
    assert codes_of(found) == ["mod_held_back"]
    assert "A" in found.problems[0].message


def test_an_update_where_nothing_fits_any_more_keeps_what_is_there() -> None:
    """A server whose game has moved on learns that no version of the mod has."""
    graph = Graph()
    graph.version("a", 1)
    ledger = installed(graph, "a")
    found, _ = graph.resolve(PlanMods(update_all=True), ledger, Target(("fabric",), "1.22"))
    assert (versions_of(found), codes_of(found, is_fatal=False)) == ({"a": "a-v1"}, ["mod_none_fits"])


def test_removal_takes_what_nobody_else_needs() -> None:
    """And leaves what somebody asked for, what others need, and all of it where orphans are to stay."""
    graph = Graph()
    graph.version("a", 1, edge("required", "only-a"), edge("required", "shared"), edge("required", "wanted"))
    graph.version("b", 1, edge("required", "shared"))
    graph.version("only-a", 1, edge("required", "deeper"))
    for name in ("shared", "wanted", "deeper"):
        graph.version(name, 1)
    ledger = installed(graph, "a", "b", "wanted")
    found, _ = graph.resolve(PlanMods(remove=("a",)), ledger)
    assert set(found.removed) == {"a", "only-a", "deeper"}
    found, _ = graph.resolve(PlanMods(remove=("a",), remove_orphans=False), ledger)
    assert set(found.removed) == {"a"}


def test_what_is_still_needed_is_not_removed() -> None:
    """The one who needs it is named; both together can go."""
    graph = Graph()
    graph.version("a", 1, edge("required", "lib"))
    graph.version("lib", 1)
    ledger = installed(graph, "a")
    found, _ = graph.resolve(PlanMods(remove=("lib",)), ledger)
    assert codes_of(found) == ["mod_still_needed"]
    assert "A needs it" in found.problems[0].message
    assert set(graph.resolve(PlanMods(remove=("lib", "a")), ledger)[0].removed) == {"a", "lib"}


def test_what_is_asked_for_later_is_no_orphan_any_more() -> None:
    """The file stays as it is, and the ledger says that somebody wants it."""
    graph = Graph()
    graph.version("a", 1, edge("required", "lib"))
    graph.version("lib", 1)
    ledger = installed(graph, "a")
    found, snapshot = graph.resolve(wish("lib"), ledger)
    (act,) = render_acts(found, ledger, snapshot, actor="x", reason="", now=BEGIN)
    assert isinstance(act, PutMod)
    assert (act.entry.is_asked_for, act.entry.file.version_id) == (True, "lib-v1")
    after = carry_out(found, ledger, snapshot)
    assert graph.resolve(PlanMods(remove=("a",)), after)[0].removed == ("a",)


def test_a_disabled_mod_needs_nothing_and_is_enabled_where_a_new_one_needs_it() -> None:
    """Never silently."""
    graph = Graph()
    graph.version("lib", 1, edge("required", "deep"))
    graph.version("deep", 1)
    ledger = disabled(installed(graph, "lib"), "lib")
    graph.version("a", 1, edge("required", "lib"))
    found, snapshot = graph.resolve(wish("a"), ledger)
    assert codes_of(found, is_fatal=False) == ["mod_enabled_again"]
    assert set(found.chosen) == {"a", "lib", "deep"}
    acts = render_acts(found, ledger, snapshot, actor="x", reason="", now=BEGIN)
    assert SwitchMod(project_id="lib", is_enabled=True) in acts


def test_two_mods_of_one_file_name_are_refused() -> None:
    """One of them would lie on the other."""
    graph = Graph()
    graph.version("a", 1, file_name="same.jar")
    graph.version("b", 1, file_name="same.jar")
    assert codes_of(graph.resolve(wish("a", "b"))[0]) == ["mods_same_file"]


def test_a_version_whose_file_cannot_be_taken_is_passed_over() -> None:
    """The one before it is taken; where there is none, and where it was named, it says why."""
    graph = Graph()
    graph.version("a", 1)
    graph.version("a", 2, trouble="its file is named ../x.jar")
    graph.version("b", 1, trouble="its file is named ../x.jar")
    assert versions_of(graph.resolve(wish("a"))[0]) == {"a": "a-v1"}
    for asked in (wish("b"), wish("a@a-v2")):
        found, _ = graph.resolve(asked)
        assert codes_of(found) == ["mod_file_refused"]
        assert "../x.jar" in found.problems[0].message


def test_a_named_version_for_another_game_is_told_and_for_another_loader_refused() -> None:
    """Authors name fewer versions of the game than their mods work with; a loader is another matter."""
    graph = Graph()
    graph.version("a", 1, games=("1.21.7",))
    graph.version("a", 2, loaders=("forge",))
    found, _ = graph.resolve(wish("a@a-v1"))
    assert (found.is_possible, codes_of(found)) == (True, ["mod_does_not_fit"])
    found, _ = graph.resolve(wish("a@a-v2"))
    assert (found.is_possible, codes_of(found)) == (False, ["mod_does_not_fit"])


def test_a_version_of_another_project_is_not_found() -> None:
    """An id of a version is looked at together with its project."""
    graph = Graph()
    graph.version("a", 1)
    graph.version("b", 1)
    assert codes_of(graph.resolve(wish("a@b-v1"))[0]) == ["mod_version_not_found"]
    assert codes_of(graph.resolve(wish("a@none"))[0]) == ["mod_version_not_found"]


def test_needs_that_lead_nowhere_are_told() -> None:
    """A version that is gone makes the plan impossible; a mod from elsewhere is the customer's to care for."""
    graph = Graph()
    graph.version("a", 1, edge("required", None, "gone"))
    graph.version("b", 1, Edge("required", file_name="elsewhere.jar"))
    found, _ = graph.resolve(wish("a"))
    assert codes_of(found) == ["mod_version_not_found"]
    found, _ = graph.resolve(wish("b"))
    assert (found.is_possible, codes_of(found)) == (True, ["mod_external_need"])


def test_what_contradicts_itself_is_refused() -> None:
    """One project in two versions, or had and removed at once, or removed though it is not there."""
    graph = Graph()
    graph.version("a", 1)
    graph.version("a", 2)
    ledger = installed(graph, "a")
    assert codes_of(graph.resolve(wish("a@a-v1", "slug-a@a-v2"))[0]) == ["mod_both_ways"]
    both = PlanMods(install=(ModWish(project="a"),), remove=("a",))
    assert "mod_both_ways" in codes_of(graph.resolve(both, ledger)[0])
    assert codes_of(graph.resolve(PlanMods(remove=("x",)), ledger)[0]) == ["mod_not_installed"]


def test_acts_say_who_why_and_what_was_before() -> None:
    """An update names the version that it replaces; what is removed is one act."""
    graph = Graph()
    graph.version("a", 1, edge("required", "lib"))
    graph.version("lib", 1)
    ledger = installed(graph, "a")
    graph.version("a", 2)
    found, snapshot = graph.resolve(PlanMods(update_all=True), ledger)
    removal, put = render_acts(found, ledger, snapshot, actor="u1", reason="newer", now=BEGIN)
    assert removal == RemoveMod(project_id="lib")
    assert isinstance(put, PutMod)
    assert (put.entry.actor, put.entry.reason, put.entry.is_asked_for) == ("u1", "newer", True)
    assert put.entry.previous is not None
    assert put.entry.previous.version_id == "a-v1"


def test_a_plan_counts_what_is_fetched() -> None:
    """What stays is fetched from nowhere."""
    graph = Graph()
    graph.version("a", 1)
    ledger = installed(graph, "a")
    graph.version("b", 7)
    found, _ = graph.resolve(wish("b"), ledger)
    plan = render_plan(found, ledger)
    assert [(line.project_id, line.act) for line in plan.mods] == [("b", "install"), ("a", "keep")]
    assert plan.download_bytes == 107


def test_sixty_projects_take_few_rounds() -> None:
    """What is asked for in one round is asked for together: rounds are as many as the chain of needs is long."""
    graph = Graph()
    for index in range(60):
        graph.version(f"p{index}", 1, *([edge("required", f"p{index + 20}")] if index < 40 else []))
    found, _ = graph.resolve(wish(*(f"p{index}" for index in range(20))), target=FABRIC)
    assert len(found.chosen) == 60
    assert graph.rounds <= 8
    assert grow(graph, ModLedger(), "p0").revision == 1


def test_a_conflict_of_very_many_is_told_and_asked_about_in_few_words() -> None:
    """A ledger is its customer's word: what stands in it leads to no question for each of its lines."""
    graph = Graph()
    graph.version("target", 1)
    ledger = installed(graph, "target")
    demanding = replace(ledger.entries[0].file, needs=(), project_id="x", file_name="x.jar")
    needs = [(Need(project_id="target", kind="required", version_id=f"v{number}"),) for number in range(300)]
    many = tuple(
        replace(ledger.entries[0], file=replace(demanding, project_id=f"x{n}", file_name=f"x{n}.jar", needs=need))
        for n, need in enumerate(needs)
    )
    found, snapshot = graph.resolve(PlanMods(), replace(ledger, entries=(*ledger.entries, *many)))
    assert codes_of(found) == ["mods_conflict"]
    assert len(snapshot.versions) < 20
    assert "295 more" in found.problems[0].message
    assert len(found.problems[0].message) < 1000
