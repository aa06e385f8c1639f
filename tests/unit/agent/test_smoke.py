"""Whether an unpacked runtime works is proved by running it, with nothing in its environment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from zlh_agent.runtimes import smoke
from zlh_agent.runtimes.errors import SmokeTestFailed
from zlh_agent.runtimes.smoke import smoke_test
from zlh_common.schema.catalog import CatalogVersion


def version(expect: str = "", *arguments: str, command: str = "run") -> CatalogVersion:
    """Return a version with a smoke test."""
    return CatalogVersion(
        version="1.0", channel="stable", default=True, licence="MIT", artifacts=(),
        environment={"TINY_HOME": "{root}/lib"}, smoke_test=(command, *arguments), smoke_expect=expect,
    )  # fmt: skip


def write(tree: Path, script: str, mode: int = 0o755) -> None:
    """Write the program of a tree."""
    (tree / "run").write_text(f"#!/bin/sh\n{script}\n")
    (tree / "run").chmod(mode)


def test_the_program_runs_in_its_tree_with_its_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own environment is not seen, arguments are not split, and standard error counts as output."""
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    write(tmp_path, 'echo "$TINY_HOME|$SECRET_OF_THE_AGENT|$1|$PWD" >&2')
    smoke_test(tmp_path, version(f"{tmp_path}/lib||a  b|{tmp_path}", "a  b"))


def test_a_runtime_without_a_smoke_test_passes(tmp_path: Path) -> None:
    """There is nothing to run."""
    smoke_test(tmp_path, CatalogVersion(version="1", channel="stable", default=True, licence="MIT", artifacts=()))


@pytest.mark.parametrize(
    ("script", "mode", "exit_code", "words"),
    [
        ("echo out; echo err >&2; exit 7", 0o755, 7, "ended with 7"),
        ("kill -9 $$", 0o755, -9, "ended with -9"),
        ("echo something else", 0o755, 0, "did not print"),
        ("echo wanted", 0o644, None, "cannot be started"),
    ],
)
def test_what_does_not_run_fails_with_its_last_words(
    script: str, mode: int, exit_code: int | None, words: str, tmp_path: Path
) -> None:
    """Exit code and output come with the error."""
    write(tmp_path, script, mode)
    with pytest.raises(SmokeTestFailed, match=words) as caught:
        smoke_test(tmp_path, version("wanted"))
    assert caught.value.data["exitCode"] == exit_code


def test_a_missing_program_fails(tmp_path: Path) -> None:
    """The catalog names a program that the archive has not."""
    with pytest.raises(SmokeTestFailed, match="cannot be started"):
        smoke_test(tmp_path, version())


def test_only_the_end_of_much_output_is_kept(tmp_path: Path) -> None:
    """Bytes that are no text come as replacement characters, 4 KiB of them at most."""
    write(tmp_path, "head -c 100000 /dev/zero | tr '\\0' '\\377'; echo end; exit 1")
    with pytest.raises(SmokeTestFailed) as caught:
        smoke_test(tmp_path, version())
    assert caught.value.data["output"].endswith("\ufffdend\n")
    assert len(caught.value.data["output"]) <= 4096


def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No install waits for ever, and nothing is left running."""
    monkeypatch.setattr(smoke, "TIMEOUT_S", 0.3)
    write(tmp_path, "echo begun; sleep 1000 & sleep 1000")
    began = time.monotonic()
    with pytest.raises(SmokeTestFailed, match="did not end") as caught:
        smoke_test(tmp_path, version())
    assert time.monotonic() - began < 10
    assert caught.value.data["output"] == "begun\n"
