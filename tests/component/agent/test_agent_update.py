"""The agent becomes another version of itself, or stays what it is: on real bundles and signed catalogs."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.agent.harness import eventually
from component.agent.update_harness import FIRST, SECOND, THIRD, Container, make_container
from fakes.agent_bundles import Bundle
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import RuntimeShop
from zlh_agent import launcher
from zlh_agent.launcher import DONE, NONE, PROBATION, UNDONE, UpdateState
from zlh_agent.runtimes.checking.comparison import compare_tree
from zlh_agent.runtimes.model import STAGING
from zlh_agent.update.errors import AgentUpdateBusy, AgentUpdateFixed, AgentUpdateNotKept, AgentVersionOlder
from zlh_agent.update.store import UpdateStore
from zlh_common.processes import ProcessIdentity, read_identity
from zlh_common.schema.agent_update import AGENT_OFFER, AgentUpdateState, StartAgentUpdate

pytestmark = pytest.mark.timeout(180)
STATE = AgentUpdateState


@pytest.fixture
def shop(tmp_path: Path) -> RuntimeShop:
    """Return a shop that offers SECOND and THIRD."""
    shop = RuntimeShop(tmp_path / "shop")
    for version in (SECOND, THIRD):
        Bundle(version).offer(shop)
    shop.publish()
    return shop


@pytest.fixture
async def container(tmp_path: Path, shop: RuntimeShop) -> AsyncIterator[Container]:
    """Lend a container whose agent is FIRST."""
    async with ArtifactOrigin(shop.tree) as origin:
        yield await asyncio.to_thread(make_container, tmp_path / "root", shop, origin)


def says(container: Container) -> str:
    """Return what the program says that is started next."""
    program = [str(container.bundles / "current/bin/python3"), "-I", "-B", "-m", "zlh_agent", "--version"]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


async def test_a_version_is_fetched_switched_to_proved_and_kept(container: Container) -> None:
    """Each state is told on the way; the former version stays to be gone back to, and the one before that goes."""
    async with container.engine() as engine:
        answer = await engine.service.start(StartAgentUpdate(version=SECOND))
        assert (answer.version, answer.update and answer.update.state) == (FIRST, STATE.PREPARING)
        assert not await engine.settled()
        assert [update.state for update in engine.seen][-1] is STATE.PROVING
        assert {update.stage for update in engine.seen} >= {"waiting", "reading the catalog", "testing"}
    assert (await container.current(), await asyncio.to_thread(says, container)) == (SECOND, SECOND)
    update = await container.settle()
    assert (update.state, update.version, update.before, update.code) == (STATE.DONE, SECOND, FIRST, None)
    assert (await container.versions(), (await container.state()).highest) == ([FIRST, SECOND], SECOND)
    await container.update(THIRD)
    assert (await container.current(), await container.versions()) == (THIRD, [SECOND, THIRD])
    assert [(one.kind, one.data["version"]) for one in container.noted] == [
        ("agent.updated", SECOND), ("agent.updated", THIRD),
    ]  # fmt: skip
    assert not list(container.folder.glob("downloads/*"))


async def test_what_lies_there_is_what_was_signed_and_nobody_elses_to_write(container: Container) -> None:
    """Its own list holds, but for the link that no archive may hold; no mode lets others write."""
    await container.update(SECOND)
    bundle = container.bundles / SECOND
    found = await asyncio.to_thread(compare_tree, bundle)
    assert (found.changed_or_missing(), sorted(found.added)) == ([], ["bin/python3", "pyvenv.cfg"])
    modes = {path.lstat().st_mode & 0o7777 for path in bundle.rglob("*") if not path.is_symlink()}
    assert modes <= {0o644, 0o755}
    assert (container.folder.stat().st_mode & 0o777) == 0o700


async def test_the_same_told_again_is_done_once(container: Container) -> None:
    """While it goes on and when it is over, by a caller who has not heard the answer."""
    wish = StartAgentUpdate(version=SECOND)
    async with container.engine() as engine:
        await asyncio.gather(*(engine.service.start(wish) for _ in range(5)))
        await engine.settled()
    await container.settle()
    asked = len(container.origin.ranges(container.shop.path(SECOND, AGENT_OFFER)))
    async with container.engine() as engine:
        answer = await engine.service.start(wish)
        assert answer.update is not None
        assert answer.update.state is STATE.DONE
        assert await engine.settled()
    assert (len(container.origin.ranges(container.shop.path(SECOND, AGENT_OFFER))), asked) == (1, 1)


async def test_another_waits_until_the_probation_is_over(container: Container) -> None:
    """While one is prepared, and while the new one has not lived long enough: `agent_update_busy`."""
    container.probation_s = 3600.0
    container.origin.always[container.shop.path(SECOND, AGENT_OFFER)] = Fault(stall_after=100)
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        await asyncio.wait_for(container.origin.is_stalling.wait(), 60)
        with pytest.raises(AgentUpdateBusy, match=r"preparing"):
            await engine.service.start(StartAgentUpdate(version=THIRD))
    container.origin.always.clear()
    async with container.engine() as engine:
        # The next start goes on by itself.
        assert not await engine.settled()
    async with container.engine() as engine:
        await engine.until(lambda update: update.state is STATE.PROBATION)
        for wish in (StartAgentUpdate(version=THIRD), StartAgentUpdate(version=SECOND, attempt=1)):
            with pytest.raises(AgentUpdateBusy, match=r"probation"):
                await engine.service.start(wish)
    container.probation_s = 0.01
    assert (await container.settle()).state is STATE.DONE


async def test_an_older_version_is_refused_whatever_the_catalog_says(container: Container) -> None:
    """Older than the highest that was accepted, which is remembered when its bundle is gone, also once undone."""
    await container.update(THIRD)
    async with container.engine() as engine:
        with pytest.raises(AgentVersionOlder) as refused:
            await engine.service.start(StartAgentUpdate(version=SECOND))
        assert (refused.value.code, refused.value.status) == ("agent_update_older", 409)
    await asyncio.to_thread(shutil.rmtree, container.bundles / THIRD)
    container.point(FIRST)
    async with container.engine() as engine:
        with pytest.raises(AgentVersionOlder):
            await engine.service.start(StartAgentUpdate(version=SECOND))


async def test_what_it_is_already_is_done_at_once(container: Container) -> None:
    """Nothing is fetched, and nobody is disturbed."""
    async with container.engine() as engine:
        answer = await engine.service.start(StartAgentUpdate(version=FIRST))
        assert answer.update is not None
        assert answer.update.state is STATE.DONE
        assert await engine.settled()
    assert (container.origin.asked, (await container.state()).phase) == ([], NONE)


async def test_an_agent_of_a_checkout_says_why_it_stays(container: Container) -> None:
    """`agent_update_fixed`, with the reason that its status has too."""
    container.fixed_because = "it is a checkout's."
    async with container.engine() as engine:
        service = engine.service
        with pytest.raises(AgentUpdateFixed, match="it is a checkout's"):
            await service.start(StartAgentUpdate(version=SECOND))
        assert service.report().fixed_because == "it is a checkout's."


async def test_a_disk_that_keeps_nothing_is_told(container: Container) -> None:
    """507, so that whoever asks comes again; the agent has not begun anything."""
    await asyncio.to_thread(container.folder.parent.mkdir, parents=True)
    await asyncio.to_thread(container.folder.write_bytes, b"in the way")
    async with container.engine() as engine:
        with pytest.raises(AgentUpdateNotKept) as refused:
            await engine.service.start(StartAgentUpdate(version=SECOND))
        assert (refused.value.status, refused.value.retryable) == (507, True)
        assert engine.service.report().update is None


def break_bytes(container: Container) -> None:
    """Every byte is another."""
    container.origin.always[container.shop.path(SECOND, AGENT_OFFER)] = Fault(wrong_bytes=True)


def add_bytes(container: Container) -> None:
    """It is longer than the catalog says."""
    container.origin.always[container.shop.path(SECOND, AGENT_OFFER)] = Fault(extra=1)


def expire(container: Container) -> None:
    """Nobody has signed for a month."""
    container.shop.publish(now=datetime.now(UTC) - timedelta(days=30))


def sign_with_others(container: Container) -> None:
    """The same bundles under foreign signatures."""
    foreign = RuntimeShop(container.shop.folder.with_name("foreign"))
    Bundle(SECOND).offer(foreign)
    foreign.publish()
    shutil.rmtree(container.shop.tree)
    shutil.copytree(foreign.tree, container.shop.tree)


def offer_another_product(container: Container) -> None:
    """Rightly signed, and a runtime."""
    offer(container, lambda shop: shop.add(SECOND, name=AGENT_OFFER, kind="agent"))


def offer_as_a_runtime(container: Container) -> None:
    """Rightly signed, and no agent by its kind."""
    other = RuntimeShop(container.shop.folder.with_name("runtimes"))
    other.add(SECOND, name=AGENT_OFFER)
    offer(container, lambda shop: shutil.copytree(other.tree / "archives", shop.tree / "archives", dirs_exist_ok=True))


def offer_another_version(container: Container) -> None:
    """The bundle of THIRD under the name of SECOND."""
    offer(container, lambda shop: Bundle(THIRD).offer(shop, version=SECOND))


def offer_for_another_python(container: Container) -> None:
    """A bundle that has modules for others alone."""
    offer(container, Bundle(SECOND, pythons=("3.8", "3.9")).offer)


def withdraw(container: Container) -> None:
    """It is offered no more."""
    offer(container, lambda _shop: None)


def offer(container: Container, add: Callable[[RuntimeShop], object]) -> None:
    """Have the catalog hold nothing of the agent but what `add` puts there."""
    shutil.rmtree(container.shop.tree / "archives" / AGENT_OFFER)
    (container.shop.tree / "archives").mkdir(exist_ok=True)
    container.shop.add("1.0")
    add(container.shop)
    container.shop.publish()


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (break_bytes, "artifact_hash_mismatch"),
        (add_bytes, "artifact_size_mismatch"),
        (expire, "catalog_expired"),
        (sign_with_others, "catalog_untrusted"),
        (offer_another_product, "unpack_failed"),
        (offer_as_a_runtime, "agent_not_offered"),
        (offer_another_version, "smoke_test_failed"),
        (offer_for_another_python, "agent_python_unsupported"),
        (withdraw, "agent_not_offered"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_a_bundle_that_does_not_hold_is_refused(
    lie: Callable[[Container], None], code: str, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it stays, nothing is switched, the reason is told and noted, and the next version is taken."""
    monkeypatch.setattr("zlh_agent.update.service.FIRST_PAUSE_S", 0.01)
    await asyncio.to_thread(lie, container)
    update = await container.update(SECOND)
    assert (update.state, update.code) == (STATE.FAILED, code)
    assert update.message
    assert (await container.current(), await container.versions(), (await container.state())) == (
        FIRST,
        [FIRST],
        UpdateState(),
    )
    assert [(one.kind, one.data["code"]) for one in container.noted] == [("agent.update_failed", code)]
    async with container.engine() as engine:
        # It is at rest, and takes another word.
        answer = await engine.service.start(StartAgentUpdate(version=SECOND, attempt=1))
        assert answer.update is not None
        assert answer.update.state is STATE.PREPARING


