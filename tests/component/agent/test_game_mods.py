"""A game server and its mods, by a real agent: never started from a mixture, and never changed under a start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from component.agent.game_harness import folder_of, is_ready, running, server_of, serving
from component.agent.harness import AgentProcess, eventually, is_alive
from fakes.game_source import GameSource, want_game
from fakes.mod_server import ModServer
from fakes.modrinth import FakeFileHost
from fakes.runtime_shop import RuntimeShop
from guards.ports import free_port
from zlh_agent.mods.change_rules import Step
from zlh_agent.mods.journal_store import ChangeJournal, ChangeRecord
from zlh_agent.mods.ledger_rules import apply_change
from zlh_common.clock import SystemClock
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.mods import ChangeProgress, ChangeState, ModChange, ModLedger, ModRollback, ModsReport
from zlh_common.schema.status import AgentStatus
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.template import ModSupport

pytestmark = pytest.mark.timeout(600)
MODS = ModSupport(loaders=("fabric",), folder="mods")


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves."""
    async with serving(unstarted) as agent:
        yield agent


@pytest.fixture
async def server(agent: AgentProcess) -> AsyncIterator[ModServer]:
    """Return what makes changes for the server of this agent, and where files lie."""
    host = FakeFileHost()
    serving_files = await host.start()
    yield ModServer(folder_of(agent), agent.root / "var/lib/zlh", host)
    host.released.set()
    await serving_files.close()


class Game:
    """The game of a spec, as often as it is wanted otherwise."""

    def __init__(self, shop: RuntimeShop) -> None:
        self.source = GameSource(shop.tree)
        self.port = free_port()

    def want(self, number: str = "1", **more: object) -> WantedGame:
        """Return the game; its server says what it loads."""
        named = {"version": f"{number}.0", "mods": MODS, "words": ("--mods", "mods"), **more}
        return want_game(self.source.server(number), self.port, **named)  # type: ignore[arg-type]


@pytest.fixture
def game(shop: RuntimeShop) -> Game:
    """Return a game that takes mods."""
    return Game(shop)


async def begin(agent: AgentProcess, change: ModChange) -> None:
    """Begin a change."""
    code, body = await agent.call("POST", "/mods/changes", data=encode(change))
    assert code == 202, body


async def progress_of(agent: AgentProcess, change_id: str) -> ChangeProgress:
    """Return how far a change is."""
    code, body = await agent.call("GET", f"/mods/changes/{change_id}")
    assert code == 200, body
    return decode(body, ChangeProgress)


async def ended(agent: AgentProcess, change_id: str) -> ChangeProgress:
    """Return what has become of a change."""
    seen: list[ChangeProgress] = []

    async def look() -> bool:
        seen[:] = [await progress_of(agent, change_id)]
        return seen[0].state is not ChangeState.RUNNING

    await eventually(look)
    return seen[0]


async def carry_out(agent: AgentProcess, change: ModChange) -> None:
    """Make a change."""
    await begin(agent, change)
    assert (await ended(agent, change.id)).state is ChangeState.DONE


async def report_of(agent: AgentProcess) -> ModsReport:
    """Return what is told of the mods."""
    code, body = await agent.call("GET", "/mods")
    assert code == 200, body
    return decode(body, ModsReport)


async def loads_of(agent: AgentProcess) -> list[str]:
    """Return what the server has said at each of its starts."""
    code, body = await agent.call("GET", f"/processes/{SERVER}/history?from=0&limit=65536")
    assert code == 200, body
    text: str = msgspec.json.decode(body)["text"]
    return [line.partition("Loading ")[2].strip() for line in text.splitlines() if "Loading " in line]


def is_held(status: AgentStatus) -> bool:
    """Tell whether the server's start waits for its mods."""
    process = server_of(status)
    reason = process.reason.code if process.reason else None
    return (process.state, process.pid, reason) == ("starting", None, "mods_changing")


