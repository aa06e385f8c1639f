"""Repositories of Maven, and what Forge and NeoForge say with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable, is_version_name, parse_answer
from zlh_common.version_order import version_order

_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_COORDINATES = re.compile(rf"({_PART}):({_PART}):({_PART})(?::({_PART}))?(?:@([a-z0-9]+))?")
# As much of a list of versions as is needed: their names, which hold nothing that XML would say in another way.
_VERSIONS = re.compile(rb"<versions>(.{0,4000000}?)</versions>", re.DOTALL)
_VERSION = re.compile(rb"<version>\s*([^<&]{1,100}?)\s*</version>")
_SHA1 = re.compile(rb"\s*([0-9a-fA-F]{40})\b[^\n]*\s*")
# Since then Minecraft's versions begin with the year, and NeoForge's with the whole of Minecraft's.
_FIRST_YEAR = 26


def path_of(coordinates: str) -> str:
    """Return where `group:artifact:version[:classifier][@extension]` lies in a repository."""
    found = _COORDINATES.fullmatch(coordinates)
    if found is None or len(coordinates) > 256 or ".." in coordinates:
        raise UpstreamUnusable(f"{coordinates[:128]!r} names no library")
    group, artifact, version, classifier, extension = found.groups()
    name = f"{artifact}-{version}" + (f"-{classifier}" if classifier else "")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.{extension or 'jar'}"


def parse_metadata(raw: bytes) -> list[str]:
    """Return the versions of `maven-metadata.xml`, as they stand there: oldest first."""
    held = _VERSIONS.search(raw)
    if held is None:
        raise UpstreamUnusable("it is no list of versions")
    texts = [text.decode("utf-8", "replace") for text in _VERSION.findall(held[1])]
    versions = [text for text in texts if is_version_name(text)]
    if not versions:
        raise UpstreamUnusable("its list of versions is empty")
    return versions


def parse_sha1(raw: bytes, what: str) -> str:
    """Return the SHA-1 that stands beside a file of a repository."""
    found = _SHA1.fullmatch(raw)
    if found is None:
        raise UpstreamUnusable(f"beside {what} stands no SHA-1")
    return found[1].decode().lower()


@dataclass(frozen=True, slots=True)
class Modded:
    """One version of a loader that comes with an installer, and the game's version that it is for."""

    version: str
    game_version: str
    is_finished: bool


class _Promotions(msgspec.Struct, frozen=True):
    promos: dict[str, str]


def parse_promotions(raw: bytes, games: Iterable[str]) -> list[Modded]:
    """Return Forge's version for each version of the game, in their order: the recommended one, else the latest."""
    promos = parse_answer(raw, _Promotions, "list of promotions").promos
    found = []
    for game in games:
        recommended, latest = promos.get(f"{game}-recommended"), promos.get(f"{game}-latest")
        version = f"{game}-{recommended or latest}"
        if (recommended or latest) and is_version_name(version):
            found.append(Modded(version, game, is_finished=recommended is not None))
    return found


def choose_neoforge(versions: Iterable[str], games: Iterable[str]) -> list[Modded]:
    """Return NeoForge's version for each of the game, in their order: the newest finished one, else the newest."""
    by_game: dict[str, list[str]] = {}
    for version in versions:
        if (game := game_of_neoforge(version)) is not None:
            by_game.setdefault(game, []).append(version)
    found = []
    for game in games:
        known = sorted(by_game.get(game, []), key=version_order, reverse=True)
        finished = [version for version in known if "-" not in version]
        if known:
            found.append(Modded((finished or known)[0], game, is_finished=bool(finished)))
    return found


def game_of_neoforge(version: str) -> str | None:
    """Return which Minecraft a version of NeoForge is for: 21.1.200 for 1.21.1, 21.0.5 for 1.21, 26.1.0.3 for 26.1."""
    numbers = version.split("-", 1)[0].split("+", 1)[0].split(".")
    if not all(number.isascii() and number.isdigit() for number in numbers) or len(numbers) not in {3, 4}:
        return None
    if int(numbers[0]) >= _FIRST_YEAR:
        parts = numbers[:-1] if len(numbers) == 4 else numbers[:2]
        return ".".join(parts[:-1] if len(parts) == 3 and parts[-1] == "0" else parts)
    return f"1.{numbers[0]}" if numbers[1] == "0" else f"1.{numbers[0]}.{numbers[1]}"
