"""A build from an archive of others, killed with SIGKILL at every step."""

from __future__ import annotations

import shutil

import pytest

from component.artifacts.conftest import PLATFORM, Workshop
from component.artifacts.test_killed import run_and_kill_at
from fakes.vendor import VENDOR_RECIPE, running_vendor, vendor_tarball
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.tree import Tree, hash_file


@pytest.mark.timeout(180)
def test_build_of_a_tarball_killed_at_any_step_is_completed_by_the_next(workshop: Workshop) -> None:
    """All of the archive and its record or nothing, and nothing temporary once the next run is through."""
    with running_vendor() as vendor:
        vendor.offer("8.0.1", vendor_tarball("8.0.1"))
        recipe = VENDOR_RECIPE.format(line="8.0", more='releases = "8.0/releases.json"')
        (workshop.recipes / "dot.toml").write_text(recipe)
        book = RecipeBook(workshop.recipes)
        means = Means(mirrors={"dot": vendor.url})

        def work() -> None:
            build_artifacts(workshop.tree, book, book.choose(["dot"]), platforms=[PLATFORM], means=means)

        step, wholes = 1, set()
        while not run_and_kill_at(step, workshop.home, work):
            archives = {path.name for path in workshop.tree.rglob("*.zst") if ".work" not in path.parts}
            records = {path.stem for path in workshop.tree.glob("archives/*/*.json")}
            assert {name.removesuffix(".tar.zst") for name in archives} >= records, f"killed at step {step}"
            wholes.add(bool(records))
            work()
            assert [path.name for path in workshop.tree.rglob(".*")] == [".lock"], f"killed at step {step}"
            (record,) = Tree(workshop.tree).records()
            assert hash_file(workshop.tree / record.path) == (record.sha256, record.size)
            shutil.rmtree(workshop.tree)
            step += 1
    assert step > 10
    assert wholes == {False, True}