async def test_a_catalog_that_goes_back_is_refused(container: Container, tmp_path: Path) -> None:
    """Good signatures of yesterday are no reason to forget today's."""
    old = tmp_path / "old"
    await asyncio.to_thread(shutil.copytree, container.shop.tree, old)
    await asyncio.to_thread(container.shop.publish)
    await container.update(SECOND)
    await asyncio.to_thread(shutil.rmtree, container.shop.tree)
    await asyncio.to_thread(shutil.copytree, old, container.shop.tree)
    update = await container.update(THIRD)
    assert (update.state, update.code, await container.current()) == (STATE.FAILED, "catalog_untrusted", SECOND)


async def test_a_server_that_is_away_for_a_moment_costs_nothing(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may pass is tried again before the update has failed."""
    monkeypatch.setattr("zlh_agent.update.service.FIRST_PAUSE_S", 0.01)
    container.origin.misbehave("metadata/timestamp.json", *[Fault(status=500)] * 2)
    container.origin.misbehave(container.shop.path(SECOND, AGENT_OFFER), Fault(cut_after=400))
    assert (await container.update(SECOND)).state is STATE.DONE


async def test_a_version_that_does_not_serve_is_undone(container: Container) -> None:
    """The reason names what was lacking; the former one runs again, and may be told of it anew."""
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()
    container.trouble, container.proof_s = OSError("refused"), 0.0
    async with container.engine() as engine:
        assert not await engine.settled()
    container.trouble, container.proof_s = None, 60.0
    assert await container.current() == FIRST
    update = await container.settle()
    assert (update.state, update.code) == (STATE.UNDONE, "agent_update_unproved")
    assert "refused" in (update.message or "")
    assert [(one.kind, one.data["before"]) for one in container.noted] == [("agent.update_undone", FIRST)]
    assert (await container.versions(), (await container.state()).highest) == ([FIRST], FIRST)
    assert (await container.update(SECOND, attempt=1)).state is STATE.DONE


@pytest.mark.parametrize("lacks", ["shim", "spec"])
async def test_a_version_that_has_not_taken_up_everything_is_undone(lacks: str, container: Container) -> None:
    """A shim that runs and is not held, or a spec that is older than the former one's."""
    child = await asyncio.create_subprocess_exec("/bin/sleep", "1000")
    try:
        shim = await asyncio.to_thread(read_identity, child.pid)
        assert shim is not None
        # One that has ended meanwhile is missed by nobody.
        container.shims = [shim, ProcessIdentity(2**22 - 1, 1, shim.boot_id)]
        async with container.engine() as engine:
            await engine.service.start(StartAgentUpdate(version=SECOND))
            assert not await engine.settled()
        container.proof_s = 0.0
        if lacks == "shim":
            container.shims = []
        else:
            container.shims, container.spec_generation = [shim], 4
        async with container.engine() as engine:
            assert not await engine.settled()
    finally:
        child.kill()
        await child.wait()
    update = await container.settle()
    named = str(child.pid) if lacks == "shim" else "spec 4"
    assert (update.state, await container.current()) == (STATE.UNDONE, FIRST)
    assert named in (update.message or "")


async def test_what_takes_a_while_to_be_taken_up_is_waited_for(container: Container) -> None:
    """It is asked again until the time is over."""
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()
    container.spec_generation = 4
    async with container.engine() as engine:
        await eventually(lambda: container.asked >= 2)
        container.spec_generation = 5
        await engine.settled()
    assert (await container.state()).phase == DONE


async def test_a_bundle_that_a_shim_runs_from_stays(container: Container) -> None:
    """It goes with the update after the shim has ended."""
    folder = str(container.bundles.resolve() / FIRST / "lib/site-packages")
    shim = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)", "zlh-shim:main", folder]
    running = await asyncio.create_subprocess_exec(*shim)
    try:
        await container.update(SECOND)
        await container.update(THIRD)
        assert await container.versions() == [FIRST, SECOND, THIRD]
    finally:
        running.kill()
        await running.wait()
    await container.settle()
    assert await container.versions() == [SECOND, THIRD]


