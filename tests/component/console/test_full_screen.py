"""Full-screen programs through a console, seen with a terminal emulator: used, resized, left and come back to."""

from __future__ import annotations

import pytest

from component.console.emulator import EmulatedViewer
from component.console.harness import Bench, eventually

FULL_SCREEN = ("env", "TERM=linux", "LANG=C.UTF-8", "HOME=/")
TEXT = "written by one viewer"


@pytest.mark.real("full-screen")
async def test_vim_is_used_resized_and_drawn_anew_for_the_next_viewer(bench: Bench) -> None:
    """What was typed stands there; the window follows; a second viewer sees the very same screen."""
    bench.argv = (*FULL_SCREEN, "vim", "-u", "NONE", "-N", "-n", "-c", "set ruler showmode")
    service = await bench.start()
    first = EmulatedViewer(service, 80, 24)
    await first.attach()
    await first.until(lambda lines: lines[22] == "~" and "0,0-1" in lines[23])
    await first.type(f"i{TEXT}")
    await first.until(lambda lines: lines[0] == TEXT and "INSERT" in lines[23])
    await first.type("\x1b")
    await first.until(lambda lines: "INSERT" not in lines[23] and f"1,{len(TEXT)}" in lines[23])
    first.resize(100, 31)
    seen = await first.until(lambda lines: lines[29] == "~" and f"1,{len(TEXT)}" in lines[30])
    assert seen[1:30] == ["~"] * 29
    await first.detach()

    second = EmulatedViewer(service, 100, 31)
    await second.attach()
    assert await second.until(lambda lines: lines == seen) == seen
    # One that is given no history at all sees it too: the program is made to draw itself.
    late = EmulatedViewer(service, 100, 31)
    await late.attach(-1)
    assert await late.until(lambda lines: lines == seen) == seen
    await second.type(":q!\r")
    await eventually(lambda: service.rows()[0].state == "exited")
    assert service.rows()[0].exit_code == 0
    for viewer in (second, late):
        await viewer.detach()


@pytest.mark.real("full-screen")
@pytest.mark.parametrize(
    ("program", "at_top", "at_bottom"),
    [(("htop", "--no-color"), None, "F10Quit"), (("top", "-d", "1"), "load average", None)],
)
async def test_monitors_draw_themselves_at_every_size(
    bench: Bench, program: tuple[str, ...], at_top: str | None, at_bottom: str | None
) -> None:
    """Head and foot are where they belong, for the viewer who resizes and for the one who comes after."""

    def is_drawn(lines: list[str]) -> bool:
        has_head = at_top is None or at_top in lines[0]
        has_foot = at_bottom is None or at_bottom in lines[-1]
        return has_head and has_foot and any("PID" in line for line in lines[:20])

    bench.argv = (*FULL_SCREEN, *program)
    service = await bench.start()
    first = EmulatedViewer(service, 100, 24)
    await first.attach()
    await first.until(is_drawn)
    first.resize(140, 40)
    await first.until(is_drawn)
    first.resize(90, 18)
    await first.until(is_drawn)
    await first.detach()
    second = EmulatedViewer(service, 90, 18)
    await second.attach(-1)
    await second.until(is_drawn)
    await second.type("q")
    await eventually(lambda: service.rows()[0].state == "exited")
    assert service.rows()[0].exit_code == 0
    await second.detach()


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_query_in_the_history_is_answered_once(bench: Bench, obeys: bool) -> None:
    """`hello.to` tells history from what is live; a client that does not mind it answers for the second time."""
    bench.argv = (
        "/bin/sh",
        "-c",
        "stty raw -echo; printf ready; head -c 1 > /dev/null; printf ' where? \\033[6n'; exec cat -v",
    )
    service = await bench.start()
    first = EmulatedViewer(service, 80, 24)
    await first.attach()
    await first.until(lambda lines: "ready" in lines[0])
    await first.type("x")
    await first.until(lambda lines: "where? ^[[1;14R" in lines[0])
    await first.detach()
    second = EmulatedViewer(service, 80, 24, obeys=obeys)
    await second.attach(0)
    await second.until(lambda lines: "where?" in lines[0])
    await second.type("mark")
    await second.until(lambda lines: "mark" in lines[0])
    assert second.lines()[0].count("^[[1;14R") == (1 if obeys else 2)
    await second.detach()
