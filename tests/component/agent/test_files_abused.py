"""A customer who wears an agent out by its calls on files, or hides the folder that they are on."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import msgspec
import pytest

from component.agent.harness import AgentProcess, code_of, eventually
from zlh_agent.files.operations import MAX_KEPT, MAX_RUNNING

pytestmark = pytest.mark.timeout(240)
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
async def workspace(agent: AgentProcess) -> Path:
    """Return the folder whose files are worked on."""
    folder = agent.root / "home/dev/workspace"
    await eventually(folder.is_dir)
    return folder


def hide(folder: Path) -> None:
    """Put a link in the place of a folder."""
    folder.rename(folder.parent / "away")
    folder.symlink_to("away")


def records(agent: AgentProcess) -> list[Path]:
    """Return what the agent has written down of work on files."""
    state = agent.root / "var/lib/zlh"
    return [path for folder in ("uploads", "operations") for path in (state / folder).glob("*.json")]


def upload_headers(**said: str) -> dict[str, str]:
    """Return what begins an upload of ten bytes."""
    pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
    return {**TUS, "Upload-Length": "10", "Upload-Metadata": pairs}


async def test_a_folder_that_is_hidden_has_no_records_pile_up(agent: AgentProcess, workspace: Path) -> None:
    """Where nothing can be worked on, nothing is begun: neither uploads nor operations fill the agent's own disk."""
    hide(workspace)
    codes = set()
    for _ in range(5):
        status, body = await agent.call("PUT", "/files/content?path=x", data=b"0123456789")
        codes.add((status, code_of(body)))
        status, body = await agent.call("POST", "/files/uploads", headers=upload_headers(path="x"))
        codes.add((status, code_of(body)))
    assert codes == {(503, "files_unavailable")}
    assert not records(agent)
    copy = msgspec.json.encode({"path": "a", "to": "b"})
    copies = asyncio.Semaphore(4)

    async def ask() -> str:
        async with copies:
            return code_of((await agent.call("POST", "/files/copy", data=copy))[1])

    assert set(await asyncio.gather(*(ask() for _ in range(MAX_KEPT + 15)))) == {"files_unavailable"}
    # As many as may be under way can be beyond the limit.
    assert len(records(agent)) <= MAX_KEPT + 4


@pytest.mark.parametrize("mode", ["4755", "2755", "1777", "7777"])
async def test_rights_that_no_file_is_given_are_refused_at_once(
    agent: AgentProcess, workspace: Path, mode: str
) -> None:
    """Not when all of its bytes have come, and then again at each try."""
    status, body = await agent.call("POST", "/files/uploads", headers=upload_headers(path="x", mode=mode))
    assert (status, code_of(body)) == (400, "upload_invalid")
    status, body = await agent.call("PUT", f"/files/content?path=x&mode={mode}", data=b"0123456789")
    assert (status, code_of(body)) == (400, "upload_invalid")
    assert not os.listdir(workspace)  # noqa: PTH208 - in one call
    assert not records(agent)


@pytest.mark.usefixtures("workspace")
async def test_a_path_is_as_long_as_the_api_hands_it_on(agent: AgentProcess) -> None:
    """Folders lie deep: of a line that the API takes, each slash is three letters in the one that it writes."""
    path = "%2F".join(["d"] * 4000)
    status, body = await agent.call("GET", f"/files/stat?path={path}")
    assert (status, code_of(body)) == (404, "path_not_found")


async def test_work_that_takes_long_holds_up_nobody_who_looks(agent: AgentProcess, workspace: Path) -> None:
    """Whoever may only read starts as many hashes of a terabyte as may be; others list and write all the same."""
    await asyncio.to_thread(make_huge, workspace / "huge")
    checksum = msgspec.json.encode({"path": "huge"})
    asked = [agent.call("POST", "/files/checksum", data=checksum) for _ in range(MAX_RUNNING)]
    assert {status for status, _ in await asyncio.gather(*asked)} == {202}
    assert (await agent.call("GET", "/files?path="))[0] == 200
    assert (await agent.call("PUT", "/files/content?path=x", data=b"content"))[0] == 201
    status, body = await agent.call("POST", "/files/measure", data=msgspec.json.encode({"path": ""}))
    assert (status, code_of(body)) == (429, "operation_limit")
    _, body = await agent.call("GET", "/files/operations")
    for operation in msgspec.json.decode(body)["items"]:
        assert (await agent.call("DELETE", f"/files/operations/{operation['id']}"))[0] == 200


def make_huge(path: Path) -> None:
    """Make a file of a terabyte of nothing."""
    with path.open("wb") as file:
        file.truncate(2**40)