async def test_a_bundle_that_was_changed_is_fetched_anew(container: Container) -> None:
    """What an earlier try has unpacked is compared with its list before anything is switched to it."""
    async with container.engine() as engine:
        service = engine.service
        service.leave = lambda: None
        await service.start(StartAgentUpdate(version=SECOND))
        await engine.until(lambda update: update.state is STATE.PROVING)
    # Cut off before its switch, and damaged by a disk.
    container.point(FIRST)
    await asyncio.to_thread(UpdateStore(container.folder).write_state, UpdateState())
    changed = container.bundles / SECOND / "lib/site-packages/zlh_agent/cli.py"
    await asyncio.to_thread(changed.write_bytes, b"raise SystemExit(1)\n")
    assert (await container.settle()).state is STATE.DONE
    assert (await container.current(), await asyncio.to_thread(says, container)) == (SECOND, SECOND)


async def test_leftovers_of_killed_installs_are_swept(container: Container) -> None:
    """Of a container that was cut off while its agent unpacked."""
    (container.bundles / f"{STAGING}x/tree").mkdir(parents=True)
    await container.update(SECOND)
    assert await container.versions() == [FIRST, SECOND]


async def test_records_of_another_version_are_set_aside(container: Container) -> None:
    """A cut, empty or strange file of an update is no update; the next one is taken."""
    await asyncio.to_thread(container.folder.mkdir, parents=True)
    for name in ("order.json", "handover.json", "state.json"):
        for content in (b"", b"\0" * 100, b'{"version": 7}', b'{"cut', b"[" * 20_000):
            await asyncio.to_thread((container.folder / name).write_bytes, content)
            async with container.engine() as engine:
                assert engine.service.report().update is None
    assert (await container.update(SECOND)).state is STATE.DONE


