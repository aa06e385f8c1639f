"""What is kept of Modrinth's answers, and how its words are read."""

from __future__ import annotations

import msgspec

from fakes.clock import FakeClock
from zlh_api.mods import modrinth_wire as wire
from zlh_api.mods.answer_cache import FRESH_S, STALE_S, AnswerCache
from zlh_api.mods.model import FEW_VERSIONS, Target


def test_answers_are_fresh_for_a_while_and_serve_for_longer(clock: FakeClock) -> None:
    """None is an answer too."""
    cache = AnswerCache(clock)
    cache.keep("a", None)
    assert cache.find("a") == (None,)
    clock.advance(FRESH_S + 1)
    assert cache.find("a") is None
    assert cache.find("a", within_s=STALE_S) == (None,)
    assert cache.find("b", within_s=STALE_S) is None


def test_what_was_used_least_lately_goes_first(clock: FakeClock) -> None:
    """As much as there is room for is kept, by weight; what is larger than all of it is not."""
    cache = AnswerCache(clock, most_weight=10)
    for key in "abc":
        cache.keep(key, key, weight=3)
    assert cache.find("a") == ("a",)
    cache.keep("d", "d", weight=3)
    assert [key for key in "abcd" if cache.find(key)] == ["a", "c", "d"]
    cache.keep("e", "e", weight=11)
    assert cache.find("e") is None
    assert cache.weight == 9
    cache.keep("a", "again", weight=1)
    assert cache.weight == 7


def test_facets_confine_a_search_to_the_server() -> None:
    """Groups are all to be met, of each group one."""
    facets = msgspec.json.decode(wire.render_facets(Target(("paper", "spigot"), "1.21.8")))
    assert facets[0] == ["categories:paper", "categories:spigot"]
    assert facets[-1] == ["versions:1.21.8"]
    assert len(msgspec.json.decode(wire.render_facets(Target(("velocity",))))) == 3


def test_words_of_modrinth_about_its_limit_are_read() -> None:
    """Anything else in their place is no word about it."""
    told = msgspec.json.encode({"error": "ratelimit_error", "description": "x; retry after 4200 milliseconds"})
    assert wire.read_wait_s(told, {}) == 4.2
    for raw in (b"", b"{}", b"[]", b'{"description": "retry after a while"}', b"\xff"):
        assert wire.read_wait_s(raw, {}) is None
    assert wire.read_left({"x-ratelimit-remaining": "7", "x-ratelimit-reset": "3"}) == (7, 3)
    for left in ("", "x", "-1", "1" * 9, "\u0663"):
        assert wire.read_left({"x-ratelimit-remaining": left, "x-ratelimit-reset": "3"}) is None


def test_texts_lose_what_moves_a_cursor() -> None:
    """And what turns the direction of what follows; letters of every language stay."""
    assert wire.clean("a\x1b[2Jb\u202ec\nd\x07é漢") == "a [2Jb c d é漢"
    assert wire.clean("x" * 1000) == "x" * wire.MAX_TEXT


def test_a_project_of_very_many_versions_takes_no_room() -> None:
    """That there are more than a few is all that is known of it, whatever is no id left out."""
    project = {"id": "a", "slug": "a", "title": "A", "project_type": "mod", "versions": ["", *map(str, range(5000))]}
    (found,) = wire.read_projects(msgspec.json.encode([project]))
    assert found.version_ids == tuple(map(str, range(FEW_VERSIONS + 1)))
    project["versions"] = ["", *map(str, range(FEW_VERSIONS))]
    (found,) = wire.read_projects(msgspec.json.encode([project]))
    assert found.version_ids == tuple(map(str, range(FEW_VERSIONS)))