def hold_file(server: ModServer, project: str, number: int) -> ModChange:
    """Return a change whose file does not come before it is released."""
    put = server.put(project, number)
    server.host.tricks[put.entry.file.url.removeprefix(f"{server.host.url}/")] = "held"
    return server.change(put)


async def test_a_server_that_is_switched_on_waits_for_its_mods(
    agent: AgentProcess, server: ModServer, game: Game
) -> None:
    """It says so, starts by itself once they are there, and loads all of them."""
    await running(agent, game.want())
    await agent.want_spec(game=game.want(power="off"))
    await agent.until(lambda status: server_of(status).state == "stopped")
    change = hold_file(server, "a", 1)
    await begin(agent, change)
    await agent.want_spec(game=game.want())
    await agent.until(is_held)
    server.host.released.set()
    assert (await ended(agent, change.id)).state is ChangeState.DONE
    await agent.until(lambda status: is_ready(status) and server_of(status).reason is None)
    assert await loads_of(agent) == ["0 mods:", "1 mods: a-1.jar"]
    assert not (await report_of(agent)).is_restart_due


async def test_a_server_that_crashes_during_a_change_waits_for_its_end(
    agent: AgentProcess, server: ModServer, game: Game
) -> None:
    """The restart that would come by itself comes afterwards; one that runs is left alone until then."""
    await running(agent, game.want())
    change = hold_file(server, "a", 1)
    await begin(agent, change)
    pid = server_of(await agent.status()).pid
    assert pid is not None
    psutil.Process(pid).kill()
    await agent.until(is_held)
    server.host.released.set()
    await agent.until(is_ready)
    assert (await loads_of(agent))[1:] == ["1 mods: a-1.jar"]


async def test_a_change_waits_for_a_server_that_is_being_started(
    agent: AgentProcess, server: ModServer, game: Game
) -> None:
    """Nothing is renamed under it; once it is ready the change goes on, and a restart is due."""
    await agent.want_spec(game=game.want(words=("--mods", "mods", "--ready-after", "3600")))
    await agent.until(lambda status: bool(status.processes) and server_of(status).pid is not None)
    change = server.change(server.put("a", 1))
    await begin(agent, change)

    async def waits() -> bool:
        return "being started" in ((await progress_of(agent, change.id)).message or "")

    await eventually(waits)
    assert not server.mods.exists() or not server.names
    # Whoever does not want to wait for it, ends it.
    await agent.want_spec(game=game.want(power="off", words=("--mods", "mods", "--ready-after", "3600")))
    code, body = await agent.call("POST", f"/processes/{SERVER}/kill")
    assert code < 300, body
    assert (await ended(agent, change.id)).state is ChangeState.DONE
    assert server.names == ["a-1.jar"]


@pytest.mark.parametrize("phase", ["staging", "committing"])
async def test_an_agent_that_follows_starts_nothing_before_the_change_has_its_end(
    agent: AgentProcess, server: ModServer, game: Game, phase: str
) -> None:
    """Whatever the one before was at: forward where all was ready, back where it was not; then the server starts."""
    before = await running(agent, game.want())
    await carry_out(agent, server.change(server.put("a", 1)))
    await agent.kill()
    pid = server_of(before).pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    await eventually(lambda: not is_alive(process))
    change = server.change(server.put("a", 2), revision=1)
    await asyncio.to_thread(leave, server, change, phase)
    await agent.launch()
    await agent.served()
    await agent.until(is_ready)
    assert (await loads_of(agent))[-1] == ("1 mods: a-2.jar" if phase == "committing" else "1 mods: a-1.jar")
    assert not (server.state / "mods/change.json").exists()
    assert (await ended(agent, change.id)).state is (ChangeState.DONE if phase == "committing" else ChangeState.FAILED)


