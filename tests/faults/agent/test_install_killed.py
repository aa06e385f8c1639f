"""An install killed with SIGKILL at every step: the old runtime stays in use or the new one is, never anything between.

The steps are the file operations themselves, counted by an audit hook in a forked child, and in what it forks in turn,
that kills all of it at the n-th.
"""

from __future__ import annotations

import errno
import http.server
import mmap
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.runtime_shop import RuntimeShop, make_shop
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.checking.comparison import compare_tree
from zlh_agent.runtimes.installing.install_child import install
from zlh_agent.runtimes.model import InstallOrder
from zlh_agent.runtimes.store import RuntimeStore
from zlh_common.runtime_choice import this_platform

_EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "os.link", "os.truncate",
    "shutil.rmtree", "subprocess.Popen", "os.listdir", "os.scandir",
}  # fmt: skip


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@dataclass
class Bench:
    """A container's folders, and where it installs from."""

    paths: ContainerPaths
    shop: RuntimeShop
    url: str
    # Files that a test has changed, and that are not replaced yet.
    may_be_changed: set[str] = field(default_factory=set)

    def order(self, version: str, *, make_current: bool = True, replace: bool = False) -> InstallOrder:
        """Return the order to install one version."""
        state = self.paths.state
        return InstallOrder(
            artifacts_urls=(self.url,), trusted_root=str(self.shop.trusted_root), metadata_dir=str(state / "catalog"),
            channels=("stable",), name="tiny", version=version, platform=this_platform(),
            trees_dir=str(self.paths.runtimes), downloads_dir=str(state / "downloads"),
            locks_dir=str(state / "locks"), make_current=make_current, replace=replace,
            attempt=int(replace),
        )  # fmt: skip

    def run(self, version: str, *, kill_at: int = 0, **changes: bool) -> bool:
        """Install in a child that dies at that file operation below the container; tell whether it got to its end."""
        # Shared with the child and with what that forks: operations so far, and whether somebody waits for the kill.
        shared = memoryview(mmap.mmap(-1, 16)).cast("Q")
        child = os.fork()
        if child == 0:
            _install_and_die(self.order(version, **changes), str(self.paths.root), kill_at, shared)
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if shared[1]:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.001)
        assert os.waitstatus_to_exitcode(ended[1]) in {0, -signal.SIGKILL}
        return os.waitstatus_to_exitcode(ended[1]) == 0

    def in_use(self) -> str | None:
        """Return the version in use as an agent would see it that starts now; every install must be whole."""
        store = RuntimeStore(self.paths.runtimes)
        store.sweep()
        installed = store.load().installed
        for entry in installed:
            assert set(compare_tree(entry.folder).names()) <= self.may_be_changed
        return next((entry.record.version for entry in installed if entry.is_current), None)

    def says(self) -> str:
        """Return what the runtime in use prints."""
        program = self.paths.runtimes / "tiny/current/bin/tiny"
        return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.strip()

    def leftovers(self) -> list[Path]:
        """Return what no install may leave."""
        return [*self.paths.runtimes.rglob(".staging-*"), *(self.paths.state / "downloads").glob("*")]


