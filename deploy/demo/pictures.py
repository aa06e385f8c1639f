"""Pictures of every page of the portal, while `make dev` runs: light, dark, and as wide as a telephone.

    .venv/bin/python deploy/demo/pictures.py [--into FOLDER] [--format png|webp] [PAGE …] [--looks LOOK …]

It has the scene of `scene.py` made first, then writes `FOLDER/<look>-<page>.<format>`; without a PAGE it takes all of
PAGES. Chromium must be installed. A page on which a script fails ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Error, Page, ViewportSize, sync_playwright

import scene
from demo import HOME, Api, DemoFailed

PATIENCE_MS = 120_000
WEBP_QUALITY = 82
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# Nothing is on its way any more: neither code of the page's parts nor what they show.
AT_REST = """() => document.querySelector("h1") !== null && ![...document.querySelectorAll(
  ".mantine-Skeleton-root, .mantine-Loader-root")].some((one) => one.checkVisibility())"""


@dataclass(frozen=True)
class Look:
    """How somebody looks at the portal."""

    scheme: Literal["light", "dark"]
    size: ViewportSize


LOOKS = {
    "light": Look("light", {"width": 1280, "height": 800}),
    "dark": Look("dark", {"width": 1280, "height": 800}),
    "narrow": Look("light", {"width": 390, "height": 844}),
}
# By name: the address, and what must be seen before the picture is taken.
PAGES = {
    "containers": ("", "text={shop_name}"),
    "create": ("containers/new", "[data-testid=what-next]"),
    "create-game": ("containers/new?template=flying-squid", "h1"),
    "catalog": ("catalog", "h1"),
    "customers": ("customers", "h1"),
    "overview": ("containers/{shop}/overview", "h1"),
    "terminal": ("containers/{shop}/terminal", ".xterm-rows >> text=private"),
    "files": ("containers/{shop}/files", "text=notes.txt"),
    "editor": ("containers/{shop}/files?path=shop&open=shop%2Fserver.js", ".cm-content"),
    "processes": ("containers/{shop}/processes", "[data-testid=process-worker]"),
    "process": ("containers/{shop}/processes/worker", ".xterm-rows >> text=orders"),
    "metrics": ("containers/{shop}/metrics", "[data-testid=metrics-now]"),
    "history": ("containers/{shop}/history", "[data-testid=history-entry]"),
    "ports": ("containers/{shop}/ports", "h1"),
    "runtimes": ("containers/{shop}/runtimes", "h1"),
    "addons": ("containers/{shop}/addons", "h1"),
    "settings": ("containers/{shop}/settings", "h1"),
    "stopped": ("containers/{billing}/overview", "h1"),
    "suspended": ("containers/{preview}/overview", "h1"),
    "game": ("containers/{squid}/game", "[data-testid=game-address]"),
    "members": ("customers/{studio}/members", "[data-testid=member]"),
    "quota": ("customers/{studio}/quota", "[data-testid=quota-containers]"),
    "customer-log": ("customers/{studio}/audit-log", "h1"),
    "customer-settings": ("customers/{studio}/settings", "h1"),
    "profile": ("account/profile", "h1"),
    "sessions": ("account/sessions", "[data-testid=session]"),
    "tokens": ("account/tokens", "h1"),
    "not-found": ("nowhere", "[data-testid=not-found]"),
    **{
        f"platform-{tab}": (f"platform/{tab}", "h1")
        for tab in (
            "standing", "containers", "nodes", "journal", "edge", "agents", "catalog", "customers", "users",
            "audit-log",
        )
    },
}  # fmt: skip


class Photographer:
    """A browser that is signed in as the operator, with one look."""

    def __init__(self, browser: Browser, dev: dict[str, str], look: Look) -> None:
        self.portal = dev["portalUrl"].rstrip("/")
        context = browser.new_context(viewport=look.size, color_scheme=look.scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        self.page = context.new_page()
        self.failures: list[str] = []
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self._sign_in(dev)

    def _sign_in(self, dev: dict[str, str]) -> None:
        self.page.goto(self.portal)
        self.page.get_by_label("E-mail").fill(dev["adminEmail"])
        self.page.get_by_label("Password", exact=True).fill(dev["adminPassword"])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", level=1, name="Containers").wait_for()

    def take(self, address: str, seen: str, file: Path) -> None:
        """Take one picture of the whole page, once it shows what it must and has come to rest."""
        self.page.goto(f"{self.portal}/{address}")
        self.page.locator(seen).first.wait_for()
        self.page.wait_for_function(AT_REST)
        write_picture(self.page, file)


def write_picture(page: Page, file: Path) -> None:
    """Write a picture of the whole page, in the format that the name ends with."""
    if file.suffix == ".png":
        page.screenshot(path=file, full_page=True)
        return
    session = page.context.new_cdp_session(page)
    wish = {"format": "webp", "quality": WEBP_QUALITY}
    file.write_bytes(base64.b64decode(session.send("Page.captureScreenshot", wish)["data"]))
    session.detach()


def take_all(asked: argparse.Namespace, dev: dict[str, str], names: dict[str, str]) -> list[str]:
    """Take what is asked for; return what has failed on the pages."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    failures: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for look in asked.looks:
            photographer = Photographer(browser, dev, LOOKS[look])
            for name in asked.pages or PAGES:
                address, seen = (each.format_map(names) for each in PAGES[name])
                file = asked.into / f"{look}-{name}.{asked.format}"
                photographer.take(address, seen, file)
                print(f"  {file}", flush=True)
            failures += photographer.failures
        browser.close()
    return failures


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description="Pictures of every page of the portal, while `make dev` runs.")
    parser.add_argument("--into", type=Path, default=HOME / "pictures")
    parser.add_argument("--format", choices=("png", "webp"), default="png")
    parser.add_argument("--looks", nargs="+", choices=LOOKS, default=list(LOOKS))
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.pages) - set(PAGES)):
        parser.error(f"no such page: {', '.join(unknown)}; there are {', '.join(PAGES)}")
    return asked


def main(arguments: list[str]) -> int:
    """Make the scene, and take the pictures; 0 when no page has failed."""
    asked = parse(arguments)
    asked.into.mkdir(parents=True, exist_ok=True)
    try:
        dev = json.loads((HOME / "dev.json").read_text())
        api = Api(dev)
        names = {key: str(vmid) for key, vmid in scene.build(api).items()}
        names = {
            "shop": names[scene.SHOP], "billing": names[scene.BILLING], "preview": names[scene.PREVIEW],
            "squid": names.get(scene.SQUID, "0"), "shop_name": scene.SHOP,
            "studio": scene.ensure_customer(api, scene.STUDIO),
        }  # fmt: skip
        failures = take_all(asked, dev, names)
    except (DemoFailed, OSError, Error) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    for failure in failures:
        print(f"pictures: a script of a page failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
