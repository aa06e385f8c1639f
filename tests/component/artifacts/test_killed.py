"""Build and publish killed with SIGKILL at every step: clients never see anything but the old catalog or the new one.

The steps are the file operations themselves, counted by an audit hook in a forked child that kills itself at the n-th.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from component.artifacts.conftest import Workshop, served
from zlh_api.artifacts.model import ROLES
from zlh_api.artifacts.signing.promote import Publisher
from zlh_api.artifacts.signing.prune import prune_tree
from zlh_api.artifacts.signing.publish import read_catalog, refresh_timestamp, verify_tree
from zlh_api.artifacts.signing.rotate import rotate_keys
from zlh_common.signed_catalog import fetch_catalog

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
        leftovers = [path for path in published.tree.rglob(".*") if path.name not in {".lock", ".decisions.json"}]
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


def restore(workshop: Workshop, pristine: Path) -> None:
    """Put tree and keys back as they were."""
    for name in ("tree", "keys"):
        shutil.rmtree(workshop.home / name)
        shutil.copytree(pristine / name, workshop.home / name)


@pytest.fixture
def two_versions(published: Workshop, tmp_path: Path) -> tuple[Workshop, Path]:
    """Give a workshop that offers 1.0 and 2.0, and a copy of it."""
    published.add_recipe("2.0")
    published.build()
    published.publish()
    pristine = tmp_path / "pristine"
    shutil.copytree(published.home, pristine, ignore=shutil.ignore_patterns("pristine"))
    return published, pristine


@pytest.mark.timeout(180)
def test_demote_killed_at_any_step_leaves_old_or_new(two_versions: tuple[Workshop, Path]) -> None:
    """The channel that clients see is the old one or the new one, and the same command again completes it."""
    workshop, pristine = two_versions

    def work() -> None:
        Publisher(workshop.tree, workshop.keys, now=workshop.now).set_channel("tiny", "2.0", "candidate")

    def seen() -> tuple[str, str]:
        (runtime,) = read_catalog(workshop.tree, workshop.keys, now=workshop.now).runtimes
        return runtime.versions[0].channel, next(entry.version for entry in runtime.versions if entry.default)

    step, outcomes = 1, set()
    while not run_and_kill_at(step, workshop.home, work):
        assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).faults == (), f"killed at step {step}"
        outcomes.add(seen())
        work()
        assert seen() == ("candidate", "1.0"), f"killed at step {step}"
        leftovers = [path.name for path in workshop.tree.rglob(".*")]
        assert set(leftovers) <= {".lock", ".decisions.json"}, f"killed at step {step}"
        restore(workshop, pristine)
        step += 1
    assert step > 10
    assert outcomes == {("stable", "2.0"), ("candidate", "1.0")}


@pytest.mark.timeout(300)
def test_rotation_killed_at_any_step_loses_no_client(two_versions: tuple[Workshop, Path], tmp_path: Path) -> None:
    """After each kill a client with the first root and one that has seen all believe the tree, and so does the daily
    run; the same command completes it under one new root."""
    workshop, pristine = two_versions
    first_root = (workshop.keys / "root.json").read_bytes()
    client = tmp_path / "client"

    def work() -> None:
        rotate_keys(workshop.tree, workshop.keys, ROLES, now=workshop.now)

    def believe(folder: Path) -> None:
        with served(workshop.tree) as url:
            fetch_catalog(artifacts_urls=(url,), trusted_root=first_root, metadata_dir=folder)

    step = 1
    while not run_and_kill_at(step, workshop.home, work):
        believe(client)
        refresh_timestamp(workshop.tree, workshop.keys, now=workshop.now)
        believe(client)
        work()
        assert (workshop.tree / "metadata/2.root.json").exists(), f"killed at step {step}"
        assert not (workshop.tree / "metadata/3.root.json").exists() or step > 40, f"killed at step {step}"
        assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).faults == (), f"killed at step {step}"
        assert not (workshop.keys / "next").exists()
        assert sorted(path.stem for path in workshop.keys.glob("*.pem")) == sorted(ROLES)
        believe(client)
        shutil.rmtree(client)
        restore(workshop, pristine)
        step += 1
    assert step > 40


@pytest.mark.timeout(180)
def test_withdrawal_killed_at_any_step_leaves_old_or_new(two_versions: tuple[Workshop, Path]) -> None:
    """What clients see verifies after each kill, and the same command again completes it; no byte goes yet."""
    workshop, pristine = two_versions

    def work() -> None:
        prune_tree(workshop.tree, workshop.keys, now=workshop.now, keep=1, withdraw=True)

    step = 1
    while not run_and_kill_at(step, workshop.home, work):
        assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).faults == (), f"killed at step {step}"
        work()
        assert versions_offered(workshop) == ["2.0"], f"killed at step {step}"
        assert len(list(workshop.tree.glob("archives/tiny/*.tar.zst"))) == 2, f"killed at step {step}"
        restore(workshop, pristine)
        step += 1
    assert step > 15


@pytest.mark.timeout(180)
def test_removal_killed_at_any_step_takes_nothing_that_is_offered(
    two_versions: tuple[Workshop, Path], tmp_path: Path
) -> None:
    """When the time has come: after each kill what is offered verifies, and the next run leaves nothing behind."""
    workshop, _ = two_versions
    prune_tree(workshop.tree, workshop.keys, now=workshop.now, keep=1, withdraw=True)
    sign_for_weeks(workshop)
    pristine = tmp_path / "withdrawn"
    shutil.copytree(workshop.home, pristine, ignore=shutil.ignore_patterns("pristine", "withdrawn"))

    def work() -> None:
        prune_tree(workshop.tree, workshop.keys, now=workshop.now + timedelta(days=16), keep=1)

    step = 1
    while not run_and_kill_at(step, workshop.home, work):
        assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).faults == (), f"killed at step {step}"
        work()
        kept = sorted(path.name for path in (workshop.tree / "archives/tiny").iterdir())
        assert kept == ["SHA256SUMS", "tiny-2.0-linux-x86_64.json", "tiny-2.0-linux-x86_64.tar.zst"], f"step {step}"
        assert "1.0" not in (workshop.tree / "archives/tiny/SHA256SUMS").read_text()
        restore(workshop, pristine)
        step += 1
    assert step > 10


def sign_for_weeks(workshop: Workshop) -> None:
    """Sign as a server does from day to day, until the catalogs of before are gone."""
    for day in range(10, 17):
        refresh_timestamp(workshop.tree, workshop.keys, now=workshop.now + timedelta(days=day))