async def test_what_starts_it_is_placed_after_the_probation(container: Container) -> None:
    """The launcher of the new version, and of one that was cut off in between; never one that does not compile."""
    place = container.bundles / "launcher.py"
    await asyncio.to_thread(place.write_bytes, b"# of the first\n")
    container.probation_s = 3600.0
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()
    async with container.engine() as engine:
        await engine.until(lambda update: update.state is STATE.PROBATION)
        assert place.read_bytes() == b"# of the first\n"
    assert (await container.state()).phase == PROBATION
    container.probation_s = 0.01
    await container.settle()
    brought = container.bundles / SECOND / "system/launcher.py"
    assert place.read_bytes() == brought.read_bytes()
    await asyncio.to_thread(place.write_bytes, b"# cut off\n")
    await container.settle()
    assert place.read_bytes() == brought.read_bytes()
    await asyncio.to_thread(offer, container, Bundle(THIRD, launcher="\nthis does not compile\n").offer)
    assert (await container.update(THIRD)).state is STATE.DONE
    assert place.read_bytes() == brought.read_bytes()


async def test_an_undone_version_tells_what_the_launcher_has_seen(container: Container) -> None:
    """Code, exit code and last words, to whoever asks the version that follows it; told in the journal once."""
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()
    container.point(FIRST)
    at = datetime.now(UTC).isoformat()
    state = await container.state()
    undone = UpdateState(
        phase=UNDONE, version=state.version, former=state.former, attempt=state.attempt, highest=state.highest,
        started_at=state.started_at, code="agent_exited", message="It ended with 3.", exit_code=3, output="Traceback",
        ended_at=at,
    )  # fmt: skip
    await asyncio.to_thread(UpdateStore(container.folder).write_state, undone)
    for _ in range(2):
        update = await container.settle()
        assert (update.state, update.code, update.exit_code, update.output) == (
            STATE.UNDONE, "agent_exited", 3, "Traceback",
        )  # fmt: skip
    assert [(one.kind, one.data["code"]) for one in container.noted] == [("agent.update_undone", "agent_exited")]
    assert await container.versions() == [FIRST]


