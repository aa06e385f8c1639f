"""What `make dev` says when it cannot start: one line, a code, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from e2e.stack import WAIT_S, Stack


async def run_dev(environment: dict[str, str]) -> tuple[int | None, str]:
    """Run `zlh-api dev` that is expected to end by itself; return (exit code, what it printed)."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zlh_api",
        "dev",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WAIT_S):
            printed, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.communicate()
    return program.returncode, printed.decode()


async def test_a_second_one_in_the_same_folder_is_refused(stack: Stack) -> None:
    """The first goes on as if nothing had happened."""
    code, printed = await run_dev(stack.environment)
    assert code == 1
    assert "[already_running]" in printed
    assert (await stack.call("GET", "/api/version"))[0] == 200


async def test_a_port_that_somebody_has_is_named_with_its_variable(tmp_path: Path) -> None:
    """Nothing is started, so nothing has to be stopped."""
    fresh = Stack(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(fresh.environment["ZLH_HTTP_PORT"])))
        taken.listen()
        code, printed = await run_dev(fresh.environment)
    assert code == 1
    assert "[port_in_use]" in printed
    assert "ZLH_HTTP_PORT" in printed
    assert fresh.processes() == []


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the way, or a place where nobody may write."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "home", Path("/proc/home")):
        code, printed = await run_dev({**os.environ, "ZLH_HOME": str(place)})
        assert code == 1
        assert "[home_not_writable]" in printed
        assert "ZLH_HOME" in printed


async def test_a_port_that_is_none_is_named(tmp_path: Path) -> None:
    """Before anything is written."""
    code, printed = await run_dev({**os.environ, "ZLH_HOME": str(tmp_path / "home"), "ZLH_API_PORT": "http"})
    assert code == 1
    assert "ZLH_API_PORT='http'" in printed
    assert not (tmp_path / "home").exists()
