"""`zlh-api artifacts …` as a program: from nothing to a served catalog, and clear errors."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from component.artifacts.conftest import Workshop
from guards.ports import free_port
from zlh_api.artifacts.commands import add_parser, run
from zlh_api.artifacts.errors import PlatformNotBuilt, RecipeInvalid, RecipeUnknown

MAIN = """
import argparse, sys
from zlh_api.artifacts.commands import add_parser, run
from zlh_common.errors import ZlhError
parser = argparse.ArgumentParser()
add_parser(parser.add_subparsers(required=True))
try:
    sys.exit(run(parser.parse_args()))
except ZlhError as exc:
    sys.exit(f"{exc.code}: {exc.detail}")
"""


def call(*arguments: str) -> int:
    """Parse and run one command in this process."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    return run(parser.parse_args(["artifacts", *arguments]))


@pytest.fixture
def folders(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let pip find the local wheels, and give --dir and --keys."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(workshop.home / "wheels"))
    return ["--dir", str(workshop.tree), "--keys", str(workshop.keys)]


def test_commands_lead_from_nothing_to_a_verified_catalog(
    workshop: Workshop, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """init, build, publish, verify, list: each succeeds and says in a line what it did."""
    assert call("init", *folders) == 0
    assert call("build", *folders[:2], "--recipes", str(workshop.recipes)) == 0
    assert call("publish", *folders) == 0
    assert call("verify", *folders) == 0
    assert call("list", *folders[:2]) == 0
    out = capsys.readouterr().out
    assert "everything is as signed" in out
    row = next(line for line in out.splitlines() if line.startswith("runtime")).split()
    assert (row[1:4], row[6:8]) == (["tiny", "1.0", "linux-x86_64"], ["stable", "default"])


def test_decisions_are_one_command_each(
    published: Workshop, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """demote, promote, default, list: each says what holds now, and the list can be read by programs."""
    published.add_recipe("2.0")
    published.build()
    published.publish()
    assert call("demote", "tiny", "2.0", *folders) == 0
    assert "the default of tiny is 1.0 now, it was 2.0" in capsys.readouterr().out
    assert call("promote", "tiny", "2.0", *folders) == 0
    assert call("default", "tiny", "1.0", *folders) == 0
    assert call("rotate-keys", "timestamp", *folders) == 0
    assert call("prune", "--dry-run", *folders) == 0
    capsys.readouterr()
    assert call("list", "--json", *folders[:2]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["channel"], row["default"], row["state"]) for row in rows] == [
        ("2.0", "stable", False, "published"),
        ("1.0", "stable", True, "published"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [["rotate-keys", "boss"], ["init", "--root-keys", "1", "--root-threshold", "2"], ["prune", "--keep", "0"],
     ["prune", "--keep", "-3"], ["promote", "tiny"], ["init", "--root-keys", "10"]],
)  # fmt: skip
def test_wrong_words_are_refused_before_anything_changes(
    published: Workshop, folders: list[str], wrong: list[str]
) -> None:
    """A usage error leaves tree and keys as they were."""
    before = {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit):
        call(*wrong, *folders)
    assert {path: path.read_bytes() for path in published.home.rglob("*") if path.is_file()} == before


def test_verify_fails_and_names_the_file(
    workshop: Workshop, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and the path, for scripts and for people."""
    workshop.build()
    workshop.publish()
    archive = workshop.tree / "archives/tiny/tiny-1.0-linux-x86_64.tar.zst"
    archive.write_bytes(b"x")
    assert call("verify", *folders) == 1
    assert capsys.readouterr().out.startswith("archives/tiny/tiny-1.0-linux-x86_64.tar.zst: ")


def test_bad_input_is_refused_with_a_named_error(workshop: Workshop, folders: list[str]) -> None:
    """An unknown recipe, platform or folder of recipes."""
    tree = folders[:2]
    with pytest.raises(RecipeUnknown):
        call("build", *tree, "nodejs")
    with pytest.raises(PlatformNotBuilt):
        call("build", *tree, "node", "--platform", "linux-s390x")
    with pytest.raises(RecipeInvalid):
        call("build", *tree, "--recipes", str(workshop.home / "none"))


@pytest.mark.parametrize("port", ["65536", "-1", "http", "8e3", "٣"])
def test_bad_port_is_refused_by_the_parser(folders: list[str], port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error, before anything is touched."""
    with pytest.raises(SystemExit):
        call("serve", *folders, f"--port={port}")
    assert "is not a port" in capsys.readouterr().err


def test_serve_answers_and_ends_on_sigterm(published: Workshop) -> None:
    """The program as an operator starts it; a second one on the same port says what to do."""
    port = free_port()
    argv = [sys.executable, "-c", MAIN, "artifacts", "serve", "--dir", str(published.tree)]
    argv += ["--keys", str(published.keys), "--port", str(port)]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _wait_healthy(port)
        second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 1
        assert second.stderr.startswith(f"port_in_use: Port {port} on 127.0.0.1")
        maps = Path(f"/proc/{server.pid}/maps").read_text()
        assert "zstandard" not in maps
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.communicate(timeout=20)
    assert server.returncode == 0


def _wait_healthy(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
