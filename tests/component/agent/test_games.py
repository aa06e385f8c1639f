"""A game server by a real agent: files fetched and placed, configuration edited, the process kept, versions changed."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import tarfile
from collections.abc import AsyncIterator

import msgspec
import pytest
import zstandard

from component.agent.game_harness import folder_of, is_ready, running, server_of, serving, step_of
from component.agent.harness import AgentProcess, eventually
from component.agent.test_event_stream import listen
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.game_source import GameSource, want_game
from fakes.mod_server import ModServer
from fakes.modrinth import FakeFileHost
from fakes.runtime_shop import RuntimeShop
from guards.ports import free_port
from zlh_common.schema.game import SERVER, GameReport, WantedGame
from zlh_common.schema.status import AgentStatus, Step, StepState
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.template import FileEdit, InstallScript, ModSupport

# Each brings a server about several times, on a machine that has other things to do.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def agent(unstarted: AgentProcess) -> AsyncIterator[AgentProcess]:
    """Return an agent that serves."""
    async with serving(unstarted) as agent:
        yield agent


@pytest.fixture
def source(shop: RuntimeShop) -> GameSource:
    """Return what publishes files at the agent's artifact server."""
    return GameSource(shop.tree)


async def failed(agent: AgentProcess) -> Step:
    """Wait until the step has failed."""
    return step_of(await agent.until(lambda status: step_of(status).state is StepState.FAILED))


async def test_a_game_server_is_fetched_placed_edited_and_started(agent: AgentProcess, source: GameSource) -> None:
    """Its files lie there and nothing beside them, it has agreed, it listens where it should, and all of it is told."""
    port = free_port()
    status = await running(agent, want_game(source.server(libraries__a__b__jar=b"jar" * 1000), port))
    folder = folder_of(agent)
    assert (folder / "libraries/a/b/jar").read_bytes() == b"jar" * 1000
    assert (folder / "eula.txt").read_text() == "eula=true\n"
    assert f"server-port={port}" in (folder / "server.properties").read_text()
    assert not (folder / ".zlh-game").exists()
    assert server_of(status).state == "running"
    assert status.game is not None
    assert (status.game.template, status.game.faults, status.game.backups) == ("blocks", 0, ())
    assert step_of(status).name == "install blocks 1.0"
    code, body = await agent.call("GET", "/game")
    assert (code, decode(body, GameReport).version) == (200, "1.0")


async def test_power_acts_on_the_server(agent: AgentProcess, source: GameSource) -> None:
    """Off saves and stops it by its own word, on starts it again; its files stay."""
    files, port = source.server(), free_port()
    await running(agent, want_game(files, port))
    await agent.want_spec(game=want_game(files, port, power="off"))
    status = await agent.until(lambda status: server_of(status).state == "stopped")
    assert server_of(status).exit_code == 0
    assert (folder_of(agent) / "world/saved.txt").exists()
    await running(agent, want_game(files, port))
    await eventually(lambda: (folder_of(agent) / "world/starts.txt").read_text() == "2\n")


async def test_a_version_is_changed_by_way_of_a_backup_and_back(agent: AgentProcess, source: GameSource) -> None:
    """Old files go, the customer's stay, the backup is told; going back brings the old version and all that it had."""
    port = free_port()
    folder = folder_of(agent)
    await running(agent, want_game(source.server("1", old__jar=b"old", both__jar=b"1"), port))
    (folder / "mine.txt").write_text("mine")
    (folder / "logs").mkdir()
    (folder / "logs/latest.log").write_text("long")
    new = source.server("2", both__jar=b"2", new__jar=b"new")
    changed = want_game(new, port, version="2.0", backup_without=("logs",))
    status = await running(agent, changed)
    assert not (folder / "old/jar").exists()
    assert ((folder / "both/jar").read_bytes(), (folder / "new/jar").read_bytes()) == (b"2", b"new")
    assert (folder / "mine.txt").read_text() == "mine"
    assert status.game is not None
    (backup,) = status.game.backups
    assert backup.version == "1.0"
    (folder / "mine.txt").write_text("changed")
    back = want_game(source.server("1", old__jar=b"old", both__jar=b"1"), port, restore=backup.id, attempt=1)
    await running(agent, back)
    assert (folder / "mine.txt").read_text() == "mine"
    assert ((folder / "both/jar").read_bytes(), (folder / "old/jar").read_bytes()) == (b"1", b"old")
    assert not (folder / "new/jar").exists()
    assert not (folder / "logs").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["game"]
    archive = agent.root / f"var/lib/zlh/game/backups/{backup.id}.tar.zst"
    async with listen(agent, "take=happenings") as stream:
        told = [entry for entry in await stream.happenings("game.restored") if entry.kind.startswith("game.")]
    assert [(entry.kind, entry.subject, entry.data["version"]) for entry in told] == [
        ("game.installed", "blocks", "1.0"),
        ("game.backed_up", "blocks", "1.0"),
        ("game.version_changed", "blocks", "2.0"),
        ("game.restored", "blocks", "1.0"),
    ]
    assert told[1].data["backup"] == told[3].data["backup"] == backup.id
    assert told[2].data["before"] == "1.0"
    assert archive.stat().st_mode & 0o077 == 0
    assert archive.parent.stat().st_mode & 0o077 == 0


