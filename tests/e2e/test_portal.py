"""A person at the portal, in a real browser, through the real proxy."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from e2e.browser import sign_in, type_and_see
from e2e.stack import WAIT_S, Stack

pytestmark = pytest.mark.real("chromium", "portal")


async def test_a_wrong_password_is_told(page: Page, stack: Stack) -> None:
    """The reason stands in the form, and nobody is signed in."""
    await page.goto(stack.dev["portalUrl"])
    await page.get_by_label("E-mail").fill(stack.dev["adminEmail"])
    await page.get_by_label("Password", exact=True).fill("not it")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_test_id("problem")).to_be_visible()
    await expect(page.get_by_label("E-mail")).to_be_visible()


async def test_the_whole_path_of_a_customer(page: Page, stack: Stack) -> None:
    """Sign in, create, watch, use the terminal, publish a port, open it, delete: with a mouse and a keyboard."""
    await sign_in(page, stack)
    await page.get_by_role("link", name="Create container").first.click()
    await page.get_by_label("Name").fill("from the browser")
    await page.get_by_role("button", name="Create container").click()
    await expect(page.get_by_test_id("steps")).to_be_visible()
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done")
    found = re.search(r"/containers/(\d+)", page.url)
    assert found is not None
    vmid = int(found[1])

    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.get_by_test_id("terminal-state")).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").click()
    await type_and_see(page, "node --version", "v24.")
    page_source = "require('http').createServer((q,s)=>s.end('<h1>it works</h1>')).listen(4000,process.env.HOST)"
    await type_and_see(page, f'node -e "{page_source}" & echo start""ed', "started")

    await page.get_by_role("tab", name="Ports").click()
    listening = page.get_by_test_id("listening-4000")
    await expect(listening).to_contain_text("node")
    await expect(listening).to_contain_text("HTTP")
    await listening.get_by_role("button", name="Publish port 4000").click()
    await expect(page.get_by_label("Port", exact=True)).to_have_value("4000")
    await page.get_by_role("button", name="Publish", exact=True).click()
    exposure = page.get_by_test_id("exposure-4000")
    await expect(listening.get_by_role("link")).to_be_visible()
    address = await exposure.get_by_role("link").first.get_attribute("href")
    assert address is not None
    visitor = await page.context.new_page()
    await open_published(visitor, address)
    await expect(visitor.locator("h1")).to_have_text("it works")
    await visitor.close()
    await remove_a_port_by_keyboard(page)

    await page.reload()
    await page.get_by_role("tab", name="Terminal").click()
    await expect(page.locator(".xterm-rows")).to_contain_text("started")

    await page.get_by_role("tab", name="Settings").click()
    losses = page.get_by_test_id("losses")
    await expect(losses).to_contain_text("node 24.")
    await expect(losses).to_contain_text("Its published port: 4000")
    await page.get_by_label("Type the name to confirm").fill("from the browser")
    await page.get_by_role("button", name="Delete for good").click()
    await expect(page.get_by_text("from the browser is deleted.")).to_be_visible()
    await stack.wait_gone(vmid)
    assert stack.traces(vmid) == []


async def remove_a_port_by_keyboard(page: Page) -> None:
    """The row goes, and whoever uses the keyboard is still at the list, on a page that is one of containers."""
    await page.get_by_label("Port", exact=True).fill("4001")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Remove port 4001").press("Enter")
    await page.get_by_role("button", name="Really remove port 4001").press("Enter")
    await expect(page.get_by_test_id("exposure-4001")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Published ports")).to_be_focused()
    main = page.get_by_role("navigation", name="Main")
    await expect(main.get_by_role("link", name="Containers")).to_have_class(re.compile(r"\bactive\b"))


async def open_published(visitor: Page, address: str) -> None:
    """Open a published port, as soon as the proxy has taken it up."""
    for _ in range(50):
        answer = await visitor.goto(address)
        if answer is not None and answer.status == 200:
            return
        await visitor.wait_for_timeout(200)
    raise AssertionError(f"{address} never opened")


CRASHING = """sh -c 'echo "<b>needle</b>"; exit 3'"""
# The colour of the first curve in the light scheme.
CURVE = "#4450c4"
COUNT_PIXELS = """(canvas, colour) => {
  const want = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200 && want.every((part, i) => Math.abs(data[at + i] - part) < 12)) found += 1;
  }
  return found;
}"""


async def declare(page: Page, stack: Stack, vmid: int, name: str, command: str) -> None:
    """Fill in the form of a process."""
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/processes")
    await page.get_by_role("button", name="Add process").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Command", exact=True).fill(command)
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_process_that_crashes_is_seen_retried_given_up_and_looked_into(
    page: Page, stack: Stack, vmid: int
) -> None:
    """What it printed is found, also while it does not run, and what it printed as HTML is text."""
    await sign_in(page, stack)
    await declare(page, stack, vmid, "web", CRASHING)
    card = page.get_by_test_id("process-web")
    await expect(card.get_by_test_id("process-state")).to_have_text("Waiting to restart")
    await expect(card.get_by_test_id("countdown")).to_have_text(re.compile(r"Starts again in \d+ s"))
    await expect(card.get_by_test_id("last-end")).to_contain_text("exit code 3")
    await card.get_by_role("button", name="Retry now").click()
    await expect(card).to_contain_text("2 restarts in a row")
    await expect(page.get_by_role("alert").filter(has_text="web has crashed")).to_be_visible()
    await card.get_by_role("button", name="Give up").click()
    await expect(card.get_by_test_id("process-state")).to_have_text("Given up")

    await card.get_by_role("link", name="Console of web").click()
    await expect(page.locator(".xterm-rows")).to_contain_text("<b>needle</b>")
    await expect(page.get_by_test_id("terminal-state")).to_contain_text("Attached: it was given up")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_label("Text to find").fill("needle")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("search-count")).to_have_text("2 of 2")
    await expect(page.get_by_test_id("excerpt").locator("mark")).to_have_text("needle")
    await page.get_by_label("Older match").click()
    await expect(page.get_by_test_id("search-count")).to_have_text("1 of 2")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    saved = await (await download.value).path()
    assert saved.read_text().count("<b>needle</b>") == 2

    await page.goto(stack.dev["portalUrl"])
    await expect(page.get_by_test_id(f"container-{vmid}").get_by_test_id("process-trouble")).to_have_text(
        "web: given up"
    )


async def test_the_console_of_a_process_goes_on_over_its_stops_and_starts(page: Page, stack: Stack, vmid: int) -> None:
    """One page, one socket: what was printed before stays, and what comes after is shown."""
    await sign_in(page, stack)
    await declare(page, stack, vmid, "echo", """sh -c 'echo pid $$; read line; echo "got $line"; exec sleep 1000'""")
    await page.get_by_role("link", name="Console of echo").click()
    state, screen = page.get_by_test_id("terminal-state"), page.locator(".xterm-rows")
    await expect(state).to_contain_text("Attached: it runs")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await type_and_see(page, "hello", "got hello")
    await page.get_by_role("button", name="Stop", exact=True).last.click()
    await expect(state).to_contain_text("Attached: it does not run. Ended by SIGTERM")
    await expect(screen).to_contain_text("got hello")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(state).to_contain_text("Attached: it runs")
    await expect(screen).to_contain_text(re.compile(r"got hello.*pid \d+", re.DOTALL))


async def test_what_was_typed_and_not_taken_is_told(page: Page, stack: Stack, vmid: int) -> None:
    """Typed into a connection that ends, it may not have been; typed into none, it was not."""
    is_heard, is_there = True, True
    opened: list[WebSocketRoute] = []

    async def join(viewer: WebSocketRoute) -> None:
        if not is_there:
            await viewer.close(code=1001)
            return
        opened.append(viewer)
        agent = viewer.connect_to_server()
        viewer.on_message(lambda said: agent.send(said) if is_heard else None)

    await page.route_web_socket(re.compile(rf"/containers/{vmid}/console"), join)
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/terminal")
    state, missed = page.get_by_test_id("terminal-state"), page.get_by_test_id("terminal-missed")
    await expect(state).to_have_attribute("data-kind", "attached")
    await page.get_by_test_id("terminal").locator(".xterm").click()
    await type_and_see(page, "echo he''re", "here")
    await expect(missed).to_be_hidden()
    is_heard, is_there = False, False
    await page.keyboard.type("ab")
    await opened[-1].close(code=1001)
    await expect(missed).to_contain_text("(2 bytes) may not have been taken")
    await page.keyboard.type("c")
    await expect(missed).to_contain_text("(3 bytes) may not have been taken")
    is_heard, is_there = True, True
    await page.reload()
    await expect(state).to_have_attribute("data-kind", "attached")
    await expect(missed).to_be_hidden()
    await page.get_by_test_id("terminal").locator(".xterm").click()
    is_there = False
    await opened[-1].close(code=1001)
    await expect(state).not_to_have_attribute("data-kind", "attached")
    await page.keyboard.type("d")
    await expect(missed).to_contain_text("(1 byte) was not taken")
    is_there = True
    await expect(state).to_have_attribute("data-kind", "attached")
    await expect(missed).to_contain_text("(1 byte) was not taken")
    await type_and_see(page, "echo ba''ck", "back")
    await expect(missed).to_be_hidden()


async def test_what_is_wrong_with_a_process_is_said_at_its_field(page: Page, stack: Stack, vmid: int) -> None:
    """What is hidden is opened where the mistake is; a killed process asks once more first."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/processes")
    await page.get_by_role("button", name="Try an example").click()
    await page.get_by_label("Name", exact=True).fill("Not a name")
    await page.get_by_role("button", name="Advanced").click()
    await page.get_by_label("Pauses").fill("soon")
    await page.get_by_role("button", name="Advanced").click()
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_text("A name has 1 to 32 of a-z")).to_be_visible()
    await expect(page.get_by_text("not “soon”")).to_be_visible()
    await page.get_by_label("Name", exact=True).fill("ticker")
    await page.get_by_label("Pauses").fill("1, 2")
    await page.get_by_role("button", name="Add and start").click()
    card = page.get_by_test_id("process-ticker")
    await expect(card.get_by_test_id("process-state")).to_have_text("Running")
    await card.get_by_role("button", name="Kill").click()
    await page.get_by_role("dialog").get_by_role("button", name="Kill now").click()
    await expect(card.get_by_test_id("process-state")).to_have_text("Stopped")
    await expect(card.get_by_test_id("last-end")).to_contain_text("SIGKILL")
    await card.get_by_role("button", name="Delete ticker").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_test_id("no-processes")).to_be_visible()


