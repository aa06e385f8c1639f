"""A person at the files of a container, in a real browser: what the page shows, and what is on the disk then."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Dialog, Locator, Page, Route, expect
from playwright.async_api import Error as BrowserError

from e2e.browser import sign_in
from e2e.stack import Stack
from e2e.visitors import PASSWORD, join

pytestmark = pytest.mark.real("chromium", "portal")

MIB = 1024 * 1024
PATIENCE_S = 90.0
# What a browser hands over when files are dropped: made in the page, since no mouse can bring any from outside.
DROP = """(area, files) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  for (const type of ["dragenter", "dragover", "drop"])
    area.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
async def disk(stack: Stack, vmid: int) -> AsyncIterator[Path]:
    """The folder of the container that the page shows first, as programs see it; empty before each test."""
    folder = await folder_of(stack, vmid)
    yield folder
    await asyncio.to_thread(clear, folder)


async def folder_of(stack: Stack, vmid: int) -> Path:
    """Return where on this machine the files of a container are."""
    status, answer = await stack.call("GET", f"/api/containers/{vmid}/files/roots")
    assert status == 200, answer
    return Path(next(root["folder"] for root in answer["roots"] if root["isDefault"]))


def clear(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


async def open_files(page: Page, stack: Stack, vmid: int, query: str = "") -> Locator:
    """Sign in, and come to a folder; return its list."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/files{query}")
    grid = page.get_by_test_id("file-grid")
    await expect(grid).to_have_attribute("aria-busy", "false")
    return grid


async def open_text(page: Page, stack: Stack, vmid: int, name: str) -> None:
    """Sign in, and come to a text that can be written to."""
    await sign_in(page, stack)
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/files?open={name}")
    await expect(page.get_by_test_id("editor-state")).to_have_text("Saved")


async def ask_for(page: Page, name: str, action: str) -> Locator:
    """Choose an action from the menu of a file; return the window that asks about it."""
    await page.get_by_role("button", name=f"Actions of {name}", exact=True).click()
    await page.get_by_role("menuitem", name=re.compile(rf"^{action}")).click()
    return page.get_by_role("dialog")


def row(page: Page, name: str) -> Locator:
    """Return the line of a file in the list."""
    return page.get_by_test_id(f"file-{name}")


async def write_at_the_end(page: Page, text: str) -> None:
    """Type at the end of the text that is open."""
    await page.locator(".cm-content").click()
    await page.keyboard.press("Control+End")
    await page.keyboard.type(text)


async def test_a_file_is_made_and_written_and_what_others_wrote_is_never_overwritten(
    page: Page, stack: Stack, vmid: int, disk: Path
) -> None:
    """Where a program has written meanwhile, saving shows both texts, and keeps what is chosen."""
    await open_files(page, stack, vmid)
    await expect(page.get_by_test_id("empty-folder")).to_be_visible()
    await page.get_by_role("button", name="New").click()
    await page.get_by_role("menuitem", name="File…").click()
    await page.get_by_label("Name", exact=True).fill("notes.md")
    await page.get_by_role("button", name="Create", exact=True).click()
    state = page.get_by_test_id("editor-state")
    await expect(state).to_have_text("Saved")
    await write_at_the_end(page, "mine")
    await expect(state).to_have_text("Not saved")
    await page.keyboard.press("Control+s")
    await expect(state).to_have_text("Saved")
    assert (disk / "notes.md").read_text() == "mine"

    (disk / "notes.md").write_text("theirs\n")
    await write_at_the_end(page, " too")
    await page.keyboard.press("Control+s")
    await expect(page.get_by_test_id("differs")).to_contain_text("Nothing of either is lost yet")
    assert (disk / "notes.md").read_text() == "theirs\n"
    await page.get_by_role("button", name="Compare side by side").click()
    compared = page.get_by_role("dialog")
    await expect(compared).to_contain_text("theirs")
    await expect(compared).to_contain_text("mine too")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Overwrite with mine").click()
    await expect(state).to_have_text("Saved")
    assert (disk / "notes.md").read_text() == "mine too"
    await page.get_by_role("button", name="Back to the folder").click()
    await expect(row(page, "notes.md")).to_contain_text("8 B")


async def test_what_became_no_text_while_it_was_open_is_not_taken_for_one(
    page: Page, stack: Stack, vmid: int, disk: Path
) -> None:
    """A program has put something else there, or nothing: what was written is kept, and goes where one asks for it."""
    (disk / "made").write_text("text\n")
    await open_text(page, stack, vmid, "made")
    state, differs = page.get_by_test_id("editor-state"), page.get_by_test_id("differs")
    overwrite = differs.get_by_role("button", name="Overwrite with mine")
    (disk / "made").write_bytes(b"\x7fELF\x00\xff")
    await write_at_the_end(page, "mine")
    await page.keyboard.press("Control+s")
    await expect(differs).to_contain_text("cannot be shown beside what you wrote")
    await expect(differs.get_by_role("button")).to_have_count(1)
    await expect(page.locator(".cm-content")).to_contain_text("mine")
    assert (disk / "made").read_bytes() == b"\x7fELF\x00\xff"
    # It is text again before anybody has chosen: both are there to be compared.
    (disk / "made").write_text("theirs\n")
    await overwrite.click()
    await expect(differs.get_by_role("button", name="Take theirs, drop mine")).to_be_visible()
    (disk / "made").unlink()
    await overwrite.click()
    await expect(differs).to_contain_text("The file was removed meanwhile")
    await differs.get_by_role("button", name="Write it anew").click()
    await expect(state).to_have_text("Saved")
    assert (disk / "made").read_text() == "text\nmine"


async def test_files_and_folders_come_by_button_and_by_drop_and_a_name_is_taken_once(
    page: Page, stack: Stack, vmid: int, disk: Path, tmp_path: Path
) -> None:
    """What is there already is asked about, and both are kept where that is chosen."""
    content = bytes(range(256)) * 4096
    (tmp_path / "one.bin").write_bytes(content)
    (tmp_path / "site" / "css").mkdir(parents=True)
    (tmp_path / "site" / "css" / "main.css").write_text("a {}")
    (tmp_path / "site" / "index.html").write_text("<script>alert(1)</script>")
    await open_files(page, stack, vmid)
    tray = page.get_by_test_id("uploads-title")
    await page.get_by_test_id("choose-files").set_input_files(tmp_path / "one.bin")
    await expect(tray).to_have_text("1 uploaded")
    await expect(row(page, "one.bin")).to_contain_text("1 MiB")
    assert hashlib.sha256((disk / "one.bin").read_bytes()).digest() == hashlib.sha256(content).digest()

    await page.get_by_test_id("choose-folder").set_input_files(tmp_path / "site")
    await expect(tray).to_have_text("3 uploaded")
    assert (disk / "site/css/main.css").read_text() == "a {}"
    assert (disk / "site/index.html").read_text() == "<script>alert(1)</script>"

    await page.get_by_test_id("drop-area").evaluate(DROP, [["dropped.txt", "dropped"], ["one.bin", "another"]])
    await page.get_by_role("dialog").get_by_role("button", name="Keep both").click()
    await expect(tray).to_have_text("5 uploaded")
    await expect(row(page, "dropped.txt")).to_be_visible()
    await expect(row(page, "one (2).bin")).to_be_visible()
    assert (disk / "one (2).bin").read_text() == "another"
    assert (disk / "one.bin").stat().st_size == len(content)


async def test_an_upload_is_paused_and_goes_on_where_it_was(
    page: Page, stack: Stack, vmid: int, disk: Path, tmp_path: Path
) -> None:
    """While it is paused nothing comes any more; then only the rest is sent, and the file is whole."""
    (tmp_path / "long.bin").write_bytes(bytes(range(251)) * (4 * MIB // 251))
    size = (tmp_path / "long.bin").stat().st_size
    may_pass, came, sent = asyncio.Event(), asyncio.Event(), list[int]()

    _, roots = await stack.call("GET", f"/api/containers/{vmid}/files/roots")

    async def cut_in_pieces(route: Route) -> None:
        await route.fulfill(json={**roots, "uploadChunkBytes": MIB})

    async def hold(route: Route) -> None:
        if route.request.method == "PATCH":
            came.set()
            await may_pass.wait()
            sent.append(int(route.request.headers["upload-offset"]))
        # The piece that was held is one that the page has given up since.
        with suppress(BrowserError):
            await route.continue_()

    await page.route("**/files/roots", cut_in_pieces)
    await page.route("**/files/uploads/*", hold)
    await open_files(page, stack, vmid)
    await page.get_by_test_id("choose-files").set_input_files(tmp_path / "long.bin")
    await came.wait()
    upload = page.get_by_test_id("upload-long.bin")
    await page.get_by_role("button", name="Pause long.bin").click()
    await expect(upload).to_have_attribute("data-phase", "paused")
    await expect(upload).to_contain_text("Paused at 1 MiB of 4 MiB")
    _, unfinished = await stack.call("GET", f"/api/containers/{vmid}/files/uploads")
    assert [(item["offset"], item["size"]) for item in unfinished["items"]] == [(MIB, size)]
    assert not (disk / "long.bin").exists()
    may_pass.set()
    await page.get_by_role("button", name="Resume long.bin").click()
    await expect(page.get_by_test_id("uploads-title")).to_have_text("1 uploaded")
    await expect(row(page, "long.bin")).to_be_visible()
    assert min(sent) == MIB
    assert (disk / "long.bin").read_bytes() == (tmp_path / "long.bin").read_bytes()
    await page.unroute_all(behavior="ignoreErrors")


async def test_a_file_comes_as_it_is_and_a_folder_as_an_archive(
    page: Page, stack: Stack, vmid: int, disk: Path
) -> None:
    """Downloads are saved under their own name, a page of HTML too."""
    (disk / "site").mkdir()
    (disk / "site" / "naïve.txt").write_text("text")
    (disk / "page.html").write_text("<script>alert(1)</script>")
    await open_files(page, stack, vmid)
    await row(page, "page.html").get_by_role("checkbox").check()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download", exact=True).click()
    file = await download.value
    assert file.suggested_filename == "page.html"
    assert (await file.path()).read_text() == "<script>alert(1)</script>"

    await row(page, "page.html").get_by_role("checkbox").uncheck()
    await row(page, "site").get_by_role("checkbox").check()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download", exact=True).click()
    file = await download.value
    assert file.suggested_filename == "site.zip"
    with zipfile.ZipFile(await file.path()) as archive:
        assert archive.read("site/naïve.txt") == b"text"


async def test_files_are_renamed_moved_copied_and_deleted(page: Page, stack: Stack, vmid: int, disk: Path) -> None:
    """Each asks first, a taken name is told, and what a folder holds is counted before it goes."""
    (disk / "docs").mkdir()
    (disk / "a.txt").write_text("a")
    (disk / "b.txt").write_text("b")
    grid = await open_files(page, stack, vmid)
    dialog = page.get_by_role("dialog")
    await row(page, "a.txt").click(position={"x": 400, "y": 10})
    await expect(row(page, "a.txt")).to_have_attribute("aria-selected", "true")
    await grid.press("F2")
    await dialog.get_by_role("textbox").fill("b.txt")
    await dialog.get_by_role("button", name="Rename").click()
    await expect(dialog.get_by_test_id("problem")).to_contain_text("b.txt")
    await dialog.get_by_role("textbox").fill("c.txt")
    await dialog.get_by_role("button", name="Rename").click()
    await expect(row(page, "c.txt")).to_have_attribute("aria-selected", "true")
    assert (disk / "b.txt").read_text() == "b"

    dialog = await ask_for(page, "c.txt", "Move")
    await dialog.get_by_role("button", name="docs", exact=True).click()
    await dialog.get_by_role("button", name="Move", exact=True).click()
    await expect(row(page, "c.txt")).to_have_count(0)
    assert (disk / "docs/c.txt").read_text() == "a"

    dialog = await ask_for(page, "docs", "Copy")
    await dialog.get_by_role("textbox", name="As").fill("/docs2")
    await dialog.get_by_role("button", name="Copy", exact=True).click()
    await expect(row(page, "docs2")).to_be_visible()
    assert (disk / "docs2/c.txt").read_text() == "a"

    dialog = await ask_for(page, "docs2", "Delete")
    await expect(dialog.get_by_test_id("delete-count")).to_have_text("In it: 1 file, 1 B.")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    assert (disk / "docs2/c.txt").exists()
    dialog = await ask_for(page, "docs2", "Delete")
    await dialog.get_by_role("button", name="Delete for good").click()
    await expect(row(page, "docs2")).to_have_count(0)
    assert not (disk / "docs2").exists()
    await row(page, "docs").dblclick(position={"x": 400, "y": 10})
    await expect(row(page, "c.txt")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"path=docs"))


async def test_rights_are_changed_and_archives_made_and_unpacked(
    page: Page, stack: Stack, vmid: int, disk: Path
) -> None:
    """A script may be run, a folder becomes an archive, and comes out of it under another name."""
    (disk / "src").mkdir()
    (disk / "src" / "run.sh").write_text("echo")
    (disk / "src" / "run.sh").chmod(0o644)
    await open_files(page, stack, vmid, "?path=src")
    dialog = await ask_for(page, "run.sh", "Rights")
    await dialog.get_by_role("checkbox", name="owner: execute").check()
    await expect(dialog.get_by_label("In octal")).to_have_value("0744")
    await dialog.get_by_role("button", name="Change").click()
    await expect(row(page, "run.sh")).to_contain_text("rwxr--r--")
    assert (disk / "src/run.sh").stat().st_mode & 0o777 == 0o744

    await page.get_by_role("navigation", name="Folders").get_by_role("link", name="/", exact=True).click()
    dialog = await ask_for(page, "src", "Compress")
    await dialog.get_by_text("tar.gz", exact=True).first.click()
    await dialog.get_by_role("button", name="Compress").click()
    await expect(row(page, "src.tar.gz")).to_be_visible()
    dialog = await ask_for(page, "src.tar.gz", "Extract")
    await dialog.get_by_role("textbox", name="Into the folder").fill("/out")
    await dialog.get_by_role("button", name="Extract", exact=True).click()
    await expect(row(page, "out")).to_be_visible()
    assert (disk / "out/src/run.sh").stat().st_mode & 0o777 == 0o744


async def test_a_hit_of_a_search_opens_at_its_line(page: Page, stack: Stack, vmid: int, disk: Path) -> None:
    """A text is found in a file below, and the line that was found is the one that is worked on."""
    (disk / "deep" / "er").mkdir(parents=True)
    (disk / "deep" / "er" / "log.txt").write_text(
        "\n".join(["nothing"] * 400 + ["a <b>needle</b>"] + ["nothing"] * 400)
    )
    await open_files(page, stack, vmid)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_label("Text in it").fill("needle")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("search-count")).to_contain_text("1 result")
    await page.get_by_test_id("found-deep/er/log.txt").get_by_role("link", name="needle").click()
    await expect(page.locator(".cm-activeLine")).to_have_text("a <b>needle</b>")
    await expect(page.locator(".cm-activeLine")).to_be_in_viewport()


async def test_a_viewer_sees_why_and_no_file(page: Page, stack: Stack, vmid: int, disk: Path) -> None:
    """Instead of the list stands the reason, and nothing of the files is asked for."""
    (disk / "secret.txt").write_text("secret")
    _, container = await stack.call("GET", f"/api/containers/{vmid}")
    viewer = await join(stack, container["customerId"], "viewer", "viewer")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/files/" in request.url else None)
    await page.goto(f"{stack.dev['portalUrl']}/login")
    await page.get_by_label("E-mail").fill(viewer.email)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")
    await page.goto(f"{stack.dev['portalUrl']}/containers/{vmid}/files")
    await expect(page.get_by_test_id("may-not")).to_contain_text("Your role as viewer does not include")
    await expect(page.get_by_test_id("file-grid")).to_have_count(0)
    assert [url for url in asked if "/api/" in url] == []


async def test_a_folder_that_is_dropped_comes_with_all_that_is_in_it(
    page: Page, stack: Stack, vmid: int, disk: Path, tmp_path: Path
) -> None:
    """As from a file manager: more than a browser lists at once, folders in folders, and one with nothing in it."""
    world = tmp_path / "world"
    (world / "region" / "deep").mkdir(parents=True)
    (world / "empty").mkdir()
    for number in range(230):
        (world / "region" / f"r.{number}.mca").write_bytes(bytes([number]) * number)
    (world / "region" / "deep" / "naïve ⚙.txt").write_text("deep")
    (tmp_path / "beside.txt").write_text("beside")
    await open_files(page, stack, vmid)
    await drop(page, world, tmp_path / "beside.txt")
    await expect(page.get_by_test_id("uploads-title")).to_have_text("232 uploaded")
    for name in ("world", "beside.txt"):
        await expect(row(page, name)).to_be_visible()
    async with asyncio.timeout(PATIENCE_S):
        while not (disk / "world/empty").is_dir():
            await asyncio.sleep(0.05)
    assert tree_of(disk / "world") == tree_of(world)
    assert (disk / "beside.txt").read_text() == "beside"


async def drop(page: Page, *paths: Path) -> None:
    """Drop what lies on this machine onto the list, as a hand with a mouse does."""
    await page.get_by_test_id("drop-area").scroll_into_view_if_needed()
    box = await page.get_by_test_id("drop-area").bounding_box()
    assert box is not None
    devtools = await page.context.new_cdp_session(page)
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver"):
        await devtools.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})
    await expect(page.get_by_text("Drop files and folders to upload them here")).to_be_visible()
    await devtools.send("Input.dispatchDragEvent", {"type": "drop", **where, "data": data})
    await devtools.detach()


def hash_of(path: Path) -> str:
    """Return what tells one file from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """Return all that is below a folder by its path: the content of files, None for folders."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


async def accept_warnings(page: Page) -> list[str]:
    """Leave pages that warn all the same; return the list of what was asked."""
    warnings: list[str] = []

    async def accept(dialog: Dialog) -> None:
        warnings.append(dialog.type)
        await dialog.accept()

    page.on("dialog", accept)
    return warnings


@pytest.fixture
async def long_file(page: Page, stack: Stack, vmid: int, tmp_path: Path) -> Path:
    """A file that the page sends in four pieces."""
    _, roots = await stack.call("GET", f"/api/containers/{vmid}/files/roots")

    async def cut_in_pieces(route: Route) -> None:
        await route.fulfill(json={**roots, "uploadChunkBytes": MIB})

    await page.route("**/files/roots", cut_in_pieces)
    (tmp_path / "long.bin").write_bytes(bytes(range(251)) * (4 * MIB // 251))
    return tmp_path / "long.bin"


@dataclass
class Gate:
    """Holds back pieces of uploads, while it is shut."""

    page: Page
    came: asyncio.Event = field(default_factory=asyncio.Event)
    may_pass: asyncio.Event = field(default_factory=asyncio.Event)
    # The offsets of those that were let through.
    sent: list[int] = field(default_factory=list)

    async def put_up(self) -> None:
        """Have all pieces come by here."""
        await self.page.route("**/files/uploads/*", self._hold)

    async def _hold(self, route: Route) -> None:
        if route.request.method == "PATCH":
            self.came.set()
            await self.may_pass.wait()
            self.sent.append(int(route.request.headers["upload-offset"]))
        # A piece that was held may be one that the page has given up since.
        with suppress(BrowserError):
            await route.continue_()


async def test_an_upload_goes_on_by_itself_once_the_network_is_back(
    page: Page, stack: Stack, vmid: int, disk: Path, long_file: Path
) -> None:
    """Its progress is shown; without a network it says that it goes on by itself, and then it does."""
    gate = Gate(page)
    await gate.put_up()
    await open_files(page, stack, vmid)
    await page.get_by_test_id("choose-files").set_input_files(long_file)
    await gate.came.wait()
    await expect(page.get_by_test_id("uploads-figures")).to_contain_text("1 MiB of 4 MiB")
    await expect(page.get_by_role("progressbar", name="long.bin: 25 %")).to_be_visible()
    await page.context.set_offline(True)
    gate.may_pass.set()
    upload = page.get_by_test_id("upload-long.bin")
    await expect(upload).to_have_attribute("data-phase", "retrying")
    await expect(upload).to_contain_text("Goes on by itself")
    assert not (disk / "long.bin").exists()
    gate.sent.clear()
    await page.context.set_offline(False)
    await expect(page.get_by_test_id("uploads-title")).to_have_text("1 uploaded")
    assert min(gate.sent) == MIB
    assert hash_of(disk / "long.bin") == hash_of(long_file)
    await page.unroute_all(behavior="ignoreErrors")


async def test_an_upload_waits_over_a_reload_for_the_same_file(
    page: Page, stack: Stack, vmid: int, disk: Path, long_file: Path
) -> None:
    """The browser warns; the page then tells of it, and the same file that is chosen again goes on where it was."""
    warnings = await accept_warnings(page)
    gate = Gate(page)
    await gate.put_up()
    grid = await open_files(page, stack, vmid)
    # A browser warns for a page alone that somebody has touched.
    await grid.click()
    await page.get_by_test_id("choose-files").set_input_files(long_file)
    await gate.came.wait()
    await page.reload()
    assert warnings == ["beforeunload"]
    left = page.get_by_test_id("unfinished")
    await expect(left).to_contain_text("long.bin")
    await expect(left).to_contain_text("1 MiB of 4 MiB")
    gate.may_pass.set()
    gate.sent.clear()
    await page.get_by_test_id("choose-files").set_input_files(long_file)
    await expect(page.get_by_test_id("uploads-title")).to_have_text("1 uploaded")
    await expect(left).to_have_count(0)
    assert min(gate.sent) == MIB
    assert hash_of(disk / "long.bin") == hash_of(long_file)
    await page.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize(
    "choice",
    [("Replace", "new one", "new two"), ("Skip", "one", "two"), ("Close", "one", "two")],
)
async def test_names_that_are_taken_are_asked_about_once(
    page: Page, stack: Stack, vmid: int, disk: Path, choice: tuple[str, str, str]
) -> None:
    """For all that came together, with their names; whoever closes the question has none of those sent."""
    (disk / "one").write_text("one")
    (disk / "two").write_text("two")
    await open_files(page, stack, vmid)
    files = [["one", "new one"], ["two", "new two"], ["three", "new three"]]
    await page.get_by_test_id("drop-area").evaluate(DROP, files)
    dialog = page.get_by_role("dialog")
    # Both are asked about by the time that the one which is free has come.
    await expect(row(page, "three")).to_be_visible()
    await expect(dialog).to_contain_text("Some files are there already")
    for name in ("one", "two"):
        await expect(dialog.get_by_role("listitem").filter(has_text=name)).to_be_visible()
    answer, *kept = choice
    if answer == "Close":
        await page.keyboard.press("Escape")
    else:
        await dialog.get_by_role("button", name=answer).click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_test_id("uploads-title")).to_have_text(
        "3 uploaded" if answer == "Replace" else "1 uploaded"
    )
    assert [(disk / name).read_text() for name in ("one", "two", "three")] == [*kept, "new three"]


async def test_what_is_not_saved_outlives_its_agent_and_its_container(page: Page, stack: Stack, own_vmid: int) -> None:
    """It stays on the page while these or the API are away, and is saved once they are back; a deletion asks first."""
    file = await folder_of(stack, own_vmid) / "notes.md"
    file.write_text("first ")
    await open_text(page, stack, own_vmid, "notes.md")
    state, away = page.get_by_test_id("editor-state"), page.get_by_test_id("files-away")
    await write_at_the_end(page, "second ")
    stack.kill("agent")
    stack.kill("api")
    await stack.wait_ready(own_vmid)
    await write_at_the_end(page, "third ")
    await expect(state).to_have_text("Not saved")
    await stack.call("POST", f"/api/containers/{own_vmid}/stop")
    await expect(away).to_contain_text("The container is stopped")
    await write_at_the_end(page, "fourth")
    await page.keyboard.press("Control+s")
    await expect(page.get_by_test_id("problem")).to_contain_text("is off")
    await away.get_by_role("button", name="Start it").click()
    await expect(away).to_have_count(0)
    await expect(page.locator(".cm-content")).to_have_text("first second third fourth")
    assert file.read_text() == "first "
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(state).to_have_text("Saved")
    assert file.read_text() == "first second third fourth"

    await write_at_the_end(page, " lost")
    await stack.call("DELETE", f"/api/containers/{own_vmid}")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Leave without saving?")
    await expect(page.locator(".cm-content")).to_have_text("first second third fourth lost")
    await dialog.get_by_role("button", name="Leave").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Containers")


async def test_a_reload_asks_before_what_is_not_saved_is_lost(page: Page, stack: Stack, vmid: int, disk: Path) -> None:
    """What is on the disk stays as it was."""
    (disk / "notes.md").write_text("first ")
    warnings = await accept_warnings(page)
    await open_text(page, stack, vmid, "notes.md")
    await write_at_the_end(page, "lost")
    await expect(page.get_by_test_id("editor-state")).to_have_text("Not saved")
    await page.reload()
    assert warnings == ["beforeunload"]
    await expect(page.locator(".cm-content")).to_have_text("first ")
    assert (disk / "notes.md").read_text() == "first "


async def test_work_on_files_goes_on_over_a_reload_and_without_an_api(
    page: Page, stack: Stack, vmid: int, disk: Path
) -> None:
    """Whoever comes back sees how far it is, and may end it."""
    with (disk / "huge").open("wb") as file:
        file.truncate(2**40)
    wish = {"paths": ["huge"], "to": "huge.tar.gz"}
    status, begun = await stack.call("POST", f"/api/containers/{vmid}/files/archive", wish)
    assert (status, begun["state"]) == (202, "running")
    await open_files(page, stack, vmid)
    work = page.get_by_test_id("operation-archive")
    await expect(work).to_have_attribute("data-state", "running")
    stack.kill("api")
    await stack.wait_ready(vmid)
    await page.reload()
    await expect(work).to_have_attribute("data-state", "running")
    await work.get_by_role("button", name="Cancel").click()
    await expect(work).to_have_attribute("data-state", "cancelled")
    _, ended = await stack.call("GET", f"/api/containers/{vmid}/files/operations/{begun['id']}")
    assert ended["state"] == "cancelled"
