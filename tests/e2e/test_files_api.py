"""Files of a real container by the public name: through the proxy, the API and the agent, to its disk and back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
import zstandard

from e2e.files_by_proxy import PIECE, TUS, Cutter, Files
from e2e.stack import WAIT_S, Stack
from guards.ports import free_port

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
BIG_BYTES = 300_000_000
# How much an API or an agent may grow while so much goes through: far more than the blocks that are under way at a
# time (a few of 1 MiB at most), far less than a body that is held.
GROWTH_BYTES = 8 * MIB
FILE_PATIENCE = pytest.mark.timeout(600)


@pytest.fixture
async def files(stack: Stack, vmid: int) -> AsyncIterator[Files]:
    """The files of a container; its workspace is empty afterwards."""
    files = Files(stack, vmid)
    yield files
    for row in (await files.call("GET", "/uploads")).json["items"]:
        await files.call("DELETE", f"/uploads/{row['id']}", headers=TUS)
    listed = await files.call("GET", query={"limit": "1000"})
    for entry in listed.json["entries"]:
        assert (await files.work("DELETE", query={"path": entry["name"]}))["state"] == "done"


def noise(size: int) -> bytes:
    """Return bytes that no compression makes smaller, the same ones each time."""
    return random.Random(size).randbytes(size)


def coded(**values: str) -> str:
    """Return what an upload says of its file, as a header."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


