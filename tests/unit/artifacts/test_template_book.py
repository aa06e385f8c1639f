"""Files of templates: the shipped ones are sound, parts are laid under them, and a wrong one is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.resolve import _asking
from zlh_api.artifacts.building.sources.workbench import PLAIN
from zlh_api.artifacts.building.template_book import SHIPPED, TemplateBook, merge
from zlh_api.artifacts.building.upstreams.sources import source_of
from zlh_api.artifacts.errors import TemplateInvalid
from zlh_api.artifacts.template_model import ArchiveSource
from zlh_common.line_patterns import match_line
from zlh_common.schema.process import LineProbe
from zlh_common.schema.template import GameTemplate, TextVariable

BOOK = TemplateBook()
MINECRAFT = [name for name in BOOK.names if name.startswith("minecraft-")]
FILE = """
name = "tiny"
title = "Tiny"
game = "tiny"
[source]
kind = "archive"
runtime = "tiny"
[[ports]]
name = "game"
protocol = "tcp"
port = 7777
[start]
argv = ["tiny", "--port", "{port.game}"]
"""


def template_of(name: str) -> GameTemplate:
    """Return one of the shipped templates."""
    return next(file.template for file in BOOK.templates if file.name == name)


@pytest.mark.parametrize("value", ['"""', ' """ ', "{", " { "])
def test_no_text_of_minetest_begins_a_value_of_several_lines(value: str) -> None:
    """It would swallow the keys behind it, such as the port; as part of a text it is one."""
    texts = [each for each in template_of("minetest").variables if isinstance(each, TextVariable)]
    assert len(texts) == 4
    for variable in texts:
        assert variable.pattern is not None
        assert re.fullmatch(variable.pattern, value) is None
        if variable.name != "admin":
            assert re.fullmatch(variable.pattern, f'come {value} in "you" all') is not None


def test_shipped_templates_have_what_people_need() -> None:
    """A sentence, an order of stopping, a line that says it is ready, and a source that there is."""
    assert {"minecraft-vanilla", "minecraft-paper", "flying-squid", "minetest", "velocity"} <= set(BOOK.names)
    recipes = {recipe.name for recipe in RecipeBook().recipes if recipe.for_games}
    for file in BOOK.templates:
        assert file.template.summary
        assert isinstance(file.template.policy.ready.probe, LineProbe)
        assert file.template.policy.ready.grace_s >= 120
        if isinstance(file.source, ArchiveSource):
            assert file.source.runtime in recipes
        else:
            assert source_of(file.source, _asking(PLAIN), ()) is not None


@pytest.mark.parametrize("name", MINECRAFT)
def test_minecraft_asks_for_its_terms_and_saves_before_it_ends(name: str) -> None:
    """Terms, the address and the port are set before each start, and no kill comes within two minutes of `stop`."""
    template = template_of(name)
    assert template.eula is not None
    sets = {(edit.path, key): value for edit in template.edits for key, value in edit.set.items()}
    assert sets["eula.txt", "eula"] is True
    assert sets["server.properties", "server-ip"] == "{address}"
    assert sets["server.properties", "server-port"] == "{port.game}"
    stop = template.policy.stop
    assert (stop.command, stop.command_grace_s, stop.signal, stop.grace_s) == ("stop", 120, "SIGTERM", 30)
    assert [port.name for port in template.ports if port.is_public] == ["game"]


PLAIN_LOG, FORGE_LOG = (
    "[12:34:56] [Server thread/INFO]: ",
    "[12:34:56] [Server thread/INFO] [minecraft/MinecraftServer]: ",
)
SQUID = "November 27th 2026, 01:17:40 [INFO]: "
MINETEST = "2026-11-27 01:22:03: ACTION[Server]: "


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("minecraft-vanilla", PLAIN_LOG),
        ("minecraft-fabric", PLAIN_LOG),
        ("minecraft-quilt", PLAIN_LOG),
        ("minecraft-paper", "[12:34:56 INFO]: "),
        ("minecraft-forge", FORGE_LOG),
        (
            "minecraft-neoforge",
            "[15Aug2026 12:34:56.789] [Server thread/INFO] [net.minecraft.server.MinecraftServer/]: ",
        ),
    ],
)
def test_lines_of_minecraft_are_known_and_what_players_write_is_not(name: str, prefix: str) -> None:
    """Ready, join and leave by the server's own word; the same words said by somebody are nobody's."""
    template = template_of(name)
    assert template.presence is not None
    probe = template.policy.ready.probe
    assert isinstance(probe, LineProbe)
    done = 'Done (1.542s)! For help, type "help"'
    assert match_line(probe.pattern, prefix + done) is not None
    assert match_line(probe.pattern, prefix + f'{done} or "?"') is not None
    assert _names(template.presence.joined, f"{prefix}Steve_1 joined the game") == ["Steve_1"]
    assert _names(template.presence.joined, f"{prefix}Alex (formerly known as Steve) joined the game") == ["Alex"]
    assert _names(template.presence.left, f"{prefix}Steve_1 left the game") == ["Steve_1"]
    for said in ("<Steve> ", "[Not Secure] <Steve> ", "[Server] ", "* Steve ", "[Steve: ", "<Steve> " + prefix):
        assert match_line(probe.pattern, prefix + said + done) is None
        for patterns in (template.presence.joined, template.presence.left):
            for line in ("X joined the game", "X left the game"):
                assert _names(patterns, prefix + said + line) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("minecraft-vanilla", "[12:34:56] [User Authenticator #1/INFO]: UUID of player Steve is "),
        ("minecraft-paper", "[12:34:56 INFO]: UUID of player Steve is "),
        ("minecraft-forge", "[12:34:56] [User Authenticator #2/INFO] [minecraft/Login]: UUID of player Steve is "),
    ],
)  # fmt: skip
def test_who_is_who_is_known_from_the_server(name: str, line: str) -> None:
    """The id comes before the join."""
    uuid = "bb19ef2f-2f95-39a8-8bad-bda3ed373847"
    presence = template_of(name).presence
    assert presence is not None
    found = [match_line(pattern, line + uuid) for pattern in presence.identified]
    assert [(one["name"], one["uuid"]) for one in found if one is not None] == [("Steve", uuid)]


@pytest.mark.parametrize(
    ("name", "kind", "line", "who"),
    [
        ("flying-squid", "joined", SQUID + "Bot (127.0.0.1) connected", ["Bot"]),
        ("flying-squid", "joined", SQUID + "Bot (::ffff:127.0.0.1) connected", ["Bot"]),
        ("flying-squid", "left", SQUID + "Bot disconnected", ["Bot"]),
        ("flying-squid", "left", SQUID + "<Bot> November 27th 2026, 01:12:52 [INFO]: Bob disconnected", []),
        ("flying-squid", "joined", SQUID + "<Bot> Bob (1.2.3.4) connected", []),
        ("minetest", "joined", MINETEST + "singer [127.0.0.1] joins game. List of players: singer", ["singer"]),
        ("minetest", "left", MINETEST + "singer leaves game. List of players: ", ["singer"]),
        ("minetest", "left", MINETEST + "singer times out. List of players: other", ["singer"]),
        ("minetest", "joined", MINETEST + "CHAT: <a> b [1] joins game. List of players: b", []),
        ("velocity", "joined", "[12:34:56 INFO]: [connected player] Steve (/[::1]:5678) has connected", ["Steve"]),
        ("velocity", "left", "[12:34:56 INFO]: [connected player] Steve (/1.2.3.4:5) has disconnected: bye", ["Steve"]),
    ],
)
def test_lines_of_other_servers_say_who_plays(name: str, kind: str, line: str, who: list[str]) -> None:
    """Those that were seen, and what players wrote in the same words."""
    presence = template_of(name).presence
    assert presence is not None
    assert _names(getattr(presence, kind), line) == who


def _names(patterns: tuple[str, ...], line: str) -> list[str]:
    found = [match_line(pattern, line) for pattern in patterns]
    return [one["name"] for one in found if one is not None]


def test_parts_are_laid_under_a_file(tmp_path: Path) -> None:
    """Tables are joined, lists come one after the other, and of the rest the file's own holds."""
    (tmp_path / "parts").mkdir()
    part = (
        'game = "other"\nsummary = "Small."\n[[commands]]\nname = "stop"\n[memory]\nheapShare = 0.5\nreserveMb = 64\n'
    )
    (tmp_path / "parts" / "common.toml").write_text(part)
    own = 'uses = ["common"]\n' + FILE + '[[commands]]\nname = "say"\n[memory]\nreserveMb = 32\n'
    (tmp_path / "tiny.toml").write_text(own)
    (file,) = TemplateBook(tmp_path).templates
    template = file.template
    assert (template.game, template.summary) == ("tiny", "Small.")
    assert [command.name for command in template.commands] == ["stop", "say"]
    assert (template.memory.heap_share, template.memory.reserve_mb) == (0.5, 32)
    (tmp_path / "parts" / "common.toml").write_text(part + "\n")
    assert TemplateBook(tmp_path).templates[0].digest != file.digest


