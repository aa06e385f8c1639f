"""Files of a real agent over mutual TLS: looked at, read in ranges, changed, and work that may take long."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from component.agent.harness import OWNER, AgentProcess, code_of, eventually
from zlh_common.names import agent_name

MIB = 1024 * 1024


@pytest.fixture
async def workspace(agent: AgentProcess) -> Path:
    """Return the folder whose files are worked on."""
    folder = agent.root / "home/dev/workspace"
    await eventually(folder.is_dir)
    return folder


async def ask(agent: AgentProcess, method: str, where: str, /, **body: object) -> tuple[int, dict[str, Any]]:
    """Make a call; return status and document."""
    options: dict[str, Any] = {"data": msgspec.json.encode(body)} if body else {}
    status, raw = await agent.call(method, where, **options)
    return status, msgspec.json.decode(raw)


async def test_a_folder_is_listed_in_pages(agent: AgentProcess, workspace: Path) -> None:
    """Each name once, in order, also one that is no UTF-8."""
    names = [b"a", b"b", b"\xff", "é".encode(), b"z"]
    for name in names:
        (workspace / os.fsdecode(name)).touch()
    found, after = [], ""
    while True:
        status, page = await ask(agent, "GET", f"/files?path=&limit=2&after={after}")
        assert status == 200
        found += [entry["name"] for entry in page["entries"]]
        after = str(page.get("next", ""))
        if not after:
            break
    assert found == ["a", "b", "z", "é", "\U0010feff"]
    status, entry = await ask(agent, "GET", "/files/stat?path=%F4%8F%BB%BF")
    assert (status, entry["kind"]) == (200, "file")


@pytest.mark.parametrize(
    ("asked", "status", "meant"),
    [("bytes=0-9", 206, slice(0, 10)), ("bytes=-3", 206, slice(-3, None)), ("bytes=5-", 206, slice(5, None)),
     ("nonsense", 200, slice(None))],
)  # fmt: skip
async def test_a_part_of_a_file_is_read(
    asked: str, status: int, meant: slice, *, agent: AgentProcess, workspace: Path
) -> None:
    """With its place in the whole, and as a file to keep, never to be shown."""
    content = os.urandom(3 * MIB)
    (workspace / "a b.html").write_bytes(content)
    connector = aiohttp.TCPConnector(ssl=agent.context)
    url = f"https://{agent.address}:{agent.port}/files/content?path=a b.html"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers={"Range": asked}, server_hostname=agent_name(OWNER)) as response,
    ):
        assert (response.status, await response.read()) == (status, content[meant])
        assert response.headers["Content-Disposition"] == 'attachment; filename="a b.html"'
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Security-Policy"] == "sandbox"


async def test_conditions_on_a_file_hold(agent: AgentProcess, workspace: Path) -> None:
    """What a client has already is not sent again, and a range beyond the end is refused."""
    (workspace / "a").write_bytes(b"content")
    _, entry = await ask(agent, "GET", "/files/stat?path=a")
    headers = {"If-None-Match": f'"{entry["version"]}"'}
    assert (await agent.call("GET", "/files/content?path=a", headers=headers))[0] == 304
    status, body = await agent.call("GET", "/files/content?path=a", headers={"Range": "bytes=7-"})
    assert (status, code_of(body)) == (416, "range_unsatisfiable")
    connector = aiohttp.TCPConnector(ssl=agent.context)
    url = f"https://{agent.address}:{agent.port}/files/content?path=a"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers={"Range": "bytes=7-"}, server_hostname=agent_name(OWNER)) as response,
    ):
        assert response.headers["Content-Range"] == "bytes */7"
    status, body = await agent.call("GET", "/files/content?path=a", headers={"If-Match": '"other"'})
    assert (status, code_of(body)) == (412, "file_changed")
    assert await agent.call("HEAD", "/files/content?path=a") == (200, b"")


async def test_a_file_that_is_cut_while_it_is_sent_does_not_look_whole(agent: AgentProcess, workspace: Path) -> None:
    """The connection ends before as much came as was announced."""
    path = workspace / "a"
    with path.open("wb") as file:
        file.truncate(512 * MIB)
    connector = aiohttp.TCPConnector(ssl=agent.context)
    url = f"https://{agent.address}:{agent.port}/files/content?path=a"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, server_hostname=agent_name(OWNER)) as response,
    ):
        await response.content.readexactly(MIB)
        await asyncio.to_thread(os.truncate, path, 1)
        with pytest.raises(aiohttp.ClientError):
            async for _ in response.content.iter_any():
                pass


async def test_a_log_that_grows_while_it_is_sent_is_sent_as_it_was_announced(
    agent: AgentProcess, workspace: Path
) -> None:
    """What is appended is nobody's change of what was there."""
    path = workspace / "log"
    content = os.urandom(32 * MIB)
    path.write_bytes(content)
    connector = aiohttp.TCPConnector(ssl=agent.context)
    url = f"https://{agent.address}:{agent.port}/files/content?path=log"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, server_hostname=agent_name(OWNER)) as response,
    ):
        begun = await response.content.readexactly(MIB)
        with path.open("ab") as file:
            file.write(b"more")
        assert begun + await response.content.read() == content


