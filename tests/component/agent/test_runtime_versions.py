"""Versions side by side: up, back, checked, mended and out again, with processes that run from them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from component.agent.harness import AgentProcess, code_of, eventually, step
from component.agent.test_event_stream import ALL, listen
from fakes.artifact_origin import ArtifactOrigin
from fakes.runtime_shop import RuntimeShop
from zlh_agent.runtimes.model import FILES_NAME, RECORD_NAME
from zlh_common.schema.agent_events import HappeningsEvent
from zlh_common.schema.history import Happening
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.runtime import RuntimeUsers, RuntimeVerification
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AgentStatus, InstalledRuntime, Step, StepState
from zlh_common.schema.structs import decode


def want(version: str, *, default: bool = True, previous: bool = False, attempt: int = 0) -> WantedRuntime:
    """Return a wanted version of `tiny`."""
    return WantedRuntime(name="tiny", version=version, default=default, previous=previous, attempt=attempt)


def beside(version: str) -> WantedRuntime:
    """Return a version that is wanted and no default."""
    return want(version, default=False)


def former(version: str) -> WantedRuntime:
    """Return a former default."""
    return want(version, default=False, previous=True)


def found(status: AgentStatus, version: str) -> InstalledRuntime:
    """Return what is told of one version."""
    (entry,) = [entry for entry in status.runtimes if entry.version == version]
    return entry


def roles(status: AgentStatus) -> dict[str, str]:
    """Return what each installed version is."""
    return {
        entry.version: "default" if entry.default else "previous" if entry.previous else "beside"
        for entry in status.runtimes
    }


def named(status: AgentStatus, name: str) -> Step | None:
    """Return one step, or None."""
    return next((entry for entry in status.steps if entry.name == name), None)


async def say(agent: AgentProcess) -> str:
    """Return what the program that PATH leads to prints."""
    program = agent.runtimes / "tiny/current/bin/tiny"
    done = await asyncio.to_thread(subprocess.run, [str(program)], capture_output=True, check=True)
    return done.stdout.decode().strip()


async def verify(agent: AgentProcess, version: str) -> RuntimeVerification:
    """Ask for a check and return what it found."""
    code, body = await agent.call("POST", f"/runtimes/tiny/{version}/verify")
    assert code == 200, body
    return decode(body, RuntimeVerification)


async def users(agent: AgentProcess, version: str) -> list[str]:
    """Return who uses a version, by the names of their owners; what a restart would bring elsewhere is outdated."""
    code, body = await agent.call("GET", f"/runtimes/tiny/{version}/users")
    assert code == 200, body
    found = decode(body, RuntimeUsers).users
    return [f"{user.owner}, outdated" if user.outdated else str(user.owner) for user in found]


@pytest.fixture
async def agent_of_three(agent: AgentProcess, shop: RuntimeShop) -> AgentProcess:
    """Return an agent whose shop has 1.0, 2.0 and 3.0."""
    shop.add("3.0")
    await asyncio.to_thread(shop.publish)
    return agent


async def test_up_up_and_back(agent_of_three: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop) -> None:
    """The former default is kept, the one before it goes, and going back fetches nothing."""
    agent = agent_of_three
    await agent.want_versions(want("1.0"))
    await agent.settled()
    await agent.want_versions(want("2.0"), former("1.0"))
    assert roles(await agent.settled()) == {"1.0": "previous", "2.0": "default"}
    await agent.want_versions(want("3.0"), former("2.0"))
    assert roles(await agent.settled()) == {"2.0": "previous", "3.0": "default"}
    await agent.want_versions(want("2.0"), former("3.0"))
    status = await agent.settled()
    assert roles(status) == {"2.0": "default", "3.0": "previous"}
    assert [entry.name for entry in status.steps] == ["install-tiny", "install-tiny-3.0"]
    assert await say(agent) == "tiny 2.0"
    assert [len(origin.ranges(shop.path(version))) for version in ("1.0", "2.0", "3.0")] == [1, 1, 1]
    assert agent.leftovers() == []
    assert await told_kinds(agent, 7) == [
        ("runtime.installed", "1.0"), ("runtime.installed", "2.0"), ("runtime.upgraded", "2.0"),
        ("runtime.installed", "3.0"), ("runtime.upgraded", "3.0"), ("runtime.removed", "1.0"),
        ("runtime.rolled_back", "2.0"),
    ]  # fmt: skip


async def told_kinds(agent: AgentProcess, least: int) -> list[tuple[str, object]]:
    """Return kind and version of what was told of runtimes, once there is so much of it."""
    told: list[Happening] = []
    async with listen(agent, ALL) as stream:
        while len([entry for entry in told if entry.kind.startswith("runtime.")]) < least:
            told += (await stream.until(HappeningsEvent)).items
    return [(entry.kind, entry.data["version"]) for entry in told if entry.kind.startswith("runtime.")]


async def test_versions_side_by_side_have_one_default(agent_of_three: AgentProcess) -> None:
    """Each is installed by a step of its own, PATH leads to one, and another one can be made the default."""
    agent = agent_of_three
    await agent.want_versions(beside("1.0"), want("2.0"), beside("3.0"))
    status = await agent.settled()
    assert roles(status) == {"1.0": "beside", "2.0": "default", "3.0": "beside"}
    names = ["install-tiny-1.0", "install-tiny", "install-tiny-3.0"]
    assert [(entry.name, entry.state) for entry in status.steps] == [(name, StepState.DONE) for name in names]
    await agent.want_versions(want("1.0"), beside("2.0"), beside("3.0"))
    assert roles(await agent.settled()) == {"1.0": "default", "2.0": "beside", "3.0": "beside"}
    assert await say(agent) == "tiny 1.0"
    assert ("runtime.default_changed", "1.0") in await told_kinds(agent, 4)


async def test_a_former_default_is_not_fetched(agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop) -> None:
    """It is for going back alone; the spec is reached without it."""
    await agent.want_versions(want("2.0"), former("1.0"))
    status = await agent.settled()
    assert (roles(status), [entry.name for entry in status.steps]) == ({"2.0": "default"}, ["install-tiny"])
    assert origin.ranges(shop.path("1.0")) == []


async def test_a_failing_upgrade_leaves_the_former_default_in_use(agent: AgentProcess, shop: RuntimeShop) -> None:
    """Also where the spec does not name it any more: nothing is taken away before its successor is whole."""
    shop.add("3.0", script="exit 3")
    await asyncio.to_thread(shop.publish)
    await agent.want_versions(want("1.0"))
    await agent.settled()
    await agent.want_versions(want("3.0"))
    status = await agent.settled()
    assert (step(status).code, roles(status)) == ("smoke_test_failed", {"1.0": "default"})
    assert await say(agent) == "tiny 1.0"


def flip(tree: Path) -> None:
    """Change one byte."""
    path = tree / "share/data"
    raw = bytearray(path.read_bytes())
    raw[10] ^= 1
    path.write_bytes(bytes(raw))


def lose(tree: Path) -> None:
    """Delete a file."""
    (tree / "share/data").unlink()


def add(tree: Path) -> None:
    """Put a file of one's own beside, with a name that is no text."""
    (tree / "share" / b"more-\xff".decode("utf-8", "surrogateescape")).touch()


