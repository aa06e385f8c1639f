"""From a spec to a runtime that runs: installing, changing, going back, and every way in which a source can lie."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, eventually, is_alive, step
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import RuntimeShop
from zlh_agent.runtimes.model import RECORD_NAME
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import AgentStatus, StepState


def versions(status: AgentStatus, name: str = "tiny") -> dict[str, bool]:
    """Return each installed version of a runtime, and whether it is the one in use."""
    return {entry.version: entry.default for entry in status.runtimes if entry.name == name}


async def say(program: Path) -> str:
    """Return what a program prints."""
    done = await asyncio.to_thread(subprocess.run, [str(program)], capture_output=True, check=True)
    return done.stdout.decode().strip()


async def test_a_wanted_runtime_is_installed_and_used(agent: AgentProcess) -> None:
    """The program runs through `current`, the report has it, and nothing else is left."""
    answer = await agent.want(("tiny", "1.0"))
    assert (answer.spec_generation, step(answer).state) in {(1, StepState.PENDING), (1, StepState.RUNNING)}
    status = await agent.settled()
    assert (step(status).state, step(status).progress) == (StepState.DONE, 1.0)
    assert versions(status) == {"1.0": True}
    assert await say(agent.runtimes / "tiny/current/bin/tiny") == "tiny 1.0"
    assert agent.leftovers() == []


async def test_changing_the_version_removes_the_old_tree(agent: AgentProcess) -> None:
    """What the spec does not name any more goes, once the new version is in use."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    await agent.want(("tiny", "2.0"))
    assert versions(await agent.settled()) == {"2.0": True}
    assert await say(agent.runtimes / "tiny/current/bin/tiny") == "tiny 2.0"
    assert agent.names("tiny") == ["2.0", "current"]


async def test_a_changed_version_is_not_gone_back_to(agent: AgentProcess) -> None:
    """The step names the file; what is in use stays, and having it unpacked anew helps."""
    old = WantedRuntime(name="tiny", version="1.0", default=False, previous=True)
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    await agent.put_spec(2, WantedRuntime(name="tiny", version="2.0"), old)
    agent.generation = 2
    await agent.settled()
    await asyncio.to_thread((agent.runtimes / "tiny/1.0/share/data").write_bytes, b"changed")
    new = WantedRuntime(name="tiny", version="2.0", default=False, previous=True)
    await agent.put_spec(3, WantedRuntime(name="tiny", version="1.0"), new)
    agent.generation = 3
    status = await agent.settled()
    assert (step(status).state, step(status).code) == (StepState.FAILED, "runtime_changed")
    assert "share/data" in (step(status).message or "")
    assert agent.current() == "2.0"
    await agent.put_spec(4, WantedRuntime(name="tiny", version="1.0", attempt=1), new)
    agent.generation = 4
    assert step(await agent.settled()).state is StepState.DONE
    assert (agent.current(), agent.leftovers()) == ("1.0", [])


