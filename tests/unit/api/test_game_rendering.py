"""From a template and a customer's values to what an agent is told: whatever stands in the values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.game_templates import BLOCKS, templates, version
from zlh_api.dns.model import ServicePort
from zlh_api.games.choice_rules import choose_version, find_template, suggest_template
from zlh_api.games.model import GamePool, GameWish, HeldPort
from zlh_api.games.port_rules import find_missing, find_ping, find_services, render_ports, wanted_ports
from zlh_api.games.refusals import GameUnusable, MemoryTooSmall, VariableInvalid, VariableUnknown
from zlh_api.games.rendering import (
    check_values,
    compute_heap,
    effective_values,
    keep_values,
    least_memory,
    render_game,
)
from zlh_common.schema.catalog import Catalog
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.template import FileEdit, GameTemplate, Memory, Start, TemplatePort, TextVariable

WISH = GameWish(template="blocks", title="Blocks", definition=BLOCKS, version=version("1.21.8"))
HOSTILE = st.one_of(
    st.text(max_size=59),
    st.sampled_from(
        [
            "`id`", "$(id)", "; rm -rf /", "a b  c", '"', "'", "\\", "{var.world}", "{secret.rcon}", "{heap_mb}", "%s",
            "{", "}", "{{", "-", "--help", "${HOME}", "\N{ZERO WIDTH JOINER}", "a=b", "#", "!", "é" * 59,
        ]
    ),
)  # fmt: skip


def render(wish: GameWish = WISH) -> WantedGame:
    """Return what is told of a server in a container of 2 GiB."""
    return render_game(wish, memory_mib=2048, address="10.1.2.3", power="on")


def with_values(**values: Any) -> GameWish:
    """Return the wish with these values."""
    return msgspec.structs.replace(WISH, values=values)


def test_everything_is_filled_in_but_secrets() -> None:
    """The agent is told words and values, and what only it may know by its name."""
    game = render(with_values(motd="Hello `you`", max_players=7))
    assert game.process.name == SERVER
    assert game.process.argv == (
        "java", "-Xmx1536M", "-jar", "server.jar", "--world", "world", "--say=Hello `you`",
    )  # fmt: skip
    assert game.process.environment == {"BIND": "0.0.0.0:25565"}
    assert game.edits[0].set == {
        "motd": "Hello `you`",
        "max-players": 7,
        "online-mode": True,
        "server-ip": "0.0.0.0",
        "rcon.password": "{secret.rcon}",
        "difficulty": "easy",
        "about": "1.21.8 for 7, Hello `you`",
    }
    assert game.scripts[0].argv == ("java", "-jar", "installer-1.21.8.jar")
    assert game.scripts[0].makes == ("installer-1.21.8.jar.d",)
    assert decode(encode(game), WantedGame) == game


def test_where_dns_tells_the_port_people_type_the_name_alone() -> None:
    """Of ports that have a service and a public port; all others are typed with the port, as without such records."""
    game, *others = BLOCKS.ports
    named = msgspec.structs.replace(BLOCKS, ports=(msgspec.structs.replace(game, service="_minecraft._tcp"), *others))
    held = (HeldPort("game", "tcp", 25565, 25501), HeldPort("query", "udp", 25565, 25502))
    host = "game-101.example.org"
    shown = render_ports(named, held, host, has_services=True)
    assert [port.address for port in shown] == [host, f"{host}:25502", None]
    assert [port.public_port for port in shown] == [25501, 25502, None]
    assert [port.address for port in render_ports(named, held, host)][:1] == [f"{host}:25501"]
    assert find_services(named, held) == (ServicePort("_minecraft._tcp", 25501),)
    assert find_services(named, held[1:]) == ()


@pytest.mark.parametrize(
    ("address", "listens"), [("10.1.2.3", "0.0.0.0"), ("127.77.3.1", "127.77.3.1"), ("", "0.0.0.0")]
)
def test_a_server_listens_where_its_agent_asks_it(address: str, listens: str) -> None:
    """By loopback in a container of its own; at its own address where containers share the loopback of a machine."""
    game = render_game(WISH, memory_mib=2048, address=address, power="on")
    assert game.edits[0].set["server-ip"] == listens
    assert game.process.environment == {"BIND": f"{listens}:25565"}


@given(motd=HOSTILE, world=HOSTILE)
def test_no_value_is_more_than_one_word(motd: str, world: str) -> None:
    """Values that are not refused are told as they are, one word each, and bring forth no other placeholder."""
    chosen = {"motd": motd, "world": world}
    try:
        check_values(BLOCKS, chosen)
    except VariableInvalid:
        return
    game = render(with_values(**chosen))
    assert len(game.process.argv) == len(BLOCKS.start.argv)
    assert game.process.argv[5:] == (world, f"--say={motd}")
    assert game.edits[0].set["motd"] == motd
    assert game.edits[0].set["rcon.password"] == "{secret.rcon}"
    assert not game.process.argv[5].startswith("-")
    assert decode(encode(game), WantedGame) == game


@given(first=HOSTILE, second=HOSTILE)
def test_two_values_never_make_a_secret(first: str, second: str) -> None:
    """The halves of a placeholder in two values are not put together for the agent."""
    template = GameTemplate(
        game="x",
        ports=BLOCKS.ports,
        start=Start(argv=("x",)),
        variables=(TextVariable(name="a", title="A"), TextVariable(name="b", title="B")),
        edits=(FileEdit(path="x.txt", format="plain", set={"k": "{var.a}{var.b}"}),),
    )
    for chosen in ({"a": first, "b": second}, {"a": "{sec", "b": "ret.rcon}"}):
        wish = msgspec.structs.replace(WISH, definition=template, values=chosen)
        try:
            told = str(render(wish).edits[0].set["k"])
        except GameUnusable:
            continue
        assert "{secret.rcon}" not in told


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("motd", "a\nb", "one line"),
        ("motd", "a\u2028b", "one line"),
        ("motd", "\x1b[31m", "one line"),
        ("motd", "x" * 60, "59 characters"),
        ("motd", "{secret.rcon}", "password"),
        ("motd", 5, "is a text"),
        ("world", "-help", "begin with -"),
        ("world", "Ä", "the form"),
        ("max_players", 0, "from 1 to 500"),
        ("max_players", True, "from 1 to 500"),
        ("max_players", "7", "from 1 to 500"),
        ("online", 1, "true or false"),
        ("difficulty", "insane", "peaceful, easy, hard"),
        ("difficulty", True, "peaceful, easy, hard"),
    ],
)
def test_what_is_no_value_is_refused_with_its_name(name: str, value: Any, reason: str) -> None:
    """Each refusal says which variable, and what it takes."""
    with pytest.raises(VariableInvalid, match=reason) as refused:
        check_values(BLOCKS, {name: value})
    assert refused.value.data["problems"][0]["field"] == f"variables.{name}"


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Nobody corrects one value after the other; a name that there is none of is told with those that there are."""
    with pytest.raises(VariableInvalid) as refused:
        check_values(BLOCKS, {"motd": "\n", "max_players": 0, "online": True})
    assert {problem["field"] for problem in refused.value.data["problems"]} == {
        "variables.motd",
        "variables.max_players",
    }
    with pytest.raises(VariableUnknown, match="it has motd, world"):
        check_values(BLOCKS, {"mottd": "x"})