def test_the_documented_template_is_one(tmp_path: Path) -> None:
    """The page shows every part of a file; what it shows is read, and nothing is wrong with it."""
    page = (Path(__file__).parents[3] / "docs" / "templates.md").read_text()
    example = page.split("```text\n")[1].split("```")[0]
    shutil.copytree(SHIPPED / "parts", tmp_path / "parts")
    (tmp_path / "minecraft-vanilla.toml").write_text(example)
    (file,) = TemplateBook(tmp_path).templates
    said = msgspec.to_builtins(file.template)
    assert [name for name in said if f"\n{name} = " not in example and f"{name}]" not in example] == []


documents = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
tables = st.dictionaries(st.sampled_from("abc"), documents, max_size=3)


@given(under=tables, over=tables)
def test_merging_loses_nothing_of_what_is_above(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Every key is there, what only one has is as it was, and nothing under it is changed."""
    before = repr(under)
    merged = merge(under, over)
    assert merged.keys() == under.keys() | over.keys()
    assert all(
        merged[key] == value for key, value in over.items() if key not in under or not isinstance(value, dict | list)
    )
    assert all(merged[key] == value for key, value in under.items() if key not in over)
    assert merge({}, over) == over
    assert repr(under) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "archive"', 'kind = "shell"', "shell"),
        ('runtime = "tiny"', 'runtime = "../tiny"', "runtime"),
        ("{port.game}", "{port.other}", "placeholder_unknown"),
        ('protocol = "tcp"', 'protocol = "icmp"', "icmp"),
        ("port = 7777", "port = 7777\npublic = true", "public"),
        ("port = 7777", "port = 70000", "port"),
        ('name = "tiny"', 'name = "other"', "that of its file"),
        ('game = "tiny"', 'game = "tiny"\nuses = ["../x"]', "no name of a part"),
        ('game = "tiny"', 'game = "tiny"\nuses = ["gone"]', "gone"),
        ('game = "tiny"', "game = ", "nvalid"),
        ('title = "Tiny"', "", "title"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The file and what is wrong stand in the message; a field that there is not is no comment."""
    assert old in FILE
    (tmp_path / "tiny.toml").write_text(FILE.replace(old, new))
    with pytest.raises(TemplateInvalid, match=r"tiny\.toml") as caught:
        TemplateBook(tmp_path)
    assert said in caught.value.detail


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Numbered, since a sentence may have commas."""
    text = FILE.replace("{port.game}", "{secret.x}").replace('"--port"', '""')
    (tmp_path / "tiny.toml").write_text(text)
    with pytest.raises(TemplateInvalid) as caught:
        TemplateBook(tmp_path)
    assert "(1)" in caught.value.detail
    assert "(2)" in caught.value.detail


def test_names_that_are_no_templates_choose_none() -> None:
    """A recipe and a template may have one name; without names, all are meant."""
    assert [file.name for file in BOOK.choose(["node", "flying-squid"])] == ["flying-squid"]
    assert BOOK.choose(["node"]) == []
    assert len(BOOK.choose([])) == len(BOOK.templates)
    assert TemplateBook(None).names == []
