"""What upstreams write is read as they mean it, and whatever else comes is one named refusal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.artifacts.building.sources.npm_rules import LockUnusable, render_package
from zlh_api.artifacts.building.upstreams import loader_wire, maven_wire, mojang_wire, paper_wire
from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable, is_version_name
from zlh_api.artifacts.building.upstreams.keep_rules import choose_kept
from zlh_api.artifacts.template_model import Keep

READERS: list[Callable[[bytes], Any]] = [
    mojang_wire.parse_manifest,
    paper_wire.parse_project,
    lambda raw: paper_wire.parse_java(raw, "1"),
    lambda raw: paper_wire.choose_build(raw, "1"),
    loader_wire.parse_games,
    loader_wire.choose_loader,
    loader_wire.parse_profile,
    maven_wire.parse_metadata,
    lambda raw: maven_wire.parse_sha1(raw, "a file"),
    lambda raw: maven_wire.parse_promotions(raw, ["1.20.1"]),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["versions", "version", "id", "url", "promos", "libraries", "stable"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("reader", READERS)
@given(
    raw=st.binary(max_size=200) | json_values.map(lambda value: msgspec.json.encode(value) if _fits(value) else b"0")
)
def test_anything_is_read_or_refused(reader: Callable[[bytes], Any], raw: bytes) -> None:
    """One exception, whatever a stranger sends."""
    with suppress(UpstreamUnusable):
        reader(raw)


def _fits(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except (OverflowError, msgspec.MsgspecError, UnicodeEncodeError):
        return False
    return True


@pytest.mark.parametrize(
    ("coordinates", "path"),
    [
        ("org.ow2.asm:asm:9.8", "org/ow2/asm/asm/9.8/asm-9.8.jar"),
        ("net.x:mixin:0.15.4+mixin.0.8.7", "net/x/mixin/0.15.4+mixin.0.8.7/mixin-0.15.4+mixin.0.8.7.jar"),
        ("a.b:c:1:natives-linux", "a/b/c/1/c-1-natives-linux.jar"),
        ("a:c:1@zip", "a/c/1/c-1.zip"),
    ],
)  # fmt: skip
def test_a_library_lies_where_its_coordinates_say(coordinates: str, path: str) -> None:
    """As every repository of Maven has it."""
    assert maven_wire.path_of(coordinates) == path


@given(st.text(alphabet="ab.:/@-+_ \n", max_size=40))
def test_no_coordinates_lead_out(coordinates: str) -> None:
    """A library's name becomes a path of the server's folder."""
    with suppress(UpstreamUnusable):
        path = maven_wire.path_of(coordinates)
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.isprintable()


@pytest.mark.parametrize(
    ("version", "game"),
    [
        ("21.1.200", "1.21.1"),
        ("21.0.5", "1.21"),
        ("20.2.3-beta", "1.20.2"),
        ("26.1.0.3", "26.1"),
        ("26.1.2.14-beta", "26.1.2"),
        ("0.25w14craftmine.3", None),
        ("21.1", None),
        ("٢١.1.2", None),
    ],
)
def test_neoforge_says_its_game_in_its_version(version: str, game: str | None) -> None:
    """Two schemes: Minecraft's numbers without the 1, and since 2026 the whole of them."""
    assert maven_wire.game_of_neoforge(version) == game


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20), st.integers(0, 5), st.integers(0, 5))
def test_so_many_are_kept_and_in_their_order(listed: list[tuple[int, bool]], newest: int, candidates: int) -> None:
    """The newest of each kind, and those that are named; never more, and never in another order."""
    keep = Keep(newest=newest, candidates=candidates, named=("7",))
    rows = [((place, name, stable), str(name), stable) for place, (name, stable) in enumerate(listed)]
    kept = choose_kept(rows, keep)
    assert kept == sorted(kept)
    others = [(name, stable) for _place, name, stable in kept if name != 7]
    assert sum(stable for _name, stable in others) == min(newest, sum(s for n, s in listed if n != 7))
    assert sum(not stable for _name, stable in others) == min(candidates, sum(not s for n, s in listed if n != 7))
    assert sum(name == 7 for _place, name, _stable in kept) == sum(name == 7 for name, _stable in listed)


def test_the_newest_finished_loader_is_taken() -> None:
    """Fabric says which is finished, Quilt only in the name."""
    fabric = [{"version": "0.18.0", "stable": False}, {"version": "0.17.2", "stable": True}]
    quilt = [{"version": "0.29.0-beta.3"}, {"version": "0.28.1"}]
    assert loader_wire.choose_loader(msgspec.json.encode(fabric)) == "0.17.2"
    assert loader_wire.choose_loader(msgspec.json.encode(quilt)) == "0.28.1"
    assert loader_wire.choose_loader(msgspec.json.encode(quilt[:1])) == "0.29.0-beta.3"


@pytest.mark.parametrize("text", ["", "-x", ".x", "a b", "../x", "x/y", "x\n", "x" * 65, "é"])
def test_what_is_no_name_of_a_version_is_left_out(text: str) -> None:
    """A name becomes part of addresses and of the catalog."""
    assert not is_version_name(text)
    games = msgspec.json.encode([{"version": text, "stable": True}, {"version": "1.21", "stable": True}])
    assert [game.version for game in loader_wire.parse_games(games)] == ["1.21"]


INTEGRITY = "sha512-" + "A" * 86 + "=="


@pytest.mark.parametrize(
    "packages",
    [{}, {"node_modules/x": {"integrity": "sha512-" + "B" * 86 + "=="}}, {"node_modules/x": {"integrity": INTEGRITY}}],
)
def test_a_lock_file_of_another_package_is_not_used(packages: dict[str, Any]) -> None:
    """It holds the package of the recipe to the recipe's own hash, and says what it was made from."""
    with pytest.raises(LockUnusable):
        render_package(msgspec.json.encode({"packages": packages}), package="x", integrity=INTEGRITY)
    whole = {"": {"name": "y", "dependencies": {"x": "1"}}, "node_modules/x": {"integrity": INTEGRITY}}
    manifest = render_package(msgspec.json.encode({"packages": whole}), package="x", integrity=INTEGRITY)
    assert msgspec.json.decode(manifest)["dependencies"] == {"x": "1"}
