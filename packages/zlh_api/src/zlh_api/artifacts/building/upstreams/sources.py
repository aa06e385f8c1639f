"""The sources of versions: each asks its upstream, and has what it says read by the parser of that upstream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from zlh_api.artifacts.building.upstreams import loader_wire, maven_wire, mojang_wire, paper_wire
from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable
from zlh_api.artifacts.building.upstreams.client import Asking, UpstreamClient
from zlh_api.artifacts.building.upstreams.keep_rules import Wanted, choose_kept
from zlh_api.artifacts.building.upstreams.port import VersionSource
from zlh_api.artifacts.errors import SourceUnsafe
from zlh_api.artifacts.template_model import (
    FabricSource,
    ForgeSource,
    Keep,
    MojangSource,
    NeoForgeSource,
    PaperSource,
    QuiltSource,
    UpstreamSource,
)
from zlh_common.schema.template import PinnedFile, Requirement, TemplateVersion

# Where the server itself lies in its folder, and what installs one.
SERVER_JAR, INSTALLER_JAR, LIBRARIES = "server.jar", "installer.jar", "libraries"
# Of PaperMC's versions without a build for everybody, so many are looked at.
MOST_LOOKS = 60


class FromMojang:
    """Minecraft itself."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def fetch(self, keep: Keep) -> list[TemplateVersion]:
        """Return releases as stable versions, and what comes before a release as candidates."""
        with _believing(self._asking, "mojang") as (mojang,):
            game = Minecraft(mojang)
            listed = [(entry, entry.id, entry.type == "release") for entry in game.manifest.versions]
            chosen = choose_kept(((entry, name, stable) for entry, name, stable in listed if _is_modern(entry)), keep)
            versions = [game.version_of(entry) for entry in chosen]
        return [version for version in versions if version is not None]


class FromPaper:
    """One project of PaperMC."""

    def __init__(self, asking: Asking, project: str) -> None:
        self._asking, self._project = asking, project

    def fetch(self, keep: Keep) -> list[TemplateVersion]:
        """Return the newest build of each version; one that is meant for everybody makes it stable."""
        base = f"v3/projects/{self._project}"
        with _believing(self._asking, "papermc") as (papermc,):
            wanted, kept = Wanted(keep), []
            for version in paper_wire.parse_project(papermc.read(base))[:MOST_LOOKS]:
                if not wanted.may_take(version):
                    continue
                build = paper_wire.choose_build(papermc.read(f"{base}/versions/{version}/builds"), version)
                if build is None or not wanted.takes(version, is_stable=build.is_finished):
                    continue
                java = paper_wire.parse_java(papermc.read(f"{base}/versions/{version}"), version)
                kept.append(self._pin(papermc, version, build, java))
        return kept

    def _pin(self, papermc: UpstreamClient, version: str, build: paper_wire.Build, java: int) -> TemplateVersion:
        file = paper_wire.pin_build(build, SERVER_JAR)
        papermc.address(file.urls[0])
        return TemplateVersion(
            version=f"{version}-{build.id}",
            channel="stable" if build.is_finished else "candidate",
            released_at=build.time,
            requires=(_java(java),),
            files=(file,),
            # A proxy is of no version of the game.
            game_version=version if self._project in {"paper", "folia"} else None,
        )


