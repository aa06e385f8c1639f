"""Reading recipes: TOML files, one per runtime version, shipped with this package or given as a folder of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from zlh_api.artifacts.errors import RecipeInvalid, RecipeUnknown
from zlh_api.artifacts.model import Recipe, VendorSource
from zlh_common.version_order import version_order

SHIPPED = Path(str(files("zlh_api.artifacts.building"))) / "recipes"


class RecipeBook:
    """All recipes of one folder, checked, and the licence texts that they refer to."""

    def __init__(self, folder: Path = SHIPPED) -> None:
        """Read the folder at once; raise RecipeInvalid, which names the file, for any that cannot be used."""
        self._folder = folder
        self.recipes = sorted(
            (self._read(path) for path in sorted(folder.glob("*.toml"))),
            key=lambda recipe: (recipe.name, version_order(recipe.version)),
        )
        self._check_unique()

    def choose(self, asked: Iterable[str], *, besides: Collection[str] = ()) -> list[Recipe]:
        """Return the recipes meant by `asked` (`node`, `node-24.19.0`), or all; raise RecipeUnknown for any other.

        `besides` are names that are something else too, or only.
        """
        asked = list(asked)
        if not asked:
            return list(self.recipes)
        chosen = []
        for name in asked:
            found = [recipe for recipe in self.recipes if name in {recipe.name, recipe.label}]
            if not found and name not in besides:
                raise self._unknown(name, besides)
            chosen += [recipe for recipe in found if recipe not in chosen]
        return chosen

    def read_text(self, name: str) -> bytes:
        """Return one of the licence texts that `layout.texts` names."""
        return (self._folder / "licences" / name).read_bytes()

    def find(self, label: str) -> Recipe:
        """Return the one recipe of this label; raise RecipeUnknown."""
        found = next((recipe for recipe in self.recipes if recipe.label == label), None)
        if found is None:
            raise self._unknown(label)
        return found

    def digest(self, recipe: Recipe) -> str:
        """Return the SHA-256 of everything in the recipe that reaches the archive or its record."""
        digest = hashlib.sha256(msgspec.json.encode(_said(recipe), order="sorted"))
        for name in sorted(recipe.layout.texts.values()):
            digest.update(hashlib.sha256(self.read_text(name)).digest())
        if recipe.npm is not None and recipe.npm.lock is not None:
            digest.update(hashlib.sha256(self.read_lock(recipe.npm.lock)).digest())
        return digest.hexdigest()

    def read_lock(self, name: str) -> bytes:
        """Return one of the lock files that an npm source names."""
        return (self._folder / "locks" / name).read_bytes()

    def _read(self, path: Path) -> Recipe:
        try:
            recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe)
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
            raise RecipeInvalid(recipe=path.name, reason=str(exc)) from exc
        for text in recipe.layout.texts.values():
            if "/" in text or not (self._folder / "licences" / text).is_file():
                raise RecipeInvalid(recipe=path.name, reason=f"there is no text licences/{text}")
        if recipe.npm is not None and recipe.npm.lock and not (self._folder / "locks" / recipe.npm.lock).is_file():
            raise RecipeInvalid(recipe=path.name, reason=f"there is no lock file locks/{recipe.npm.lock}")
        if recipe.for_games and recipe.kind != "runtime":
            raise RecipeInvalid(recipe=path.name, reason="what is for games is of kind runtime")
        if len(recipe.sources) != 1:
            raise RecipeInvalid(recipe=path.name, reason=f"it names {len(recipe.sources)} sources and needs one")
        if not recipe.platforms:
            raise RecipeInvalid(recipe=path.name, reason="it names no platform")
        if recipe.vendor is not None:
            _check_vendor(recipe.vendor, path.name)
        return recipe

    def _check_unique(self) -> None:
        seen: set[str] = set()
        for recipe in self.recipes:
            label = recipe.label
            if label in seen:
                raise RecipeInvalid(recipe=label, reason="two files describe it")
            seen.add(label)

    def _unknown(self, name: str, besides: Collection[str] = ()) -> RecipeUnknown:
        known = sorted({*(recipe.name for recipe in self.recipes), *besides})
        known += [recipe.label for recipe in self.recipes]
        close = get_close_matches(name, known, n=1)
        return RecipeUnknown(asked=name, known=known, suggestion=close[0] if close else None)


def _said(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as it is written: what it does not say and came later changes no digest of before."""
    said: dict[str, Any] = msgspec.to_builtins(recipe)
    if not recipe.for_games:
        del said["for_games"]
    if recipe.npm is not None:
        for name, plain in (("lock", None), ("run_scripts", True)):
            if said["npm"][name] == plain:
                del said["npm"][name]
    return said


def _check_vendor(source: VendorSource, name: str) -> None:
    if source.releases is not None:
        if source.checksums:
            raise RecipeInvalid(recipe=name, reason="checksums are either its own or those of the list of releases")
    elif set(source.checksums) != set(source.files):
        raise RecipeInvalid(recipe=name, reason="each of its files needs a checksum")
