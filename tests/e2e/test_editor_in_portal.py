"""The editor as the portal has it: a box in the form of a new container, and a button once it really opens."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from e2e.browser import PATIENCE_MS, sign_in
from e2e.editor_artifact import code_server_archive, editor_on_offer
from e2e.editor_page import FILE, edit_and_save, see_editor, type_into_terminal
from e2e.stack import START_S, WAIT_S, Stack
from real_parts.code_server import BUILD_LIMIT_S
from zlh_common.addons import ADDON_PORTS, CODE_SERVER

__all__ = ["code_server_archive", "editor_on_offer"]
pytestmark = pytest.mark.real("chromium", "portal", "code-server")


@pytest.mark.timeout(START_S + BUILD_LIMIT_S + 600)
async def test_a_box_is_ticked_and_the_button_opens_the_editor(page: Page, stack: Stack, editor_on_offer: None) -> None:
    """Until it opens the page says what that waits for; it opens in another tab, signed in, on the workspace."""
    await sign_in(page, stack)
    await page.get_by_role("link", name="Create container").first.click()
    box = page.get_by_role("checkbox", name="Editor in the browser (code-server)")
    await expect(box).to_be_enabled()
    await expect(box).to_be_checked()
    await page.get_by_role("button", name="Create container").click()
    await page.wait_for_url(re.compile(r"/containers/\d+"))
    vmid = int(page.url.partition("/containers/")[2].partition("/")[0])
    report = await stack.status(vmid)
    assert [addon["name"] for addon in report["addons"]] == [CODE_SERVER]

    await page.get_by_role("tab", name="Addons").click()
    entrance = page.get_by_test_id(f"open-{CODE_SERVER}")
    button = entrance.get_by_role("link", name="Open editor")
    await expect(entrance).not_to_be_empty()
    await expect(button).to_be_visible(timeout=WAIT_S * 1000)
    # What is led to is what the API has told, once it was seen to open.
    (addon,) = (await stack.status(vmid))["addons"]
    assert await button.get_attribute("href") == addon["url"]
    assert f"//{ADDON_PORTS[CODE_SERVER]}-dev-{vmid}." in addon["url"]

    async with page.context.expect_page() as opened:
        await button.click()
    editor = await opened.value
    editor.set_default_timeout(PATIENCE_MS)
    await see_editor(editor)

    async def read() -> str:
        return await asyncio.to_thread(_read, stack.home / "containers" / str(vmid))

    await type_into_terminal(editor, read)
    await edit_and_save(editor, read, "from the portal")
    await editor.close()

    # Of a container that is off nothing opens, and the page says so by itself.
    status, said = await stack.call("POST", f"/api/containers/{vmid}/stop")
    assert status < 300, said
    await expect(entrance).to_contain_text("It opens once the container is started.")
    await expect(button).to_have_count(0)
    await stack.delete(vmid)


def _read(folder: Path) -> str:
    """Return what the file holds, wherever the workspace lies below the container's folder."""
    return "".join(path.read_text() for path in folder.rglob(FILE) if path.is_file())