async def test_what_is_wanted_no_more_goes(agent: AgentProcess) -> None:
    """An empty spec leaves nothing: no tree, no folder, no entry of PATH."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    await agent.want()
    status = await agent.settled()
    assert (versions(status), agent.leftovers()) == ({}, [])
    assert [(one.name, one.state) for one in status.steps] == [("remove-tiny-1.0", StepState.DONE)]
    assert not (agent.runtimes / "tiny").exists()
    assert "tiny" not in await asyncio.to_thread((agent.root / "home/dev/.zlh/environment").read_text)


async def test_two_runtimes_are_both_installed(agent: AgentProcess, shop: RuntimeShop) -> None:
    """Each has its own step, and one that cannot be had does not stop the other."""
    shop.add("3.0", name="other")
    await asyncio.to_thread(shop.publish)
    await agent.want(("missing", "1.0"), ("tiny", "1.0"), ("other", "3.0"))
    status = await agent.settled()
    assert [step(status, name).state for name in ("missing", "tiny", "other")] == [
        StepState.FAILED, StepState.DONE, StepState.DONE,
    ]  # fmt: skip
    assert (agent.current("tiny"), agent.current("other")) == ("1.0", "3.0")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (("tiny", "9"), "version_not_offered"),
        (("nothing", "1.0"), "runtime_not_offered"),
        (("beta", "1.0"), "runtime_not_offered"),
    ],
)
async def test_what_is_not_offered_fails_with_the_reason(
    wanted: tuple[str, str], code: str, agent: AgentProcess, shop: RuntimeShop
) -> None:
    """A name, version or channel that is not ours to have is told as such, and settles the generation."""
    shop.add("1.0", name="beta", channel="candidate")
    await asyncio.to_thread(shop.publish)
    await agent.want(wanted)
    failed = step(await agent.settled(), wanted[0])
    assert (failed.state, failed.code) == (StepState.FAILED, code)


async def test_part_of_a_version_is_not_a_version(agent: AgentProcess) -> None:
    """The agent installs the exact version or none: `1` is not 1.0."""
    await agent.want(("tiny", "1"))
    assert step(await agent.settled()).state is StepState.FAILED
    assert not (agent.runtimes / "tiny").exists()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(wrong_bytes=True), "artifact_hash_mismatch"),
        (Fault(extra=1), "artifact_size_mismatch"),
        (Fault(extra=-1), "artifact_size_mismatch"),
        (Fault(extra=5_000_000, is_unannounced=True), "artifact_size_mismatch"),
    ],
)
async def test_a_wrong_archive_is_refused_and_the_old_version_stays(
    fault: Fault, code: str, agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """Nothing of a changed archive is unpacked or kept, and nobody tries it again."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    origin.always[shop.path("2.0")] = fault
    await agent.want(("tiny", "2.0"))
    status = await agent.settled()
    assert (step(status).state, step(status).code) == (StepState.FAILED, code)
    assert (versions(status), agent.current()) == ({"1.0": True}, "1.0")
    assert (agent.leftovers(), (agent.runtimes / "tiny/2.0").exists()) == ([], False)
    assert len(origin.ranges(shop.path("2.0"))) == 1


async def test_a_cut_download_goes_on_where_it_stopped(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """Only the rest is asked for."""
    origin.misbehave(shop.path("1.0"), Fault(cut_after=400))
    await agent.want(("tiny", "1.0"))
    assert step(await agent.settled()).state is StepState.DONE
    assert origin.ranges(shop.path("1.0")) == [None, "bytes=400-"]


async def test_a_server_without_ranges_is_read_from_the_start(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """The whole file that comes instead of a part is not appended to the part."""
    origin.misbehave(shop.path("1.0"), Fault(cut_after=400), Fault(ignores_range=True))
    await agent.want(("tiny", "1.0"))
    assert step(await agent.settled()).state is StepState.DONE


async def test_an_origin_that_is_down_is_tried_until_it_is_back(agent: AgentProcess, origin: ArtifactOrigin) -> None:
    """Meanwhile the step says why, the generation is not reached, and the agent answers."""
    await origin.stop()
    await agent.want(("tiny", "1.0"))
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert (step(status).code, status.observed_generation) == ("catalog_unavailable", 0)
    assert origin.url in (step(status).message or "")
    await origin.start()
    assert step(await agent.settled()).state is StepState.DONE


async def test_an_archive_that_is_missing_for_a_while_arrives(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """404 today is no answer for ever: the code says so and it is tried again."""
    origin.misbehave(shop.path("1.0"), Fault(status=404))
    await agent.want(("tiny", "1.0"))
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert step(status).code == "artifact_unavailable"
    assert step(await agent.settled()).state is StepState.DONE


async def test_a_redirect_is_not_followed(agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop) -> None:
    """An archive comes from where the catalog came from, or not at all."""
    elsewhere = f"{origin.url}/elsewhere"
    origin.always[shop.path("1.0")] = Fault(status=302, headers=(("Location", elsewhere),))
    await agent.want(("tiny", "1.0"))
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert (step(status).code, origin.ranges("elsewhere")) == ("artifact_unavailable", [])


async def test_a_failing_smoke_test_installs_nothing(agent: AgentProcess, shop: RuntimeShop) -> None:
    """Exit code and last words stand in the step."""
    shop.add("3.0", script="echo broken library; exit 3")
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "3.0"))
    failed = step(await agent.settled())
    assert (failed.code, failed.exit_code, failed.output) == ("smoke_test_failed", 3, "broken library\n")
    assert (agent.leftovers_but_downloads(), agent.current()) == ([], None)


async def test_a_new_spec_calls_off_what_it_does_not_want(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """The install that runs ends at once, is told as no failure, and leaves nothing."""
    origin.always[shop.path("1.0")] = Fault(stall_after=100)
    await agent.want(("tiny", "1.0"))
    await eventually(origin.is_stalling.is_set)
    children = agent.install_children()
    answer = await agent.want(("tiny", "2.0"))
    assert (answer.spec_generation, answer.observed_generation) == (2, 0)
    seen: list[StepState] = []

    def is_reached(status: AgentStatus) -> bool:
        seen.append(step(status).state)
        return status.observed_generation == 2

    assert versions(await agent.until(is_reached)) == {"2.0": True}
    assert StepState.FAILED not in seen
    assert not any(map(is_alive, children))
    assert (agent.leftovers(), agent.names("tiny")) == ([], ["2.0", "current"])


async def test_a_spec_without_the_runtime_calls_its_install_off(agent: AgentProcess, shop: RuntimeShop) -> None:
    """Killed while its program is tried out: no process, no folder and no download stays."""
    shop.add("3.0", script="touch $HOME/begun; exec sleep 1000")
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "3.0"))
    await agent.smoke_test_begun()
    children = agent.children()
    await agent.want()
    status = await agent.settled()
    assert (status.steps, status.runtimes, agent.leftovers()) == ((), (), [])
    assert not (agent.runtimes / "tiny").exists()
    await eventually(lambda: not any(map(is_alive, children)))


