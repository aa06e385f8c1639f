"""An agent that is killed before and after everything that it writes for a change of mods: the next has old or new."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.doomed import Act, run_doomed
from fakes.mod_server import ModServer, carry_out, wait_ended
from fakes.modrinth import FakeFileHost
from zlh_agent.files.calls import Files
from zlh_agent.mods.folder import ModFolder
from zlh_agent.mods.journal_store import ChangeJournal
from zlh_common.schema.mods import LEDGER_NAME, ChangeState, ModChange, ModRollback, RemoveMod

OLD, NEW = ["a-1.jar", "b-1.jar", "d-1.jar"], ["a-2.jar", "c-1.jar", "d-1.jar.disabled"]
CHANGE, UNDOING = "c" * 32, "d" * 32
FILE_CALLS = ("make_folder", "open_to_append", "copy", "move", "put_in_place", "remove_tree")


@pytest.fixture
def host() -> Iterator[FakeFileHost]:
    """Return where files lie, served from a thread: processes that are forked off reach it too."""
    files = FakeFileHost()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.contents[self.path.removeprefix("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        files.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield files
        server.shutdown()
        thread.join()


def make_change(server: ModServer) -> ModChange:
    """Return a change with everything in it: an update, a removal, an install and a rename."""
    disabled = server.put("d", 1, is_enabled=False)
    acts = (server.put("a", 2), RemoveMod(project_id="b"), server.put("c", 1), disabled)
    return server.change(*acts, revision=1, change_id=CHANGE)


async def prepare(server: ModServer, *, is_changed: bool) -> None:
    """Have the server as it is before what is killed."""
    async with server.agent() as mods:
        await carry_out(mods, server.change(server.put("a", 1), server.put("b", 1), server.put("d", 1)))
        if is_changed:
            assert (await carry_out(mods, make_change(server))).state is ChangeState.DONE


async def work(server: ModServer, *, is_rollback: bool) -> ChangeState:
    """Do what is killed, or is done again by who comes after."""
    async with server.agent() as mods:
        if is_rollback:
            await mods.roll_back(ModRollback(id=UNDOING, change_id=CHANGE, actor="x", origins=(server.host.url,)))
            return (await wait_ended(mods, UNDOING)).state
        return (await carry_out(mods, make_change(server))).state


def count_acts(act: Act) -> None:
    """Have everything that writes call `act` before and after."""

    def around_async(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def counted(*given: Any, **named: Any) -> Any:
            await asyncio.to_thread(act)
            result = await method(*given, **named)
            await asyncio.to_thread(act)
            return result

        return counted

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def counted(*given: Any, **named: Any) -> Any:
            act()
            result = method(*given, **named)
            act()
            return result

        return counted

    for name in FILE_CALLS:
        setattr(Files, name, around_async(getattr(Files, name)))
    ModFolder.write_ledger = around_async(ModFolder.write_ledger)  # type: ignore[method-assign]
    for name in ("save", "forget"):
        setattr(ChangeJournal, name, around(getattr(ChangeJournal, name)))


def run_killed(server: ModServer, kill_at: int, *, is_rollback: bool) -> bool:
    """Do it in a process that dies at that act; tell whether it got to its end."""

    def doomed(act: Act) -> None:
        count_acts(act)
        assert asyncio.run(work(server, is_rollback=is_rollback)) is ChangeState.DONE

    return run_doomed(doomed, kill_at)


async def take_up(server: ModServer) -> None:
    """Start an agent, and let it end what it finds."""
    async with server.agent() as mods:
        ending = asyncio.create_task(mods.run())
        while (server.state / "mods/change.json").exists():
            await asyncio.sleep(0.005)
        # What it does after the journal says that all is done.
        async with mods._lock:
            ending.cancel()
        await asyncio.wait([ending])


def check(server: ModServer) -> bool:
    """Hold what is there against old and new, all of it; tell whether it is the new one."""
    is_new = server.names == NEW
    assert server.names == (NEW if is_new else OLD)
    entries = {entry["file"]["fileName"]: entry for entry in server.ledger["entries"]}
    for name in server.names:
        entry = entries.pop(name.removesuffix(".disabled"))
        assert hashlib.sha512((server.mods / name).read_bytes()).hexdigest() == entry["file"]["sha512"]
        assert entry["isEnabled"] == (not name.endswith(".disabled"))
    assert not entries
    assert sorted(path.name for path in server.mods.iterdir()) == sorted([LEDGER_NAME, *server.names])
    return is_new


@pytest.mark.parametrize("is_rollback", [False, True])
@pytest.mark.timeout(600)
def test_killed_at_every_write(tmp_path: Path, host: FakeFileHost, *, is_rollback: bool) -> None:
    """Old or new, each file with the ledger's hash; done again it is new, with what the last change has moved away."""
    start = ModServer(tmp_path / "start/game", tmp_path / "start/state", host)
    start.root.mkdir(parents=True)
    asyncio.run(prepare(start, is_changed=is_rollback))
    outcomes = []
    for kill_at in range(1, 200):
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        shutil.copytree(tmp_path / "start", tmp_path / "now")
        server = ModServer(tmp_path / "now/game", tmp_path / "now/state", host)
        if run_killed(server, kill_at, is_rollback=is_rollback):
            break
        asyncio.run(take_up(server))
        is_done = check(server) != is_rollback
        outcomes.append(is_done)
        assert asyncio.run(work(server, is_rollback=is_rollback)) is ChangeState.DONE
        assert check(server) != is_rollback
        assert len(list((server.root / ".zlh-mods").iterdir())) == 1
    else:
        raise AssertionError("it has no end")
    # Once it is done it stays done, and there were moments of both kinds.
    assert outcomes == sorted(outcomes)
    assert len(set(outcomes)) == 2
    assert len(outcomes) >= 20
