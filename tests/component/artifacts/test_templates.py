"""Templates on their upstreams: resolved, signed, refused, and kept where an upstream is away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from component.artifacts.conftest import Workshop
from fakes.game_upstreams import MANIFEST, NEOFORGE, PROMOTIONS, GameUpstreams, running_upstreams
from fakes.runtime_shop import RuntimeShop
from zlh_api.artifacts.building import resolve
from zlh_api.artifacts.building.resolve import resolve_templates
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.building.template_book import TemplateBook
from zlh_api.artifacts.building.upstreams import client
from zlh_api.artifacts.commands import add_parser, run
from zlh_api.artifacts.errors import ArtifactDamaged, CatalogTooLarge, TemplateInvalid
from zlh_api.artifacts.signing import publish
from zlh_api.artifacts.signing.publish import publish_catalog, read_catalog
from zlh_api.artifacts.template_model import TemplateRecord, Unresolved
from zlh_api.artifacts.tree import Tree
from zlh_common.schema.catalog import Catalog
from zlh_common.schema.template import CatalogTemplate, TemplateVersion
from zlh_common.template_rules import find_template_problems

NOW = datetime(2026, 9, 1, tzinfo=UTC)
BOOK = TemplateBook()


@pytest.fixture
def upstreams() -> Iterator[GameUpstreams]:
    """Give all upstreams, with something to offer."""
    with running_upstreams() as made:
        yield made


class Resolver:
    """Resolves shipped templates into a tree, and remembers what went wrong and how long it was told to wait."""

    def __init__(self, folder: Path, upstreams: GameUpstreams) -> None:
        self.folder, self.upstreams = folder, upstreams
        self.unresolved: list[Unresolved] = []
        self.pauses: list[float] = []

    def resolve(self, *names: str, refresh: bool = False, contact: str | None = "ops@example.org") -> None:
        means = Means(mirrors=self.upstreams.mirrors, contact=contact, pause=self.pauses.append)
        resolve_templates(
            self.folder,
            BOOK.choose(names),
            now=NOW,
            on_unresolved=self.unresolved.append,
            means=means,
            refresh=refresh,
        )

    def record(self, name: str) -> TemplateRecord:
        found = Tree(self.folder).find_template(name)
        assert found is not None, self.unresolved
        return found

    def versions(self, name: str) -> list[TemplateVersion]:
        return list(self.record(name).versions)

    def codes(self) -> list[tuple[str, str, bool]]:
        return [(one.name, one.error.code, one.is_kept) for one in self.unresolved]


@pytest.fixture
def resolver(tmp_path: Path, upstreams: GameUpstreams) -> Resolver:
    """Give a resolver with an empty tree."""
    return Resolver(tmp_path / "tree", upstreams)


def named(versions: list[TemplateVersion]) -> list[tuple[str, str, str]]:
    """Return name, channel and Java of each version."""
    return [(version.version, version.channel, version.requires[0].version) for version in versions]


def test_minecraft_is_resolved_as_mojang_lists_it(resolver: Resolver) -> None:
    """Newest first, held to Mojang's SHA-1, with the Java that each needs; versions without a server are left out."""
    resolver.resolve("minecraft-vanilla")
    versions = resolver.versions("minecraft-vanilla")
    assert named(versions) == [
        ("26.3-snapshot-3", "candidate", "25"),
        ("26.2", "stable", "25"),
        ("1.21.8", "stable", "21"),
        ("1.21.1", "stable", "21"),
        ("1.20.1", "stable", "17"),
    ]
    assert [version.version for version in versions if version.default] == ["26.2"]
    (file,) = versions[1].files
    assert (file.path, file.hash) == ("server.jar", "sha1:" + hashlib.sha1(b"server of 26.2").hexdigest())
    assert resolver.unresolved == []


