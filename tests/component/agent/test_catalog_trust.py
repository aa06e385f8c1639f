"""The agent believes signed catalogs alone, and no catalog that is older than one it has seen."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.agent.harness import AgentProcess, step
from fakes.artifact_origin import ArtifactOrigin, Fault
from fakes.runtime_shop import RuntimeShop, make_shop
from zlh_common.schema.status import AgentStatus, StepState


def has_failed(status: AgentStatus) -> bool:
    """Tell whether the install has failed."""
    return step(status).state is StepState.FAILED


def replace_tree(shop: RuntimeShop, other: Path) -> None:
    """Let the origin hand out another tree."""
    shutil.rmtree(shop.tree)
    shutil.copytree(other, shop.tree)


async def test_an_expired_catalog_is_refused_until_it_is_signed_again(agent: AgentProcess, shop: RuntimeShop) -> None:
    """`catalog_expired`, tried again, and nothing installed before."""
    await asyncio.to_thread(shop.publish, now=datetime.now(UTC) - timedelta(days=30))
    await agent.want(("tiny", "1.0"))
    status = await agent.until(has_failed)
    assert (step(status).code, status.runtimes, status.observed_generation) == ("catalog_expired", (), 0)
    await asyncio.to_thread(shop.publish)
    assert step(await agent.settled()).state is StepState.DONE


async def test_a_catalog_that_goes_back_is_refused(agent: AgentProcess, shop: RuntimeShop, tmp_path: Path) -> None:
    """Good signatures of yesterday are no reason to forget today's; this holds over a restart of the agent."""
    old = tmp_path / "old"
    await asyncio.to_thread(shutil.copytree, shop.tree, old)
    shop.add("3.0")
    await asyncio.to_thread(shop.publish)
    await agent.want(("tiny", "3.0"))
    await agent.settled()
    await asyncio.to_thread(replace_tree, shop, old)
    assert await agent.stop() == 0
    await agent.start()
    await agent.want(("tiny", "1.0"))
    status = await agent.settled()
    assert step(status).code == "catalog_untrusted"
    assert [runtime.version for runtime in status.runtimes] == ["3.0"]
    assert agent.current() == "3.0"


async def test_a_catalog_of_foreign_keys_is_refused(agent: AgentProcess, shop: RuntimeShop, tmp_path: Path) -> None:
    """The same versions under other signatures: for good, and nothing is fetched of it."""
    foreign = await asyncio.to_thread(make_shop, tmp_path / "foreign", "1.0")
    await asyncio.to_thread(replace_tree, shop, foreign.tree)
    await agent.want(("tiny", "1.0"))
    status = await agent.settled()
    assert (step(status).code, status.runtimes) == ("catalog_untrusted", ())
    assert not (agent.runtimes / "tiny").exists()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=500), "catalog_unavailable"),
        (Fault(status=404), "catalog_unavailable"),
        (Fault(cut_after=10), "catalog_unavailable"),
        (Fault(wrong_bytes=True), "catalog_untrusted"),
        (Fault(extra=10_000_000), "catalog_untrusted"),
    ],
)
async def test_metadata_that_does_not_come_right_is_told_by_its_reason(
    fault: Fault, code: str, agent: AgentProcess, origin: ArtifactOrigin
) -> None:
    """What may pass is tried again and does pass; what is a lie is not believed later either."""
    origin.misbehave("metadata/timestamp.json", *[fault] * 8)
    await agent.want(("tiny", "1.0"))
    status = await agent.until(has_failed)
    assert (step(status).code, status.runtimes) == (code, ())


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json", "root.json", "catalog.json"])
async def test_metadata_that_a_broken_disk_has_kept_is_no_obstacle(name: str, agent: AgentProcess) -> None:
    """What cannot be read is fetched again."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    folder = agent.root / "var/lib/zlh/catalog"
    assert (folder / name).exists() or (folder / "root_history").exists()
    await asyncio.to_thread((folder / name).unlink, missing_ok=True)
    await asyncio.to_thread((folder / name).write_bytes, b'{"cut')
    await agent.want(("tiny", "2.0"))
    assert step(await agent.settled()).state is StepState.DONE
