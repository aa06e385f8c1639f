"""The programs that are measured and their peers: each a process of its own, ended by its id when the case is over."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.measure import Run

START_S = 60.0
STOP_S = 20.0
HERE = Path(__file__).parent


def our_environment(**more: str) -> dict[str, str]:
    """Return the environment in which our programs find this very code."""
    path = os.pathsep.join(entry for entry in sys.path if entry and not entry.startswith(sys.base_prefix))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "", **more}


@asynccontextmanager
async def running(
    argv: Sequence[str],
    *,
    log: Path,
    env: dict[str, str] | None = None,
    stop: int = signal.SIGTERM,
    stop_s: float = STOP_S,
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block; its output goes to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env if env is not None else our_environment(),
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.send_signal(stop)
        try:
            await asyncio.to_thread(child.wait, stop_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await asyncio.to_thread(child.wait)


async def wait_port(port: int, child: subprocess.Popen[bytes], log: Path, *, host: str = "127.0.0.1") -> None:
    """Return once somebody listens; raise RuntimeError with the log where the program has ended."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            if child.poll() is not None:
                raise RuntimeError(f"{child.args!r} ended: {log.read_text()[-2000:]}") from None
        await asyncio.sleep(0.005)
    raise RuntimeError(f"{child.args!r} does not listen: {log.read_text()[-2000:]}")


async def find_terminado(run: Run) -> str | None:
    """Return a Python that has terminado: this one, or that of a virtual environment which is made for it once."""
    if importlib.util.find_spec("terminado") is not None:
        return sys.executable
    folder = run.cache / "terminado"
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        run.show("terminado: making a virtual environment for it")
        for command in (
            (sys.executable, "-m", "venv", str(folder)),
            (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "terminado"),
        ):
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
            if done.returncode != 0:
                run.show(f"terminado cannot be installed: {done.stderr.decode()[-300:]}")
                return None
        (folder / "ready").touch()
    return str(python)
