"""Ten thousand containers in the list: what the browser holds of them stays small.

The API's pages are answered by the test, since that many containers would be made for one look; how the API pages is
tried in tests/component/api, and how fast it is in the benchmarks.
"""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from e2e.browser import sign_in
from e2e.stack import Stack

pytestmark = pytest.mark.real("chromium", "portal")
MANY = 10_000
FIRST_VMID = 100_000
# Rows in sight, a few beside them, and room for a taller window.
MAX_ROWS = 60


def make_many(one: dict[str, Any]) -> list[dict[str, Any]]:
    """Return containers that differ in name, number and age."""
    many = []
    for at in range(MANY):
        status = copy.copy(one)
        status["vmid"], status["name"] = FIRST_VMID + at, f"server {at}"
        status["createdAt"] = f"2026-01-{at % 28 + 1:02}T{at % 24:02}:00:00Z"
        many.append(status)
    return many


async def serve_many(page: Page, many: list[dict[str, Any]]) -> list[int]:
    """Answer the list's pages; return where each asked one began."""
    asked: list[int] = []

    async def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        after, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        asked.append(after)
        items = [status for status in many if status["vmid"] > after][:limit]
        more = str(items[-1]["vmid"]) if items and items[-1]["vmid"] < many[-1]["vmid"] else None
        await route.fulfill(content_type="application/json", body=json.dumps({"items": items, "next": more}))

    await page.route(lambda url: urlsplit(url).path == "/api/containers", answer)
    return asked


async def test_ten_thousand_scroll_and_are_found(page: Page, stack: Stack, vmid: int) -> None:
    """As many rows as are in sight are in the page, at either end and when filtered, and each says its place."""
    status, one = await stack.call("GET", f"/api/containers/{vmid}/status")
    assert status == 200
    asked = await serve_many(page, make_many(one))
    await sign_in(page, stack)
    rows = page.get_by_role("list", name="Containers").get_by_role("listitem")
    await expect(rows.first).to_have_attribute("aria-setsize", str(MANY))
    await expect(page.get_by_test_id("partial")).to_have_count(0)
    assert asked[0] == 0
    assert asked[: MANY // 200] == sorted(asked[: MANY // 200])
    assert await rows.count() <= MAX_ROWS

    await page.keyboard.press("End")
    await expect(page.locator(f'li[aria-posinset="{MANY}"]')).to_be_visible()
    assert await rows.count() <= MAX_ROWS
    await page.mouse.wheel(0, -5_000)
    await expect(page.locator(f'li[aria-posinset="{MANY}"]')).to_have_count(0)

    await page.keyboard.press("/")
    await page.keyboard.type("server 9999")
    await expect(page.get_by_test_id(f"container-{FIRST_VMID + 9_999}")).to_be_visible()
    await expect(rows).to_have_count(1)
    await page.keyboard.press("Control+k")
    await expect(page.get_by_placeholder("A container, a page, an act…")).to_be_focused()
    await page.keyboard.type("5432")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{stack.dev['portalUrl']}/containers/105432")


async def test_a_list_that_breaks_off_says_so_until_all_of_it_is_there(page: Page, stack: Stack, vmid: int) -> None:
    """What has come is shown as what it is, with the reason, and the rest comes once it can."""
    status, one = await stack.call("GET", f"/api/containers/{vmid}/status")
    assert status == 200
    # The stream tells of the one that there is, which therefore is among them.
    await serve_many(page, [one, *make_many(one)[1:500]])

    def is_a_later_page(url: str) -> bool:
        return urlsplit(url).path == "/api/containers" and "after" in parse_qs(urlsplit(url).query)

    async def refuse(route: Route) -> None:
        refusal = {"code": "internal_error", "detail": "It broke."}
        await route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(refusal))

    await page.route(is_a_later_page, refuse)
    await sign_in(page, stack)
    await expect(page.get_by_test_id("problem")).to_contain_text("The rest of the containers cannot be listed")
    await expect(page.get_by_test_id("partial")).to_contain_text("The first 200 are here")
    await page.unroute(is_a_later_page, refuse)
    rows = page.get_by_role("list", name="Containers").get_by_role("listitem")
    await expect(rows.first).to_have_attribute("aria-setsize", "500")
    await expect(page.get_by_test_id("partial")).to_have_count(0)
    await expect(page.get_by_test_id("problem")).to_have_count(0)
