"""Changes of mods on real files: made whole, or not at all."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import ScaledClock
from fakes.mod_server import BEGIN, ModServer, carry_out, wait_ended
from fakes.modrinth import FakeFileHost
from zlh_agent.files.calls import Files
from zlh_agent.mods.folder import ModFolder
from zlh_agent.mods.journal_store import ChangeJournal, ChangeRecord
from zlh_agent.mods.service import ModService
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import FilesUnavailable
from zlh_common.schema.mods import (
    LEDGER_NAME,
    ChangeState,
    ModCondition,
    ModLedger,
    ModRollback,
    PutMod,
    RemoveMod,
    SwitchMod,
)


@pytest.fixture
def server(tmp_path: Path, file_host: FakeFileHost) -> ModServer:
    """Return a server without mods."""
    (tmp_path / "game").mkdir()
    return ModServer(tmp_path / "game", tmp_path / "state", file_host)


@pytest.fixture
async def mods(server: ModServer) -> AsyncIterator[ModService]:
    """Return its agent's service."""
    async with server.agent(clock=ScaledClock(1000)) as service:
        yield service


async def test_mods_are_installed_updated_and_removed(server: ModServer, mods: ModService) -> None:
    """Each as its file, with its bytes; the ledger says who, and nothing hidden is in the folder."""
    told = await carry_out(mods, server.change(server.put("a", 1), server.put("b", 1)))
    assert (told.state, told.done_bytes) == (ChangeState.DONE, told.total_bytes)
    assert server.names == ["a-1.jar", "b-1.jar"]
    assert (server.mods / "a-1.jar").read_bytes() == b"a 1" * 500
    assert (
        await carry_out(mods, server.change(server.put("a", 2), RemoveMod(project_id="b"), revision=1))
    ).code is None
    assert server.names == ["a-2.jar"]
    assert [entry["file"]["versionNumber"] for entry in server.ledger["entries"]] == ["2.0"]
    assert [change["actor"] for change in server.ledger["changes"]] == ["someone", "someone"]
    assert oct((server.mods / "a-2.jar").stat().st_mode & 0o777) == "0o644"


async def test_a_disabled_mod_is_renamed(server: ModServer, mods: ModService) -> None:
    """Into what no server loads, and back; its bytes stay."""
    await carry_out(mods, server.change(server.put("a", 1)))
    fetched = len(server.host.requests)
    await carry_out(mods, server.change(SwitchMod(project_id="a", is_enabled=False), revision=1))
    assert server.names == ["a-1.jar.disabled"]
    await carry_out(mods, server.change(SwitchMod(project_id="a", is_enabled=True, is_pinned=True), revision=2))
    assert server.names == ["a-1.jar"]
    assert server.ledger["entries"][0]["isPinned"]
    assert len(server.host.requests) == fetched


async def test_an_update_of_a_disabled_mod_stays_disabled(server: ModServer, mods: ModService) -> None:
    """The new file has the name of one that no server loads."""
    await carry_out(mods, server.change(server.put("a", 1)))
    await carry_out(mods, server.change(SwitchMod(project_id="a", is_enabled=False), revision=1))
    await carry_out(mods, server.change(server.put("a", 2, is_enabled=False), revision=2))
    assert server.names == ["a-2.jar.disabled"]


async def test_a_change_is_undone_without_the_host(server: ModServer, mods: ModService) -> None:
    """What it has moved away is there still; and the undoing can be undone."""
    await carry_out(mods, server.change(server.put("a", 1), server.put("b", 1)))
    change = server.change(server.put("a", 2), server.put("c", 1), RemoveMod(project_id="b"), revision=1)
    await carry_out(mods, change)
    assert server.names == ["a-2.jar", "c-1.jar"]
    server.host.contents.clear()
    undoing = ModRollback(id="1" * 32, change_id=change.id, actor="someone else")
    await mods.roll_back(undoing)
    assert (await wait_ended(mods, undoing.id)).state is ChangeState.DONE
    assert server.names == ["a-1.jar", "b-1.jar"]
    assert (server.mods / "b-1.jar").read_bytes() == b"b 1" * 500
    assert server.ledger["changes"][-1]["isRollback"]
    again = ModRollback(id="2" * 32, change_id=undoing.id, actor="someone")
    await mods.roll_back(again)
    assert (await wait_ended(mods, again.id)).state is ChangeState.DONE
    assert server.names == ["a-2.jar", "c-1.jar"]


