"""Opens windows of pages that strangers have filled, sends what stands in them, and looks at each as it is then."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

from e2e.hostile_looks import Watch
from e2e.test_accessible import WAITING, rest

# What is pressed is called by its own name, or by one that has a stranger's text in it.
Name = str | re.Pattern[str]


class Windows:
    """Windows of one page after another; `wrong` has what is wrong with any of them."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self._page = page
        self._watch = watch
        self.window = page.get_by_role("dialog")
        self.wrong: list[str] = []

    async def go(self, address: str) -> None:
        """Come to a page."""
        await self._page.goto(address)
        await rest(self._page)

    async def look(self, where: str) -> None:
        """Look at what is shown now."""
        await expect(self._page.locator(WAITING)).to_have_count(0)
        self.wrong += await self._watch.look(where)

    async def open(self, *names: Name) -> None:
        """Press one after the other, until a window is open, and look at it."""
        for name in names:
            await self.press(name)
        await expect(self.window).to_be_visible()
        await self.look(f"window {names[-1]}")

    async def press(self, name: Name) -> None:
        """Press the first button or entry of a menu of this name, by key: what is told in passing may stand over it."""
        buttons = self._page.get_by_role("button", name=name, exact=True)
        await buttons.or_(self._page.get_by_role("menuitem", name=name, exact=True)).first.press("Enter")

    async def send(self, name: Name) -> None:
        """Send what stands in the window, and look at the window that tells of the refusal."""
        await self.window.get_by_role("button", name=name, exact=True).press("Enter")
        await expect(self.window.get_by_test_id("problem")).to_be_visible()
        await self.look(f"{name}, refused")

    async def close(self) -> None:
        """Close the window that is open."""
        await self._page.keyboard.press("Escape")
        await expect(self.window).to_be_hidden()

    async def see(self, *names: Name) -> None:
        """Open a window, look at it, and close it."""
        await self.open(*names)
        await self.close()

    async def see_menu(self, button: Locator) -> list[str]:
        """Look at the menu of a button, as `see_opened_menu` does."""
        await button.click()
        return await self.see_opened_menu()

    async def see_opened_menu(self) -> list[str]:
        """Look at the menu that is open; return what stands in it. It stays open."""
        menu = self._page.get_by_role("menu")
        await expect(menu).to_be_visible()
        await self.look("a menu")
        return await menu.locator(".mantine-Menu-itemLabel").all_inner_texts()