class FromLoader:
    """A loader that says which libraries a server is started with: no installer, and nothing fetched at the start."""

    def __init__(self, asking: Asking, name: str, api: str, known: HashedFiles) -> None:
        self._asking, self._name, self._api, self._known = asking, name, api, known

    def fetch(self, keep: Keep) -> list[TemplateVersion]:
        """Return the newest finished loader for each version of the game."""
        with _believing(self._asking, self._name, "mojang") as (meta, mojang):
            game = Minecraft(mojang)
            games = loader_wire.parse_games(meta.read(f"{self._api}/versions/game"))
            loader = loader_wire.choose_loader(meta.read(f"{self._api}/versions/loader"))
            chosen = choose_kept(((entry, entry.version, entry.stable) for entry in games), keep)
            versions = [self._pin(meta, game, entry, loader) for entry in chosen]
        return [version for version in versions if version is not None]

    def _pin(
        self, meta: UpstreamClient, game: Minecraft, entry: loader_wire.GameEntry, loader: str
    ) -> TemplateVersion | None:
        listed = game.manifest.find(entry.version)
        vanilla = game.version_of(listed) if listed is not None else None
        if vanilla is None:
            return None
        raw = meta.read(f"{self._api}/versions/loader/{entry.version}/{loader}/server/json")
        profile = loader_wire.parse_profile(raw)
        libraries = [self._known.pin(meta, f"{LIBRARIES}/{one.path}", one) for one in profile.libraries]
        return TemplateVersion(
            version=f"{entry.version}-{loader}",
            channel="stable" if entry.stable else "candidate",
            released_at=vanilla.released_at,
            requires=vanilla.requires,
            files=(*vanilla.files, *libraries),
            facts={"main_class": profile.main_class, "class_path": ":".join(file.path for file in libraries)},
            game_version=entry.version,
        )


Listing = Callable[[UpstreamClient, list[str]], list[maven_wire.Modded]]


class FromInstaller:
    """A loader with an installer, which is pinned and run in the container."""

    def __init__(self, asking: Asking, name: str, artifact: str, *, listing: Listing, known: HashedFiles) -> None:
        self._asking, self._name, self._artifact = asking, name, artifact
        self._listing, self._known = listing, known

    def fetch(self, keep: Keep) -> list[TemplateVersion]:
        """Return the best version of the loader for each version of the game."""
        with _believing(self._asking, self._name, "mojang") as (maven, mojang):
            game = Minecraft(mojang)
            games = [entry.id for entry in game.manifest.versions if _is_modern(entry)]
            offered = self._listing(maven, games)
            chosen = choose_kept(((one, one.game_version, one.is_finished) for one in offered), keep)
            versions = [self._pin(maven, game, one) for one in chosen]
        return [version for version in versions if version is not None]

    def _pin(self, maven: UpstreamClient, game: Minecraft, one: maven_wire.Modded) -> TemplateVersion | None:
        listed = game.manifest.find(one.game_version)
        vanilla = game.version_of(listed) if listed is not None else None
        if vanilla is None:
            return None
        folder = f"{self._artifact}/{one.version}"
        name = f"{self._artifact.rsplit('/', 1)[-1]}-{one.version}-installer.jar"
        file = self._known.pin_checked(maven, INSTALLER_JAR, f"{folder}/{name}")
        return TemplateVersion(
            version=one.version,
            channel="stable" if one.is_finished else "candidate",
            released_at=vanilla.released_at,
            requires=vanilla.requires,
            files=(file,),
            facts={"args_file": f"{LIBRARIES}/{folder}/unix_args.txt"},
            game_version=one.game_version,
        )


class Minecraft:
    """What Mojang says of its versions, asked once in a run."""

    def __init__(self, mojang: UpstreamClient) -> None:
        self._mojang = mojang
        self.manifest = mojang_wire.parse_manifest(mojang.read("mc/game/version_manifest_v2.json"))

    def version_of(self, entry: mojang_wire.ListedVersion) -> TemplateVersion | None:
        """Return one version with its server; None where there is no server of it."""
        described = mojang_wire.parse_description(self._mojang.read(entry.url), entry)
        server = described.downloads.server
        if server is None:
            return None
        file = PinnedFile(
            path=SERVER_JAR,
            urls=(self._mojang.address(server.url),),
            size=server.size,
            hash=f"sha1:{server.sha1}",
        )
        return TemplateVersion(
            version=entry.id,
            channel="stable" if entry.type == "release" else "candidate",
            default=entry.id == self.manifest.latest.release,
            released_at=entry.release_time,
            requires=(_java(described.java_version.major_version),),
            files=(file,),
            game_version=entry.id,
        )


