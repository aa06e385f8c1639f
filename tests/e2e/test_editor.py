"""The editor in a real browser: by its public name and TLS, through sign-in and proxy, to a shell and a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.edge_site import EMAIL, PASSWORD, Site, running_site
from e2e.editor_artifact import code_server_archive, editor_on_offer
from e2e.editor_page import (
    FILE,
    browsers,
    edit_and_save,
    lose_the_right,
    new_page,
    see_editor,
    see_nothing,
    sign_in,
    type_into_terminal,
)
from e2e.stack import NODE, START_S, WAIT_S, Stack
from guards import leaks
from real_parts.acme_edge import ZONE
from real_parts.code_server import BUILD_LIMIT_S
from zlh_common.addons import CODE_SERVER

__all__ = ["code_server_archive", "editor_on_offer"]
pytestmark = pytest.mark.real("traefik", "knot", "pebble", "nginx", "sshd", "chromium", "code-server")
STRANGER = "stranger@example.test"


@pytest.fixture
async def site(stack: Stack, editor_on_offer: None, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation of its own with a real edge, whose catalog has the editor."""
    leaks.long_lived.add(str(tmp_path))
    async with running_site(stack, tmp_path) as site:
        yield site


async def wait_editor(site: Site, vmid: int, *, is_there: bool) -> str | None:
    """Return where the editor opens, once people are told so, or are no more."""
    async with asyncio.timeout(WAIT_S):
        while True:
            _, report = await site.call("GET", f"/api/containers/{vmid}/status")
            urls = [addon["url"] for addon in report["addons"] if addon["name"] == CODE_SERVER]
            url: str | None = urls[0] if urls else None
            if (url is not None) is is_there:
                return url
            await asyncio.sleep(0.2)


async def add_stranger(site: Site) -> None:
    """Have somebody own another customer."""
    status, customer = await site.call("POST", "/api/customers", {"name": "others"})
    assert status == 201, customer
    status, made = await site.call(
        "POST", f"/api/customers/{customer['id']}/invitations", {"email": STRANGER, "role": "owner"}
    )
    assert status == 201, made
    body: dict[str, Any] = {"code": made.get("code") or made["url"].partition("#")[2], "password": PASSWORD}
    async with (
        site.visitor(Origin=site.portal_url) as session,
        session.post(f"{site.portal_url}/api/invitations/accept", json=body) as answer,
    ):
        assert answer.status in {200, 201}, await answer.text()


@pytest.mark.timeout(START_S + BUILD_LIMIT_S + 600)
async def test_an_editor_is_opened_typed_into_and_saves(site: Site) -> None:
    """Who has made the container signs in on the way; somebody else finds nothing, and who signs out is cut off."""
    status, made = await site.call("POST", "/api/containers", {**NODE, "enableCodeServer": True})
    assert status == 202, made
    vmid: int = made["vmid"]
    await site.wait(vmid, "ready", wanted=True)
    url = await wait_editor(site, vmid, is_there=True)
    assert url == site.url(f"6000-dev-{vmid}")
    folder = site.folder / "containers" / str(vmid)

    async def read() -> str:
        return await asyncio.to_thread(_read, folder)

    async with browsers(ZONE) as browser:
        page = await new_page(browser)
        await page.goto(url)
        await sign_in(page, EMAIL, PASSWORD)
        await see_editor(page)
        await type_into_terminal(page, read)
        await edit_and_save(page, read, "written by hand")

        # The container's own host shows it too.
        await page.goto(site.url(f"dev-{vmid}"))
        await see_editor(page)

        await add_stranger(site)
        other = await new_page(browser)
        await other.goto(url)
        await sign_in(other, STRANGER, PASSWORD)
        await see_nothing(other)

        await lose_the_right(page, site.portal_url, site.edge.traefik.program.pid)

        status, _ = await site.call("PATCH", f"/api/containers/{vmid}", {"enableCodeServer": False})
        assert status == 200
        await wait_editor(site, vmid, is_there=False)
        async with site.visitor() as session:
            await wait_gone(session, url)


def _read(folder: Path) -> str:
    """Return what the file holds, wherever the workspace lies below the container's folder."""
    return "".join(path.read_text() for path in folder.rglob(FILE) if path.is_file())


async def wait_gone(session: aiohttp.ClientSession, url: str) -> None:
    """Return once nothing is found at an address."""
    async with asyncio.timeout(WAIT_S):
        while True:
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status == 404:
                    return
            await asyncio.sleep(0.1)