async def test_what_a_container_uses_is_drawn_and_what_happened_is_told(
    page: Page, stack: Stack, own_vmid: int
) -> None:
    """The curve is on the canvas; a crash comes into an open history by itself."""
    vmid = own_vmid
    await sign_in(page, stack)
    await declare(page, stack, vmid, "web", "sleep 1000")
    await page.get_by_role("tab", name="Metrics").click()
    await expect(page.get_by_test_id("metrics-now")).to_contain_text("MiB")
    await expect(page.get_by_test_id("metrics-processes")).to_contain_text("web")
    plot = page.get_by_test_id("plot-memory")
    await expect(plot.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"Memory: Used last .+ MiB"))
    # Two samples make a line.
    async with asyncio.timeout(WAIT_S):
        while not await plot.locator("canvas").evaluate(COUNT_PIXELS, CURVE):
            await asyncio.sleep(0.2)

    await page.get_by_role("tab", name="History").click()
    await expect(page.get_by_test_id("history-entry").filter(has_text="web was started.")).to_be_visible()
    seen = next(each for each in (await stack.status(vmid))["processes"] if each["name"] == "web")
    stack.kill_pid(seen["pid"])
    crash = page.get_by_test_id("history-entry").filter(has_text="SIGKILL")
    await expect(crash).to_have_attribute("data-tone", "bad")
    await page.get_by_role("combobox", name="Entries about").click()
    await page.get_by_role("option", name="web").click()
    await expect(page.get_by_text("The agent was started.")).to_be_hidden()
    await expect(crash).to_be_visible()


