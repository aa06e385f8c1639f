"""The agent's side of an install: whatever the child does or says, the agent goes on and knows what happened."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zlh_agent.runtimes.installing import installer
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress, run_install
from zlh_agent.runtimes.model import InstallOrder
from zlh_common.schema.status import Transfer

ORDER = InstallOrder(
    artifacts_urls=("",), trusted_root="", metadata_dir="", channels=(), name="tiny", version="1.0", platform="",
    trees_dir="", downloads_dir="", locks_dir="",
)  # fmt: skip
Child = Callable[[str], None]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Return what puts a script in the place of the install child."""

    def write(script: str) -> None:
        program = tmp_path / "child"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        # The child is started by the interpreter's path; here that is the script.
        monkeypatch.setattr(sys, "executable", str(program))

    return write


async def install() -> tuple[str | None, list[Progress], InstallFailed | None]:
    """Return version, progress and error of one install."""
    shown: list[Progress] = []
    try:
        return await run_install(ORDER, on_progress=shown.append), shown, None
    except InstallFailed as error:
        return None, shown, error


async def test_progress_and_the_version_are_heard(child: Child) -> None:
    """Downloading is the first seven tenths, unpacking most of the rest; rate and time left come along."""
    child(
        """cat >/dev/null
        echo '{"type":"progress","stage":"catalog","done":0,"total":0}'
        echo '{"type":"progress","stage":"download","done":5,"total":10,"bytes_per_s":2.5,"left_s":2.0}'
        echo '{"type":"progress","stage":"unpack","done":10,"total":10}'
        echo '{"type":"installed","version":"1.0"}'"""
    )
    version, shown, error = await install()
    assert (version, [progress.fraction for progress in shown], error) == ("1.0", [0, 0.35, 0.95], None)
    assert [progress.transfer for progress in shown] == [
        Transfer(stage="catalog", done_bytes=0, total_bytes=0),
        Transfer(stage="download", done_bytes=5, total_bytes=10, bytes_per_s=2.5, left_s=2.0),
        Transfer(stage="unpack", done_bytes=10, total_bytes=10),
    ]
    assert [progress.message for progress in shown[:2]] == ["reading the catalog", "downloading: 5 of 10 bytes"]


async def test_a_failure_is_told_as_the_child_told_it(child: Child) -> None:
    """Code, words, exit code and output are the child's."""
    child("""cat >/dev/null; echo '{"type":"failed","code":"c","detail":"d","retryable":false,"output":"o"}'""")
    _, _, error = await install()
    assert error is not None
    assert (error.reason_code, error.detail, error.may_pass, error.output) == ("c", "d", False, "o")


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ("kill -9 $$", -9),
        ("exit 3", 3),
        ("cat >/dev/null; exit 0", 0),
        ("echo last words >&2; exit 1", 1),
        ("head -c 10000000 /dev/zero >&2; echo last words >&2; exit 1", 1),
    ],
)
async def test_a_child_that_ends_without_a_word_was_interrupted(script: str, exit_code: int, child: Child) -> None:
    """It is tried again; its complaints are kept, and never hold it up."""
    child(script)
    _, _, error = await install()
    assert error is not None
    assert (error.reason_code, error.may_pass, error.exit_code) == ("install_interrupted", True, exit_code)
    assert ("last words" in (error.output or "")) == ("last words" in script)


@pytest.mark.parametrize(
    "said",
    [
        "nonsense",
        '{"type":"other"}',
        '{"type":"progress","stage":"dreaming","done":1,"total":1}',
        "$(head -c 200000 /dev/zero | tr '\\\\0' x)",
        "",
    ],
)
async def test_nonsense_is_a_failed_install_and_no_end_of_the_agent(said: str, child: Child) -> None:
    """The child that says it is ended."""
    child(f'cat >/dev/null; echo "{said}"; exec sleep 1000'.replace('"{', "'{").replace('}"', "}'"))
    _, _, error = await install()
    assert error is not None
    assert (error.reason_code, error.may_pass) == ("install_interrupted", True)


async def test_a_child_that_is_stuck_is_ended(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failed install that is tried again; it may clean up before it is killed."""
    # Long enough for a shell to say what it ignores.
    monkeypatch.setattr(installer, "INSTALL_TIMEOUT_S", 1.5)
    monkeypatch.setattr(installer, "END_TIMEOUT_S", 0.3)
    for script, code in (("exec sleep 1000", -15), ("trap '' TERM; while :; do sleep 0.05; done", -9)):
        child(script)
        _, _, error = await install()
        assert error is not None
        assert (error.reason_code, error.may_pass, error.exit_code) == ("install_interrupted", True, code)


async def test_cancelling_ends_the_child(child: Child, tmp_path: Path) -> None:
    """Nothing is left running when the agent goes."""
    child(f"touch {tmp_path}/begun; exec sleep 1000")
    installing = asyncio.create_task(install())
    async with asyncio.timeout(10):
        while not await asyncio.to_thread((tmp_path / "begun").exists):
            await asyncio.sleep(0.01)
    installing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await installing