def test_paper_is_resolved_to_its_newest_build_for_everybody(resolver: Resolver) -> None:
    """A build that is none for everybody is a candidate; SHA-256, size and Java are what the service says."""
    resolver.resolve("minecraft-paper", "velocity")
    versions = resolver.versions("minecraft-paper")
    assert named(versions) == [
        ("26.2-60", "candidate", "25"),
        ("1.21.8-59", "stable", "21"),
        ("1.21.1-60", "stable", "21"),
        ("1.20.1-60", "stable", "17"),
    ]
    content = b"paper 1.21.8 build 59"
    (file,) = versions[1].files
    assert (file.hash, file.size) == ("sha256:" + hashlib.sha256(content).hexdigest(), len(content))
    assert [version.game_version for version in versions] == ["26.2", "1.21.8", "1.21.1", "1.20.1"]
    assert [version.version for version in versions if version.default] == ["1.21.8-59"]
    assert {version.game_version for version in resolver.versions("velocity")} == {None}
    assert all("ops@example.org" in agent for agent in resolver.upstreams.agents)


@pytest.mark.parametrize("name", ["minecraft-fabric", "minecraft-quilt"])
def test_a_loader_is_pinned_file_by_file(resolver: Resolver, name: str) -> None:
    """The game's server and every library; what has no hash is fetched, once, and signed as it was seen."""
    resolver.resolve(name)
    versions = resolver.versions(name)
    stable = [version for version in versions if version.channel == "stable"]
    assert [version.version for version in stable] == [
        f"{game}-0.17.2" for game in ("26.2", "1.21.8", "1.21.1", "1.20.1")
    ]
    version = stable[1]
    hashes = {file.path: file.hash.split(":")[0] for file in version.files}
    assert hashes == {
        "server.jar": "sha1",
        "libraries/org/ow2/asm/asm/9.8/asm-9.8.jar": "sha512",
        "libraries/net/loader/mappings/1.21.8/mappings-1.21.8.jar": "sha256",
        "libraries/net/loader/loader/0.17.2/loader-0.17.2.jar": "sha256",
    }
    assert version.facts["main_class"] == "net.loader.impl.launch.knot.KnotServer"
    assert version.facts["class_path"].split(":") == [path for path in hashes if path != "server.jar"]
    fetched = [path for path in resolver.upstreams.asked if path.endswith(".jar")]
    assert len(fetched) == len(set(fetched))
    resolver.upstreams.asked.clear()
    resolver.resolve(name, refresh=True)
    assert resolver.versions(name) == versions
    assert not [path for path in resolver.upstreams.asked if path.endswith(".jar")]


def test_installers_are_held_to_what_stands_beside_them(resolver: Resolver) -> None:
    """Forge by its promotions, NeoForge by the list of its repository; each for the game that it is for."""
    resolver.resolve("minecraft-forge", "minecraft-neoforge")
    assert named(resolver.versions("minecraft-forge")) == [
        ("1.21.8-58.1.0", "candidate", "21"),
        ("1.20.1-47.4.0", "stable", "17"),
    ]
    neoforge = resolver.versions("minecraft-neoforge")
    assert [(version.version, version.channel, version.game_version) for version in neoforge] == [
        ("26.2.0.4", "stable", "26.2"),
        ("21.8.3-beta", "candidate", "1.21.8"),
        ("21.1.200", "stable", "1.21.1"),
    ]
    assert neoforge[2].facts == {"args_file": "libraries/net/neoforged/neoforge/21.1.200/unix_args.txt"}
    (file,) = neoforge[2].files
    assert (file.path, file.hash) == (
        "installer.jar",
        "sha256:" + hashlib.sha256(b"installer of 21.1.200").hexdigest(),
    )


def test_every_shipped_template_is_sound_with_what_its_upstream_says(resolver: Resolver) -> None:
    """No placeholder without a value, no port that is not there, in any version."""
    resolver.resolve()
    assert resolver.unresolved == []
    for template in BOOK.templates:
        record = resolver.record(template.name)
        assert find_template_problems(record.template, record.versions) == ()


