"""A removal killed with SIGKILL at every step: the version is whole or gone, and what others lead to stays.

The steps are the file operations themselves, counted by an audit hook in a forked child that kills itself at the n-th.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.installed_tree import lay_out
from zlh_agent.runtimes.checking.comparison import Findings, compare_tree
from zlh_agent.runtimes.current import point_current
from zlh_agent.runtimes.errors import RuntimeIsCurrent
from zlh_agent.runtimes.model import RemoveOrder
from zlh_agent.runtimes.remove_child import remove
from zlh_agent.runtimes.store import RuntimeStore

_EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "subprocess.Popen", "os.listdir",
    "os.scandir",
}  # fmt: skip


def order(root: Path, version: str, *, may_be_current: bool) -> RemoveOrder:
    """Return the order to remove a version of `a`."""
    return RemoveOrder(
        trees_dir=str(root / "runtimes"), locks_dir=str(root / "locks"), name="a", version=version,
        may_be_current=may_be_current,
    )  # fmt: skip


def run(root: Path, version: str, *, may_be_current: bool, kill_at: int) -> bool:
    """Remove in a child that dies at that file operation below `root`; tell whether it got to its end."""
    child = os.fork()
    if child == 0:
        _remove_and_die(order(root, version, may_be_current=may_be_current), str(root), kill_at)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}
    return code == 0


def _remove_and_die(what: RemoveOrder, root: str, kill_at: int) -> None:
    seen = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _EVENTS and any(root in str(arg) for arg in args):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        remove(what)
    except BaseException as error:  # noqa: BLE001 - the child must end here, whatever happens
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)


def look(root: Path) -> tuple[list[str], str | None]:
    """Return what an agent finds that starts now: whole versions, and the one in use. Nothing temporary may be left."""
    store = RuntimeStore(root / "runtimes")
    store.sweep()
    found = store.load()
    assert (found.broken, found.foreign, found.unreadable) == ((), (), ())
    assert [compare_tree(entry.folder) for entry in found.installed] == [Findings()] * len(found.installed)
    assert list((root / "runtimes").rglob(".staging-*")) == []
    current = next((entry.record.version for entry in found.installed if entry.is_current), None)
    return [entry.record.version for entry in found.installed], current


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("versions", "is_last", "after"),
    [(("1", "2"), False, (["2"], "2")), (("1", "2"), True, (["2"], None)), (("1",), True, ([], None))],
)
def test_a_removal_killed_at_any_step_leaves_the_version_whole_or_gone(
    versions: tuple[str, ...], is_last: bool, after: tuple[list[str], str | None], tmp_path: Path
) -> None:
    """After each kill the next start finds one or the other; the same order again gets to the end."""
    root, pristine = tmp_path / "root", tmp_path / "pristine"
    for version in versions:
        lay_out(pristine / "runtimes", "a", version)
    point_current(pristine / "runtimes/a", "1" if is_last else "2")
    steps, outcomes = 1, set()
    shutil.copytree(pristine, root, symlinks=True)
    while not run(root, "1", may_be_current=is_last, kill_at=steps):
        found, current = look(root)
        assert found in (list(versions), after[0]), f"killed at step {steps}"
        assert current in {after[1], "1" if is_last else "2", None if is_last else "2"}, f"killed at step {steps}"
        outcomes.add(len(found))
        assert run(root, "1", may_be_current=is_last, kill_at=0)
        assert look(root) == after, f"killed at step {steps}"
        shutil.rmtree(root)
        shutil.copytree(pristine, root, symlinks=True)
        steps += 1
    assert look(root) == after
    assert steps > 8
    assert outcomes == {len(versions), len(versions) - 1}
    assert (root / "runtimes/a").exists() == bool(after[0])


def test_what_current_leads_to_is_not_removed_while_its_runtime_is_wanted(tmp_path: Path) -> None:
    """Whoever gives the order may be wrong; the version stays, and the link too."""
    lay_out(tmp_path / "runtimes", "a", "1")
    point_current(tmp_path / "runtimes/a", "1")
    with pytest.raises(RuntimeIsCurrent):
        remove(order(tmp_path, "1", may_be_current=False))
    assert look(tmp_path) == (["1"], "1")


def test_what_is_foreign_stays(tmp_path: Path) -> None:
    """With the last version its link goes, and the folder only where nothing else is in it."""
    lay_out(tmp_path / "runtimes", "a", "1")
    (tmp_path / "runtimes/a/notes").touch()
    point_current(tmp_path / "runtimes/a", "1")
    remove(order(tmp_path, "1", may_be_current=True))
    assert [path.name for path in (tmp_path / "runtimes/a").iterdir()] == ["notes"]
    remove(order(tmp_path, "1", may_be_current=True))
