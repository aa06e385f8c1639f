"""Which source a recipe's files come from, and what its layout says on a platform."""

from __future__ import annotations

from typing import Any

import msgspec

from zlh_api.artifacts.building.sources.apt import Apt
from zlh_api.artifacts.building.sources.debian import ARCHITECTURES, FromDebian
from zlh_api.artifacts.building.sources.npm import FromNpm
from zlh_api.artifacts.building.sources.port import Source
from zlh_api.artifacts.building.sources.vendor import FromVendor
from zlh_api.artifacts.building.sources.wheel import FromWheel
from zlh_api.artifacts.building.sources.workbench import Workbench
from zlh_api.artifacts.errors import PlatformNotBuilt
from zlh_api.artifacts.model import DebianSource, Layout, NpmSource, Recipe, VendorSource, WheelSource
from zlh_common.runtime_choice import this_platform


class Sources:
    """Makes the source of each recipe; what they ask only once in a build is kept here."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._indexes: dict[tuple[str, ...], Apt] = {}

    def of(self, recipe: Recipe, platform: str) -> Source:
        """Return the source; call for all recipes from one thread."""
        match recipe.sources[0]:
            case WheelSource() as source:
                return FromWheel(recipe, source, platform, self._bench)
            case DebianSource() as source:
                return FromDebian(recipe, source, self._index(source.suites, ARCHITECTURES[platform]))
            case NpmSource() as source:
                return FromNpm(recipe, source, self._bench)
            case VendorSource() as source:
                return FromVendor(recipe, source, platform, self._bench)

    def _index(self, suites: tuple[str, ...], architecture: str) -> Apt:
        key = (*suites, architecture)
        if key not in self._indexes:
            self._indexes[key] = Apt(self._bench, suites, architecture)
        return self._indexes[key]


def check_platform(recipe: Recipe, platform: str) -> None:
    """Raise PlatformNotBuilt where the recipe cannot be built for a platform, or not from here."""
    platforms = recipe.platforms
    if recipe.npm is not None:
        # What npm compiles runs where it was compiled.
        platforms = [known for known in platforms if known == this_platform()]
    if platform not in platforms:
        raise PlatformNotBuilt(recipe=recipe.label, platform=platform, platforms=platforms)


def layout_for(recipe: Recipe, platform: str) -> Layout:
    """Return the recipe's layout with the names of the platform in it."""
    names = {
        "{arch}": ARCHITECTURES.get(platform, platform),
        "{triplet}": f"{platform.removeprefix('linux-')}-linux-gnu",
    }
    filled: Layout = msgspec.convert(_replaced(msgspec.to_builtins(recipe.layout), names), Layout)
    return filled


def _replaced(value: Any, names: dict[str, str]) -> Any:
    match value:
        case str():
            for old, new in names.items():
                value = value.replace(old, new)
            return value
        case dict():
            return {_replaced(key, names): _replaced(item, names) for key, item in value.items()}
        case list() | tuple():
            return [_replaced(item, names) for item in value]
        case _:
            return value
