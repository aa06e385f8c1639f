"""Recipes: the shipped ones are sound, and a wrong one is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zlh_api.artifacts.building.recipes import SHIPPED, RecipeBook
from zlh_api.artifacts.errors import RecipeInvalid, RecipeUnknown


def test_shipped_recipes_are_whole() -> None:
    """Each has a licence text in its tree, a smoke test that proves its version, and runs on both platforms."""
    book = RecipeBook()
    assert {recipe.name for recipe in book.recipes} >= {"code-server", "deno", "dotnet", "go", "java", "node", "python"}
    for recipe in book.recipes:
        assert recipe.platforms == ["linux-aarch64", "linux-x86_64"]
        assert "LICENSE" in {*recipe.layout.copies, *recipe.layout.texts}
        assert ("{version}" if recipe.is_line else recipe.version) in recipe.smoke_expect
        assert recipe.licence
    assert {recipe.edition for recipe in book.choose(["java"])} == {"JDK", "JRE"}


def test_each_name_has_one_default_among_the_shipped_recipes() -> None:
    """What a customer gets who names no version is said once."""
    recipes = RecipeBook().recipes
    defaults = [recipe.name for recipe in recipes if recipe.default]
    assert sorted(defaults) == sorted({recipe.name for recipe in recipes})


def test_recipes_are_chosen_by_name_or_exact_version() -> None:
    """A runtime's name means all its versions; nothing asked means everything."""
    book = RecipeBook()
    assert [recipe.version for recipe in book.choose(["node"])] == ["20.18.0", "22.20.0", "24.19.0"]
    assert [recipe.version for recipe in book.choose(["node-24.19.0", "node-24.19.0"])] == ["24.19.0"]
    assert len(book.choose([])) == len(book.recipes)


def test_unknown_recipe_is_answered_with_the_nearest() -> None:
    """A typing mistake gets a hint."""
    with pytest.raises(RecipeUnknown, match="Did you mean node"):
        RecipeBook().choose(["nodd"])


@pytest.mark.parametrize(
    ("changed", "into", "said"),
    [
        ('name = "go"', 'name = "Go"', "name"),
        ("sha256 = ", "sha512 = ", "sha512"),
        ('root = "go"', 'root = "../go"', "root"),
        ('"LICENSES/wheel', '"../LICENSES/wheel', "copies"),
        ("version =", "versio =", "versio"),
        ('channel = "', "= ", "TOML"),
    ],
)
def test_wrong_recipe_is_refused_by_name(tmp_path: Path, changed: str, into: str, said: str) -> None:
    """The file and the field are in the message."""
    text = (SHIPPED / "go-1.27.3.toml").read_text().replace("upstream =", 'channel = "stable"\nupstream =')
    (tmp_path / "bad.toml").write_text(text.replace(changed, into))
    with pytest.raises(RecipeInvalid, match=r"bad\.toml") as caught:
        RecipeBook(tmp_path)
    assert said.lower() in caught.value.detail.lower() or said == "TOML"


def test_digest_changes_with_a_licence_text(tmp_path: Path) -> None:
    """What reaches the archive from beside the recipe counts as the recipe."""
    (tmp_path / "licences").mkdir()
    (tmp_path / "node.toml").write_text((SHIPPED / "node-24.19.0.toml").read_text())
    text = tmp_path / "licences" / "node.txt"
    text.write_text("one")
    book = RecipeBook(tmp_path)
    before = book.digest(book.recipes[0])
    text.write_text("two")
    assert book.digest(book.recipes[0]) != before


def test_serving_and_embedding_import_neither_tuf_nor_zstandard() -> None:
    """A daemon that serves artifacts or runs a database stays small; only short-lived commands load the rest."""
    code = (
        "import sys, zlh_api.artifacts.commands, zlh_api.artifacts.serving.server, zlh_api.dev.traefik;"
        "import zlh_api.database.embedded.server;"
        "heavy = {'tuf', 'zstandard', 'securesystemslib'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
