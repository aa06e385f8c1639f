"""Real repositories on loopback: by git's own daemon, and by plain HTTP, where answers can be refused and held back."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from guards.ports import free_port

_PEOPLE = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


def make_repository(folder: Path, name: str = "shop.git", *, files: int = 20) -> Path:
    """Make a bare repository with a branch `main`, a branch `next` and a few files, served by HTTP as well."""
    work = folder / "work"
    _git("init", "--quiet", "--initial-branch=main", str(work))
    for number in range(files):
        (work / f"file-{number}.txt").write_text(f"{number}\n" * 100)
    (work / "README").write_text("A shop.\n")
    _git("-C", str(work), "add", ".")
    _git("-C", str(work), *_PEOPLE, "commit", "--quiet", "-m", "all of it")
    _git("-C", str(work), "branch", "next")
    bare = folder / "served" / name
    _git("clone", "--quiet", "--bare", str(work), str(bare))
    _git("-C", str(bare), "update-server-info")
    return bare


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


@asynccontextmanager
async def git_daemon(folder: Path, port: int | None = None) -> AsyncIterator[str]:
    """Serve what is below `folder`; yields the beginning of its URLs."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        "/usr/lib/git-core/git-daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}",
        "--export-all", "--reuseaddr", "--informative-errors", "--log-destination=none", str(folder),
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while not await _is_served(port):
                await asyncio.sleep(0.02)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _is_served(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class HttpOrigin(ThreadingHTTPServer):
    """Repositories by plain HTTP. What is asked for may be refused with a status, or wait for `released`."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.refusals: dict[str, int] = {}
        self.asked = 0
        self.released = threading.Event()
        self.released.set()

    @property
    def url(self) -> str:
        """The beginning of its URLs."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: HttpOrigin

    def do_GET(self) -> None:
        self.server.asked += 1
        status = next((code for part, code in self.server.refusals.items() if part in self.path), None)
        if status is None:
            if "/objects/" in self.path:
                self.server.released.wait()
            super().do_GET()
            return
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="shop"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@contextmanager
def http_origin(folder: Path) -> Iterator[HttpOrigin]:
    """Serve what is below `folder`."""
    server = HttpOrigin(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