async def test_an_install_that_is_still_wanted_goes_on(
    agent: AgentProcess, origin: ArtifactOrigin, shop: RuntimeShop
) -> None:
    """A hundred specs that want the same, all at once: one download, and nobody begins anew."""
    shop.add("3.0", script="touch $HOME/begun; while ! [ -e $HOME/go ]; do sleep 0.05; done")
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "3.0"))
    scratch = await agent.smoke_test_begun()
    (child,) = agent.install_children()
    wanted = WantedRuntime(name="tiny", version="3.0")
    for start in (2, 52):
        await asyncio.gather(*(agent.put_spec(generation, wanted) for generation in range(start, start + 50)))
    agent.generation = 101
    assert agent.install_children() == [child]
    await asyncio.to_thread((scratch / "go").touch)
    assert step(await agent.settled()).state is StepState.DONE
    assert origin.ranges(shop.path("3.0")) == [None]


@pytest.mark.parametrize("record", [None, b"", b'{"cut'])
async def test_a_tree_without_a_whole_record_gives_way(record: bytes | None, agent: AgentProcess) -> None:
    """What a broken disk left under the name of the version is replaced, and does not stay beside it."""
    broken = agent.runtimes / "tiny/1.0"
    await asyncio.to_thread((broken / "bin").mkdir, parents=True)
    if record is not None:
        await asyncio.to_thread((broken / RECORD_NAME).write_bytes, record)
    await agent.want(("tiny", "1.0"))
    assert versions(await agent.settled()) == {"1.0": True}
    assert (agent.current(), agent.leftovers()) == ("1.0", [])


async def test_a_disk_that_refuses_is_told_and_tried_again(agent: AgentProcess) -> None:
    """A file stands where the runtime's folder should: the code says so, and it passes when the file goes."""
    await asyncio.to_thread(agent.runtimes.mkdir, parents=True)
    await asyncio.to_thread((agent.runtimes / "tiny").touch)
    await agent.want(("tiny", "1.0"))
    status = await agent.until(lambda seen: step(seen).state is StepState.FAILED)
    assert step(status).code == "disk_error"
    await asyncio.to_thread((agent.runtimes / "tiny").unlink)
    assert versions(await agent.settled()) == {"1.0": True}


async def test_the_runtime_is_in_front_of_the_path_of_a_shell(agent: AgentProcess) -> None:
    """The customer's home folder is brought up to what is installed before the step is done."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    text = await asyncio.to_thread((agent.root / "home/dev/.zlh/environment").read_text)
    assert str(agent.runtimes / "tiny/current/bin") in text
    assert f"export TINY_HOME={agent.runtimes}/tiny/current" in text