async def test_only_the_last_change_is_undone(server: ModServer, mods: ModService) -> None:
    """An older one, or one that nobody has made, is refused."""
    first = server.change(server.put("a", 1))
    await carry_out(mods, first)
    await carry_out(mods, server.change(server.put("b", 1), revision=1))
    for change_id in (first.id, "f" * 32):
        with pytest.raises(ZlhError) as error:
            await mods.roll_back(ModRollback(id="3" * 32, change_id=change_id, actor="x"))
        assert error.value.code == "mod_rollback_impossible"


@pytest.mark.parametrize(
    ("trick", "code"),
    [
        ("wrong", "mod_file_wrong"),
        ("long", "mod_file_wrong"),
        ("empty", "mod_file_wrong"),
        ("short", "mod_file_unavailable"),
        ("redirect", "mod_file_unavailable"),
        ("busy", "mod_file_unavailable"),
    ],
)
async def test_a_file_that_is_not_as_promised_changes_nothing(
    server: ModServer, mods: ModService, trick: str, code: str
) -> None:
    """Nothing of the change is there, what was before is, and nothing hidden is left."""
    await carry_out(mods, server.change(server.put("a", 1)))
    good, bad = server.put("b", 1), server.put("c", 1)
    server.host.tricks[bad.entry.file.url.removeprefix(f"{server.host.url}/")] = trick
    told = await carry_out(mods, server.change(good, server.put("a", 2), bad, revision=1))
    assert (told.state, told.code) == (ChangeState.FAILED, code)
    assert server.names == ["a-1.jar"]
    assert server.ledger["revision"] == 1
    assert [path.name for path in (server.root / ".zlh-mods").iterdir()] == [server.ledger["changes"][0]["id"]]
    assert not (server.state / "mods/change.json").exists()


async def test_a_host_of_files_is_left_alone_for_as_long_as_it_asks(server: ModServer) -> None:
    """Its 429 is no failure: the file comes afterwards, and not before the time that was named is over."""
    clock = ScaledClock(1000)
    put = server.put("a", 1)
    server.host.tricks[put.entry.file.url.removeprefix(f"{server.host.url}/")] = "too-many-once"
    begun = clock.monotonic()
    async with server.agent(clock=clock) as mods:
        assert (await carry_out(mods, server.change(put))).state is ChangeState.DONE
    assert clock.monotonic() - begun >= 20
    assert len(server.host.requests) == 2


async def test_files_come_from_where_they_may_alone(server: ModServer, mods: ModService) -> None:
    """A file at another origin is not asked for."""
    told = await carry_out(mods, server.change(server.put("a", 1), origins=(f"{server.host.url}0",)))
    assert told.code == "mod_origin_refused"
    assert not server.host.requests


async def test_a_change_that_was_planned_on_another_ledger_is_refused(server: ModServer, mods: ModService) -> None:
    """And one that is about a mod that is not there."""
    await carry_out(mods, server.change(server.put("a", 1)))
    for change, code in (
        (server.change(server.put("b", 1)), "mods_changed"),
        (server.change(RemoveMod(project_id="x"), revision=1), "mod_unknown"),
    ):
        with pytest.raises(ZlhError) as error:
            await mods.begin(change)
        assert error.value.code == code


async def test_the_same_change_is_made_once(server: ModServer, mods: ModService) -> None:
    """Also by an agent that was started since."""
    change = server.change(server.put("a", 1))
    await carry_out(mods, change)
    assert (await mods.begin(change)).state is ChangeState.DONE
    async with server.agent() as other:
        assert (await other.begin(change)).state is ChangeState.DONE
        assert (await other.find(change.id)).state is ChangeState.DONE
        with pytest.raises(ZlhError) as error:
            await other.find("0" * 32)
        assert error.value.code == "mod_change_unknown"
    assert server.ledger["revision"] == 1


async def test_one_change_at_a_time(server: ModServer, mods: ModService) -> None:
    """A second one is refused while a first one waits for its file."""
    slow = server.put("a", 1)
    server.host.tricks[slow.entry.file.url.removeprefix(f"{server.host.url}/")] = "slow"
    await mods.begin(server.change(slow))
    with pytest.raises(ZlhError) as error:
        await mods.begin(server.change(server.put("b", 1)))
    assert error.value.code == "mods_busy"