def test_a_name_that_there_is_none_of_hides_no_value_that_is_wrong() -> None:
    """Both are told in one answer, each at its own field."""
    with pytest.raises(VariableUnknown, match="from 1 to 500") as refused:
        check_values(BLOCKS, {"mottd": "x", "colour": 1, "max_players": 0, "motd": "right"})
    told = {problem["field"]: problem["message"] for problem in refused.value.data["problems"]}
    assert told.keys() == {"variables.mottd", "variables.colour", "variables.max_players"}
    assert "no variable mottd; it has motd" in told["variables.mottd"]
    assert told["variables.max_players"] == "max_players is a whole number from 1 to 500."


def test_a_dash_may_begin_what_is_no_word_of_a_command() -> None:
    """It is an option to programs alone."""
    check_values(BLOCKS, {"motd": "- hello -"})


def test_values_that_fit_no_more_are_left_behind() -> None:
    """A later version of the template may know less, or other bounds."""
    kept = keep_values(BLOCKS, {"motd": "hi", "gone": 1, "max_players": 501})
    assert kept == {"motd": "hi"}
    assert effective_values(BLOCKS, kept)["max_players"] == 20


@given(
    memory=st.builds(
        Memory,
        heap_share=st.floats(min_value=0.01, max_value=1),
        reserve_mb=st.integers(0, 65_536),
        minimum_mb=st.integers(16, 1_048_576),
    ),
    memory_mib=st.integers(1, 4_000_000),
)
def test_the_heap_leaves_what_all_else_needs(memory: Memory, memory_mib: int) -> None:
    """It is never more than its share or than what is left beside the reserve; too little is refused with the least."""
    if memory_mib < least_memory(memory):
        with pytest.raises(MemoryTooSmall) as refused:
            compute_heap(memory, memory_mib)
        assert str(least_memory(memory)) in refused.value.detail
        return
    heap = compute_heap(memory, memory_mib)
    assert 16 <= heap <= memory_mib - memory.reserve_mb
    assert heap <= max(16, memory_mib * memory.heap_share)


