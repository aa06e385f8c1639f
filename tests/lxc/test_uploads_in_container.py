"""Uploads into real containers that are restarted, stopped, killed or deleted meanwhile, as their sender sees it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.api.conftest import dsn, postgres
from lxc.guest import PATIENCE_S
from lxc.own_host import OwnHost
from lxc.platform import TOKEN, LxcPlatform, running_platform

__all__ = ["dsn", "postgres"]
pytestmark = [pytest.mark.real("lxc", "traefik"), pytest.mark.timeout(900)]
MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
# What tells a client that it may go on by itself, in the words of docs/errors.md.
LATER = {"agent_unreachable", "container_off", "container_not_up", "files_unavailable"}


@dataclass
class Upload:
    """One file on its way into a container, by the API."""

    platform: LxcPlatform
    vmid: int
    name: str
    content: bytes = field(repr=False)
    place: str = ""

    @property
    def files(self) -> str:
        """Where the calls are."""
        return f"{self.platform.dev['apiUrl']}/api/containers/{self.vmid}/files"

    @contextlib.asynccontextmanager
    async def ask(self, method: str, url: str, **asked: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Lend an answer of the API."""
        headers = {"Authorization": f"Bearer {TOKEN}", **asked.pop("headers", {})}
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.request(method, url, **asked) as answer,
        ):
            yield answer

    async def begin(self) -> None:
        """Begin it."""
        coded = base64.b64encode(self.name.encode()).decode()
        digest = base64.b64encode(hashlib.sha256(self.content).hexdigest().encode()).decode()
        said = {"Upload-Length": str(len(self.content)), "Upload-Metadata": f"path {coded},sha256 {digest}"}
        async with self.ask("POST", f"{self.files}/uploads", headers={**TUS, **said}) as answer:
            assert answer.status == 201, await answer.text()
            self.place = self.platform.dev["apiUrl"] + answer.headers["Location"]

    async def offset(self) -> int | None:
        """Return how much has come; None while nobody can tell."""
        async with self.ask("HEAD", self.place, headers=TUS) as answer:
            assert answer.status in {200, 409, 503}, answer.status
            return int(answer.headers["Upload-Offset"]) if answer.status == 200 else None

    async def wait_offset(self) -> int:
        """Return how much has come, once somebody can tell."""
        async with asyncio.timeout(PATIENCE_S):
            while (offset := await self.offset()) is None:
                await asyncio.sleep(0.2)
        return offset

    async def send(self, offset: int, *, most: int, cut: asyncio.Event) -> tuple[int, str]:
        """Send from an offset on, no more than `most` bytes before `cut`; return status and code of the answer."""

        async def blocks() -> AsyncIterator[bytes]:
            for at in range(offset, len(self.content), MIB):
                if at - offset >= most:
                    await cut.wait()
                yield self.content[at : at + MIB]

        said = {"Upload-Offset": str(offset), "Content-Length": str(len(self.content) - offset)}
        async with self.ask("PATCH", self.place, data=blocks(), headers={**PIECE, **said}) as answer:
            told = await answer.json() if answer.content_type.endswith("json") else {}
            return answer.status, told.get("code", "")

    async def folder_holds(self) -> list[tuple[str, int]]:
        """Return names and sizes in the workspace of the container, hidden ones included."""
        async with self.ask("GET", self.files) as answer:
            assert answer.status == 200, await answer.text()
            return [(entry["name"], entry["size"]) for entry in (await answer.json())["entries"]]


Loss = Callable[[LxcPlatform, int], Awaitable[None]]


async def agent_restarted(platform: LxcPlatform, vmid: int) -> None:
    """As an upgrade of the agent does it."""
    await inside(platform, vmid, "systemctl", "restart", "zlh-agent")


async def agent_killed(platform: LxcPlatform, vmid: int) -> None:
    """As the kernel does where memory is short; its unit starts it again."""
    await inside(platform, vmid, "systemctl", "kill", "--signal=KILL", "zlh-agent")


async def restarted(platform: LxcPlatform, vmid: int) -> None:
    """As a person does it in the portal."""
    await command(platform, vmid, "restart")


async def stopped_and_started(platform: LxcPlatform, vmid: int) -> None:
    """The same in two steps, between which the container is off."""
    await command(platform, vmid, "stop")
    await wait_for(platform, vmid, "lifecycle", "stopped")
    await command(platform, vmid, "start")