async def test_what_the_launcher_has_undone_meanwhile_stays_so(container: Container) -> None:
    """A proof that comes right after it was given up is none: the version goes, and the former one follows it."""
    async with container.engine() as engine:
        await engine.service.start(StartAgentUpdate(version=SECOND))
        assert not await engine.settled()

    async def give_up() -> None:
        await asyncio.to_thread(launcher.undo, container.folder, container.bundles, code="late", message="Too late.")

    async with container.engine() as engine:
        engine.service.serves = give_up
        assert not await engine.settled()
    assert (await container.current(), (await container.state()).phase) == (FIRST, UNDONE)
    update = await container.settle()
    assert (update.state, update.code) == (STATE.UNDONE, "late")


async def test_a_state_that_cannot_be_read_is_left_alone(container: Container) -> None:
    """The agent runs and says why it takes no update; what is kept is neither brought on nor written over."""
    await container.update(SECOND)
    state = container.folder / "state.json"
    await asyncio.to_thread(state.unlink)
    state.symlink_to("state.json")
    async with container.engine() as engine:
        assert "cannot be read" in (engine.service.report().fixed_because or "")
        with pytest.raises(AgentUpdateFixed):
            await engine.service.start(StartAgentUpdate(version=THIRD))
    assert state.is_symlink()


async def test_once_it_is_accepted_there_is_no_way_back(container: Container) -> None:
    """The link that leads back is of a switch alone."""
    await container.update(SECOND)
    assert not (container.bundles / launcher.FORMER_LINK).is_symlink()
