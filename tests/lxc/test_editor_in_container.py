"""The editor of a real container in a real browser: through TLS, sign-in and the real proxy, to a shell and a file."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from component.api.conftest import dsn, postgres
from e2e.editor_page import (
    browsers,
    edit_and_save,
    lose_the_right,
    new_page,
    see_editor,
    see_nothing,
    sign_in,
    type_into_terminal,
)
from e2e.visitors import PASSWORD as STRANGERS_PASSWORD
from e2e.visitors import join
from fakes.runtime_shop import RuntimeShop
from guards import leaks
from lxc.own_host import OwnHost
from lxc.platform import EMAIL, PASSWORD, LxcPlatform, running_platform
from lxc.test_installs_in_container import served
from real_parts.code_server import BUILD_LIMIT_S, build_code_server, code_server_shop
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_common.addons import CODE_SERVER
from zlh_common.runtime_choice import this_platform

__all__ = ["dsn", "postgres"]
pytestmark = [
    pytest.mark.real("lxc", "traefik", "chromium", "portal", "code-server", "package-index"),
    pytest.mark.timeout(BUILD_LIMIT_S + 1200),
]
ZONE = "example.test"
# Node and the editor are fetched, unpacked and tried in the container.
OPENS_S = 400.0
WISH = {
    "kind": "dev", "runtime": "node", "version": "24", "enableCodeServer": True,
    "resources": {"cpu": 2, "memoryMib": 2048, "diskMib": 10_240, "pids": 1024},
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """A signed tree with the editor and node."""
    shop = code_server_shop(tmp_path / "shop", build_code_server())
    book = RecipeBook()
    build_artifacts(shop.tree, book, book.choose(["node-24.19.0"]), platforms=[this_platform()])
    shop.publish()
    return shop


async def test_an_editor_of_a_container_is_opened_typed_into_and_saves(
    host: OwnHost, dsn: str, shop: RuntimeShop, tmp_path: Path
) -> None:
    """Who has made it gets a shell as the customer; a stranger gets nothing, and who signs out loses what is open."""
    leaks.long_lived.add(str(tmp_path))
    with served(shop.tree, host.settings.gateway, host.settings.artifacts_port):
        async with running_platform(host, dsn, tmp_path, zone=ZONE, trusted_root=shop.trusted_root) as platform:
            status, made = await platform.call("POST", "/api/containers", WISH)
            assert status == 202, made
            vmid: int = made["vmid"]
            url = await wait_editor(platform, vmid)
            assert url.startswith(f"https://6000-dev-{vmid}.{ZONE}:")
            await use(platform, url, vmid, host)
            status, said = await platform.call("DELETE", f"/api/containers/{vmid}")
            assert status == 202, said
            await platform.wait_gone(vmid)


async def use(platform: LxcPlatform, url: str, vmid: int, host: OwnHost) -> None:
    """Do with the editor what people do, and what a stranger tries."""

    def inside(*argv: str) -> str:
        attach = ["lxc-attach", "-P", str(host.settings.root), "-n", str(vmid), "--clear-env", "--"]
        return subprocess.run([*attach, *argv], check=False, capture_output=True, text=True, timeout=60).stdout

    async def read() -> str:
        return await platform.read_file(vmid, "typed.txt")

    async with browsers(ZONE) as browser:
        page = await new_page(browser)
        await page.goto(url)
        await sign_in(page, EMAIL, PASSWORD)
        await see_editor(page)
        await type_into_terminal(page, read)
        await edit_and_save(page, read, "written by hand")
        owner = await asyncio.to_thread(inside, "stat", "-c", "%U:%G", "/home/dev/workspace/typed.txt")
        assert owner.strip() == "dev:dev"

        status, others = await platform.call("POST", "/api/customers", {"name": "others"})
        assert status == 201, others
        stranger = await join(platform, others["id"], "stranger", "owner")
        other = await new_page(browser)
        await other.goto(url)
        await sign_in(other, stranger.email, STRANGERS_PASSWORD)
        await see_nothing(other)

        await lose_the_right(page, platform.dev["portalUrl"], platform.proxy_pid)


async def wait_editor(platform: LxcPlatform, vmid: int) -> str:
    """Return where the editor opens, once people are told so."""
    report: dict[str, Any] = {}
    try:
        async with asyncio.timeout(OPENS_S):
            while True:
                _, report = await platform.call("GET", f"/api/containers/{vmid}/status")
                for addon in report["addons"]:
                    if addon["name"] == CODE_SERVER and addon["url"] is not None:
                        return str(addon["url"])
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"the editor never opened: {report}") from None
