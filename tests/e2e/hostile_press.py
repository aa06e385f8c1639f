"""Presses whatever can be pressed on a page, and looks at what comes of it; no change that is asked for is made.

The API's part in changes is played here: each is refused, in hostile words, so that every page can be gone through to
its end and what tells of a failure is seen too.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Page, Request, Route, expect

from e2e.browser import PATIENCE_MS
from e2e.hostile_looks import Watch
from e2e.test_accessible import rest
from fakes.hostile_words import ALL, NAMES
from zlh_common.schema.structs import encode

# What stands in the place of what threw; others may use the word.
BROKEN = re.compile("^This (part|page) broke$")
_PRESS = Path(__file__).with_suffix(".js").read_text()
# Once nothing moves any more; what turns for ever is an animation, and no transition.
_STILL = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  do {
    for (let frames = 0; frames < 3; frames += 1) await frame();
  } while (document.getAnimations().some((each) => each instanceof CSSTransition && each.playState === "running"));
}"""
# What leads further where it is the reason of a refusal: it asks what shall become of what is there.
_REASONS = {
    "PUT /files/content": "file_changed",
    "POST /files/uploads": "file_exists",
    "POST /files/move": "file_exists",
}
# What a page asks for by itself, and not who one is, what runs here, and which container it is.
_ABOUT_A_PAGE = re.compile(r"/api/(?!(me|version|events|containers/\d+(/status)?)(\?|$))")
# More than any page takes; one that opens for ever is told as such.
_MOST = 300


class Presser:
    """One page, through which it goes; `seen` names each layer that was on top: a page, a menu, a window, a list."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self._page = page
        self._watch = watch
        self._waiting: set[Request] = set()
        self._reads_are_refused = False
        self._wrong: dict[str, str] = {}
        self._pressed: set[str] = set()
        self.seen: set[str] = set()
        # How many failures of pages were told, where nothing of them was told.
        self.problems = 0

    async def begin(self) -> None:
        """Take the API's part from now on."""
        await self._page.route(re.compile(r"/api/"), self._answer)
        self._page.on("request", self._note)
        self._page.on("requestfinished", self._forget)
        self._page.on("requestfailed", self._forget)

    def wrong(self) -> list[str]:
        """Return what was wrong, each with the first place at which it was."""
        return [f"{where}: {what}" for what, where in self._wrong.items()]

    async def press_all(self, address: str, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Press one of each kind of what a page has, and of what opens; `first` is done each time it is come to."""
        walk = _Walk(self._pressed)

        async def come() -> str:
            await self._page.goto(address)
            await rest(self._page)
            if first is not None:
                await first()
            await self._settle()
            return str(await self._page.evaluate("location.pathname"))

        home = await come()
        for _ in range(_MOST):
            asked = {"pressed": sorted(walk.pressed), "home": home, "word": NAMES[0]}
            found = await self._page.evaluate(_PRESS, asked)
            layer, key = found["layer"], found["key"]
            walk.see(layer, found["keys"], key)
            print("PRESS", address.rsplit("/", 1)[-1], layer, "|", key)
            self.seen.add(layer)
            if key is not None:
                await self._settle()
                await self._look(f"{address}: {key}")
                continue
            if layer in {"elsewhere", "page of a file"}:
                await come()
            elif layer != "page":
                await self._close(layer)
            elif not walk.reopen():
                self._pressed |= {each for each in walk.pressed if each.startswith("frame")}
                return
        raise AssertionError(f"{address} has no end: {sorted(walk.pressed)}")

    async def see_palette(self, search: str) -> None:
        """Open the palette on the page that is shown, and search it."""
        await self._page.keyboard.press("Control+k")
        field = self._page.get_by_role("dialog").get_by_role("textbox")
        await field.fill(search)
        await self._settle()
        assert await self._page.get_by_role("dialog").get_by_role("button").count() > 0, f"{search} is not found"
        await self._look(f"the palette, of {search}")
        await self._page.keyboard.press("Escape")

    async def look_refused(self, address: str) -> None:
        """Look at a page of which nothing is told but who one is and how the container is."""
        self._reads_are_refused = True
        await self._page.goto(address)
        await expect(self._page.get_by_role("heading", level=1)).to_be_visible()
        await self._settle()
        self.problems += await self._page.get_by_test_id("problem").count()
        await self._look(f"{address}, refused")

    async def _close(self, layer: str) -> None:
        await self._page.keyboard.press("Escape")
        await self._settle()
        role = layer.split(maxsplit=1)[0]
        assert await self._page.locator(f"[role={role}]:visible").count() == 0, f"{layer} stays"

    async def _look(self, where: str) -> None:
        for wrong in await self._watch.look(""):
            self._wrong.setdefault(wrong.removeprefix(": "), where)
        if await self._page.get_by_text(BROKEN).count() > 0:
            self._wrong.setdefault("it broke", where)

    async def _settle(self) -> None:
        """Return once what was asked for is answered, and nothing moves."""
        async with asyncio.timeout(PATIENCE_MS / 1000):
            await self._page.evaluate(_STILL)
            while self._waiting:
                await asyncio.sleep(0.01)
                await self._page.evaluate(_STILL)

    async def _answer(self, route: Route) -> None:
        is_read = route.request.method in {"GET", "HEAD"}
        if is_read and not (self._reads_are_refused and _ABOUT_A_PAGE.search(route.request.url)):
            await route.fallback()
        else:
            await _refuse(route)

    def _note(self, request: Request) -> None:
        # The stream of what happens has no end.
        if request.resource_type in {"fetch", "xhr", "script", "stylesheet"} and not request.url.endswith(
            "/api/events"
        ):
            self._waiting.add(request)

    def _forget(self, request: Request) -> None:
        self._waiting.discard(request)


class _Walk:
    """What was pressed of one page, and what opened what: a window that closes at the first press is opened again."""

    def __init__(self, pressed: set[str]) -> None:
        self.pressed = set(pressed)
        self._keys: dict[str, set[str]] = {}
        self._openers: dict[str, str] = {}
        self._reopened: Counter[str] = Counter()
        self._last: tuple[str, str] | None = None

    def see(self, layer: str, keys: list[str], key: str | None) -> None:
        """Note what is on top, and what of it was pressed."""
        if self._last is not None and layer not in {"page", self._last[0]}:
            self._openers.setdefault(layer, self._last[1])
        self._keys[layer] = set(keys)
        self._last = None
        if key is not None:
            self.pressed.add(key)
            self._last = (layer, key)

    def reopen(self) -> bool:
        """Have whatever has something that was not pressed opened again; tell whether there is anything."""
        again = False
        # Last comes what is deepest, and what opens it is not pressed then either.
        for layer, keys in reversed(self._keys.items()):
            opener = self._openers.get(layer)
            if opener in self.pressed and keys - self.pressed and self._reopened[layer] < len(keys):
                self._reopened[layer] += 1
                self.pressed.discard(opener)
                again = True
        return again


async def _refuse(route: Route) -> None:
    called = next((code for what, code in _REASONS.items() if _is_call(route.request, what)), NAMES[0])
    problem = {"type": ALL, "title": ALL, "status": 409, "code": called, "detail": ALL, "requestId": ALL}
    await route.fulfill(status=409, content_type="application/problem+json", body=encode(problem).decode())


def _is_call(request: Request, what: str) -> bool:
    method, path = what.split()
    return request.method == method and path in request.url