def test_a_command_that_nothing_can_be_started_with_is_refused() -> None:
    """A placeholder that nothing is behind, a secret where all could see it, a command without an end."""
    for argv in (("{var.none}",), ("x", "{secret.rcon}"), ("x", "{fact.none}"), ("x" * 9000,), ("",)):
        template = msgspec.structs.replace(BLOCKS, start=Start(argv=argv))
        with pytest.raises(GameUnusable):
            render(msgspec.structs.replace(WISH, definition=template))


@pytest.mark.parametrize(
    ("asked", "found"),
    [(None, "1.21.8"), ("1.21", "1.21.9"), ("1.21.8", "1.21.8"), ("1", "1.21.9"), ("1.20", "1.20.1"), ("2", None)],
)
def test_a_version_is_exact_or_its_leading_part(asked: str | None, found: str | None) -> None:
    """Candidates are not offered where only what is stable is."""
    catalog = Catalog(format=2, published_at="2026-01-01", game_templates=templates())  # type: ignore[arg-type]
    offer = find_template(catalog, "blocks", frozenset({"stable"}))
    assert offer is not None
    chosen = choose_version(offer, asked)
    assert getattr(chosen, "version", None) == found
    if found is None:
        assert getattr(chosen, "suggestion", None) == "1.21.8"
    assert suggest_template(catalog, "blcks") == "blocks"
    assert find_template(catalog, "none", frozenset({"stable"})) is None


def test_a_leading_part_means_no_candidate() -> None:
    """It is asked for by its whole name."""
    catalog = Catalog(format=2, published_at="2026-01-01", game_templates=templates())  # type: ignore[arg-type]
    offer = find_template(catalog, "blocks", frozenset({"stable", "candidate"}))
    assert offer is not None
    assert getattr(choose_version(offer, "26.1-rc1"), "version", None) == "26.1-rc1"
    assert getattr(choose_version(offer, "26"), "code", None) == "version_not_offered"


def test_ports_are_those_of_the_pool() -> None:
    """What is not public needs none, and neither does a protocol that the proxy has no ports for."""
    assert wanted_ports(BLOCKS, GamePool()) == ()
    only_tcp = wanted_ports(BLOCKS, GamePool(tcp=range(25500, 25510)))
    assert [port.name for port in only_tcp] == ["game"]
    held = (HeldPort("game", "tcp", 25565, 25501),)
    assert find_missing(only_tcp, held) == ()
    assert [port.name for port in find_missing(wanted_ports(BLOCKS, GamePool(range(9), range(9))), held)] == ["query"]
    shown = render_ports(BLOCKS, held, "game-101.example.org")
    assert [(port.name, port.public_port, port.address) for port in shown] == [
        ("game", 25501, "game-101.example.org:25501"),
        ("query", None, None),
        ("rcon", None, None),
    ]
    assert find_ping(BLOCKS, held) == held[0]
    assert find_services(BLOCKS, held) == ()
    moved = TemplatePort(name="game", protocol="tcp", port=25566)
    assert find_missing((moved,), held) == (moved,)
