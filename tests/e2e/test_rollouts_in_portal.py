"""An operator sees which agents there are and how a roll-out goes, and goes on behind a halt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from playwright.async_api import Page, expect

from e2e.browser import sign_in
from e2e.stack import Stack
from zlh_api.database.embedded.server import EmbeddedPostgres

VERSION = "99.0.0"
OUTPUT = "<b>Traceback</b> (most recent call last)\n" + "x" * 500


@asynccontextmanager
async def halted_rollout(stack: Stack, vmid: int) -> AsyncIterator[None]:
    """Write a roll-out that was halted by one container, as the API does; nothing here updates itself for real."""
    address = await EmbeddedPostgres(stack.home / "postgres").ensure_started()
    connection, rollout = await asyncpg.connect(address.dsn), uuid4()
    wish = {"version": VERSION, "soakMinutes": 0, "shares": [100]}
    try:
        await connection.execute(
            "insert into rollouts (id, version, state, reason, wish, started_by) "
            "values ($1, $2, 'halted', 'The first one failed.', $3::text::jsonb, 'operator@example.org')",
            rollout,
            VERSION,
            json.dumps(wish),
        )
        await connection.execute(
            "insert into rollout_members (rollout, owner, wave, place, state, code, message, exit_code, output) "
            "select $1, owner, 0, 0, 'undone', 'agent_ended', 'It ended by itself.', 3, $3 "
            "from containers where vmid = $2",
            rollout,
            vmid,
            OUTPUT,
        )
        yield
    finally:
        await connection.execute("delete from rollouts where id = $1", rollout)
        await connection.close()


async def test_an_operator_goes_on_behind_a_halt(stack: Stack, page: Page, vmid: int) -> None:
    """Without a published agent the page says how one comes there; a halt is shown as it happens, with who and why."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/platform/agents")
    await expect(page.get_by_test_id("agent-versions")).to_contain_text("online")
    await expect(page.get_by_test_id("no-agent-offered")).to_contain_text("zlh-api artifacts publish")
    async with halted_rollout(stack, vmid):
        await expect(page.get_by_test_id("rollout-state")).to_have_text("Halted")
        await expect(page.get_by_test_id("rollout-reason")).to_have_text("The first one failed.")
        member = page.get_by_test_id(f"member-{vmid}")
        await expect(member).to_contain_text("It ended by itself.")
        await expect(member).to_contain_text("Exit code 3")
        await member.get_by_text("What it printed last").click()
        # What a container says is text, whatever it looks like.
        await expect(member.locator("pre")).to_contain_text("<b>Traceback</b>")
        await page.get_by_role("button", name="Go on").click()
        await expect(page.get_by_test_id("rollout-state")).to_have_text("Done")
        await expect(page.get_by_role("button", name="Try failures again")).to_be_visible()
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0