def forbid(tree: Path) -> None:
    """Take the right to run the program."""
    (tree / "bin/tiny").chmod(0o644)


def lie(tree: Path) -> None:
    """Let the list be another one."""
    (tree / FILES_NAME).write_bytes(b"{}")


@pytest.mark.parametrize(
    ("spoil", "kind", "name"),
    [
        (flip, "changed", "share/data"),
        (lose, "missing", "share/data"),
        (add, "added", "share/more-\\xff"),
        (forbid, "changed", "bin/tiny"),
        (lie, "changed", FILES_NAME),
    ],
)
async def test_what_differs_is_found_kept_and_mended(
    spoil: Callable[[Path], None], kind: str, name: str, agent: AgentProcess
) -> None:
    """The report says so, also after a restart; a raised attempt unpacks it anew, once."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    assert (await verify(agent, "1.0")).verified
    await asyncio.to_thread(spoil, agent.runtimes / "tiny/1.0")
    answer = await verify(agent, "1.0")
    assert (answer.verified, answer.faults) == (False, 1)
    assert {"changed": answer.changed, "missing": answer.missing, "added": answer.added}[kind] == (name,)
    assert await agent.stop() == 0
    await agent.start()
    told = found(await agent.status(), "1.0")
    assert (told.verified, told.faults, told.checked_at) == (False, 1, answer.checked_at)
    for _ in range(2):
        await agent.want_versions(want("1.0", attempt=1))
        told = found(await agent.settled(), "1.0")
        assert (told.verified, told.faults, told.default) == (True, 0, True)
    assert (await verify(agent, "1.0")).verified
    assert (await say(agent), agent.leftovers()) == ("tiny 1.0", [])
    kinds = [kind for kind, _ in await told_kinds(agent, 5)]
    assert kinds == [
        "runtime.installed", "runtime.verified", "runtime.changed", "runtime.installed", "runtime.verified",
    ]  # fmt: skip


async def test_a_version_that_was_changed_is_not_gone_back_to(agent: AgentProcess) -> None:
    """What works stays in use, the report tells what is wrong, and a repair goes back to it after all."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    await agent.want_versions(want("2.0"), former("1.0"))
    await agent.settled()
    await asyncio.to_thread(flip, agent.runtimes / "tiny/1.0")
    await agent.want_versions(want("1.0"), former("2.0"))
    status = await agent.settled()
    assert (step(status).state, step(status).code) == (StepState.FAILED, "runtime_changed")
    assert (found(status, "1.0").verified, found(status, "1.0").faults) == (False, 1)
    assert (roles(status)["2.0"], await say(agent)) == ("default", "tiny 2.0")
    await agent.want_versions(want("1.0", attempt=1), former("2.0"))
    status = await agent.settled()
    assert roles(status) == {"1.0": "default", "2.0": "previous"}
    assert (found(status, "1.0").verified, await say(agent)) == (True, "tiny 1.0")