@pytest.mark.parametrize(
    ("name", "path", "fault", "code"),
    [
        ("minecraft-vanilla", MANIFEST, "cut", "artifact_fetch_failed"),
        ("minecraft-vanilla", MANIFEST, "503", "artifact_fetch_failed"),
        ("minecraft-vanilla", MANIFEST, "429", "artifact_fetch_failed"),
        ("minecraft-vanilla", MANIFEST, "redirect", "artifact_fetch_failed"),
        ("minecraft-vanilla", MANIFEST, "huge", "artifact_source_unsafe"),
        ("minecraft-paper", "/v3/projects/paper", "cut", "artifact_fetch_failed"),
        ("minecraft-paper", "/v3/projects/paper/versions/1.21.8/builds", "503", "artifact_fetch_failed"),
        ("minecraft-fabric", "/v2/versions/loader", "redirect", "artifact_fetch_failed"),
        ("minecraft-fabric", "/maven/net/loader/loader/0.17.2/loader-0.17.2.jar", "cut", "artifact_fetch_failed"),
        ("minecraft-quilt", "/v3/versions/game", "huge", "artifact_source_unsafe"),
        ("minecraft-forge", PROMOTIONS, "cut", "artifact_fetch_failed"),
        ("minecraft-neoforge", NEOFORGE, "503", "artifact_fetch_failed"),
        (
            "minecraft-neoforge",
            "/net/neoforged/neoforge/21.1.200/neoforge-21.1.200-installer.jar",
            "flip",
            "artifact_source_unsafe",
        ),
    ],
)
def test_an_upstream_that_misbehaves_costs_nothing_that_was_resolved(
    resolver: Resolver, name: str, path: str, fault: str, code: str
) -> None:
    """First it leaves nothing; later, what was resolved before stays, and is told as kept."""
    resolver.upstreams.faults[path] = fault
    resolver.resolve(name)
    assert resolver.codes() == [(name, code, False)]
    assert Tree(resolver.folder).find_template(name) is None
    resolver.upstreams.faults.clear()
    resolver.resolve(name)
    before = resolver.record(name)
    resolver.unresolved.clear()
    if "loader-0.17.2" in path or "installer" in path:
        return
    resolver.upstreams.faults[path] = fault
    resolver.resolve(name, refresh=True)
    assert resolver.codes() == [(name, code, True)]
    assert resolver.record(name) == before


def test_patience_is_had_where_it_is_asked_for(resolver: Resolver) -> None:
    """Two refusals with a time to wait, then the answer; the time is the upstream's, and the tries are few."""
    resolver.upstreams.faults[MANIFEST] = "429:2"
    resolver.resolve("minecraft-vanilla")
    assert resolver.pauses == [7.0, 7.0]
    assert resolver.unresolved == []
    resolver.upstreams.faults[MANIFEST] = "503"
    resolver.resolve("minecraft-vanilla", refresh=True)
    assert resolver.codes() == [("minecraft-vanilla", "artifact_fetch_failed", True)]
    assert len(resolver.pauses) == 2 + client.TRIES - 1


def lie(upstreams: GameUpstreams, path: str, **fields: object) -> None:
    """Have a document say something else."""
    upstreams.publish(path, msgspec.json.decode(upstreams.files[path]) | fields)