async def test_a_file_of_the_customer_is_never_written_over(server: ModServer, mods: ModService) -> None:
    """What the ledger does not know and has the name of a mod stays, and the change is not made."""
    server.mods.mkdir()
    (server.mods / "a-1.jar").write_bytes(b"mine")
    told = await carry_out(mods, server.change(server.put("b", 1), server.put("a", 1)))
    assert told.code == "mod_file_in_the_way"
    assert server.names == ["a-1.jar"]
    assert (server.mods / "a-1.jar").read_bytes() == b"mine"


async def test_an_unknown_file_is_adopted_without_fetching(server: ModServer, mods: ModService) -> None:
    """Once somebody knows what it is; its bytes are compared."""
    put = server.put("a", 1, source="identified")
    server.mods.mkdir()
    (server.mods / "a-1.jar").write_bytes(b"a 1" * 500)
    report = await mods.verify()
    assert [(file.file_name, file.sha512) for file in report.unknown] == [("a-1.jar", put.entry.file.sha512)]
    assert (await carry_out(mods, server.change(put))).state is ChangeState.DONE
    assert not server.host.requests
    report = await mods.verify()
    assert [seen.condition for seen in report.mods] == [ModCondition.INTACT]
    assert not report.unknown


async def test_a_look_finds_what_was_changed(server: ModServer, mods: ModService) -> None:
    """A byte, a file that is gone, one that was renamed by hand, and files that are none."""
    await carry_out(mods, server.change(*(server.put(name, 1) for name in "abcde")))
    assert {seen.condition for seen in (await mods.report()).mods} == {None}
    assert {seen.condition for seen in (await mods.verify()).mods} == {ModCondition.INTACT}
    (server.mods / "a-1.jar").write_bytes(b"A" + b"a 1" * 500)
    (server.mods / "b-1.jar").unlink()
    (server.mods / "c-1.jar").rename(server.mods / "c-1.jar.disabled")
    (server.mods / "d-1.jar").unlink()
    os.mkfifo(server.mods / "d-1.jar")
    (server.mods / "x.jar").symlink_to("/etc/passwd")
    report = await mods.verify()
    assert {seen.entry.file.project_id: seen.condition for seen in report.mods} == {
        "a": ModCondition.CHANGED,
        "b": ModCondition.MISSING,
        "c": ModCondition.INTACT,
        "d": ModCondition.CHANGED,
        "e": ModCondition.INTACT,
    }
    assert [seen.entry.file.project_id for seen in report.mods if not seen.entry.is_enabled] == ["c"]
    assert [(file.file_name, file.sha512) for file in report.unknown] == [("x.jar", None)]


async def test_a_mod_that_was_changed_is_mended_by_installing_it_again(server: ModServer, mods: ModService) -> None:
    """And a pin of it leaves what somebody has made of it."""
    await carry_out(mods, server.change(server.put("a", 1)))
    (server.mods / "a-1.jar").write_bytes(b"patched")
    await carry_out(mods, server.change(SwitchMod(project_id="a", is_pinned=True), revision=1))
    assert (server.mods / "a-1.jar").read_bytes() == b"patched"
    put = server.put("a", 1)
    later = PutMod(entry=type(put.entry)(file=put.entry.file, installed_at=BEGIN + timedelta(days=1), actor="x"))
    assert (await carry_out(mods, server.change(later, revision=2))).code is None
    assert (server.mods / "a-1.jar").read_bytes() == b"a 1" * 500


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"entries": [{"file": {"fileName": "../x.jar"}}]}',
        b"\xff\xfe",
        b" " * (9 * 2**20),
    ],
)
async def test_a_ledger_that_cannot_be_read_is_told_and_kept(
    server: ModServer, mods: ModService, content: bytes
) -> None:
    """Nothing in it is believed; with the next change it lies aside under another name."""
    server.mods.mkdir()
    (server.mods / LEDGER_NAME).write_bytes(content)
    report = await mods.report()
    assert report.trouble
    assert not report.mods
    assert (await carry_out(mods, server.change(server.put("a", 1)))).state is ChangeState.DONE
    aside = [path for path in server.mods.iterdir() if path.name.startswith(f"{LEDGER_NAME}.bad-")]
    assert [path.read_bytes() for path in aside] == [content]
    assert (await mods.report()).trouble is None
    assert server.ledger["revision"] == 1