async def run(*command: str, code: int = 0) -> bytes:
    """Run a program and return what it printed; it must end with this code."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await child.communicate()
    assert child.returncode == code, (command[0], child.returncode, out[-2000:], err[-2000:])
    return out


async def test_the_roots_are_told_with_their_room(files: Files) -> None:
    """A dev container offers its workspace, by default, and its home; the disk has room."""
    told = await files.call("GET", "/roots")
    roots = {root["name"]: root for root in told.json["roots"]}
    assert set(roots) == {"workspace", "home"}
    assert [name for name, root in roots.items() if root["isDefault"]] == ["workspace"]
    assert roots["workspace"]["room"]["freeBytes"] > 0
    assert told.json["uploadChunkBytes"] == 90_000_000


async def test_a_file_is_written_looked_at_and_read(files: Files) -> None:
    """All of it, one stretch of it, nothing where it is known, and nothing where another version is meant."""
    body = noise(3 * MIB + 1)
    put = await files.write("src/a b.bin", body)
    assert put.status == 201, put.json
    tag = put.headers["ETag"]
    assert tag == f'"{put.json["version"]}"'
    got = await files.read("src/a b.bin")
    assert (got.status, got.body, got.headers["ETag"]) == (200, body, tag)
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    part = await files.read("src/a b.bin", Range="bytes=1000000-1000009", If_Range=tag)
    assert (part.status, part.body) == (206, body[1_000_000:1_000_010])
    assert (await files.read("src/a b.bin", If_None_Match=tag)).status == 304
    other = await files.read("src/a b.bin", If_Match='"another"')
    assert (other.status, other.json["code"]) == (412, "file_changed")
    beyond = await files.read("src/a b.bin", Range=f"bytes={len(body)}-")
    assert (beyond.status, beyond.json["code"]) == (416, "range_unsatisfiable")
    head = await files.call("HEAD", "/content", query={"path": "src/a b.bin"})
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(body)), b"")
    stat = await files.call("GET", "/stat", query={"path": "src/a b.bin"})
    assert (stat.json["kind"], stat.json["size"], stat.json["version"]) == ("file", len(body), put.json["version"])


async def test_a_write_keeps_to_its_conditions(files: Files) -> None:
    """What somebody else has changed, what is there already and what has another hash is not put in place."""
    first = await files.write("a.txt", b"one")
    again = await files.call("PUT", "/content", query={"path": "a.txt"}, data=b"x", headers={"If-None-Match": "*"})
    assert (again.status, again.json["code"]) == (412, "file_already_there")
    second = await files.call(
        "PUT", "/content", query={"path": "a.txt"}, data=b"two", headers={"If-Match": first.headers["ETag"]}
    )
    assert second.status == 200, second.json
    late = await files.call(
        "PUT", "/content", query={"path": "a.txt"}, data=b"three", headers={"If-Match": first.headers["ETag"]}
    )
    assert (late.status, late.json["code"]) == (412, "file_changed")
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    hashed = await files.call(
        "PUT", "/content", query={"path": "a.txt"}, data=b"four", headers={"Repr-Digest": f"sha-256=:{wrong}:"}
    )
    assert (hashed.status, hashed.json["code"]) == (422, "file_hash_wrong")
    assert (await files.read("a.txt")).body == b"two"
    names = [entry["name"] for entry in (await files.call("GET")).json["entries"]]
    assert names == ["a.txt"]


async def test_a_folder_is_listed_page_by_page(files: Files) -> None:
    """Pages in the order that was asked for are the whole, each once; what is hidden is left out on demand."""
    for name, size in (("b", 3), ("c", 1), ("a", 2), (".hidden", 4)):
        await files.write(f"d/{name}", b"x" * size)
    asked = {"path": "d", "limit": "2", "sort": "size", "descending": "true", "hidden": "false"}
    first = (await files.call("GET", query=asked)).json
    second = (await files.call("GET", query={**asked, "after": first["next"]})).json
    names = [entry["name"] for page in (first, second) for entry in page["entries"]]
    assert names == ["b", "a", "c"]
    assert "next" not in second


async def test_files_are_made_moved_and_given_rights(files: Files) -> None:
    """Each answers with what is there afterwards, and refuses with what is in the way."""
    made = await files.call("POST", "/mkdir", json={"path": "one/two", "parents": True})
    assert (made.status, made.json["kind"]) == (201, "dir")
    await files.write("run.sh", b"#!/bin/sh\n", mode="0600")
    moved = await files.call("POST", "/move", json={"path": "run.sh", "to": "one/two/run.sh"})
    assert (moved.status, moved.json["mode"]) == (200, "0600")
    changed = await files.call("POST", "/chmod", json={"path": "one/two/run.sh", "mode": "0755"})
    assert (changed.status, changed.json["mode"]) == (200, "0755")
    again = await files.call("POST", "/mkdir", json={"path": "one"})
    assert (again.status, again.json["code"]) == (409, "file_exists")
    gone = await files.call("GET", "/stat", query={"path": "run.sh"})
    assert (gone.status, gone.json["code"]) == (404, "path_not_found")
    out = await files.call("POST", "/move", json={"path": "one", "to": "../../one"})
    assert (out.status, out.json["code"]) == (403, "path_outside")


async def test_work_that_may_take_long_comes_to_its_end(files: Files) -> None:
    """A tree is copied, packed, unpacked, measured and removed, and each is in the list of what was done."""
    body = noise(100_000)
    await files.write("tree/deep/a.bin", body)
    await files.write("tree/b.txt", b"needle in the hay\n")
    rows = [
        await files.work("POST", "/copy", json={"path": "tree", "to": "copied"}),
        await files.work("POST", "/archive", json={"paths": ["copied"], "to": "copied.tar.zst"}),
        await files.work("POST", "/extract", json={"path": "copied.tar.zst", "to": "back"}),
        await files.work("POST", "/checksum", json={"path": "back/copied/deep/a.bin"}),
        await files.work("POST", "/measure", json={"path": "back"}),
        await files.work("DELETE", query={"path": "tree"}),
    ]
    assert [row["state"] for row in rows] == ["done"] * len(rows), rows
    assert rows[3]["result"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert (rows[4]["result"]["files"], rows[4]["result"]["bytes"]) == (2, len(body) + 18)
    listed = (await files.call("GET", "/operations")).json["items"]
    assert {row["id"] for row in rows} <= {row["id"] for row in listed}
    found = await files.call("GET", "/search", query={"path": "", "name": "*.txt", "text": "NEEDLE"})
    assert [item["path"] for item in found.json["items"]] == ["back/copied/b.txt", "copied/b.txt"]
    taken = await files.call("POST", "/copy", json={"path": "copied", "to": "back/copied"})
    assert (taken.status, taken.json["code"]) == (409, "file_exists")


async def test_an_operation_is_cancelled(files: Files) -> None:
    """Where it had not ended by itself, what was asked is told as cancelled, and nothing of it is left."""
    for number in range(4):
        await files.write(f"big/{number}", noise(8 * MIB))
    asked = await files.call("POST", "/copy", json={"path": "big", "to": "copy"})
    cancelled = await files.call("DELETE", f"/operations/{asked.json['id']}")
    assert cancelled.status == 200
    end = (await files.call("GET", f"/operations/{asked.json['id']}")).json
    names = {entry["name"] for entry in (await files.call("GET")).json["entries"]}
    assert (end["state"], names) in (("cancelled", {"big"}), ("done", {"big", "copy"}))
    unknown = await files.call("GET", f"/operations/{'0' * 32}")
    assert (unknown.status, unknown.json["code"]) == (404, "operation_not_found")


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.zst"])
async def test_folders_come_as_an_archive(files: Files, form: str) -> None:
    """An archive that is made while it is sent is whole, and other programs read it."""
    await files.write("one/a.txt", b"first")
    await files.write("two.txt", b"second")
    query = [("path", "one"), ("path", "two.txt"), ("format", form)]
    got = await files.call("GET", "/archive", query=query)
    assert got.status == 200, got.json
    if form == "zip":
        archive = zipfile.ZipFile(io.BytesIO(got.body))
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    else:
        found = await asyncio.to_thread(untar, got.body, form)
    assert found == {"one/a.txt": b"first", "two.txt": b"second"}


def untar(body: bytes, form: str) -> dict[str, bytes]:
    """Return the files of a tar."""
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(body) if form == "tar.zst" else body
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz" if form == "tar.gz" else "r:") as archive:
        return {
            member.name: taken.read()
            for member in archive
            if member.isfile() and (taken := archive.extractfile(member)) is not None
        }


async def test_an_upload_goes_on_piece_by_piece(files: Files) -> None:
    """It is made, looked at, listed, refused where a piece is wrong, and put in place by its last piece."""
    body = noise(200_000)
    offers = await files.call("OPTIONS", "/uploads")
    assert (offers.status, offers.headers["Tus-Version"]) == (204, "1.0.0")
    said = {"Upload-Length": str(len(body)), "Upload-Metadata": coded(path="new/up.bin", parents="true")}
    made = await files.call("POST", "/uploads", data=body[:1000], headers={**PIECE, **said})
    assert (made.status, made.headers["Upload-Offset"]) == (201, "1000"), made.json
    assert made.headers["Location"].startswith(f"{files.path}/uploads/")
    one = made.headers["Location"].removeprefix(files.path)
    (row,) = (await files.call("GET", "/uploads")).json["items"]
    assert (row["path"], row["offset"], row["size"]) == ("new/up.bin", 1000, len(body))
    wrong = await files.call("PATCH", one, data=b"x", headers={**PIECE, "Upload-Offset": "5"})
    assert (wrong.status, wrong.json["code"]) == (409, "upload_offset_wrong")
    checksum = "sha1 " + base64.b64encode(hashlib.sha1(b"other", usedforsecurity=False).digest()).decode()
    torn = await files.call(
        "PATCH", one, data=body[1000:2000], headers={**PIECE, "Upload-Offset": "1000", "Upload-Checksum": checksum}
    )
    assert (torn.status, torn.json["code"]) == (460, "upload_piece_wrong")
    old = await files.call("HEAD", one, headers={"Tus-Resumable": "0.2.2"})
    assert old.status == 412
    looked = await files.call("HEAD", one, headers=TUS)
    assert (looked.status, looked.headers["Upload-Offset"], looked.headers["Upload-Length"]) == (200, "1000", "200000")
    last = await files.call("PATCH", one, data=body[1000:], headers={**PIECE, "Upload-Offset": "1000"})
    assert (last.status, last.headers["Upload-Offset"]) == (204, "200000"), last.json
    assert (await files.read("new/up.bin")).body == body
    assert (await files.call("GET", "/uploads")).json["items"] == []


async def test_an_upload_is_given_up(files: Files) -> None:
    """Nothing of it is left, neither in the list nor in the folder."""
    said = {"Upload-Length": "10", "Upload-Metadata": coded(filename="up.bin", folder="")}
    made = await files.call("POST", "/uploads", headers={**TUS, **said})
    one = made.headers["Location"].removeprefix(files.path)
    assert (await files.call("DELETE", one, headers=TUS)).status == 204
    assert (await files.call("HEAD", one, headers=TUS)).status == 404
    assert (await files.call("GET", "/uploads")).json["items"] == []
    assert (await files.call("GET")).json["entries"] == []


async def test_curl_writes_reads_and_goes_on(files: Files, tmp_path: Path) -> None:
    """What the documents say of curl: an upload, a stretch, and a download that goes on where it was cut."""
    body = noise(20 * MIB)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(body)
    curl, url = files.curl(), f"{files.url}/content?path=big.bin"
    told = await run(*curl, "-T", str(source), url)
    assert json.loads(told)["size"] == len(body)
    part = await run(*curl, "-r", "5000000-5000099", url)
    assert part == body[5_000_000:5_000_100]
    target.write_bytes(body[: 7 * MIB])
    status = await run(*curl, "-o", str(target), "-C", "-", "-w", "%{http_code} %{size_download}", url)
    assert status.decode().split() == ["206", str(13 * MIB)]
    assert target.read_bytes() == body
    chunked = await run(*curl, "-X", "PUT", "-H", "Transfer-Encoding: chunked", "-T", str(source), f"{url}2")
    assert json.loads(chunked)["size"] == len(body)
    assert (await files.work("POST", "/checksum", json={"path": "big.bin2"}))["result"]["sha256"] == hashlib.sha256(
        body
    ).hexdigest()


async def test_an_upload_of_the_portals_client_survives_a_cut(files: Files, tmp_path: Path) -> None:
    """The connection is cut in the middle of a piece; tus-js-client asks how much has come, and sends the rest."""
    body = noise(24 * MIB)
    source, port = tmp_path / "source", free_port()
    source.write_bytes(body)

    async def has_begun() -> None:
        while not any(row["offset"] for row in (await files.call("GET", "/uploads")).json["items"]):
            await asyncio.sleep(0.05)

    at = urlsplit(files.url)
    assert at.hostname is not None
    assert at.port is not None
    cutter = Cutter(at.hostname, at.port, 12 * MIB, has_begun)
    asked = {
        "endpoint": f"http://127.0.0.1:{port}{files.path}/uploads",
        "file": str(source),
        "path": "by-tus.bin",
        "chunkSize": 90_000_000,
        "headers": files.headers,
    }
    # The one that runs in the container.
    node = files.stack.home / f"containers/{files.vmid}/root/opt/zlh/runtimes/node/current/bin/node"
    async with cutter.listening(port):
        printed = await run(
            str(node),
            str(ROOT / "tests/e2e/tus_upload.mjs"),
            str(ROOT / "packages/zlh_portal/node_modules"),
            json.dumps(asked),
        )
    told: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    assert cutter.was_cut
    assert [(row["method"], row["status"]) for row in told[:-1]] == [("POST", 201), ("HEAD", 200), ("PATCH", 204)]
    assert 0 < int(told[-2]["from"]) < len(body)
    assert (await files.read("by-tus.bin")).body == body


async def watch(processes: dict[str, psutil.Process], most: dict[str, int]) -> None:
    """Keep the most that each has held, until cancelled."""
    while True:
        for name, process in processes.items():
            most[name] = max(most.get(name, 0), process.memory_info().rss)
        await asyncio.sleep(0.05)


@FILE_PATIENCE
async def test_memory_stays_as_it_is_however_large_a_file_is(files: Files, stack: Stack, tmp_path: Path) -> None:
    """Neither API nor agent grows with the size of what goes through them, up or down."""
    source, url = tmp_path / "source", f"{files.url}/content?path=big.bin"

    async def there_and_back(size: int) -> None:
        with source.open("wb") as made:
            os.truncate(made.fileno(), size)
        assert json.loads(await run(*files.curl(), "-T", str(source), url))["size"] == size
        told = await run(*files.curl(), "-o", "/dev/null", "-w", "%{http_code} %{size_download}", url)
        assert told.decode().split() == ["200", str(size)]

    # What is imported and allotted for the first file is no growth.
    await there_and_back(32 * MIB)
    agents, apis = stack.programs("agent"), stack.programs("api")
    (agent,) = (each for each in agents if f"/containers/{files.vmid}/" in " ".join(each.cmdline()))
    (api,) = apis
    processes = {"api": api, "agent": agent}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    most: dict[str, int] = {}
    watching = asyncio.ensure_future(watch(processes, most))
    try:
        await there_and_back(BIG_BYTES)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    grown = {name: most[name] - before[name] for name in most}
    assert all(size <= GROWTH_BYTES for size in grown.values()), (before, grown)


async def test_an_upload_goes_on_after_the_api_was_killed(files: Files) -> None:
    """Its sender is cut off; the process that follows tells how much had come, and takes the rest."""
    body = noise(24 * MIB)
    digest = hashlib.sha256(body).hexdigest()
    said = {"Upload-Length": str(len(body)), "Upload-Metadata": coded(path="killed.bin", sha256=digest)}
    made = await files.call("POST", "/uploads", headers={**TUS, **said})
    assert made.status == 201, made.json
    one, is_killed = made.headers["Location"].removeprefix(files.path), asyncio.Event()

    async def in_two_halves() -> AsyncIterator[bytes]:
        yield body[: 12 * MIB]
        await is_killed.wait()
        yield body[12 * MIB :]

    headers = {**files.headers, **PIECE, "Upload-Offset": "0", "Content-Length": str(len(body))}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        sending = asyncio.create_task(session.patch(files.url + one, data=in_two_halves(), headers=headers))
        async with asyncio.timeout(WAIT_S):
            # The agent writes a block of 1 MiB at a time; to ask for the offset would cut the sender off.
            while not any(entry["size"] for entry in (await files.call("GET")).json["entries"]):
                await asyncio.sleep(0.05)
        (before,) = files.stack.programs("api")
        files.stack.kill("api")
        is_killed.set()
        # The proxy notices with what is sent next, and says so or cuts it off.
        with contextlib.suppress(aiohttp.ClientError):
            assert (await sending).status == 502
    held = await offset_once_back(files, one)
    assert 0 < held < len(body)
    assert [process.pid for process in files.stack.programs("api")] != [before.pid]
    last = await files.call("PATCH", one, data=body[held:], headers={**PIECE, "Upload-Offset": str(held)})
    assert (last.status, last.headers["Upload-Offset"]) == (204, str(len(body))), last.json
    assert hashlib.sha256((await files.read("killed.bin")).body).hexdigest() == digest


async def offset_once_back(files: Files, upload: str) -> int:
    """Return how much of an upload has come, once there is an API that knows its agent."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                looked = await files.call("HEAD", upload, headers=TUS)
                if looked.status == 200:
                    return int(looked.headers["Upload-Offset"])
                assert looked.status in {409, 502, 503}, looked.status
            await asyncio.sleep(0.1)
