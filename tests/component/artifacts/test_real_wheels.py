"""The shipped recipes on the real wheels: slow, and only where pip finds them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.build import build_artifacts
from zlh_api.artifacts.errors import ArtifactFetchFailed
from zlh_api.artifacts.publish import initialise, publish_catalog, read_catalog, verify_tree
from zlh_api.artifacts.recipes import RecipeBook
from zlh_common.runtime_choice import this_platform


@pytest.mark.real("package-index")
@pytest.mark.timeout(300)
def test_shipped_recipes_make_runtimes_that_run(workshop: Workshop, tmp_path: Path) -> None:
    """Fetched by hash, repacked, published, unpacked: every smoke test holds, npm and npx run, and Go compiles."""
    book = RecipeBook()
    if this_platform() not in book.recipes[0].wheel.platforms:
        pytest.skip(f"no recipe is for {this_platform()}")
    try:
        made = build_artifacts(workshop.tree, book, book.recipes, platforms=[this_platform()])
    except ArtifactFetchFailed as exc:
        pytest.skip(f"pip finds no wheels here: {exc.detail}")
    initialise(workshop.tree, workshop.keys, now=workshop.now)
    publish_catalog(workshop.tree, workshop.keys, now=workshop.now)
    assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).ok
    for built in made:
        root = tmp_path / built.record.version
        root.mkdir()
        archive = workshop.tree / built.record.path
        subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(root)], check=True)
        environment = {"PATH": f"{root}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "GOTOOLCHAIN": "local"}
        environment |= {name: value.format(root=root) for name, value in built.record.environment.items()}
        first, *rest = built.record.smoke_test
        assert built.record.smoke_expect in _run([str(root / first), *rest], environment)
        assert (root / "LICENSE").stat().st_size > 500
        if built.record.name == "node":
            for program in ("npm", "npx", "corepack"):
                assert _run([program, "--version"], environment)[0].isdigit()
        else:
            assert "strings" in _run(["go", "list", "std"], environment)
            assert "func Cut" in _run(["go", "doc", "strings.Cut"], environment)
    names = {runtime.name for runtime in read_catalog(workshop.tree, workshop.keys, now=workshop.now).runtimes}
    assert names == {"node", "go"}


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + os.linesep
