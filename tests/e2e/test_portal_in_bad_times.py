"""The portal when things go wrong: nothing typed is lost, the page says what it shows, and comes back by itself."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

from e2e.browser import sign_in, type_and_see
from e2e.stack import Stack
from e2e.visitors import PASSWORD, Person, join

pytestmark = pytest.mark.real("chromium", "portal")

API = re.compile(r"/api/(?!auth)")


async def enter(page: Page, stack: Stack, person: Person) -> None:
    """Come to the list of containers as this person."""
    await page.goto(stack.dev["portalUrl"])
    await page.get_by_label("E-mail").fill(person.email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")


async def begin_a_process(page: Page, stack: Stack, vmid: int) -> None:
    """Open the form of a process, and write into it."""
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/processes")
    await page.get_by_role("button", name="Add process").click()
    await page.get_by_label("Name", exact=True).fill("kept")
    await page.get_by_label("Command", exact=True).fill("sleep 4321")


async def somebody(stack: Stack, vmid: int, role: str = "member") -> Person:
    """Have somebody join the customer of a container."""
    _, report = await stack.call("GET", f"/api/containers/{vmid}")
    return await join(stack, report["customerId"], "kim", role)


async def test_who_has_to_sign_in_again_goes_on_with_what_was_typed(page: Page, stack: Stack, vmid: int) -> None:
    """The session ends under an open form: nobody reads the page, Escape closes nothing, and the form is as it was."""
    kim = await somebody(stack, vmid)
    await enter(page, stack, kim)
    await begin_a_process(page, stack, vmid)
    await page.context.clear_cookies()
    await page.get_by_role("button", name="Add and start").click()
    again = page.get_by_test_id("come-back")
    await expect(again).to_contain_text(kim.email)
    await expect(again.get_by_label("E-mail")).not_to_be_editable()
    await expect(again.get_by_label("Password", exact=True)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(again).to_be_visible()
    await again.get_by_label("Password", exact=True).fill("not the password")
    await again.get_by_role("button", name="Sign in").click()
    await expect(again.get_by_test_id("problem")).to_be_visible()
    await again.get_by_label("Password", exact=True).fill(PASSWORD)
    await again.get_by_role("button", name="Sign in").click()
    await expect(again).to_be_hidden()
    await expect(page.get_by_label("Command", exact=True)).to_have_value("sleep 4321")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_test_id("process-kept").get_by_test_id("process-state")).to_have_text("Running")
    await stack.call("DELETE", f"/api/users/{kim.id}")


async def test_a_console_goes_on_after_its_viewer_has_signed_in_again(page: Page, stack: Stack, vmid: int) -> None:
    """What was printed while nobody was signed in is there afterwards, each line once."""
    kim = await somebody(stack, vmid)
    await enter(page, stack, kim)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/terminal")
    state = page.get_by_test_id("terminal-state")
    await expect(state).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await type_and_see(page, "echo be''fore; read x; echo af''ter", "before")
    assert await page.evaluate("fetch('/api/auth/logout', {method: 'POST'}).then(({status}) => status)") == 204
    again = page.get_by_test_id("come-back")
    await expect(again).to_be_visible()
    # Keys of the page are for nobody now.
    await again.get_by_role("button", name="Leave it").focus()
    await page.keyboard.press("c")
    await page.keyboard.press("Control+k")
    await again.get_by_label("Password", exact=True).fill(PASSWORD)
    await again.get_by_role("button", name="Sign in").click()
    await expect(again).to_be_hidden()
    await expect(page).to_have_url(re.compile(rf"/containers/{vmid}/terminal$"))
    await expect(page.get_by_placeholder("A container, a page, an act…")).to_have_count(0)
    await expect(state).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await type_and_see(page, "", "after")
    text = await page.locator(".xterm-rows").inner_text()
    assert text.count("before") == 1
    await stack.call("DELETE", f"/api/users/{kim.id}")


async def test_an_api_that_dies_is_told_of_and_comes_back(page: Page, stack: Stack, vmid: int) -> None:
    """The page stays, says since when nothing has reached it, refuses what is asked meanwhile, and heals by itself."""
    await sign_in(page, stack)
    await begin_a_process(page, stack, vmid)
    # It is started again at once, so that its absence is made longer at the browser.
    await page.route(API, lambda route: route.abort())
    stack.kill("api")
    lost = page.get_by_test_id("connection-lost")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_role("dialog").get_by_test_id("problem")).to_contain_text("does not answer")
    await expect(lost).to_contain_text(re.compile(r"showing the state of \d\d:\d\d:\d\d"))
    await stack.status(vmid)
    await page.unroute(API)
    await expect(lost).to_be_hidden()
    await expect(page.get_by_test_id("liveness")).to_have_attribute("data-liveness", "live")
    await expect(page.get_by_label("Command", exact=True)).to_have_value("sleep 4321")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_test_id("process-kept").get_by_test_id("process-state")).to_have_text("Running")


async def test_what_is_asked_for_without_a_network_is_refused_and_never_done_later(
    page: Page, stack: Stack, vmid: int
) -> None:
    """An act that waited in the page for the network would be done when nobody thinks of it any more."""
    await sign_in(page, stack)
    await begin_a_process(page, stack, vmid)
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_role("dialog").get_by_test_id("problem")).to_contain_text("does not answer")
    await expect(page.get_by_test_id("connection-lost")).to_be_visible()
    async with page.expect_response(lambda answer: answer.ok and answer.url.endswith("/api/me")):
        await page.context.set_offline(False)
    await expect(page.get_by_test_id("connection-lost")).to_be_hidden()
    await expect(page.get_by_label("Command", exact=True)).to_have_value("sleep 4321")
    _, processes = await stack.call("GET", f"/api/containers/{vmid}/processes")
    assert processes["items"] == []


async def test_a_page_in_the_place_of_an_answer_is_told_as_what_it_is(page: Page, stack: Stack) -> None:
    """The sign-in of a hotel's network answers everything with a page and 200: neither data nor a mistake of ours."""

    async def hotel(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/html", body="<h1>Welcome to the hotel</h1>")

    await sign_in(page, stack)
    await page.route(API, hotel)
    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Account").click()
    await page.get_by_role("tab", name="Sessions").click()
    await expect(page.get_by_test_id("problem")).to_contain_text("Something between you and the API answered")
    await expect(page.get_by_test_id("connection-lost")).to_be_visible()
    await expect(page.get_by_text("Welcome to the hotel")).to_be_hidden()
    await page.unroute(API)
    await expect(page.get_by_test_id("session").first).to_be_visible()
    await expect(page.get_by_test_id("connection-lost")).to_be_hidden()


async def test_code_of_an_older_portal_that_is_gone_breaks_its_part_alone(page: Page, stack: Stack, vmid: int) -> None:
    """The part says that the portal was updated; the frame and other parts go on, and reloading gets the new one."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}")
    await expect(page.get_by_test_id("liveness")).to_have_attribute("data-liveness", "live")

    async def newer(route: Route) -> None:
        await route.fulfill(content_type="text/html", body='<script src="/assets/index-newer.js"></script>')

    await page.route(re.compile(r"/assets/MetricsTab"), lambda route: route.fulfill(status=404, body=""))
    await page.route(stack.dev["portalUrl"].rstrip("/") + "/", newer)
    await page.get_by_role("tab", name="Metrics").click()
    await expect(page.get_by_test_id("code-missing")).to_contain_text("The portal was updated")
    await expect(page.get_by_test_id("replaced")).to_be_visible()
    await page.get_by_role("tab", name="Settings").click()
    await expect(page.get_by_role("button", name="Delete for good")).to_be_visible()
    await page.unroute_all()
    await page.get_by_test_id("replaced").get_by_role("button", name="Reload").click()
    await page.get_by_role("tab", name="Metrics").click()
    await expect(page.get_by_test_id("metrics-now")).to_be_visible()
    await expect(page.get_by_test_id("replaced")).to_be_hidden()


async def test_a_console_whose_connection_died_in_its_sleep_is_fetched_from_where_it_stopped(
    page: Page, stack: Stack, vmid: int
) -> None:
    """Nothing closes a connection that is dead: once the network is back, the page takes another and misses no line."""
    is_dead = False
    opened: list[WebSocketRoute] = []

    async def through(viewer: WebSocketRoute) -> None:
        opened.append(viewer)
        agent = viewer.connect_to_server()
        is_first = len(opened) == 1
        agent.on_message(lambda said: None if is_dead and is_first else viewer.send(said))

    await page.route_web_socket(re.compile(rf"/containers/{vmid}/console"), through)
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/terminal")
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await type_and_see(page, "read x; seq -f 'line-%g' 1 12; echo e''nd", "read x")
    is_dead = True
    await page.keyboard.press("Enter")
    await page.context.set_offline(True)
    await page.context.set_offline(False)
    screen = page.locator(".xterm-rows")
    await expect(screen).to_contain_text("end")
    assert len(opened) == 2
    text = await screen.inner_text()
    assert re.findall(r"line-(\d+)", text) == [str(number) for number in range(1, 13)]


async def test_a_clock_that_is_wrong_turns_no_time_round(page: Page, stack: Stack, vmid: int) -> None:
    """Durations go by the server's clock, whatever the visitor's says."""
    await page.clock.set_system_time("2031-01-01T00:00:00Z")
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/history")
    when = page.get_by_test_id("history-entry").first.locator("time")
    await expect(when).to_have_text(re.compile(r"just now|min ago|h ago"))