async def test_a_ledger_that_is_no_file_is_not_opened(server: ModServer, mods: ModService, tmp_path: Path) -> None:
    """A link, a pipe and a folder lie aside after the next change; what a link leads to is as it was."""
    other = tmp_path / "other.json"
    other.write_text("{}")
    server.mods.mkdir()
    for make in (lambda path: path.symlink_to(other), os.mkfifo, lambda path: path.mkdir()):
        (server.mods / LEDGER_NAME).unlink(missing_ok=True)
        make(server.mods / LEDGER_NAME)
        assert (await mods.report()).trouble
        change = server.change(server.put("a", 1))
        assert (await carry_out(mods, change)).state is ChangeState.DONE
        (server.mods / "a-1.jar").unlink()
    assert other.read_text() == "{}"
    assert len([path for path in server.mods.iterdir() if ".bad-" in path.name]) == 3


async def test_a_folder_that_leads_out_is_not_worked_in(server: ModServer, mods: ModService, tmp_path: Path) -> None:
    """A link to another place of the machine is refused; one within the server's folder is as good as a folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    server.mods.symlink_to(outside)
    for call in (mods.report(), mods.verify(), mods.begin(server.change(server.put("a", 1)))):
        with pytest.raises(ZlhError) as error:
            await call
        assert error.value.code == "path_outside"
    assert not list(outside.iterdir())
    server.mods.unlink()
    (server.root / "plugins").mkdir()
    server.mods.symlink_to("plugins")
    assert (await carry_out(mods, server.change(server.put("a", 1)))).state is ChangeState.DONE
    assert (server.root / "plugins/a-1.jar").is_file()


async def test_a_restart_is_due_once_mods_have_changed(server: ModServer, mods: ModService) -> None:
    """As long as the server that runs was started before."""
    await carry_out(mods, server.change(server.put("a", 1)))
    assert not (await mods.report()).is_restart_due
    server.started_at = BEGIN - timedelta(days=9000)
    assert (await mods.report()).is_restart_due
    server.started_at = BEGIN + timedelta(days=9000)
    assert not (await mods.report()).is_restart_due


async def test_an_agent_that_goes_during_a_fetch_leaves_nothing(server: ModServer) -> None:
    """The next one clears away what was laid ready, and says that nothing of it is there."""
    slow = server.put("a", 1)
    server.host.tricks[slow.entry.file.url.removeprefix(f"{server.host.url}/")] = "slow"
    change = server.change(slow)
    async with server.agent() as mods:
        await mods.begin(change)
        while not server.host.requests:
            await asyncio.sleep(0.01)
    assert (server.state / "mods/change.json").exists()
    async with server.agent() as mods:
        ending = asyncio.create_task(mods.run())
        told = await wait_ended(mods, change.id)
        ending.cancel()
        await asyncio.wait([ending])
    assert (told.state, told.code) == (ChangeState.FAILED, "mod_change_interrupted")
    assert not list((server.root / ".zlh-mods").iterdir())


async def test_a_file_that_is_swapped_before_it_gets_its_name_is_not_taken(
    server: ModServer, mods: ModService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer puts another one in its place after it was looked at: what was there before is there again."""
    await carry_out(mods, server.change(server.put("a", 1), server.put("b", 1)))
    place = Files.put_in_place

    def swap(staged: Path) -> None:
        size = staged.stat().st_size
        staged.unlink()
        staged.write_bytes(b"x" * size)

    async def swap_and_place(files: Files, partial: str, target: str, **named: Any) -> object:
        await asyncio.to_thread(swap, server.root / partial)
        return await place(files, partial, target, **named)

    monkeypatch.setattr(Files, "put_in_place", swap_and_place)
    told = await carry_out(mods, server.change(server.put("a", 2), RemoveMod(project_id="b"), revision=1))
    assert (told.state, told.code) == (ChangeState.FAILED, "file_changed")
    assert server.names == ["a-1.jar", "b-1.jar"]
    assert server.ledger["revision"] == 1


