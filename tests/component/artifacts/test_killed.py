"""Build and publish killed with SIGKILL at every step: clients never see anything but the old catalog or the new one.

The steps are the file operations themselves, counted by an audit hook in a forked child that kills itself at the n-th.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.publish import read_catalog, refresh_timestamp, verify_tree

_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}


def run_and_kill_at(step: int, home: Path, work: Callable[[], object]) -> bool:
    """Run `work` in a child that dies at its step-th file operation below `home`; tell whether it got to its end."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, args: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in _EVENTS and args and str(home) in os.fsdecode(str(args[0])):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
    return os.waitstatus_to_exitcode(status) == 0


def versions_offered(workshop: Workshop) -> list[str]:
    (runtime,) = read_catalog(workshop.tree, workshop.keys, now=workshop.now).runtimes
    return [version.version for version in runtime.versions]


@pytest.mark.timeout(180)
def test_build_and_publish_killed_at_any_step_leave_old_or_new(published: Workshop, tmp_path: Path) -> None:
    """After each kill everything published verifies, and the next run completes the work."""
    published.add_recipe("2.0")
    pristine = tmp_path / "pristine"
    shutil.copytree(published.home, pristine, ignore=shutil.ignore_patterns("pristine"))

    def work() -> None:
        published.build()
        published.publish()

    step, outcomes = 1, set()
    while not run_and_kill_at(step, published.home, work):
        found = verify_tree(published.tree, published.keys, now=published.now)
        assert found.faults == (), f"killed at step {step}"
        outcomes.add(tuple(versions_offered(published)))
        work()
        assert versions_offered(published) == ["2.0", "1.0"], f"killed at step {step}"
        assert verify_tree(published.tree, published.keys, now=published.now).ok
        leftovers = [path for path in published.tree.rglob(".*") if path.name != ".lock"]
        assert leftovers == [], f"killed at step {step}"
        for name in ("tree", "keys"):
            shutil.rmtree(published.home / name)
            shutil.copytree(pristine / name, published.home / name)
        step += 1
    assert step > 20
    assert outcomes == {("1.0",), ("2.0", "1.0")}


@pytest.mark.timeout(120)
def test_first_publish_killed_at_any_step_is_completed_by_the_next(workshop: Workshop) -> None:
    """Keys, root and metadata half made are no obstacle."""
    workshop.build()
    step = 1
    while not run_and_kill_at(step, workshop.home, workshop.publish):
        workshop.publish()
        assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).ok, f"killed at step {step}"
        shutil.rmtree(workshop.keys)
        for name in ("metadata", "targets"):
            shutil.rmtree(workshop.tree / name)
        step += 1
    assert step > 10


@pytest.mark.timeout(120)
def test_refresh_killed_at_any_step_leaves_a_valid_catalog(published: Workshop) -> None:
    """The daily run may die whenever it likes."""
    step = 1
    while not run_and_kill_at(
        step, published.home, lambda: refresh_timestamp(published.tree, published.keys, now=published.now)
    ):
        assert verify_tree(published.tree, published.keys, now=published.now).ok, f"killed at step {step}"
        step += 1
    assert step > 5