async def test_names_and_rights_are_changed(agent: AgentProcess, workspace: Path) -> None:
    """A folder is made, renamed and closed, and each answer says what is there then."""
    status, entry = await ask(agent, "POST", "/files/mkdir", path="a/b", parents=True)
    assert (status, entry["name"], entry["kind"]) == (201, "b", "dir")
    status, entry = await ask(agent, "POST", "/files/move", path="a/b", to="c")
    assert (status, entry["name"]) == (200, "c")
    status, entry = await ask(agent, "POST", "/files/chmod", path="c", mode="0700")
    assert (status, entry["mode"]) == (200, "0700")
    status, refused = await ask(agent, "POST", "/files/chmod", path="c", mode="4755")
    assert (status, refused["code"]) == (422, "mode_not_allowed")
    assert sorted(os.listdir(workspace)) == ["a", "c"]  # noqa: PTH208 - in one call


async def test_nothing_leads_out_of_the_folder(agent: AgentProcess, workspace: Path, tmp_path: Path) -> None:
    """Neither by a path nor by a link; a root that is not offered is none."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (workspace / "link").symlink_to(outside)
    for path in ("link", "../../../../etc/passwd", "/../../x"):
        status, body = await agent.call("GET", f"/files/content?path={path}")
        assert (status, code_of(body)) == (403, "path_outside")
    status, body = await agent.call("GET", "/files?root=etc")
    assert (status, code_of(body)) == (404, "file_root_unknown")
    assert (await ask(agent, "GET", "/files/stat?root=home&path=workspace"))[1]["kind"] == "dir"


async def test_a_tree_is_removed_and_told_of(agent: AgentProcess, workspace: Path) -> None:
    """As an operation, which is kept; what cannot be done is refused."""
    (workspace / "a/b/c").mkdir(parents=True)
    status, body = await agent.call("DELETE", "/files?path=a&recursive=false")
    assert (status, code_of(body)) == (409, "folder_not_empty")
    status, operation = await ask(agent, "DELETE", "/files?path=a")
    assert (status, operation["state"], operation["kind"]) == (200, "done", "delete")
    assert not (workspace / "a").exists()
    assert (await ask(agent, "GET", f"/files/operations/{operation['id']}"))[1] == operation
    listed = (await ask(agent, "GET", "/files/operations"))[1]["items"]
    assert [entry["state"] for entry in listed] == ["done", "failed"]
    assert (await ask(agent, "GET", f"/files/operations/{'0' * 32}"))[1]["code"] == "operation_not_found"


async def test_the_hash_of_a_file_is_told(agent: AgentProcess, workspace: Path) -> None:
    """Of its content, whoever reads it."""
    content = os.urandom(MIB + 1)
    (workspace / "a").write_bytes(content)
    status, operation = await ask(agent, "POST", "/files/checksum", path="a")
    assert status == 200
    assert operation["result"]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_an_operation_that_takes_long_goes_on_and_is_cancelled(agent: AgentProcess, workspace: Path) -> None:
    """A file of a terabyte of nothing would be read for minutes; it is answered meanwhile, and ends when told to."""
    with (workspace / "huge").open("wb") as file:
        file.truncate(2**40)
    status, operation = await ask(agent, "POST", "/files/checksum", path="huge")
    assert (status, operation["state"]) == (202, "running")
    status, ended = await ask(agent, "DELETE", f"/files/operations/{operation['id']}")
    assert (status, ended["state"]) == (200, "cancelled")


async def test_the_roots_are_told_with_their_room(agent: AgentProcess, workspace: Path) -> None:
    """The workspace first, which is meant where a call names none."""
    status, told = await ask(agent, "GET", "/files/roots")
    assert status == 200
    assert [(root["name"], root["isDefault"]) for root in told["roots"]] == [("workspace", True), ("home", False)]
    assert told["roots"][0]["folder"] == str(workspace)
    assert told["roots"][0]["room"]["freeBytes"] > 0


async def test_a_tree_is_copied_and_measured(agent: AgentProcess, workspace: Path) -> None:
    """Whole, and nothing is left beside it; a target that is there is not touched unless it is asked for."""
    (workspace / "a/b").mkdir(parents=True)
    (workspace / "a/b/file").write_bytes(b"content")
    status, operation = await ask(agent, "POST", "/files/copy", path="a", to="c")
    assert (status, operation["state"]) == (200, "done")
    assert (workspace / "c/b/file").read_bytes() == b"content"
    status, refused = await ask(agent, "POST", "/files/copy", path="a", to="c")
    assert (status, refused["code"]) == (409, "file_exists")
    status, operation = await ask(agent, "POST", "/files/measure", path="")
    assert (status, operation["result"]["files"], operation["result"]["bytes"]) == (200, 2, 14)
    assert sorted(os.listdir(workspace)) == ["a", "c"]  # noqa: PTH208 - in one call


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.zst"])
async def test_an_archive_is_made_unpacked_and_streamed(form: str, agent: AgentProcess, workspace: Path) -> None:
    """What comes out is what went in, by either way; nothing hidden is left."""
    (workspace / "a").mkdir()
    content = os.urandom(3 * MIB)
    (workspace / "a/file").write_bytes(content)
    status, operation = await ask(agent, "POST", "/files/archive", paths=["a"], to=f"x.{form}")
    assert (status, operation["state"]) == (200, "done"), operation
    status, body = await agent.call("GET", f"/files/archive?path=a&format={form}")
    assert status == 200
    (workspace / f"y.{form}").write_bytes(body)
    for name in ("x", "y"):
        status, operation = await ask(agent, "POST", "/files/extract", path=f"{name}.{form}", to=name)
        assert (status, operation["state"]) == (200, "done"), operation
        assert (workspace / name / "a/file").read_bytes() == content
    assert sorted(os.listdir(workspace)) == ["a", "x", f"x.{form}", "y", f"y.{form}"]  # noqa: PTH208 - in one call
    status, body = await agent.call("GET", f"/files/archive?path=nothing&format={form}")
    assert (status, code_of(body)) == (404, "path_not_found")


async def test_files_are_found_by_name_and_by_text(agent: AgentProcess, workspace: Path) -> None:
    """With the lines that hold the text."""
    (workspace / "log.txt").write_text("one\ntwo needle\n")
    (workspace / "other").write_text("nothing")
    status, found = await ask(agent, "GET", "/files/search?path=&name=*.txt&text=needle")
    assert status == 200
    assert [(item["path"], item["lines"]) for item in found["items"]] == [
        ("log.txt", [{"number": 2, "text": "two needle"}])
    ]
    status, refused = await ask(agent, "GET", "/files/search?path=")
    assert (status, refused["code"]) == (400, "invalid_body")


async def test_what_an_operation_has_left_at_the_agents_death_is_removed(agent: AgentProcess, workspace: Path) -> None:
    """The copy is told as interrupted by the next agent, and its hidden folder is gone."""
    (workspace / "a").mkdir()
    for number in range(40):
        (workspace / f"a/{number}").write_bytes(os.urandom(8 * MIB))
    copying = asyncio.create_task(ask(agent, "POST", "/files/copy", path="a", to="c"))
    await eventually(lambda: len(os.listdir(workspace)) > 1)  # noqa: PTH208 - in one call
    await agent.kill()
    with pytest.raises(aiohttp.ClientError):
        await copying
    await agent.start()
    await eventually(lambda: set(os.listdir(workspace)) <= {"a", "c"})  # noqa: PTH208 - in one call
    await eventually(lambda: not list((agent.root / "var/lib/zlh/operations").glob("*.json")))


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_work_that_ends_with_its_agent_is_told_by_the_next(
    agent: AgentProcess, workspace: Path, *, is_orderly: bool
) -> None:
    """As interrupted, and a hidden file beside the target is gone; after a kill what only looked is not known."""
    with (workspace / "huge").open("wb") as file:
        file.truncate(2**40)
    ids = []
    for call, asked in (("archive", {"paths": ["huge"], "to": "huge.tar.gz"}), ("checksum", {"path": "huge"})):
        status, operation = await ask(agent, "POST", f"/files/{call}", **asked)
        assert (status, operation["state"]) == (202, "running")
        ids.append(operation["id"])
    await (agent.stop() if is_orderly else agent.kill())
    await agent.start()
    told = [await ask(agent, "GET", f"/files/operations/{each}") for each in ids]
    states = [(status, row.get("state", row.get("code"))) for status, row in told]
    assert states == [(200, "interrupted"), (200, "interrupted") if is_orderly else (404, "operation_not_found")]
    await eventually(lambda: os.listdir(workspace) == ["huge"])  # noqa: PTH208 - in one call
    await eventually(lambda: not list((agent.root / "var/lib/zlh/operations").glob("*.json")))
