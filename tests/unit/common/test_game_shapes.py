"""What is said of game servers and their mods keeps its own promises."""

from datetime import UTC, datetime

import msgspec
import pytest

from fakes.game_offers import make_game_offer
from zlh_common.errors import InvalidBody
from zlh_common.schema.catalog import CATALOG_FORMAT, Catalog, CatalogRuntime, CatalogVersion
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.mods import ModFile
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.structs import Report, convert, decode, encode
from zlh_common.schema.template import PinnedFile, ServerPath

SERVER_PROCESS = WantedProcess(name=SERVER, argv=("true",))


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", ".", "a/./b", "a\\b", "a\0b", "a\nb", "mods/x.zlh-part"],
)
def test_a_path_of_a_template_stays_in_the_servers_folder(path: str) -> None:
    """No part leads up or nowhere, and none has a name of ours."""
    with pytest.raises(InvalidBody):
        convert(path, ServerPath)


@pytest.mark.parametrize("name", ["../a.jar", "a/b.jar", ".hidden.jar", "a.zip", ".jar", "a\\b.jar", "a.zlh-part.jar"])
def test_a_mod_is_a_jar_in_its_folder(name: str) -> None:
    """A list of mods that lies about a name leads nowhere."""
    mod = {
        "projectId": "AABBCCDD", "slug": "a", "title": "A", "versionId": "v", "versionNumber": "1",
        "channel": "release", "fileName": name, "url": "https://mods.example/a.jar", "size": 1, "sha512": "0" * 128,
    }  # fmt: skip
    with pytest.raises(InvalidBody):
        convert(mod, ModFile)
    assert convert(mod | {"fileName": "a b (1).jar"}, ModFile).file_name == "a b (1).jar"


def test_a_catalog_with_game_servers_is_read_by_whoever_knows_none() -> None:
    """Agents of before read it as if nothing were there but what they know, and keep the format that they know."""

    class OldRuntime(Report):
        name: str
        title: str
        versions: tuple[CatalogVersion, ...]

    class OldCatalog(Report):
        format: int
        published_at: datetime
        runtimes: tuple[OldRuntime, ...] = ()
        addons: tuple[OldRuntime, ...] = ()
        templates: tuple[OldRuntime, ...] = ()

    runtime = CatalogRuntime(name="squid", title="Squid", versions=(), for_games=True)
    games = (make_game_offer("minecraft"),)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    raw = encode(Catalog(format=2, published_at=at, runtimes=(runtime,), game_templates=games))
    assert "gameTemplates" in msgspec.json.decode(raw)
    old = decode(raw, OldCatalog)
    assert (old.format, [entry.name for entry in old.runtimes], old.templates) == (CATALOG_FORMAT, ["squid"], ())
    assert decode(encode(old), Catalog).game_templates == ()


def test_an_agent_that_knows_no_games_is_told_of_none() -> None:
    """What has its default is left out, and what has not comes back as it was."""
    assert "game" not in msgspec.json.decode(encode(AgentSpec(generation=1)))
    file = PinnedFile(path="server.jar", urls=("https://games.example/s.jar",), size=3, hash="sha256:" + "0" * 64)
    game = WantedGame(template="minecraft", title="Minecraft", version="1.21.8", files=(file,), process=SERVER_PROCESS)
    spec = AgentSpec(generation=1, game=game)
    assert decode(encode(spec), AgentSpec) == spec


def test_the_games_process_has_its_name_for_itself() -> None:
    """A process of the customer's cannot stand in for it."""
    game = WantedGame(template="minecraft", title="Minecraft", version="1.21.8", process=SERVER_PROCESS)
    with pytest.raises(ValueError, match="the game's own"):
        AgentSpec(generation=1, game=game, processes=(SERVER_PROCESS,))
