"""Killed at any act of writing what shells find: each file and link is old or new, and the next start finishes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from zlh_agent.shells.links import ensure_links
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.system_files import ensure_shell_files
from zlh_agent.shells.systemd import Manager

# Counts what reaches the disk, and ends as the kernel would end it.
CHILD = """
import json, os, signal, sys
from pathlib import Path
order = json.loads(sys.argv[1])
from zlh_agent.shells.links import ensure_links
from zlh_agent.shells.systemd import Manager
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.system_files import ensure_shell_files
root, left = Path(order["root"]), order["after"]
ACTS = {"os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "open"}
def hook(event, arguments):
    global left
    if event not in ACTS or (event == "open" and not arguments[2] & (os.O_CREAT | os.O_WRONLY)):
        return
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
places = SystemPlaces(root)
ensure_links(places.links, order["commands"], runtimes=f"{root}/opt/zlh/runtimes")
ensure_shell_files(places, order["variables"])
Manager(root / "state", reload=lambda: (root / "reloaded").touch()).ensure(places, order["variables"])
"""
OLD = ({"go": "go", "node": "node", "npm": "node"}, {"GOROOT": "/r/go/current"})
NEW = ({"java": "java", "node": "node", "npm": "pnpm"}, {"JAVA_HOME": "/r/java/current"})


def targets(root: Path, commands: Mapping[str, str]) -> dict[str, str]:
    """Return command → target of its link."""
    return {name: f"{root}/opt/zlh/runtimes/{runtime}/current/bin/{name}" for name, runtime in commands.items()}


def make(root: Path, state: tuple[Mapping[str, str], Mapping[str, str]]) -> None:
    """Bring everything to a state in this process."""
    places = SystemPlaces(root)
    ensure_links(places.links, targets(root, state[0]), runtimes=f"{root}/opt/zlh/runtimes")
    assert ensure_shell_files(places, state[1]) == []
    assert Manager(root / "state", reload=lambda: None).ensure(places, state[1]) == []


def read(root: Path) -> dict[str, str]:
    """Return every file and link below the folders of the system."""
    found = {}
    for path in [*(root / "etc").rglob("*"), *(root / "usr/local/bin").iterdir()]:
        if path.is_symlink():
            found[str(path.relative_to(root))] = str(path.readlink()).removeprefix(str(root))
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_text().replace(str(root), "")
    return found


def prepared(root: Path) -> Path:
    """Return a root with files of a customer's."""
    for name in ("etc/zsh", "usr/local/bin"):
        (root / name).mkdir(parents=True)
    (root / "etc/bash.bashrc").write_text("# theirs\nreturn\n")
    (root / "etc/environment").write_text("THEIRS=1\n")
    (root / "usr/local/bin/theirs").write_text("theirs")
    return root


def run_killed(root: Path, after: int) -> bool:
    """Bring it to the new state in a child that is killed at that act; tell whether it was."""
    order = {"root": str(root), "after": after, "commands": targets(root, NEW[0]), "variables": NEW[1]}
    done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(order)], check=False, capture_output=True, text=True)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


@pytest.mark.timeout(240)
def test_killed_at_any_write_all_of_it_is_old_or_new(tmp_path: Path) -> None:
    """And the same once more leaves what a run that nobody has killed does, and no trace beside it."""
    make(prepared(tmp_path / "old"), OLD)
    make(prepared(tmp_path / "new"), OLD)
    make(tmp_path / "new", NEW)
    old, new = read(tmp_path / "old"), read(tmp_path / "new")
    assert old != new
    kills = 0
    while True:
        root = prepared(tmp_path / f"at-{kills}")
        make(root, OLD)
        if not run_killed(root, kills + 1):
            break
        kills += 1
        for name, content in read(root).items():
            if not name.endswith(".new"):
                assert content in {old.get(name), new.get(name)}, name
        make(root, NEW)
        assert read(root) == new
        assert not (root / "state/shells/reload-owed").exists()
    assert kills > 20
    assert (root / "reloaded").exists()
