"""The artifact server over a real socket, read by a real TUF client and by raw requests."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.errors import ArtifactsNotInitialised, KeysUnusable
from zlh_api.artifacts.serving import tree_files
from zlh_api.artifacts.serving.server import ArtifactServer, ServerSettings
from zlh_api.artifacts.signing.keys import read_trusted_root
from zlh_api.artifacts.signing.publish import publish_catalog, refresh_timestamp
from zlh_api.artifacts.signing.renewal import ResignFailed
from zlh_api.listening import AddressUnusable, PortInUse
from zlh_common.clock import SystemClock
from zlh_common.pace import Rate
from zlh_common.signed_catalog import CatalogExpired, CatalogUntrusted, fetch_catalog

ARCHIVE = "/archives/tiny/tiny-1.0-linux-x86_64.tar.zst"


@pytest.fixture
async def server(published: Workshop) -> AsyncIterator[ArtifactServer]:
    """Serve the published tree on a free port."""
    async with ArtifactServer(ServerSettings(published.tree, published.keys, port=0)) as running:
        yield running


@pytest.fixture
async def client(server: ArtifactServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client of that server."""
    async with aiohttp.ClientSession(server.url, auto_decompress=False) as session:
        yield session


def count_descriptors() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def raw_request(server: ArtifactServer, request: bytes) -> bytes:
    """Send bytes as they are and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_client_gets_the_catalog_and_the_archive_that_it_names(
    server: ArtifactServer, client: aiohttp.ClientSession, published: Workshop, tmp_path: Path
) -> None:
    """The agents' own reader believes the server, and the archive has the signed hash."""
    catalog = await asyncio.to_thread(
        fetch_catalog,
        artifacts_urls=(server.url,),
        trusted_root=await asyncio.to_thread(read_trusted_root, published.keys),
        metadata_dir=tmp_path / "client",
    )
    artifact = catalog.runtimes[0].versions[0].artifacts[0]
    async with client.get(f"/{artifact.path}") as answer:
        body = await answer.read()
    assert len(body) == artifact.size
    assert body == (published.tree / artifact.path).read_bytes()


async def test_client_refuses_a_catalog_of_other_keys(
    server: ArtifactServer, published: Workshop, tmp_path: Path
) -> None:
    """A server with keys of its own convinces nobody."""
    stranger = Workshop(tmp_path / "stranger")
    stranger.add_recipe("6.6.6")
    await asyncio.to_thread(stranger.build)
    await asyncio.to_thread(stranger.publish)
    strange_root = await asyncio.to_thread(read_trusted_root, stranger.keys)
    with pytest.raises(CatalogUntrusted):
        await asyncio.to_thread(
            fetch_catalog,
            artifacts_urls=(server.url,),
            trusted_root=strange_root,
            metadata_dir=tmp_path / "client",
        )


async def test_client_refuses_a_rollback(server: ArtifactServer, published: Workshop, tmp_path: Path) -> None:
    """Whoever has seen the new catalog cannot be given the old one again."""

    def read() -> int:
        catalog = fetch_catalog(
            artifacts_urls=(server.url,),
            trusted_root=read_trusted_root(published.keys),
            metadata_dir=tmp_path / "client",
        )
        return len(catalog.runtimes[0].versions)

    shutil.copytree(published.tree / "metadata", tmp_path / "old")
    published.add_recipe("2.0")
    await asyncio.to_thread(published.build)
    await asyncio.to_thread(published.publish)
    assert await asyncio.to_thread(read) == 2
    shutil.copytree(tmp_path / "old", published.tree / "metadata", dirs_exist_ok=True)
    with pytest.raises(CatalogUntrusted):
        await asyncio.to_thread(read)


