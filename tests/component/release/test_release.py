"""A release as somebody gets it: installed without the checkout, without Node and without a compiler."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from component.api.conftest import Postgres, postgres
from guards.ports import free_port
from real_parts.release import build_release, install_release

__all__ = ["postgres"]
PATIENCE_S = 120.0
pytestmark = [pytest.mark.real("package-index", "portal"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend the release of this checkout."""
    dist = tmp_path_factory.mktemp("dist")
    yield build_release(dist, "--without-templates")
    shutil.rmtree(dist)


@pytest.fixture(scope="module")
def installed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install it into an environment of its own, from a folder that has nothing to do with it; lend that."""
    place = tmp_path_factory.mktemp("installed")
    yield install_release(release, place)
    shutil.rmtree(place)


@pytest.fixture
async def empty_dsn(postgres: Postgres) -> AsyncIterator[str]:
    """Lend a database in which nothing is."""
    name = f"r{uuid4().hex}"
    await postgres.execute(f"create database {name}")
    yield postgres.dsn(name)
    await postgres.execute(f"drop database {name} with (force)")


def run(installed: Path, *arguments: str, cwd: Path) -> str:
    """Run the installed program, which knows nothing of this checkout; return what it prints."""
    program = [str(installed / "bin/zlh-api"), *arguments]
    done = subprocess.run(program, check=False, capture_output=True, text=True, cwd=cwd, env=environment(cwd))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(home: Path) -> dict[str, str]:
    """Return an environment without a Node and without a way to this checkout."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "ZLH_HOME": str(home)}


def test_sums_are_of_every_file(release: Path) -> None:
    """`sha256sum --check` is content, and nothing lies in the release that it does not name."""
    check = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
    subprocess.run(check, check=True, cwd=release)
    named = {line.split("  ", 1)[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert named == {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    notes = (release / "RELEASE.md").read_text()
    assert all(f"`{name}`" in notes for name in named - {"RELEASE.md"})


def test_release_twice_is_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """Elsewhere and later: whoever has the checkout can see what a release was made of."""
    again = build_release(tmp_path / "another/place", "--without-templates")

    def digests(folder: Path) -> dict[str, str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert digests(again) == digests(release)


def test_installed_release_offers_its_agent(release: Path, installed: Path, tmp_path: Path) -> None:
    """`import`, `publish` and `verify` of the installed program, on the folder as it was unpacked."""
    run(installed, "artifacts", "init", cwd=tmp_path)
    assert "taken in" in run(installed, "artifacts", "import", str(release), cwd=tmp_path)
    run(installed, "artifacts", "publish", cwd=tmp_path)
    assert "everything is as signed" in run(installed, "artifacts", "verify", cwd=tmp_path)
    listed = run(installed, "artifacts", "list", cwd=tmp_path)
    assert listed.split()[:3] == ["agent", "zlh-agent", run(installed, "--version", cwd=tmp_path).strip()]


async def test_installed_release_serves_api_and_portal(installed: Path, empty_dsn: str, tmp_path: Path) -> None:
    """check-config, migrate and serve: health, the portal's page and what that loads, without Node and checkout."""
    port = free_port()
    config = await asyncio.to_thread(write_config, tmp_path, empty_dsn, port)
    assert "can be used" in await asyncio.to_thread(run, installed, "check-config", "--config", config, cwd=tmp_path)
    assert "Applied: 1" in await asyncio.to_thread(run, installed, "migrate", "--config", config, cwd=tmp_path)
    server = await asyncio.create_subprocess_exec(
        str(installed / "bin/zlh-api"), "serve", "--config", config, cwd=tmp_path, env=environment(tmp_path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            health = await wait_answered(session, server, "/api/healthz")
            assert '"status"' in health
            page = await wait_answered(session, server, "/")
            script = page.split('<script type="module"', 1)[1].split('src="', 1)[1].split('"', 1)[0]
            assert len(await wait_answered(session, server, script)) > 1000
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def wait_answered(session: aiohttp.ClientSession, server: asyncio.subprocess.Process, path: str) -> str:
    """Return the text of a page, once the server answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert server.returncode is None, "the server has ended"
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(path) as answer:
                    text = await answer.text()
                    assert answer.status in {200, 503}, text
                    return text
            await asyncio.sleep(0.1)


def write_config(folder: Path, dsn: str, port: int) -> str:
    """Write a configuration whose proxy is not there, and which no container is asked of; return its path."""
    (folder / "root.json").write_text("{}")
    (folder / "routes").mkdir()
    path = folder / "api.toml"
    path.write_text(
        f"""
listen_port = {port}
portal_url = "http://portal.localhost:{port}"
container_domain = "localhost"
container_scheme = "http"
container_port = {port}
keys_dir = "{folder}/keys"
state_dir = "{folder}/state"
[database]
dsn = "{dsn}"
[artifacts]
url = "http://127.0.0.1:{free_port()}"
trusted_root = "{folder}/root.json"
[process]
root = "{folder}/guests"
[traefik]
directory = "{folder}/routes"
api_url = "http://127.0.0.1:{free_port()}"
web_url = "http://127.0.0.1:{free_port()}"
"""
    )
    return str(path)