def leave(server: ModServer, change: ModChange, phase: str) -> None:
    """Have everything be as an agent leaves it that dies in the middle of a change."""
    before = msgspec.json.decode((server.mods / ".zlh_metadata.json").read_bytes(), type=ModLedger)
    hidden = server.root / f".zlh-mods/{change.id}"
    hidden.mkdir(parents=True)
    (put,) = change.acts
    file = put.entry.file  # type: ignore[union-attr]
    content = server.host.contents[file.url.removeprefix(f"{server.host.url}/")]
    (hidden / "new-0").write_bytes(content[: len(content) // 2] if phase == "staging" else content)
    record = ChangeRecord(id=change.id, phase="staging", folder="mods", before=before, actor=change.actor)
    if phase == "committing":
        steps = (
            Step(source="mods/a-1.jar", target=f".zlh-mods/{change.id}/old-0"),
            Step(source=f".zlh-mods/{change.id}/new-0", target="mods/a-2.jar", size=file.size, sha512=file.sha512),
        )
        after = apply_change(before, change, now=SystemClock().now())
        record = msgspec.structs.replace(record, phase="committing", steps=steps, after=after)
        # The first step is taken: a server that started now would load nothing.
        (server.mods / "a-1.jar").rename(hidden / "old-0")
    ChangeJournal(server.state / "mods").save(record)


async def test_another_version_waits_for_a_change_and_a_change_for_another_version(
    agent: AgentProcess, server: ModServer, game: Game
) -> None:
    """The server runs on while it is waited for; while versions are exchanged mods are refused."""
    before = server_of(await running(agent, game.want()))
    change = hold_file(server, "a", 1)
    await begin(agent, change)
    await agent.want_spec(game=game.want("2"))
    await agent.until(lambda status: any("until the mods are changed" in (one.message or "") for one in status.steps))
    assert server_of(await agent.status()).pid == before.pid
    code, body = await agent.call("POST", "/mods/changes", data=encode(server.change(server.put("b", 1))))
    assert (code, msgspec.json.decode(body)["code"]) == (409, "game_files_changing")
    server.host.released.set()
    assert (await ended(agent, change.id)).state is ChangeState.DONE
    await agent.until(lambda status: is_ready(status, "2.0"))
    assert (await loads_of(agent))[-1] == "1 mods: a-1.jar"


async def test_a_backup_brings_mods_and_ledger_back_as_one(agent: AgentProcess, server: ModServer, game: Game) -> None:
    """With what a rollback needs and without what was left lying: the change before the backup is undone afterwards."""
    await running(agent, game.want())
    await carry_out(agent, server.change(server.put("a", 1)))
    last = server.change(server.put("a", 2), revision=1)
    await carry_out(agent, last)
    hidden = server.root / ".zlh-mods"
    await asyncio.to_thread(litter, hidden, last.id)
    status = await running(agent, game.want("2"))
    assert status.game is not None
    (backup,) = status.game.backups
    later = server.change(server.put("b", 1), revision=2)
    await carry_out(agent, later)
    await running(agent, game.want(restore=backup.id, attempt=1))
    assert (server.names, server.ledger["revision"]) == (["a-2.jar"], 2)
    assert sorted(path.relative_to(hidden).as_posix() for path in hidden.rglob("*")) == [last.id, f"{last.id}/old-0"]
    code, body = await agent.call("POST", "/mods/verify")
    assert code == 200, body
    report = decode(body, ModsReport)
    assert ([seen.condition for seen in report.mods], report.unknown) == (["intact"], ())
    server.host.contents.clear()
    undo = ModRollback(id="e" * 32, change_id=last.id, actor="someone", origins=(server.host.url,))
    code, body = await agent.call("POST", "/mods/rollback", data=encode(undo))
    assert code == 202, body
    assert (await ended(agent, undo.id)).state is ChangeState.DONE
    assert server.names == ["a-1.jar"]


def litter(hidden: Path, change_id: str) -> None:
    """Leave what a change that was cut off may leave."""
    (hidden / ("f" * 32)).mkdir()
    (hidden / ("f" * 32) / "new-0").write_bytes(b"half")
    (hidden / change_id / "new-7").write_bytes(b"half")
    (hidden / "stray").write_bytes(b"x")


async def test_a_backup_takes_the_place_of_a_change_that_has_no_end(
    agent: AgentProcess, server: ModServer, game: Game
) -> None:
    """What holds the server up is given up with the folder that it is about; whoever goes back has a way out."""
    await running(agent, game.want())
    await carry_out(agent, server.change(server.put("a", 1)))
    status = await running(agent, game.want("2"))
    assert status.game is not None
    (backup,) = status.game.backups
    await agent.want_spec(game=game.want("2", power="off"))
    await agent.until(lambda status: server_of(status).state == "stopped")
    await agent.kill()
    change = server.change(server.put("a", 2), revision=1)
    await asyncio.to_thread(leave, server, change, "committing")
    await asyncio.to_thread(block, server, change.id)
    await agent.launch()
    await agent.served()
    await agent.want_spec(game=game.want("2"))
    status = await agent.until(lambda status: is_held(status) and "failed last" in told_of(status))
    await agent.want_spec(game=game.want(restore=backup.id, attempt=1))
    await agent.until(is_ready)
    assert server.names == ["a-1.jar"]
    assert (await progress_of(agent, change.id)).state is ChangeState.FAILED
    assert not (server.state / "mods/change.json").exists()


def told_of(status: AgentStatus) -> str:
    """Return why the server does not run."""
    reason = server_of(status).reason
    return reason.message if reason else ""


def block(server: ModServer, change_id: str) -> None:
    """Have the change be neither finished nor undone: its file is gone, and so is the folder that it leads back to."""
    hidden = server.root / f".zlh-mods/{change_id}"
    (hidden / "new-0").unlink()
    for path in sorted(server.mods.iterdir()):
        path.unlink()
    server.mods.rmdir()
    server.mods.write_bytes(b"no folder")


async def test_what_was_changed_stands_in_the_journal(agent: AgentProcess, server: ModServer, game: Game) -> None:
    """Who, what, and the way back; a failure too, each once."""
    await running(agent, game.want())
    first = server.change(server.put("a", 1), reason="for the farm")
    await carry_out(agent, first)
    await carry_out(agent, server.change(server.put("a", 2), server.put("b", 1), revision=1))
    undo = ModRollback(id="e" * 32, change_id=(await report_of(agent)).changes[-1].id, actor="another")
    await agent.call("POST", "/mods/rollback", data=encode(undo))
    await ended(agent, undo.id)
    bad = server.put("c", 1)
    server.host.tricks[bad.entry.file.url.removeprefix(f"{server.host.url}/")] = "wrong"
    await begin(agent, wrong := server.change(bad, revision=3))
    assert (await ended(agent, wrong.id)).state is ChangeState.FAILED
    journal = agent.root / "var/lib/zlh/journal/happenings.jsonl"
    kinds = ("mods.changed", "mods.rolled_back", "mods.change_failed")

    def read() -> list[dict[str, object]]:
        rows = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
        return [row for row in rows if row.get("kind") in kinds]

    await eventually(lambda: len(read()) == 4)
    rows = read()
    assert [row["kind"] for row in rows] == ["mods.changed", "mods.changed", "mods.rolled_back", "mods.change_failed"]
    assert [row["message"] for row in rows[:3]] == [
        "The mods were changed: installed A 1.0.",
        "The mods were changed: updated A 1.0 to 2.0; installed B 1.0.",
        "The last change of the mods was undone: updated A 2.0 to 1.0; removed B 1.0.",
    ]
    assert {row["subject"] for row in rows} == {"mods"}
    data = [row["data"] for row in rows]
    assert data[0] == {
        "change": first.id, "actor": "someone", "revision": 1, "installed": 1, "reason": "for the farm",
    }  # fmt: skip
    assert [facts["actor"] for facts in data] == ["someone", "someone", "another", "someone"]  # type: ignore[index]
    assert data[3]["code"] == "mod_file_wrong"  # type: ignore[index]