async def killed(platform: LxcPlatform, vmid: int) -> None:
    """As a power cut does it; the platform starts it again."""
    await lxc("lxc-stop", "-P", str(platform.root), "-n", str(vmid), "--kill")


async def test_an_upload_goes_on_whatever_its_container_goes_through(host: OwnHost, dsn: str, tmp_path: Path) -> None:
    """The sender is told to come again, finds all that had come, sends the rest, and the file has its hash."""
    async with running_platform(host, dsn, tmp_path) as platform:
        vmid: int = (await platform.create_ready())["vmid"]
        for number, lose in enumerate((agent_restarted, agent_killed, restarted, stopped_and_started, killed)):
            upload = Upload(platform, vmid, f"{lose.__name__}.bin", random.Random(number).randbytes(24 * MIB))
            await upload.begin()
            told = await cut_in_the_middle(upload, lose)
            assert told[0] in {409, 503}, (lose.__name__, told)
            assert told[1] in LATER, (lose.__name__, told)
            held = await upload.wait_offset()
            assert 0 < held < len(upload.content), lose.__name__
            done = asyncio.Event()
            done.set()
            assert await upload.send(held, most=0, cut=done) == (204, ""), lose.__name__
            text = await inside(platform, vmid, "sha256sum", f"/home/dev/workspace/{upload.name}")
            assert text.split()[0] == hashlib.sha256(upload.content).hexdigest(), lose.__name__
            assert await upload.folder_holds() == [(upload.name, len(upload.content))]
            await inside(platform, vmid, "rm", f"/home/dev/workspace/{upload.name}")


async def test_an_upload_into_a_container_that_is_deleted_ends_with_it(host: OwnHost, dsn: str, tmp_path: Path) -> None:
    """The sender is told that there is nothing to come again for, and nothing of the container is left."""
    async with running_platform(host, dsn, tmp_path) as platform:
        vmid: int = (await platform.create_ready())["vmid"]
        upload = Upload(platform, vmid, "lost.bin", random.Random(9).randbytes(24 * MIB))
        await upload.begin()

        async def delete(platform: LxcPlatform, vmid: int) -> None:
            status, said = await platform.call("DELETE", f"/api/containers/{vmid}")
            assert status == 202, said
            await platform.wait_gone(vmid)

        assert await cut_in_the_middle(upload, delete) == (503, "agent_unreachable")
        async with upload.ask("HEAD", upload.place, headers=TUS) as answer:
            assert answer.status == 404
        assert not (platform.root / str(vmid)).exists()


async def cut_in_the_middle(upload: Upload, lose: Loss) -> tuple[int, str]:
    """Send half of a file, do what loses it, and return what its sender is told."""
    never = asyncio.Event()
    sending = asyncio.create_task(upload.send(0, most=len(upload.content) // 2, cut=never))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await has_come(upload):
                assert not sending.done(), sending.result()
                await asyncio.sleep(0.05)
        await lose(upload.platform, upload.vmid)
        async with asyncio.timeout(2 * PATIENCE_S):
            return await sending
    finally:
        never.set()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def has_come(upload: Upload) -> bool:
    """Tell whether something of it is on the disk of the container; to ask its offset would cut the sender off."""
    return any(size > 0 for _, size in await upload.folder_holds())


async def command(platform: LxcPlatform, vmid: int, name: str) -> None:
    """Have a container started, stopped or restarted."""
    status, said = await platform.call("POST", f"/api/containers/{vmid}/{name}")
    assert status in {200, 202}, said


async def wait_for(platform: LxcPlatform, vmid: int, field_name: str, wanted: object) -> None:
    """Return once the report of a container says so."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while (await platform.call("GET", f"/api/containers/{vmid}"))[1][field_name] != wanted:
            await asyncio.sleep(0.1)


async def inside(platform: LxcPlatform, vmid: int, *argv: str) -> str:
    """Run a program as root of a container."""
    return await lxc("lxc-attach", "-P", str(platform.root), "-n", str(vmid), "--clear-env", "--", *argv)


async def lxc(*argv: str) -> str:
    """Run a program of this machine; it must do what it is to do."""
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await child.communicate()
    assert child.returncode == 0, (argv, out[-2000:])
    return out.decode()