async def test_a_backup_is_made_when_somebody_asks_and_the_server_goes_on(
    agent: AgentProcess, source: GameSource
) -> None:
    """Once for each time, with what lies there then; an agent that starts anew makes none once more."""
    files, port, folder = source.server(), free_port(), folder_of(agent)
    before = server_of(await running(agent, want_game(files, port)))
    (folder / "mine.txt").write_text("mine")
    await agent.want_spec(game=want_game(files, port, backups_asked=1))
    made = await agent.until(lambda status: is_ready(status) and _answered(status) == 1)
    assert made.game is not None
    (backup,) = made.game.backups
    assert backup.version == "1.0"
    assert server_of(made).pid != before.pid
    await asyncio.to_thread((folder / "mine.txt").unlink)
    back = want_game(files, port, backups_asked=1, restore=backup.id, attempt=1)
    await running(agent, back)
    assert await asyncio.to_thread((folder / "mine.txt").read_text) == "mine"
    assert agent.process is not None
    agent.process.send_signal(signal.SIGKILL)
    await agent.process.wait()
    await agent.start()
    again = await agent.until(is_ready)
    assert again.game is not None
    assert ([each.id for each in again.game.backups], again.game.backups_answered) == ([backup.id], 1)


async def test_a_new_container_has_nothing_to_back_up_yet(agent: AgentProcess, source: GameSource) -> None:
    """What was asked of the one before it is answered with its first version."""
    status = await running(agent, want_game(source.server(), free_port(), backups_asked=3))
    assert status.game is not None
    assert (status.game.backups, status.game.backups_answered) == ((), 3)


def _answered(status: AgentStatus) -> int | None:
    return status.game.backups_answered if status.game is not None else None


