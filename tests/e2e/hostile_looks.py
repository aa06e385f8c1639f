"""What a page is looked at for where strangers have put in whatever they liked."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page

from fakes.hostile_words import ELSEWHERE

_LOOK = Path(__file__).with_suffix(".js").read_text()


class Watch:
    """Looks at a page, and keeps where it has asked for something and what has opened."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self._page = page
        self.elsewhere: list[str] = []
        self.opened: list[str] = []
        context.on("request", lambda request: self._note(request.url))
        context.on("page", lambda other: self.opened.append(other.url))

    def _note(self, url: str) -> None:
        if ELSEWHERE in (urlsplit(url).hostname or ""):
            self.elsewhere.append(url)

    async def look(self, where: str) -> list[str]:
        """Return what is wrong with the page as it is now."""
        wrong: list[str] = await self._page.evaluate(_LOOK)
        title = await self._page.title()
        if not title.endswith(" · ZLH") or title.startswith("taken"):
            wrong.append(f"the title is {title[:100]!r}")
        wrong += [f"asked for {url[:100]}" for url in self.elsewhere]
        wrong += [f"opened {url[:100]}" for url in self.opened]
        return [f"{where}: {each}" for each in wrong]