async def test_a_container_gets_its_size_another_one_and_is_killed(page: Page, stack: Stack) -> None:
    """With the keyboard on sliders; whoever has to confirm is told what it means first."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/new")
    await expect(page.get_by_test_id("unenforced")).to_contain_text("holds containers to none of these limits")
    await page.get_by_role("slider", name="Memory").press("End")
    await expect(page.get_by_test_id("size-memoryMib")).to_have_text("16 GiB")
    await page.get_by_role("slider", name="Memory").press("Home")
    await expect(page.get_by_test_id("size-memoryMib")).to_have_text("128 MiB")
    await page.get_by_role("button", name="Create container").click()
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done")
    found = re.search(r"/containers/(\d+)", page.url)
    assert found is not None
    vmid = int(found[1])
    seen = await stack.status(vmid)
    assert (seen["resources"]["memoryMib"], seen["resourcesInForce"]) == (128, seen["resources"])

    await page.get_by_role("tab", name="Settings").click()
    await expect(page.get_by_test_id("resize")).to_have_text("Noted")
    await page.get_by_role("slider", name="Disk").press("Home")
    await expect(page.get_by_test_id("size-diskMib")).to_have_text("10 GiB")
    await page.get_by_role("slider", name="Processor").press("ArrowRight")
    # The button is as disabled while it asks as it is when there is nothing left to apply.
    async with page.expect_response(lambda response: response.request.method == "PATCH") as answered:
        await page.get_by_role("button", name="Apply the size").click()
    assert (await answered.value).ok
    await expect(page.get_by_role("button", name="Apply the size")).to_be_disabled()
    seen = await stack.status(vmid)
    assert (seen["resources"]["cpu"], seen["resources"]["memoryMib"], seen["ready"]) == (3, 128, True)

    await page.get_by_role("button", name="Kill").click()
    await expect(page.get_by_role("dialog")).to_contain_text("no program in it can save its work")
    await page.get_by_role("dialog").get_by_role("button", name="Kill now").click()
    await expect(page.get_by_test_id("state").first).to_have_text("Stopped")
    assert (await stack.status(vmid))["power"] == "off"
    await stack.delete(vmid)


async def test_a_creation_that_is_stuck_says_where_and_why(page: Page, stack: Stack, own_vmid: int) -> None:
    """A stranger stands in the place; once it has gone, nobody has to wait for the next try."""
    vmid = own_vmid + 1
    stranger = stack.home / "containers" / str(vmid)
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/new")
    create = page.get_by_role("button", name="Create container")
    await expect(create).to_be_enabled()
    stranger.mkdir()
    await create.click()
    failure, step = page.get_by_test_id("failure"), page.get_by_test_id("step-create-guest")
    await expect(failure).to_contain_text("“\u2068Create the container\u2069” has failed")
    await expect(failure).to_contain_text(f"Step 2 of {len((await stack.status(vmid))['steps'])}")
    await expect(failure).to_contain_text("does not carry the mark of container")
    await expect(failure.get_by_test_id("failure-tries")).to_have_text(
        re.compile(r"Failed \d+ times, tried again in \d")
    )
    await expect(step).to_have_attribute("data-state", "failed")
    await expect(step.get_by_test_id("tries")).to_contain_text("tried again in")
    stranger.rmdir()
    await page.get_by_role("button", name="Try again now").click()
    await expect(page.get_by_test_id("step-check-ready")).to_have_attribute("data-state", "done")
    await expect(failure).to_be_hidden()
    await stack.delete(vmid)


@pytest.mark.parametrize("width", [320, 1280])
async def test_no_tab_of_a_container_is_wider_than_its_window(page: Page, stack: Stack, vmid: int, width: int) -> None:
    """Words without a gap, which anybody may choose, break no page; as HTML they are text."""
    nasty = "x" * 300 + "<img src=x onerror=document.title='broken'>"
    body = {
        "argv": ["/bin/sh", "-c", "echo $0; exit 7", nasty],
        "policy": {"ready": {"probe": {"kind": "log", "pattern": "never"}}},
    }
    await stack.call("PUT", f"/api/containers/{vmid}/processes/{'w' * 32}", body)
    await page.set_viewport_size({"width": width, "height": 800})
    await sign_in(page, stack)
    for path in (
        "overview",
        "processes",
        "processes/" + "w" * 32,
        "terminal",
        "metrics",
        "history",
        "ports",
        "runtimes",
        "settings",
    ):
        await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/{path}")
        await expect(page.get_by_role("tabpanel")).to_be_visible()
        await page.wait_for_timeout(300)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert await page.title() != "broken"