async def test_a_file_that_is_not_what_the_catalog_says_is_refused(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """Nothing is placed and nothing started; told are the code and the file, and a new attempt heals it."""
    files, port = source.server(), free_port()
    origin.always["files/1/server.py"] = Fault(wrong_bytes=True)
    await agent.want_spec(game=want_game(files, port))
    step = await failed(agent)
    assert step.code == "game_file_refused"
    assert not (folder_of(agent) / "server.py").exists()
    process = server_of(await agent.status())
    assert (process.state, process.reason and process.reason.code) == ("stopped", "game_not_in_place")
    del origin.always["files/1/server.py"]
    await running(agent, want_game(files, port, attempt=1))


async def test_a_download_that_breaks_off_is_gone_on_with(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """What has arrived is kept, and asked for no more."""
    files = (*source.server(), source.add("big.bin", bytes(range(256)) * 4096))
    origin.misbehave("files/1/big.bin", Fault(cut_after=300_000), Fault(status=503))
    await running(agent, want_game(files, free_port()))
    asked = origin.ranges("files/1/big.bin")
    assert asked[0] is None
    assert asked[-1] is not None


async def test_a_server_whose_configuration_is_broken_is_not_started(agent: AgentProcess, source: GameSource) -> None:
    """The reason names file and line, nothing in it is lost, and once it is mended the server comes up by itself."""
    broken = "motd=\\u12\nmine=1\n"
    folder = folder_of(agent)
    await asyncio.to_thread(folder.mkdir, parents=True)
    await asyncio.to_thread((folder / "server.properties").write_text, broken)
    await agent.want_spec(game=want_game(source.server(), free_port()))

    def is_refused(status: AgentStatus) -> bool:
        reason = server_of(status).reason
        return reason is not None and reason.code == "config_unreadable" and "line 1" in reason.message

    await agent.until(lambda status: bool(status.processes) and is_refused(status))
    assert (folder / "server.properties").read_text() == broken
    await asyncio.to_thread((folder / "server.properties").write_text, "mine=1\n")
    await agent.want_spec(game=want_game(source.server(), free_port(), attempt=1))
    await agent.until(is_ready)
    assert "mine=1" in (folder / "server.properties").read_text()


async def test_a_secret_is_made_once_and_told_to_nobody(agent: AgentProcess, source: GameSource) -> None:
    """It stands in the configuration, stays over a restart of the agent, and in no report, log or spec."""
    rcon = FileEdit(
        path="server.properties",
        format="properties",
        set={"enable-rcon": True, "rcon.port": free_port(), "rcon.password": "{secret.rcon}"},
    )
    await running(agent, want_game(source.server(), free_port(), edits=[rcon]))
    kept = agent.root / "var/lib/zlh/game/secrets.json"
    secret = json.loads(kept.read_text())["rcon"]
    assert len(secret) >= 32
    assert kept.stat().st_mode & 0o077 == 0
    assert f"rcon.password={secret}\n" in (folder_of(agent) / "server.properties").read_text()
    await agent.kill()
    await agent.start()
    await agent.until(is_ready)
    assert json.loads(kept.read_text())["rcon"] == secret
    assert secret not in agent.log.read_text()
    assert secret not in str(await agent.status())
    assert secret not in (kept.with_name("record.json")).read_text()


async def test_a_script_makes_what_the_version_needs(agent: AgentProcess, source: GameSource) -> None:
    """It runs once, in the folder, with nothing of ours open to it; what it leaves running is ended."""
    text = b'echo made by $0; sleep 600 & mkdir -p lib && echo $TMPDIR > lib/args.txt; ! cat "$1"\n'
    files = (*source.server(), source.add("install.sh", text))
    key = str(agent.folder / "agent.key")
    script = InstallScript(name="installer", argv=("sh", "install.sh", key), makes=("lib/*.txt",))
    status = await running(agent, want_game(files, free_port(), scripts=(script,)))
    assert "made by install.sh" in (step_of(status).output or "")
    assert ".zlh-game" in (folder_of(agent) / "lib/args.txt").read_text()
    await eventually(lambda: not any("sleep" in child.name() for child in agent.children()))


async def test_a_script_that_says_it_went_well_is_not_believed(agent: AgentProcess, source: GameSource) -> None:
    """Exit code 0 without the file is a failure with its last words; the server is not started."""
    script = InstallScript(name="installer", argv=("sh", "-c", "echo all is well"), makes=("libraries/**/args.txt",))
    await agent.want_spec(game=want_game(source.server(), free_port(), scripts=(script,)))
    step = await failed(agent)
    assert (step.code, step.exit_code, step.output) == ("game_script_failed", 0, "all is well\n")
    assert (await agent.status()).game == GameReport(template="blocks", backups_answered=0)


async def test_files_that_were_changed_are_found_and_placed_anew(agent: AgentProcess, source: GameSource) -> None:
    """A check counts them, and a new attempt brings them back."""
    files, port = source.server("1", lib__jar=b"jar"), free_port()
    await running(agent, want_game(files, port))
    (folder_of(agent) / "lib/jar").write_bytes(b"bad")
    code, body = await agent.call("POST", "/game/verify")
    assert (code, decode(body, GameReport).faults) == (200, 1)
    await agent.want_spec(game=want_game(files, port, attempt=1))
    await agent.until(lambda status: is_ready(status) and status.game is not None and status.game.faults == 0)
    assert (folder_of(agent) / "lib/jar").read_bytes() == b"jar"


async def test_what_a_customer_put_in_the_way_is_kept_beside(agent: AgentProcess, source: GameSource) -> None:
    """A file of theirs gets another name; a folder there is told of, and is theirs to move."""
    folder, port = folder_of(agent), free_port()
    await asyncio.to_thread((folder / "lib/jar").mkdir, parents=True)
    await asyncio.to_thread((folder / "server.py").write_text, "mine")
    files = source.server("1", lib__jar=b"jar")
    await agent.want_spec(game=want_game(files, port))
    assert (await failed(agent)).code == "game_file_blocked"
    assert (folder / "server.py").read_text() == "mine"
    await asyncio.to_thread((folder / "lib/jar").rmdir)
    await running(agent, want_game(files, port, attempt=1))
    assert (folder / "server.py.yours-1").read_text() == "mine"


async def test_a_backup_is_of_what_lies_there_when_the_version_changes(agent: AgentProcess, source: GameSource) -> None:
    """One that was made for a try that failed is not taken for the next: the server has run, and been played, since."""
    folder, port = folder_of(agent), free_port()
    await running(agent, want_game(source.server("1"), port))
    await asyncio.to_thread((folder / "lib/jar").mkdir, parents=True)
    second = source.server("2", lib__jar=b"jar")
    await agent.want_spec(game=want_game(second, port, version="2.0"))
    assert (await failed(agent)).code == "game_file_blocked"
    await agent.until(lambda status: is_ready(status, "1.0"))
    await asyncio.to_thread((folder / "world/later.txt").write_text, "later")
    await asyncio.to_thread((folder / "lib/jar").rmdir)
    status = await running(agent, want_game(second, port, version="2.0", attempt=1))
    assert status.game is not None
    newest, _older = status.game.backups
    back = want_game(source.server("1"), port, attempt=2, restore=newest.id)
    await asyncio.to_thread((folder / "world/later.txt").unlink)
    await running(agent, back)
    assert await asyncio.to_thread((folder / "world/later.txt").read_text) == "later"


async def test_the_servers_folder_is_where_work_on_files_begins(agent: AgentProcess, source: GameSource) -> None:
    """The root `server` is the default one, and shows what is there."""
    await running(agent, want_game(source.server(), free_port()))
    code, body = await agent.call("GET", "/files")
    assert code == 200, body
    assert "server.py" in {entry["name"] for entry in json.loads(body)["entries"]}
    code, body = await agent.call("GET", "/files/roots")
    assert code == 200, body
    assert json.loads(body)["roots"][0]["name"] == "server"


async def test_an_agent_that_is_killed_leaves_the_server_running(agent: AgentProcess, source: GameSource) -> None:
    """The next one finds it, and has nothing to do."""
    files, port = source.server(), free_port()
    before = server_of(await running(agent, want_game(files, port)))
    assert agent.process is not None
    agent.process.send_signal(signal.SIGKILL)
    await agent.process.wait()
    await agent.start()
    after = server_of(await agent.until(is_ready))
    assert (after.pid, after.started_at) == (before.pid, before.started_at)


async def test_a_container_without_a_game_says_so(agent: AgentProcess) -> None:
    """No report, no step, and a refusal with a code."""
    status = await agent.want_spec()
    assert status.game is None
    for method, path in (("GET", "/game"), ("POST", "/game/verify")):
        code, body = await agent.call(method, path)
        assert (code, json.loads(body)["code"]) == (404, "no_game")


async def test_while_another_version_is_fetched_the_old_one_runs(
    agent: AgentProcess, source: GameSource, origin: ArtifactOrigin
) -> None:
    """A version that cannot be had costs the running one nothing; it is started as what lies there, not as the new."""
    port = free_port()
    before = server_of(await running(agent, want_game(source.server("1"), port)))
    origin.always["files/2/server.py"] = Fault(status=404)
    new = want_game(source.server("2"), port, version="2.0", words=["--no-such-option"])
    await agent.want_spec(game=new)
    assert (await failed(agent)).code == "game_file_unavailable"
    status = await agent.status()
    assert server_of(status).pid == before.pid
    assert status.game is not None
    assert status.game.version == "1.0"
    code, _ = await agent.call("POST", f"/processes/{SERVER}/restart")
    assert code < 300
    await agent.until(lambda status: server_of(status).pid not in {None, before.pid} and server_of(status).ready)


def test_a_game_travels_as_it_is_wanted() -> None:
    """What a test wants is what a spec may say."""
    game = want_game((), 25565)
    assert msgspec.convert(msgspec.to_builtins(game), WantedGame) == game


async def test_another_version_waits_until_the_mods_are_changed(
    agent: AgentProcess, source: GameSource, file_host: FakeFileHost
) -> None:
    """The server runs meanwhile; then the backup has all of the change in it, and nothing of it is lost."""
    files, port, support = source.server(), free_port(), ModSupport(folder="mods", loaders=("fabric",))
    await running(agent, want_game(files, port, mods=support))
    server = ModServer(folder_of(agent), agent.folder, file_host)
    put = server.put("a", 1)
    file_host.tricks[put.entry.file.url.removeprefix(f"{file_host.url}/")] = "held"
    change = server.change(put)
    code, _ = await agent.call("POST", "/mods/changes", data=encode(change))
    assert code == 202
    await agent.want_spec(game=want_game(files, port, version="2.0", mods=support))
    status = await agent.until(lambda status: "mods" in (step_of(status).message or ""))
    assert server_of(status).state == "running"
    assert not status.game or not status.game.backups
    file_host.released.set()
    status = await agent.until(lambda status: is_ready(status, "2.0"))
    assert status.game is not None
    with tarfile.open(fileobj=unpacked(agent, status.game.backups[0].id)) as archive:
        assert {"mods/a-1.jar", "mods/.zlh_metadata.json"} <= {name.removeprefix("./") for name in archive.getnames()}
    assert server.names == ["a-1.jar"]


def unpacked(agent: AgentProcess, backup_id: str) -> io.BytesIO:
    """Return the tar archive of a backup."""
    path = agent.root / f"var/lib/zlh/game/backups/{backup_id}.tar.zst"
    return io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))


@pytest.fixture
async def file_host() -> AsyncIterator[FakeFileHost]:
    """Return where mods lie."""
    host = FakeFileHost()
    served = await host.start()
    yield host
    host.released.set()
    await served.close()