async def test_a_version_that_was_added_to_is_gone_back_to(agent: AgentProcess) -> None:
    """Whoever uses a runtime adds to it (`npm install -g`): a check names that, and it keeps nobody from going back."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    await agent.want_versions(want("2.0"), former("1.0"))
    await agent.settled()
    await asyncio.to_thread(add, agent.runtimes / "tiny/1.0")
    await agent.want_versions(want("1.0"), former("2.0"))
    status = await agent.settled()
    assert roles(status) == {"1.0": "default", "2.0": "previous"}
    assert (await say(agent), (await verify(agent, "1.0")).added) == ("tiny 1.0", ("share/more-\\xff",))


async def test_a_repair_is_done_once_for_its_attempt(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """The same spec again, and a restart, fetch nothing."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    for _ in range(2):
        await agent.want_versions(want("1.0", attempt=3))
        await agent.settled()
        assert await agent.stop() == 0
        await agent.start()
        await agent.settled()
    assert len(origin.ranges(shop.path("1.0"))) == 2


async def test_many_who_ask_share_one_check(agent: AgentProcess) -> None:
    """And what is not there has none."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    answers = await asyncio.gather(*(verify(agent, "1.0") for _ in range(20)))
    assert len({answer.checked_at for answer in answers}) < 10
    for method, path in (("POST", "/runtimes/tiny/9/verify"), ("GET", "/runtimes/none/1.0/users")):
        code, body = await agent.call(method, path)
        assert (code, code_of(body)) == (404, "runtime_not_installed")


RUNS = 'exec 9<"$(readlink -f {root}/tiny/current/bin/tiny)"; exec sleep 1000'


def process(agent: AgentProcess, *, power: str = "on") -> WantedProcess:
    """Return a process that runs from what `current` leads to when it starts."""
    script = RUNS.replace("{root}", str(agent.runtimes))
    return msgspec.convert({"name": "web", "argv": ["/bin/sh", "-c", script], "power": power}, type=WantedProcess)


async def test_a_version_in_use_goes_when_its_process_ends(agent: AgentProcess) -> None:
    """The removal waits and says for whom; nothing else waits for it; it is done as soon as nobody uses it."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    await agent.want_versions(want("1.0"), processes=[process(agent)])
    await eventually(lambda: has_users(agent, "1.0"))
    assert await users(agent, "1.0") == ["process web"]
    await agent.want_versions(want("2.0"), processes=[process(agent)])
    status = await agent.settled()
    waiting = await agent.until(lambda status: (named(status, "remove-tiny-1.0") or step(status)).code is not None)
    told = named(waiting, "remove-tiny-1.0")
    assert told is not None
    assert (told.state, told.code) == (StepState.PENDING, "runtime_in_use")
    assert "process web" in (told.message or "")
    assert "restart brings tiny 2.0" in (told.message or "")
    assert roles(status) == {"1.0": "beside", "2.0": "default"}
    assert (await users(agent, "1.0"), await users(agent, "2.0")) == (["process web, outdated"], [])
    code, _ = await agent.call("POST", "/processes/web/restart")
    assert code == 202
    status = await agent.until(lambda status: roles(status) == {"2.0": "default"})
    assert agent.names() == ["2.0", "current"]
    await eventually(lambda: has_users(agent, "2.0"))
    # A restart of the agent finds nothing to do.
    assert await agent.stop() == 0
    await agent.start()
    assert roles(await agent.settled()) == {"2.0": "default"}
    await agent.want_versions(want("2.0"))
    await ended(agent)