class HashedFiles:
    """Files that had to be fetched to be hashed, by their addresses. Once is enough: none of them ever changes."""

    def __init__(self, former: Iterable[TemplateVersion]) -> None:
        files = [file for version in former for file in version.files if file.hash.startswith("sha256:")]
        self._known = {file.urls[0]: file for file in files}

    def pin(self, client: UpstreamClient, path: str, library: loader_wire.Library) -> PinnedFile:
        """Return a library with its hash: the one that is said, else that of the file as it is fetched."""
        url = client.address(library.url)
        if library.hash is not None and library.size is not None:
            return PinnedFile(path=path, urls=(url,), size=library.size, hash=library.hash)
        return self._fetched(client, path, url, None)

    def pin_checked(self, client: UpstreamClient, path: str, place: str) -> PinnedFile:
        """Return a file of a repository, which must be the one that the SHA-1 beside it speaks of."""
        return self._fetched(client, path, client.address(place), place)

    def _fetched(self, client: UpstreamClient, path: str, url: str, place: str | None) -> PinnedFile:
        if url not in self._known:
            digests, size = client.hash_file(url)
            if place is not None:
                said = maven_wire.parse_sha1(client.read(f"{place}.sha1"), place)
                if said != digests["sha1"]:
                    raise UpstreamUnusable(f"{place} has the SHA-1 {digests['sha1']}, and beside it stands {said}")
            self._known[url] = PinnedFile(path=path, urls=(url,), size=size, hash=f"sha256:{digests['sha256']}")
        known = self._known[url]
        return PinnedFile(path=path, urls=known.urls, size=known.size, hash=known.hash)


def source_of(source: UpstreamSource, asking: Asking, former: Iterable[TemplateVersion]) -> VersionSource:
    """Return where the versions of a template come from; files that `former` versions have are not hashed again."""
    known = HashedFiles(former)
    match source:
        case MojangSource():
            return FromMojang(asking)
        case PaperSource(project=project):
            return FromPaper(asking, project)
        case FabricSource():
            return FromLoader(asking, "fabric", "v2", known)
        case QuiltSource():
            return FromLoader(asking, "quilt", "v3", known)
        case ForgeSource():
            listing, artifact = _forge_listing(asking), "net/minecraftforge/forge"
            return FromInstaller(asking, "forge-maven", artifact, listing=listing, known=known)
        case NeoForgeSource():
            return FromInstaller(asking, "neoforge", "net/neoforged/neoforge", listing=_list_neoforge, known=known)


def _forge_listing(asking: Asking) -> Listing:
    def list_forge(_maven: UpstreamClient, games: list[str]) -> list[maven_wire.Modded]:
        with _believing(asking, "forge") as (forge,):
            return maven_wire.parse_promotions(forge.read("net/minecraftforge/forge/promotions_slim.json"), games)

    return list_forge


def _list_neoforge(maven: UpstreamClient, games: list[str]) -> list[maven_wire.Modded]:
    versions = maven_wire.parse_metadata(maven.read("net/neoforged/neoforge/maven-metadata.xml"))
    return maven_wire.choose_neoforge(versions, games)


@contextmanager
def _believing(asking: Asking, *names: str) -> Iterator[tuple[UpstreamClient, ...]]:
    """Ask upstreams; what one of them says and cannot be used is SourceUnsafe, in the name of the first."""
    with ExitStack() as stack:
        clients = tuple(stack.enter_context(UpstreamClient(asking, name)) for name in names)
        try:
            yield clients
        except UpstreamUnusable as exc:
            raise SourceUnsafe(source=names[0], reason=str(exc)[:500]) from exc


def _is_modern(entry: mojang_wire.ListedVersion) -> bool:
    return entry.type in {"release", "snapshot"}


def _java(major: int) -> Requirement:
    return Requirement(name="java", version=str(major))