async def test_a_name_that_is_taken_in_the_last_moment_undoes_the_change(
    server: ModServer, mods: ModService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, and the file that came in between stays where it is."""
    await carry_out(mods, server.change(server.put("a", 1), server.put("b", 1)))
    save = ChangeJournal.save

    def save_and_take(journal: ChangeJournal, record: ChangeRecord) -> None:
        save(journal, record)
        if record.phase == "committing":
            (server.mods / "a-2.jar").write_bytes(b"mine")

    monkeypatch.setattr(ChangeJournal, "save", save_and_take)
    told = await carry_out(mods, server.change(server.put("a", 2), RemoveMod(project_id="b"), revision=1))
    assert (told.state, told.code) == (ChangeState.FAILED, "file_exists")
    assert server.names == ["a-1.jar", "a-2.jar", "b-1.jar"]
    assert (server.mods / "a-2.jar").read_bytes() == b"mine"
    assert not (server.state / "mods/change.json").exists()


async def test_a_child_that_is_lost_in_the_middle_is_no_end(
    server: ModServer, mods: ModService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun goes on with another child, by itself."""
    await carry_out(mods, server.change(server.put("a", 1)))
    move, lost = Files.move, list[str]()

    async def lose(files: Files, source: str, target: str, **named: Any) -> None:
        await move(files, source, target, **named)
        if not lost:
            lost.append(source)
            raise FilesUnavailable(reason="its child was killed")

    monkeypatch.setattr(Files, "move", lose)
    change = server.change(server.put("a", 2), revision=1)
    await mods.begin(change)
    ending = asyncio.create_task(mods.run())
    assert (await wait_ended(mods, change.id)).state is ChangeState.DONE
    ending.cancel()
    await asyncio.wait([ending])
    assert lost
    assert server.names == ["a-2.jar"]


async def test_a_disk_that_fails_at_the_next_start_ends_no_agent(
    server: ModServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was left is tried again until it can be ended; who asks meanwhile is told why not."""
    failing = True
    write = ModFolder.write_ledger

    async def fail(folder: ModFolder, ledger: ModLedger) -> None:
        if failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        await write(folder, ledger)

    monkeypatch.setattr(ModFolder, "write_ledger", fail)
    change = server.change(server.put("a", 1))
    async with server.agent() as mods:
        await mods.begin(change)
        while mods._left is None:
            await asyncio.sleep(0.01)
    async with server.agent(clock=ScaledClock(1000)) as mods:
        ending = asyncio.create_task(mods.run())
        while (hold := mods.find_hold()) is None or "No space left" not in hold.message:
            await asyncio.sleep(0.01)
        assert not ending.done()
        with pytest.raises(ZlhError) as error:
            await mods.begin(server.change(server.put("b", 1)))
        assert error.value.code == "files_unavailable"
        failing = False
        assert (await wait_ended(mods, change.id)).state is ChangeState.DONE
        ending.cancel()
        await asyncio.wait([ending])
    assert server.names == ["a-1.jar"]


async def test_a_folder_that_others_work_in_is_left_alone(server: ModServer, mods: ModService) -> None:
    """No change is begun in what is about to be another folder, and others wait for one that is under way."""
    mods.is_game_changing = lambda: True
    with pytest.raises(ZlhError) as error:
        await mods.begin(server.change(server.put("a", 1)))
    assert error.value.code == "game_files_changing"
    mods.is_game_changing = lambda: False
    await mods.begin(change := server.change(server.put("a", 1)))
    assert mods.is_unfinished()
    async with mods.standstill(needs_whole=True):
        assert not mods.is_unfinished()
        assert (await mods.find(change.id)).state is ChangeState.DONE
        with pytest.raises(ZlhError):
            await mods.begin(server.change(server.put("b", 1), revision=1))


async def test_a_file_that_is_longer_than_any_mod_is_not_read(server: ModServer, mods: ModService) -> None:
    """A hole of a terabyte costs its maker nothing, and would cost an agent hours."""
    await carry_out(mods, server.change(server.put("a", 1)))
    for name in ("a-1.jar", "own.jar"):
        with (server.mods / name).open("wb") as file:
            file.truncate(2**40)
    report = await mods.verify()
    assert [seen.condition for seen in report.mods] == [ModCondition.CHANGED]
    assert [(file.file_name, file.sha512) for file in report.unknown] == [("own.jar", None)]


async def test_files_are_read_once_for_all_who_ask_meanwhile(
    server: ModServer, mods: ModService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks again and again makes no more work of it."""
    await carry_out(mods, server.change(server.put("a", 1)))
    digest, read, goes_on = ModFolder.digest, list[str](), asyncio.Event()

    async def held(folder: ModFolder, path: str) -> object:
        read.append(path)
        await goes_on.wait()
        return await digest(folder, path)

    monkeypatch.setattr(ModFolder, "digest", held)
    asked = [asyncio.create_task(mods.verify()) for _ in range(20)]
    while not read:
        await asyncio.sleep(0.01)
    asked[0].cancel()
    goes_on.set()
    reports = await asyncio.gather(*asked[1:])
    assert read == ["mods/a-1.jar"]
    assert {report.mods[0].condition for report in reports} == {ModCondition.INTACT}
    assert (await mods.verify()).mods[0].condition is ModCondition.INTACT
    assert len(read) == 2
