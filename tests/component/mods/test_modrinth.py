"""The client of Modrinth against a server with its habits, and against one that misbehaves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from component.mods.conftest import USER_AGENT
from fakes.clock import FakeClock
from fakes.modrinth import FakeFileHost, FakeModrinth, build_graph, requires
from zlh_api.circuit import Circuit
from zlh_api.drivers.port import SystemAway
from zlh_api.mods.model import Target
from zlh_api.mods.modrinth import Modrinth, ModrinthSetting
from zlh_api.mods.planning import MOST_QUESTIONS, plan
from zlh_api.mods.refusals import ModrinthRefused, ModsTooWide
from zlh_common.schema.mods import LedgerEntry, ModFile, ModLedger, ModWish, Need, PlanMods

FABRIC = Target(("fabric",), "1.21.8")


def wish(*projects: str) -> PlanMods:
    """Return the wish for some projects."""
    return PlanMods(install=tuple(ModWish(project=project) for project in projects))


async def test_sixty_projects_are_planned_in_ten_requests(modrinth: FakeModrinth, client: Modrinth) -> None:
    """What is needed in one round is asked for together, and nothing twice."""
    first = build_graph(modrinth)
    found, _ = await plan(client, wish(*first), ModLedger(), FABRIC)
    assert found.is_possible, found.problems
    assert {chosen.number for chosen in found.chosen.values()} == {"2.0"}
    assert len(found.chosen) == 60
    assert len(modrinth.requests) <= 10
    asked = len(modrinth.requests)
    await plan(client, wish(*first), ModLedger(), FABRIC)
    assert len(modrinth.requests) == asked


async def test_a_project_of_many_versions_is_listed_for_the_target(modrinth: FakeModrinth, client: Modrinth) -> None:
    """In one request, whose values are arrays of JSON."""
    for number in range(1, 25):
        modrinth.add_version("big", number, version_type="alpha" if number > 20 else "release")
    found, _ = await plan(client, wish("slug-big"), ModLedger(), FABRIC)
    assert [chosen.number for chosen in found.chosen.values()] == ["20.0"]
    assert [line for line in modrinth.requests if "loaders=%5B%22fabric%22%5D" in line or 'loaders=["fabric"]' in line]


async def test_dependencies_by_version_and_files_that_are_not_primary(modrinth: FakeModrinth, client: Modrinth) -> None:
    """A version alone names its project; of files of which none is primary the first is the mod."""
    library = modrinth.add_version("lib", 1)
    modrinth.add_version("lib", 2)
    mod, other = modrinth.files.add("a.jar", b"mod", primary=False), modrinth.files.add("s.jar", b"src", primary=False)
    modrinth.add_version("a", 1, requires(None, library), files=[mod, other])
    found, _ = await plan(client, wish("a"), ModLedger(), FABRIC)
    assert {p: c.version_id for p, c in found.chosen.items()} == {"a": "av1", "lib": "libv1"}
    assert found.chosen["a"].file_name == "a.jar"


async def test_hashes_are_told_and_unknown_ones_are_none(modrinth: FakeModrinth, client: Modrinth) -> None:
    """A map of what is known; what is missing in it is of no project."""
    version = modrinth.add_version("a", 1)
    digest = modrinth.versions[version]["files"][0]["hashes"]["sha512"]
    found = await client.identify([digest, "0" * 128])
    assert found["0" * 128] is None
    known = found[digest]
    assert known is not None
    assert known.id == version


async def test_a_search_is_confined_to_the_server(modrinth: FakeModrinth, client: Modrinth) -> None:
    """To its loaders, and to what is there already where it says so; texts are without control characters."""
    modrinth.add_project("evil", title="Evil\x1b[2J\u202e<script>")
    modrinth.add_version("evil", 1)
    modrinth.add_version("other", 1, loaders=["forge"])
    found, total = await client.search("", FABRIC, offset=0, installed=frozenset({"evil"}))
    assert ([hit.project_id for hit in found], total) == (["evil"], 1)
    assert found[0].is_installed
    assert found[0].title == "Evil [2J <script>"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"filename": "../../evil.jar"}, "named"),
        ({"filename": "evil.exe"}, "named"),
        ({"filename": ".hidden.jar"}, "named"),
        ({"filename": "a\\b.jar"}, "named"),
        ({"filename": "a\nb.jar"}, "named"),
        ({"size": 0}, "bytes"),
        ({"size": 2**40}, "bytes"),
        ({"hashes": {"sha1": "0" * 40}}, "SHA-512"),
        ({"hashes": {"sha512": "zz"}}, "SHA-512"),
        ({"url": "https://elsewhere.example.net/a.jar"}, "elsewhere"),
        ({"url": "http://127.0.0.1:22/a.jar"}, "elsewhere"),
        ({"url": "file:///etc/passwd"}, "elsewhere"),
        ({"url": "HOST@127.0.0.1/a.jar"}, "elsewhere"),
    ],
)
async def test_files_that_must_not_be_taken(
    modrinth: FakeModrinth, client: Modrinth, given: dict[str, Any], word: str
) -> None:
    """By their name, their size, their hash or where they lie; the reason is told."""
    if str(given.get("url", "")).startswith("HOST"):
        given = {"url": str(given["url"]).replace("HOST", modrinth.files.url)}
    modrinth.add_version("a", 1, files=[modrinth.files.add("a.jar", b"a", **given)])
    found, _ = await plan(client, wish("a"), ModLedger(), FABRIC)
    assert [problem.code for problem in found.problems] == ["mod_file_refused"]
    assert word in found.problems[0].message


async def test_what_is_not_as_it_should_be_is_left_out(modrinth: FakeModrinth, client: Modrinth) -> None:
    """One version that cannot be read takes no other with it."""
    modrinth.add_version("a", 1)
    modrinth.add_version("a", 2, version_type="gamma")
    modrinth.add_version("a", 3, date_published="yesterday")
    modrinth.add_version("a", 4, loaders="fabric")
    found, _ = await plan(client, wish("a"), ModLedger(), FABRIC)
    assert [chosen.number for chosen in found.chosen.values()] == ["1.0"]


@pytest.mark.parametrize(
    ("trick", "error"),
    [
        ("busy", SystemAway),
        ("drop", SystemAway),
        ("huge", SystemAway),
        ("gone", ModrinthRefused),
        ("junk", ModrinthRefused),
        ("deep", ModrinthRefused),
        ("redirect", ModrinthRefused),
    ],
)
async def test_misbehaviour_has_a_name(
    modrinth: FakeModrinth, client: Modrinth, trick: str, error: type[Exception]
) -> None:
    """Nothing is followed, nothing is read without end, and no nonsense is believed."""
    modrinth.add_version("a", 1)
    modrinth.tricks = [trick] * 3
    with pytest.raises(error):
        await client.fetch_projects(["a"])


async def test_an_empty_answer_of_an_old_server_is_as_good_as_nothing_found(
    modrinth: FakeModrinth, client: Modrinth
) -> None:
    """Older servers say 404 without a body."""
    modrinth.add_version("a", 1)
    modrinth.tricks = ["empty-404"]
    assert await client.fetch_projects(["a"]) == {"a": None}


async def test_who_asks_too_often_waits_for_as_long_as_is_said(
    modrinth: FakeModrinth, client: Modrinth, clock: FakeClock
) -> None:
    """The words of a 429 have it; meanwhile nothing is asked, and later it goes on."""
    modrinth.add_version("a", 1)
    modrinth.tricks = ["too-many"]
    with pytest.raises(SystemAway) as away:
        await client.fetch_projects(["a"])
    assert away.value.retry_in_s == pytest.approx(4.2)
    with pytest.raises(SystemAway):
        await client.fetch_projects(["a"])
    assert len(modrinth.requests) == 1
    clock.advance(4.3)
    assert (await client.fetch_projects(["a"]))["a"] is not None


@pytest.mark.parametrize(
    ("trick", "wait_s"), [("too-many-by-header", 7), ("too-many-for-ever", 300), ("busy-by-header", 9)]
)
async def test_a_header_says_for_how_long_as_well(
    modrinth: FakeModrinth, client: Modrinth, clock: FakeClock, trick: str, wait_s: float
) -> None:
    """As whoever stands before Modrinth says it, within reason: nobody puts us off for years."""
    modrinth.add_version("a", 1)
    modrinth.tricks = [trick]
    with pytest.raises(SystemAway) as away:
        await client.fetch_projects(["a"])
    assert away.value.retry_in_s == pytest.approx(wait_s)
    clock.advance(wait_s + 1)
    assert (await client.fetch_projects(["a"]))["a"] is not None


async def test_old_answers_serve_while_it_is_away(modrinth: FakeModrinth, client: Modrinth, clock: FakeClock) -> None:
    """For a day; who asks for something else is told."""
    modrinth.add_version("a", 1)
    before = await client.fetch_projects(["a"])
    clock.advance(3600)
    modrinth.tricks = ["busy"] * 5
    assert await client.fetch_projects(["a"]) == before
    with pytest.raises(SystemAway):
        await client.fetch_projects(["b"])
    clock.advance(86_400)
    with pytest.raises(SystemAway):
        await client.fetch_projects(["a"])


async def test_the_limit_is_never_passed(modrinth: FakeModrinth, client: Modrinth, clock: FakeClock) -> None:
    """Four hundred questions at once: none is refused by Modrinth, and those beyond the budget wait."""

    async def ask(number: int) -> None:
        await client.search(f"word {number}", FABRIC, offset=0, installed=frozenset())

    asking = [asyncio.create_task(ask(number)) for number in range(400)]
    while not all(task.done() for task in asking):
        await asyncio.sleep(0)
        clock.advance(0.05)
    assert not [task.exception() for task in asking if task.exception()]
    assert len(modrinth.requests) == 400


async def test_little_that_is_left_is_left_to_others(
    modrinth: FakeModrinth, client: Modrinth, clock: FakeClock
) -> None:
    """Another program at our address has used the limit up: nothing goes out until it is full again."""
    modrinth.limit = 15
    modrinth.add_version("a", 1)
    await client.fetch_projects(["a"])
    asking = asyncio.create_task(client.fetch_projects(["b"]))
    clock.advance(1)
    await asyncio.sleep(0)
    assert len(modrinth.requests) == 1
    while not asking.done():
        clock.advance(1)
        await asyncio.sleep(0)
    assert await asking == {"b": None}


async def test_who_does_not_say_who_they_are_is_refused(
    modrinth: FakeModrinth, file_host: FakeFileHost, clock: FakeClock
) -> None:
    """Modrinth takes no user agent of a library; ours names the installation."""
    server = modrinth.serve()
    await server.start_server()
    url = f"http://{server.host}:{server.port}/v2"
    for agent, is_taken in (("python-requests/2", False), (USER_AGENT, True)):
        client = Modrinth(ModrinthSetting(url, (file_host.url,), agent), Circuit("m", clock=clock), clock)
        try:
            if is_taken:
                assert await client.fetch_projects(["a"]) == {"a": None}
            else:
                with pytest.raises(ModrinthRefused):
                    await client.fetch_projects(["a"])
        finally:
            await client.close()
    await server.close()


async def test_silence_ends_in_time(modrinth: FakeModrinth, file_host: FakeFileHost, clock: FakeClock) -> None:
    """A server that takes a request and says nothing is away."""
    server = modrinth.serve()
    await server.start_server()
    modrinth.tricks = ["slow"]
    setting = ModrinthSetting(f"http://{server.host}:{server.port}/v2", (file_host.url,), USER_AGENT)
    client = Modrinth(setting, Circuit("m", clock=clock), clock, timeout_s=0.2)
    with pytest.raises(SystemAway, match="in time"):
        await client.fetch_projects(["a"])
    await client.close()
    await server.close()


async def test_a_project_that_is_named_as_the_id_of_another_is_not_taken_for_it(
    modrinth: FakeModrinth, client: Modrinth
) -> None:
    """An id leads to the project whose it is, whoever else has chosen it for a name."""
    modrinth.add_version("abcdefgh", 1)
    modrinth.add_project("evil", slug="abcdefgh")
    modrinth.add_version("evil", 1)
    found = await client.fetch_projects(["abcdefgh", "evil"])
    project = found["abcdefgh"]
    assert project is not None
    assert project.id == "abcdefgh"


async def test_a_plan_asks_no_more_than_one_may(modrinth: FakeModrinth, client: Modrinth) -> None:
    """Whatever a server's ledger says that there is: what Modrinth lets us ask is everybody's."""
    mods = tuple(entry(f"p{number}") for number in range(MOST_QUESTIONS + 1))
    for each in mods:
        # Of so many versions that each is listed by itself.
        modrinth.add_project(each.file.project_id, versions=[f"v{number}" for number in range(30)])
    with pytest.raises(ModsTooWide):
        await plan(client, PlanMods(update_all=True), ModLedger(entries=mods), FABRIC)
    assert len(modrinth.requests) < 10


async def test_a_ledger_in_which_all_need_all_is_not_thought_through(client: Modrinth) -> None:
    """It is refused before anything is computed or asked."""
    needs = tuple(Need(project_id=f"p{number}", kind="required") for number in range(256))
    mods = tuple(entry(f"p{number}", needs=needs) for number in range(100))
    with pytest.raises(ModsTooWide):
        await plan(client, PlanMods(), ModLedger(entries=mods), FABRIC)


async def test_what_is_large_takes_more_of_the_memory_of_answers(modrinth: FakeModrinth, client: Modrinth) -> None:
    """A version with all that may be said of one counts for as many others as its bytes do."""
    modrinth.add_version("small", 1)
    games = ["1.21.8", *(f"game-{number}" for number in range(600))]
    modrinth.add_version("large", 1, *(requires(f"d{number}") for number in range(256)), game_versions=games)
    await client.fetch_versions(["smallv1"])
    small = client._cache.weight
    await client.fetch_versions(["largev1"])
    assert small == 1
    assert client._cache.weight > 90


def entry(project: str, *, needs: tuple[Need, ...] = ()) -> LedgerEntry:
    """Return a mod of a ledger."""
    file = ModFile(
        project_id=project, slug=project, title=project, version_id=f"{project}v0", version_number="0",
        channel="release", file_name=f"{project}.jar", url="https://example.net/x", size=1, sha512="0" * 128,
        needs=needs,
    )  # fmt: skip
    return LedgerEntry(file=file, installed_at=datetime(2025, 1, 1, tzinfo=UTC), actor="someone")