async def ended(agent: AgentProcess) -> None:
    """Wait until no process has a shim any more."""
    await eventually(lambda: not list((agent.root / "run/zlh/processes").glob("*.sock")))


async def has_users(agent: AgentProcess, version: str) -> bool:
    """Tell whether anybody uses a version."""
    return bool(await users(agent, version))


async def test_the_last_version_in_use_waits_too(agent: AgentProcess) -> None:
    """A runtime that is dropped whole stays on PATH for as long as somebody uses it, and goes with its folder then."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    # Before it is there, a start fails and is tried again only after as long as anything here is waited for.
    await agent.want_versions(want("1.0"), processes=[process(agent)])
    await eventually(lambda: has_users(agent, "1.0"))
    await agent.want_versions(processes=[process(agent)])
    await agent.until(lambda status: any(entry.code == "runtime_in_use" for entry in status.steps))
    assert await say(agent) == "tiny 1.0"
    await agent.want_versions(processes=[process(agent, power="off")])
    await agent.until(lambda status: status.runtimes == ())
    assert not await asyncio.to_thread((agent.runtimes / "tiny").exists)
    await agent.want_versions()
    await ended(agent)


# What a disk, a customer or a crash may have made of it.


def dangle(runtimes: Path) -> None:
    """Let `current` lead nowhere."""
    relink(runtimes, "gone")


def lead_out(runtimes: Path) -> None:
    """Let `current` lead out of the folder."""
    relink(runtimes, "../../../../etc")


def relink(runtimes: Path, target: str) -> None:
    """Let `current` lead elsewhere."""
    link = runtimes / "tiny/current"
    link.unlink()
    link.symlink_to(target)


def occupy(runtimes: Path) -> None:
    """Let a folder stand in the place of `current`."""
    (runtimes / "tiny/current").unlink()
    (runtimes / "tiny/current/x").mkdir(parents=True)


def spoil_record(runtimes: Path) -> None:
    """Cut the record."""
    (runtimes / "tiny/1.0" / RECORD_NAME).write_bytes(b'{"cut')


def lose_record(runtimes: Path) -> None:
    """Delete record and list."""
    (runtimes / "tiny/1.0" / RECORD_NAME).unlink()
    (runtimes / "tiny/1.0" / FILES_NAME).unlink()


def put_strangers(runtimes: Path) -> None:
    """Put things there that are none of ours."""
    (runtimes / "file").touch()
    (runtimes / "tiny/notes").touch()
    (runtimes / "link").symlink_to("/etc")
    (runtimes / "tiny/mine").mkdir()


@pytest.mark.parametrize(
    "spoil", [dangle, lead_out, occupy, spoil_record, lose_record, put_strangers, lambda _runtimes: None]
)
async def test_whatever_lies_there_the_agent_starts_and_heals_it(
    spoil: Callable[[Path], None], agent: AgentProcess
) -> None:
    """The default works after the start, and what is foreign is left alone and told in the log."""
    await agent.want_versions(want("1.0"))
    await agent.settled()
    assert await agent.stop() == 0
    await asyncio.to_thread(spoil, agent.runtimes)
    await agent.start()
    await agent.until(lambda status: status.observed_generation == 1 and roles(status) == {"1.0": "default"})
    assert (await say(agent), agent.leftovers()) == ("tiny 1.0", [])
    assert agent.current() == "1.0"
    if spoil is put_strangers:
        assert agent.names() == ["1.0", "current", "mine", "notes"]
        assert "runtime.foreign" in await asyncio.to_thread(agent.log.read_text)


async def test_a_folder_that_cannot_be_read_is_told(agent: AgentProcess) -> None:
    """The agent serves, the step says what is wrong, and all is well when it is mended."""
    assert await agent.stop() == 0
    await asyncio.to_thread(agent.runtimes.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(agent.runtimes.symlink_to, agent.runtimes.name)
    await agent.start()
    await agent.want_versions(want("1.0"))
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert step(status).code == "disk_error"
    assert "runtime.folder_unreadable" in await asyncio.to_thread(agent.log.read_text)
    await asyncio.to_thread(agent.runtimes.unlink)
    assert roles(await agent.settled()) == {"1.0": "default"}
