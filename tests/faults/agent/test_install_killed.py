"""An install killed with SIGKILL at every step: the old runtime stays in use or the new one is, never anything between.

The steps are the file operations themselves, counted by an audit hook in a forked child that kills itself at the n-th.
"""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.runtime_shop import RuntimeShop, make_shop
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.install_child import install
from zlh_agent.runtimes.model import InstallOrder
from zlh_agent.runtimes.store import RuntimeStore, find_changed
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

    def order(self, version: str) -> InstallOrder:
        """Return the order to install one version."""
        state = self.paths.state
        return InstallOrder(
            artifacts_urls=(self.url,), trusted_root=str(self.shop.trusted_root), metadata_dir=str(state / "catalog"),
            channels=("stable",), name="tiny", version=version, platform=this_platform(),
            runtimes_dir=str(self.paths.runtimes), downloads_dir=str(state / "downloads"),
            locks_dir=str(state / "locks"),
        )  # fmt: skip

    def run(self, version: str, *, kill_at: int = 0) -> bool:
        """Install in a child that dies at that file operation below the container; tell whether it got to its end."""
        child = os.fork()
        if child == 0:
            _install_and_die(self.order(version), str(self.paths.root), kill_at)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
        return os.waitstatus_to_exitcode(status) == 0

    def in_use(self) -> str | None:
        """Return the version in use as an agent would see it that starts now; every install must be whole."""
        store = RuntimeStore(self.paths.runtimes)
        store.sweep()
        installed = store.load().installed
        assert [find_changed(entry.folder) for entry in installed] == [[]] * len(installed)
        return next((entry.record.version for entry in installed if entry.is_current), None)

    def says(self) -> str:
        """Return what the runtime in use prints."""
        program = self.paths.runtimes / "tiny/current/bin/tiny"
        return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.strip()

    def leftovers(self) -> list[Path]:
        """Return what no install may leave."""
        return [*self.paths.runtimes.rglob(".staging-*"), *(self.paths.state / "downloads").glob("*")]


def _install_and_die(order: InstallOrder, root: str, kill_at: int) -> None:
    seen = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _EVENTS and any(root in str(arg) for arg in args):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    # Progress is for an agent, and there is none.
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - this process ends below
    sys.addaudithook(count)
    try:
        install(order)
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("before", [None, "1.0"])
def test_an_install_killed_at_any_step_leaves_the_old_or_the_new(
    before: str | None, bench: Bench, tmp_path: Path
) -> None:
    """After each kill the state is whole, and the next install completes it and cleans up."""
    if before:
        assert bench.run(before)
    pristine = tmp_path / "pristine"
    shutil.copytree(bench.paths.root, pristine, symlinks=True)
    step, outcomes = 1, set()
    while not bench.run("2.0", kill_at=step):
        found = bench.in_use()
        assert found in {before, "2.0"}, f"killed at step {step}"
        assert found is None or bench.says() == f"tiny {found}", f"killed at step {step}"
        outcomes.add(found)
        assert bench.run("2.0"), f"killed at step {step}"
        assert (bench.in_use(), bench.says()) == ("2.0", "tiny 2.0"), f"killed at step {step}"
        assert bench.leftovers() == [], f"killed at step {step}"
        shutil.rmtree(bench.paths.root)
        shutil.copytree(pristine, bench.paths.root, symlinks=True)
        step += 1
    assert step > 30
    assert outcomes == {before, "2.0"}
    assert bench.leftovers() == []


def test_kill_after_kill_leaves_no_more_than_one(bench: Bench) -> None:
    """A child that dies again and again, without a restart of the agent, does not fill the disk."""
    for step in (45, 50, 55, 60, 45, 50, 55, 60):
        bench.run("1.0", kill_at=step)
        assert len(list(bench.paths.runtimes.glob("*/.staging-*"))) <= 2
    assert bench.run("1.0")
    assert (bench.in_use(), bench.leftovers()) == ("1.0", [])