def _install_and_die(order: InstallOrder, root: str, kill_at: int, shared: memoryview) -> None:
    ours = os.getpid()

    def count(event: str, args: tuple[Any, ...]) -> None:
        if event in _EVENTS and any(root in str(arg) for arg in args):
            shared[0] += 1
            if shared[0] == kill_at:
                if os.getpid() == ours:
                    os.kill(ours, signal.SIGKILL)
                # A confined child may not kill its parent; it dies with it.
                shared[1] = 1
                signal.pause()

    # Progress is for an agent, and there is none.
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - this process ends below
    sys.addaudithook(count)
    try:
        install(order, Path(order.trusted_root).read_bytes())
    except BaseException as error:  # noqa: BLE001 - the child must end here, whatever happens
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench whose server runs in a thread."""
    shop = make_shop(tmp_path / "shop", "1.0", "2.0")
    (tmp_path / "root").mkdir()
    handler = partial(QuietHandler, directory=str(shop.tree))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Bench(ContainerPaths(tmp_path / "root"), shop, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def kill_at_every_step(bench: Bench, version: str, allowed: set[str | None], **changes: bool) -> set[str | None]:
    """Kill an install at its first step, its second and so on; return what was in use after the kills.

    After each, the state is whole and one of `allowed`, and the same install again completes it and cleans up.
    """
    pristine = bench.paths.root.with_name("pristine")
    shutil.copytree(bench.paths.root, pristine, symlinks=True)
    step, outcomes = 1, set[str | None]()
    while not bench.run(version, kill_at=step, **changes):
        found = bench.in_use()
        assert found in allowed, f"killed at step {step}"
        assert found is None or bench.says() == f"tiny {found}", f"killed at step {step}"
        outcomes.add(found)
        assert bench.run(version, **changes), f"killed at step {step}"
        assert bench.leftovers() == [], f"killed at step {step}"
        assert bench.paths.runtimes.joinpath("tiny", version, "bin/tiny").is_file()
        shutil.rmtree(bench.paths.root)
        shutil.copytree(pristine, bench.paths.root, symlinks=True)
        step += 1
    assert step > 10
    assert bench.leftovers() == []
    return outcomes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("before", [None, "1.0"])
def test_an_install_killed_at_any_step_leaves_the_old_or_the_new(before: str | None, bench: Bench) -> None:
    """Whether or not there was another version; the metadata of the catalog is written on the way too."""
    if before:
        assert bench.run(before)
    assert kill_at_every_step(bench, "2.0", {before, "2.0"}) == {before, "2.0"}
    assert (bench.in_use(), bench.says()) == ("2.0", "tiny 2.0")


@pytest.mark.timeout(300)
def test_an_install_beside_another_leaves_that_in_use(bench: Bench) -> None:
    """One that nobody wants as the default."""
    assert bench.run("1.0")
    assert kill_at_every_step(bench, "2.0", {"1.0"}, make_current=False) == {"1.0"}
    assert bench.in_use() == "1.0"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_tree_that_is_replaced_is_there_at_every_step(
    can_exchange: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changed one or the whole one; where the file system cannot exchange them, after the next start."""
    assert bench.run("1.0")
    changed = bench.paths.runtimes / "tiny/1.0/share/data"
    changed.write_bytes(b"changed")
    if not can_exchange:
        monkeypatch.setattr("zlh_agent.runtimes.installing.exchange.renameat2", refuse_to_exchange)
    bench.may_be_changed = {"share/data"}
    assert kill_at_every_step(bench, "1.0", {"1.0"}, replace=True) == {"1.0"}
    bench.may_be_changed = set()
    assert bench.in_use() == "1.0"


def refuse_to_exchange(*_arguments: object) -> None:
    """Do as a file system does that cannot."""
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.timeout(300)
def test_going_back_killed_at_any_step_leaves_either_version(bench: Bench) -> None:
    """What is there is compared with its list, and only the link changes."""
    assert bench.run("1.0")
    assert bench.run("2.0")
    assert kill_at_every_step(bench, "1.0", {"1.0", "2.0"}) == {"1.0", "2.0"}
    assert bench.in_use() == "1.0"


def test_kill_after_kill_leaves_no_more_than_one(bench: Bench) -> None:
    """A child that dies again and again, without a restart of the agent, does not fill the disk."""
    for step in (45, 50, 55, 60, 45, 50, 55, 60):
        bench.run("1.0", kill_at=step)
        assert len(list(bench.paths.runtimes.glob("*/.staging-*"))) <= 2
    assert bench.run("1.0")
    assert (bench.in_use(), bench.leftovers()) == ("1.0", [])