def test_a_description_that_is_not_the_listed_one_is_not_believed(resolver: Resolver) -> None:
    """Mojang's list holds each description to its SHA-1."""
    path = next(path for path in resolver.upstreams.files if path.endswith("/1.21.8.json"))
    lie(resolver.upstreams, path, id="1.21.8", downloads={})
    resolver.resolve("minecraft-vanilla")
    assert resolver.codes() == [("minecraft-vanilla", "artifact_source_unsafe", False)]
    assert "SHA-1" in resolver.unresolved[0].error.detail


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/server.jar",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://evil.example/server.jar",
        "//evil.example/x://y",
        "http://[::1/",
    ],
)
def test_an_address_that_leads_elsewhere_is_not_signed(resolver: Resolver, address: str) -> None:
    """Containers would fetch from there: only hosts that are known to be an upstream's own are believed."""
    path = "/v3/projects/paper/versions/1.21.8/builds"
    builds = msgspec.json.decode(resolver.upstreams.files[path])
    for build in builds:
        build["downloads"]["server:default"]["url"] = address
    resolver.upstreams.publish(path, builds)
    resolver.resolve("minecraft-paper")
    assert resolver.codes() == [("minecraft-paper", "artifact_source_unsafe", False)]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (MANIFEST, {"latest": {"release": "x"}, "versions": []}),
        (MANIFEST, b"<html>"),
        (MANIFEST, b"[" * 100_000),
        ("/v3/projects/paper", {"versions": {}}),
        ("/v3/projects/paper", {"versions": {"1.21": ["../../x"]}}),
        ("/v3/projects/paper/versions/1.21.8", {"version": {"id": "1.20", "java": {"version": {"minimum": 17}}}}),
        ("/v3/projects/paper/versions/1.21.8/builds", {"ok": False, "error": "no"}),
        ("/v2/versions/loader", []),
        ("/v2/versions/loader/1.21.8/0.17.2/server/json", {"mainClass": "-jar x", "libraries": []}),
        (
            "/v2/versions/loader/1.21.8/0.17.2/server/json",
            {"mainClass": "a.B", "libraries": [{"name": "a:../../b:1", "url": "http://x/"}]},
        ),
        (NEOFORGE, b"<!DOCTYPE x [<!ENTITY a 'b'>]><metadata>&a;</metadata>"),
        (PROMOTIONS, {"promos": []}),
    ],
)
def test_what_no_answer_should_be_is_refused_by_name(resolver: Resolver, path: str, document: object) -> None:
    """One error with a code for each, and nothing that is half there."""
    resolver.upstreams.publish(path, document)
    resolver.resolve(
        "minecraft-vanilla", "minecraft-paper", "minecraft-fabric", "minecraft-forge", "minecraft-neoforge"
    )
    assert resolver.unresolved
    assert {one.error.code for one in resolver.unresolved} == {"artifact_source_unsafe"}


def test_who_asks_papermc_says_who_he_is(resolver: Resolver) -> None:
    """Without an address to write to it is not asked at all, and the sentence says what to do."""
    resolver.resolve("minecraft-paper", contact=None)
    assert resolver.codes() == [("minecraft-paper", "artifact_parts_missing", False)]
    assert "--contact" in resolver.unresolved[0].error.detail
    assert resolver.upstreams.asked == []