async def test_start_renews_signatures_that_had_run_out(published: Workshop, tmp_path: Path) -> None:
    """A laptop that was off for a month serves a valid catalog from its first answer on."""
    past = datetime.now(UTC) - timedelta(days=30)
    await asyncio.to_thread(refresh_timestamp, published.tree, published.keys, now=past)

    def read(url: str) -> None:
        fetch_catalog(
            artifacts_urls=(url,), trusted_root=read_trusted_root(published.keys), metadata_dir=tmp_path / "client"
        )

    async with ArtifactServer(ServerSettings(published.tree, published.keys, port=0)) as running:
        await asyncio.to_thread(read, running.url)
        await asyncio.to_thread(publish_catalog, published.tree, published.keys, now=past)
        with pytest.raises(CatalogExpired):
            await asyncio.to_thread(read, running.url)
        await running.renew()
        await asyncio.to_thread(read, running.url)


async def test_a_client_that_keeps_many_connections_takes_none_of_others(published: Workshop) -> None:
    """One more than its share is closed at once, and one that ends makes room for another of the same client."""
    settings = ServerSettings(published.tree, published.keys, port=0, from_one_address=4)
    async with ArtifactServer(settings) as running, AsyncExitStack() as opened:

        async def connect() -> asyncio.StreamReader:
            made = await asyncio.open_connection("127.0.0.1", running.port, local_addr=("127.0.0.2", 0))
            opened.callback(made[1].close)
            made[1].write(b"GET /healthz HTTP/1.1\r\n")
            kept.append(made)
            return made[0]

        kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(4):
            await connect()
        async with asyncio.timeout(60):
            assert await (await connect()).read() == b""
        async with aiohttp.ClientSession(running.url) as session, session.get("/healthz") as answer:
            assert answer.status == 200
        kept[0][1].write(b"Host: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(60):
            assert b" 200 " in await kept[0][0].readline()
            await kept[0][0].read()
            reader = await connect()
            kept[-1][1].write(b"Host: a\r\n\r\n")
            assert b" 200 " in await reader.readline()


async def test_the_log_of_a_client_that_asks_and_asks_has_its_bounds(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was left out is counted in the next line."""
    monkeypatch.setattr("zlh_api.artifacts.serving.server.LINES", Rate(at_once=2, per_s=0.0))
    with capture_logs() as lines:
        for _ in range(9):
            async with client.get("/none") as answer:
                assert answer.status == 404
        told = [line for line in lines if line["event"] == "request.served"]
        assert len(told) == 2
        monkeypatch.setattr("zlh_api.artifacts.serving.server.LINES", Rate(at_once=2, per_s=1e9))
        async with client.get("/none") as answer:
            assert answer.status == 404
    assert [line.get("lines_left_out") for line in lines if line["event"] == "request.served"] == [None, None, 7]


async def test_health_says_until_when_the_catalog_holds(
    server: ArtifactServer, client: aiohttp.ClientSession, published: Workshop
) -> None:
    """200 while clients can believe it, 503 once it has expired."""
    async with client.get("/healthz") as answer:
        assert answer.status == 200
        assert (await answer.json())["status"] == "ok"
    past = datetime.now(UTC) - timedelta(days=30)
    await asyncio.to_thread(refresh_timestamp, published.tree, published.keys, now=past)
    async with client.get("/healthz") as answer:
        assert answer.status == 503
        assert (await answer.json())["status"] == "catalog_expired"


async def test_health_says_in_time_that_the_targets_key_is_needed(published: Workshop) -> None:
    """It is kept elsewhere, and somebody has to bring it within two months."""
    past = datetime.now(UTC) - timedelta(days=310)
    await asyncio.to_thread(publish_catalog, published.tree, published.keys, now=past)
    (published.keys / "targets.pem").rename(published.home / "targets.pem")
    async with (
        ArtifactServer(ServerSettings(published.tree, published.keys, port=0)) as running,
        aiohttp.ClientSession(running.url) as session,
        session.get("/healthz") as answer,
    ):
        body = await answer.json()
    assert (answer.status, body["status"]) == (200, "ok")
    assert "the targets key is not here" in body["message"]


async def test_download_is_resumed_where_it_broke(client: aiohttp.ClientSession, published: Workshop) -> None:
    """Two ranges make the file; the tag of the first guards the second."""
    async with client.get(ARCHIVE, headers={"Range": "bytes=0-99"}) as answer:
        assert answer.status == 206
        first, tag = await answer.read(), answer.headers["ETag"]
    async with client.get(ARCHIVE, headers={"Range": "bytes=100-", "If-Range": tag}) as answer:
        assert answer.status == 206
        rest = await answer.read()
    content = (published.tree / ARCHIVE[1:]).read_bytes()
    assert first + rest == content
    async with client.get(ARCHIVE, headers={"Range": "bytes=100-", "If-Range": '"other"'}) as answer:
        assert (answer.status, await answer.read()) == (200, content)


async def test_head_and_conditions_send_no_body(client: aiohttp.ClientSession, published: Workshop) -> None:
    """HEAD has the right length; a client that has the file gets 304."""
    async with client.head(ARCHIVE) as answer:
        assert int(answer.headers["Content-Length"]) == (published.tree / ARCHIVE[1:]).stat().st_size
        assert "immutable" in answer.headers["Cache-Control"]
        tag = answer.headers["ETag"]
    async with client.get(ARCHIVE, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/archives/tiny/none.tar.zst", 404, "artifact_file_unknown"),
        ("GET", "/archives/tiny", 404, "artifact_file_unknown"),
        ("GET", "/", 404, "artifact_file_unknown"),
        ("PUT", ARCHIVE, 405, "artifacts_read_only"),
        ("GET", ARCHIVE, 416, "range_unsatisfiable"),
    ],
)
async def test_refusals_are_problem_documents(
    client: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    """Status, content type and code say what was wrong."""
    async with client.request(method, path, headers={"Range": "bytes=99999999-"}) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["code"] == code


@pytest.mark.parametrize(
    "path",
    [b"/../keys/root.pem", b"/metadata/../../keys/root.pem", b"/metadata/%2e%2e/%2e%2e/keys/root.pem",
     b"/metadata/..%2f..%2fkeys%2froot.pem", b"/.lock", b"/archives/tiny/.secret", b"//keys/root.pem",
     b"/archives/tiny/link.tar.zst", b"/archives/out/passwd", b"/archives/tiny/fifo", b"/metadata/root.json%00.json",
     b"/targets/" + b"a" * 5000],
)  # fmt: skip
async def test_nothing_outside_the_tree_is_served(server: ArtifactServer, published: Workshop, path: bytes) -> None:
    """Parents, links out of the tree, dot files, pipes and long names all end in the same 404."""
    folder = published.tree / "archives/tiny"
    (folder / ".secret").write_text("secret")
    (folder / "link.tar.zst").symlink_to(published.keys / "root.pem")
    (published.tree / "archives/out").symlink_to("/etc")
    os.mkfifo(folder / "fifo")
    answer = await raw_request(server, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] in {b"404", b"400"}
    assert b"PRIVATE" not in answer
    assert b"secret" not in answer.lower().replace(b".secret", b"")


async def test_client_that_goes_away_leaves_nothing_open(server: ArtifactServer, published: Workshop) -> None:
    """A broken download costs neither a descriptor nor the server."""
    big = published.tree / "archives/tiny/big.tar.zst"
    big.write_bytes(bytes(64_000_000))
    before = count_descriptors()
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /archives/tiny/big.tar.zst HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(100_000)
        writer.transport.abort()
    async with asyncio.timeout(10):
        while count_descriptors() > before:
            await asyncio.sleep(0.05)


async def test_clients_that_do_not_read_are_hung_up_on(
    server: ArtifactServer, published: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a connection and a file; one that reads slowly gets all of it, however long that takes."""
    # Longer than a busy machine keeps the slow one from its next piece, and much shorter than all of its pieces take.
    monkeypatch.setattr(tree_files, "PIECE_S", 3)
    big = published.tree / "archives/tiny/big.tar.zst"
    big.write_bytes(bytes(24_000_000))
    request = b"GET /archives/tiny/big.tar.zst HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    slow, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    stalled = [await asyncio.open_connection("127.0.0.1", server.port, limit=1) for _ in range(20)]
    before = count_descriptors()
    for _, one in stalled:
        one.write(request)
    received = 0
    while block := await slow.read(1_000_000):
        received += len(block)
        await asyncio.sleep(0.04)
    assert received > 24_000_000
    async with asyncio.timeout(10):
        while count_descriptors() > before - len(stalled):
            await asyncio.sleep(0.05)
    for _, one in [(slow, writer), *stalled]:
        one.close()


async def test_port_in_use_is_named_with_its_setting(server: ArtifactServer, published: Workshop) -> None:
    """The message has address, port and what changes it."""
    settings = ServerSettings(published.tree, published.keys, port=server.port, port_setting="ZLH_ARTIFACTS_PORT")
    with pytest.raises(PortInUse, match=f"{server.port} on 127.0.0.1.*ZLH_ARTIFACTS_PORT"):
        async with ArtifactServer(settings):
            pass


async def test_address_of_another_machine_is_refused(published: Workshop) -> None:
    """An address that is not ours is not a port in use."""
    with pytest.raises(AddressUnusable):
        async with ArtifactServer(ServerSettings(published.tree, published.keys, "192.0.2.1", 0)):
            pass


async def test_start_without_a_catalog_says_what_to_run(workshop: Workshop) -> None:
    """An empty folder is not served."""
    with pytest.raises(ArtifactsNotInitialised, match="publish"):
        async with ArtifactServer(ServerSettings(workshop.tree, workshop.keys, port=0)):
            pass


async def test_start_refuses_keys_within_the_tree(published: Workshop) -> None:
    """Keys below a served folder would be one mistake from being public."""
    inside = published.tree / "archives" / "keys"
    shutil.copytree(published.keys, inside)
    with pytest.raises(KeysUnusable, match="served"):
        async with ArtifactServer(ServerSettings(published.tree, inside, port=0)):
            pass


async def test_start_with_a_foreign_catalog_is_refused(published: Workshop) -> None:
    """What the child will not sign is not served as if it were fresh; the reason is passed on."""
    timestamp = published.tree / "metadata/timestamp.json"
    document = json.loads(timestamp.read_text())
    document["signed"]["expires"] = "2030-01-01T00:00:00Z"
    timestamp.write_text(json.dumps(document))
    with pytest.raises(ResignFailed, match=r"timestamp\.json"):
        async with ArtifactServer(ServerSettings(published.tree, published.keys, port=0)):
            pass


class _Tomorrow(SystemClock):
    """A clock that is ahead once it is told so."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def test_running_server_renews_when_a_day_has_passed(
    published: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock decides, so that a laptop that slept is back in time."""
    monkeypatch.setattr("zlh_api.artifacts.signing.renewal.LOOK_EVERY_S", 0.05)
    clock = _Tomorrow()
    settings = ServerSettings(published.tree, published.keys, port=0)
    async with ArtifactServer(settings, clock=clock):
        assert (published.tree / "metadata/2.snapshot.json").exists()
        await asyncio.sleep(0.3)
        assert not (published.tree / "metadata/3.snapshot.json").exists()
        clock.ahead = timedelta(days=1, seconds=1)
        async with asyncio.timeout(20):
            while not (published.tree / "metadata/3.snapshot.json").exists():
                await asyncio.sleep(0.05)


def test_loopback_is_all_that_is_bound_by_default() -> None:
    """Nobody else reads artifacts unless an operator says so."""
    assert socket.inet_aton(ServerSettings(Path("a"), Path("b")).host)[0] == 127
