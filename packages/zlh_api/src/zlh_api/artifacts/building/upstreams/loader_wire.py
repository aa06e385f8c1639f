"""What Fabric's and Quilt's services of versions say: games, loaders, and the profile of a server. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable, is_version_name, parse_answer
from zlh_api.artifacts.building.upstreams.maven_wire import path_of
from zlh_common.runtime_choice import is_pre_release

_CLASS = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(\.[A-Za-z_$][A-Za-z0-9_$]*)*")
_HASHES = {
    "sha512": re.compile(r"[0-9a-f]{128}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "sha1": re.compile(r"[0-9a-f]{40}"),
}
MAX_LIBRARIES = 200


class GameEntry(msgspec.Struct, frozen=True):
    """One version of the game that there is a loader for."""

    version: str
    stable: bool = False


class _Loader(msgspec.Struct, frozen=True):
    version: str
    # Quilt does not say it.
    stable: bool | None = None


class _Library(msgspec.Struct, frozen=True):
    name: str
    url: str
    sha1: str = ""
    sha256: str = ""
    sha512: str = ""
    size: Annotated[int, Meta(ge=0, le=2**31)] = 0


class _Profile(msgspec.Struct, frozen=True, rename="camel"):
    main_class: str
    libraries: Annotated[tuple[_Library, ...], Meta(max_length=MAX_LIBRARIES)]


@dataclass(frozen=True, slots=True)
class Library:
    """One file that a server needs; `hash` and `size` are None where nobody says them."""

    path: str
    url: str
    hash: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """How a server with a loader is started."""

    main_class: str
    libraries: tuple[Library, ...]


def parse_games(raw: bytes) -> list[GameEntry]:
    """Return the versions of the game, newest first."""
    games = parse_answer(raw, tuple[GameEntry, ...], "list of versions")
    return [game for game in games if is_version_name(game.version)]


def choose_loader(raw: bytes) -> str:
    """Return the newest finished loader, else the newest."""
    loaders = [
        loader
        for loader in parse_answer(raw, tuple[_Loader, ...], "list of loaders")
        if is_version_name(loader.version)
    ]
    if not loaders:
        raise UpstreamUnusable("its list of loaders is empty")
    finished = [
        loader for loader in loaders if (not is_pre_release(loader.version) if loader.stable is None else loader.stable)
    ]
    return (finished or loaders)[0].version


def parse_profile(raw: bytes) -> Profile:
    """Return what a server is started with."""
    profile = parse_answer(raw, _Profile, "profile of a server")
    if len(profile.main_class) > 256 or _CLASS.fullmatch(profile.main_class) is None:
        raise UpstreamUnusable(f"{profile.main_class[:64]!r} is no class")
    if not profile.libraries:
        raise UpstreamUnusable("the profile has no libraries")
    libraries = {library.path: library for library in map(_read_library, profile.libraries)}
    return Profile(profile.main_class, tuple(libraries.values()))


def _read_library(library: _Library) -> Library:
    path = path_of(library.name)
    base = urlsplit(library.url)
    if base.scheme not in {"http", "https"} or base.query or base.fragment:
        raise UpstreamUnusable(f"{library.name} comes from {library.url[:128]!r}")
    url = f"{library.url.rstrip('/')}/{path}"
    said = {kind: getattr(library, kind).lower() for kind in _HASHES}
    known = next((f"{kind}:{text}" for kind, text in said.items() if _HASHES[kind].fullmatch(text)), None)
    if known is None or not library.size:
        return Library(path, url, None, None)
    return Library(path, url, known, library.size)