def test_a_slow_upstream_is_left_within_its_time(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever it drips, all that is asked of it has one end."""
    asking = resolve._asking(Means(mirrors=resolver.upstreams.mirrors))
    short = client.Asking(asking.upstreams, asking.mirrors, limit_s=0.0)
    monkeypatch.setattr(resolve, "_asking", lambda _means: short)
    resolver.resolve("minecraft-vanilla")
    assert resolver.codes() == [("minecraft-vanilla", "artifact_fetch_failed", False)]


def shop_with_java(folder: Path, *versions: str) -> RuntimeShop:
    """Return a tree with these versions of Java."""
    shop = RuntimeShop(folder)
    for version in versions:
        shop.add(version, name="java")
    return shop


def offer_of(catalog: Catalog, name: str) -> CatalogTemplate:
    """Return one game server of a catalog."""
    return next(offer for offer in catalog.game_templates if offer.name == name)


def test_a_game_server_is_signed_in_the_versions_whose_java_is_there(tmp_path: Path, upstreams: GameUpstreams) -> None:
    """Without Java 25 the newest is not offered, and the default is the newest that is; with it, everything is."""
    shop = shop_with_java(tmp_path, "21.0.8")
    resolver = Resolver(shop.tree, upstreams)
    resolver.resolve("minecraft-vanilla", "minecraft-forge")
    shop.publish()
    catalog = read_catalog(shop.tree, shop.keys, now=datetime.now(UTC))
    vanilla = offer_of(catalog, "minecraft-vanilla")
    assert [(entry.version, entry.default) for entry in vanilla.versions] == [("1.21.8", True), ("1.21.1", False)]
    shop.add("25.0.2", name="java")
    shop.publish()
    vanilla = offer_of(read_catalog(shop.tree, shop.keys, now=datetime.now(UTC)), "minecraft-vanilla")
    assert [entry.version for entry in vanilla.versions if entry.default] == ["26.2"]


def test_a_server_of_our_own_is_offered_as_its_archive_is(tmp_path: Path, upstreams: GameUpstreams) -> None:
    """Channel and default are those of the runtime, which nobody is offered by itself."""
    shop = RuntimeShop(tmp_path)
    shop.add("1.12.0", name="flying-squid", for_games=True)
    shop.add("1.13.0", name="flying-squid", for_games=True, channel="candidate")
    Resolver(shop.tree, upstreams).resolve("flying-squid", "minetest")
    shop.publish()
    catalog = read_catalog(shop.tree, shop.keys, now=datetime.now(UTC))
    assert [offer.name for offer in catalog.game_templates] == ["flying-squid"]
    squid = offer_of(catalog, "flying-squid")
    assert [(entry.version, entry.channel, entry.default) for entry in squid.versions] == [
        ("1.13.0", "candidate", False),
        ("1.12.0", "stable", True),
    ]
    assert [(need.name, need.version) for need in squid.versions[1].requires] == [("flying-squid", "1.12.0")]
    assert catalog.runtimes[0].for_games
    assert upstreams.asked == []


def test_a_bad_template_is_never_signed(published: Workshop) -> None:
    """Whatever stands in the tree: the catalog that clients have stays."""
    before = read_catalog(published.tree, published.keys, now=published.now)
    squid = next(template for template in BOOK.templates if template.name == "flying-squid")
    broken = msgspec.structs.replace(
        squid.template, start=msgspec.structs.replace(squid.template.start, argv=("server", "{secret.rcon}"))
    )
    record = TemplateRecord(
        name="broken", title="Broken", source=BOOK.choose(["minecraft-vanilla"])[0].source, template=broken,
        versions=(TemplateVersion(version="1.0"),), digest="0" * 64, resolved_at=NOW,
    )  # fmt: skip
    Tree(published.tree).write_template(record)
    with pytest.raises(TemplateInvalid, match="secret_exposed"):
        publish_catalog(published.tree, published.keys, now=published.now)
    assert read_catalog(published.tree, published.keys, now=published.now) == before
    (published.tree / ".templates" / "broken.json").write_bytes(b"{}")
    with pytest.raises(ArtifactDamaged, match="broken"):
        publish_catalog(published.tree, published.keys, now=published.now)


def test_a_catalog_that_nobody_would_read_is_not_signed(published: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers have a limit; the sentence says how to come below it."""
    monkeypatch.setattr(publish, "MAX_CATALOG_BYTES", 100)
    published.add_recipe("2.0")
    published.build()
    with pytest.raises(CatalogTooLarge, match="fewer versions"):
        publish_catalog(published.tree, published.keys, now=published.now)


def test_build_resolves_templates_by_their_names(
    workshop: Workshop, upstreams: GameUpstreams, capsys: pytest.CaptureFixture[str]
) -> None:
    """`build minecraft-vanilla --mirror mojang=…` needs no recipe of that name; twice is once; `publish` offers it."""
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(), folder=workshop.tree, keys=workshop.keys)
    shop = RuntimeShop(workshop.home)
    shop.add("21.0.8", name="java")
    asked = ["artifacts", "build", "minecraft-vanilla", "--mirror", f"mojang={upstreams.url}"]
    assert run(parser.parse_args(asked)) == 0
    assert "template minecraft-vanilla  5 versions  resolved" in capsys.readouterr().out
    upstreams.asked.clear()
    assert run(parser.parse_args(asked)) == 0
    assert "kept" in capsys.readouterr().out
    assert upstreams.asked == []
    upstreams.faults["*"] = "cut"
    assert run(parser.parse_args([*asked, "--refresh"])) == 3
    assert "kept as it was: template minecraft-vanilla" in capsys.readouterr().out
    workshop.publish()
    assert offer_of(read_catalog(workshop.tree, workshop.keys, now=workshop.now), "minecraft-vanilla").versions
