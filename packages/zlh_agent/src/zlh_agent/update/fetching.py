"""Brings one version of the agent into its folder, through the pipeline that runtimes are installed by.

    catalog → download → hash → unpack beside → smoke test → rename → what no archive may hold

The child stays root, as whose the bundles belong, and is confined to their folder and to those of updates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from zlh_agent import launcher
from zlh_agent.runtimes.errors import DiskFull, RuntimeChanged, RuntimeChildFailed
from zlh_agent.runtimes.installing.disk_room import NO_ROOM
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress, run_install
from zlh_agent.runtimes.model import FailedLine, InstallOrder, VerifiedLine, VerifyOrder
from zlh_agent.runtimes.short_child import run_short_child
from zlh_agent.runtimes.store import read_record
from zlh_agent.update import bundles
from zlh_agent.update.model import UpdatePlace
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.agent_update import AGENT_OFFER

VERIFY_LIMIT_S = 600.0


async def fetch_bundle(
    place: UpdatePlace, version: str, attempt: int, *, on_progress: Callable[[Progress], None]
) -> None:
    """Make sure that a whole bundle of the version lies there; raise InstallFailed or RuntimeChildFailed.

    Cancelling ends the child; what it had begun is swept by the next one.
    """
    await _discard_changed(place, version)
    try:
        await run_install(_order(place, version, attempt), on_progress=on_progress)
        await asyncio.to_thread(launcher.complete, place.bundles / version)
    except OSError as error:
        # No process can be started, or the disk refuses two small files.
        detail = f"The install cannot be carried out: {error}."
        code = DiskFull.code if error.errno in NO_ROOM else "install_interrupted"
        raise InstallFailed(FailedLine(code=code, detail=detail, retryable=True)) from error


def _order(place: UpdatePlace, version: str, attempt: int) -> InstallOrder:
    return InstallOrder(
        artifacts_urls=place.artifacts_urls,
        trusted_root=str(place.trusted_root),
        metadata_dir=str(place.folder / "catalog"),
        channels=place.channels,
        kind="agent",
        name=place.bundles.name,
        version=version,
        platform=this_platform(),
        offer=AGENT_OFFER,
        trees_dir=str(place.bundles.parent),
        downloads_dir=str(place.folder / "downloads"),
        locks_dir=str(place.folder / "locks"),
        make_current=False,
        attempt=attempt,
    )


async def _discard_changed(place: UpdatePlace, version: str) -> None:
    """Take away what lies there and is not what was installed; raise RuntimeChildFailed where it is in use."""
    bundle = place.bundles / version
    if not await asyncio.to_thread(_has_record, bundle):
        return
    answer = await run_short_child(
        "zlh_agent.runtimes.checking.verify_child", VerifyOrder(tree=str(bundle)), limit_s=VERIFY_LIMIT_S
    )
    assert isinstance(answer, VerifiedLine)
    if not answer.changed and not answer.missing:
        return
    if version in await asyncio.to_thread(bundles.find_used, place.bundles):
        changed = RuntimeChanged(name="The agent", version=version, files=[*answer.changed, *answer.missing])
        raise RuntimeChildFailed(reason_code=changed.code, message=changed.detail, may_pass=False)
    await asyncio.to_thread(bundles.remove, place.bundles, version)


def _has_record(bundle: Path) -> bool:
    return read_record(bundle) is not None
