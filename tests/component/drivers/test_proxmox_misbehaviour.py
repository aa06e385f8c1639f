"""Every call of the driver to Proxmox goes wrong in every way; the next tries finish it, once, and leave nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from component.drivers.proxmox_trial import Trial
from fakes.proxmox.misbehaviour import Way
from fakes.proxmox.world import open_world
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import GuestSeen
from zlh_common.schema.resources import Resources

LARGER = Resources(cpu=3, memory_mib=4096, disk_mib=20_480)
# What is done, the call of it that goes wrong, and what comes before.
Change = tuple[str, str, str, tuple[str, ...]]
CHANGES: list[Change] = [
    ("create", "POST", r"/lxc$", ()),
    ("close", "PUT", r"/firewall/options$", ("create",)),
    ("close", "POST", r"/ipset$", ("create",)),
    ("close", "POST", r"/ipset/ipfilter-net0$", ("create",)),
    ("close", "POST", r"/firewall/rules$", ("create",)),
    ("size", "PUT", r"/config$", ("create",)),
    ("size", "PUT", r"/resize$", ("create",)),
    ("start", "POST", r"/status/start$", ("create", "close")),
    ("stop", "POST", r"/status/stop$", ("create", "close", "start")),
    ("stop-in-order", "POST", r"/status/shutdown$", ("create", "close", "start")),
    ("destroy", "DELETE", r"/lxc/\d+$", ("create",)),
]
CLONING: list[Change] = [
    ("create", "POST", r"/clone$", ()),
    ("create", "PUT", r"/config$", ()),
    ("close", "PUT", r"/config$", ("create",)),
]
READS = [
    ("create", r"/cluster/resources"),
    ("create", r"/nodes$"),
    ("create", r"/nodes/pve\d/lxc$"),
    ("create", r"/config$"),
    ("create", r"/tasks/[^/]+/status$"),
    ("start", r"/status/current$"),
    ("start", r"/firewall/options$"),
    ("start", r"/firewall/rules$"),
    ("start", r"/firewall/ipset"),
    ("destroy", r"/config$"),
]
BEFORE: dict[str, tuple[str, ...]] = {
    "create": (),
    "start": ("create", "close"),
    "destroy": ("create", "close", "start"),
}
WAYS = [way for way in Way if way is not Way.SILENT_AFTER]
END = {"start": Guest.RUNNING, "destroy": Guest.ABSENT}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]} {change[2]}")
async def test_a_change_that_goes_wrong_is_finished_once(trial: Trial, change: Change, way: Way) -> None:
    """Whatever was lost, refused or late: one guest, as it should be, and then none."""
    name, method, path, before = change
    await trial.bring(*before)
    if name == "size":
        trial.warrant._plan = replace(trial.warrant._plan, resources=LARGER)
    trial.orders.give(method, path, way)
    await trial.persist(name)
    assert not trial.orders.waiting
    assert await trial.state() is END.get(name, Guest.STOPPED)
    if way is Way.LATE:
        # A rule that comes late is one too many; the next look sees it, and the next step takes it away.
        await asyncio.sleep(trial.orders.late_s)
        await trial.persist(name)
    if name in {"close", "size"}:
        seen = await trial.driver.observe(trial.warrant.plan)
        assert seen.is_closed if name == "close" else seen.is_sized
    await trial.finish()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CLONING, ids=lambda change: f"{change[0]} {change[2]}")
async def test_cloning_that_goes_wrong_is_finished_once(cloning: Trial, change: Change, way: Way) -> None:
    """The template is locked while it lasts, and free afterwards."""
    name, method, path, before = change
    await cloning.bring(*before)
    cloning.orders.give(method, path, way)
    await cloning.persist(name)
    assert await cloning.state() is Guest.STOPPED
    await asyncio.sleep(cloning.orders.late_s if way is Way.LATE else 0)
    await cloning.finish()


@pytest.mark.parametrize("way", [Way.REFUSED, Way.CUT_BEFORE, Way.NODE_AWAY_BEFORE, Way.SLOW, Way.NONSENSE])
@pytest.mark.parametrize(("name", "path"), READS)
async def test_a_look_that_goes_wrong_is_taken_again(trial: Trial, name: str, path: str, way: Way) -> None:
    """No answer is never taken for an absence."""
    await trial.bring(*BEFORE[name])
    trial.orders.give("GET", path, way, times=3)
    await trial.persist(name)
    trial.orders.waiting.clear()
    assert await trial.state() is END.get(name, Guest.STOPPED)
    await trial.finish()


@pytest.mark.parametrize(
    ("name", "method", "path", "before"), [change for change in CHANGES if change[0] in {"create", "start", "destroy"}]
)
async def test_an_answer_that_never_comes_is_waited_for_no_longer_than_it_may(
    name: str, method: str, path: str, before: tuple[str, ...]
) -> None:
    """The limit of a call ends it, and what it did is found."""
    async with open_world() as world:
        trial = Trial(world, timeout_s=0.3)
        await trial.bring(*before)
        trial.orders.give(method, path, Way.SILENT_AFTER)
        await trial.persist(name)
        assert await trial.state() is END.get(name, Guest.STOPPED)
        await trial.finish()
        await trial.driver.close()


@pytest.mark.parametrize("kind", ["vzcreate", "vzstart", "vzstop", "vzdestroy"])
@pytest.mark.parametrize("trouble", ["lost", "hidden", "warnings", "fails", "unexpected status"])
async def test_a_task_whose_end_is_not_what_it_should_be(trial: Trial, kind: str, trouble: str) -> None:
    """Forgotten, another's, ended with warnings, failed, or its word lost: what is there counts."""
    name = {"vzcreate": "create", "vzstart": "start", "vzstop": "stop", "vzdestroy": "destroy"}[kind]
    before: dict[str, tuple[str, ...]] = {**BEFORE, "stop": ("create", "close", "start"), "destroy": ("create",)}
    await trial.bring(*before[name])
    match trouble:
        case "lost":
            trial.cluster.lost_kinds.add(kind)
        case "hidden":
            trial.cluster.hidden_kinds.add(kind)
        case "warnings":
            trial.cluster.endings[kind] = ["WARNINGS: 1"]
        case "fails":
            trial.cluster.endings[kind] = ["command 'something' failed: exit code 1"]
        case _:
            trial.cluster.endings[kind] = ["unexpected status"]
    await trial.persist(name)
    assert ("task_failed" in trial.codes) == (trouble == "fails")
    if trouble == "warnings":
        assert trial.codes == []
    assert await trial.state() is END.get(name, Guest.STOPPED)
    trial.cluster.lost_kinds.clear()
    trial.cluster.hidden_kinds.clear()
    await trial.finish()


async def test_seen_whole_is_all_that_was_asked_for(trial: Trial) -> None:
    """What Proxmox holds of a finished guest, word for word."""
    await trial.bring("create", "close", "size", "start")
    assert await trial.driver.observe(trial.warrant.plan) == GuestSeen(Guest.RUNNING)
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    owner = trial.warrant.plan.owner
    address = trial.warrant.plan.address
    assert guest.config["tags"] == f"zlh;zlh-{owner};zlh-ip-{address}"
    assert f"zlh-owner: {owner}" in guest.config["description"]
    assert (guest.config["unprivileged"], guest.config["features"], guest.config["onboot"]) == (1, "nesting=1", 0)
    assert "firewall=1" in guest.config["net0"]
    assert guest.firewall.options == {
        "enable": 1, "policy_in": "DROP", "policy_out": "ACCEPT", "ipfilter": 1, "macfilter": 1,
        "dhcp": 0, "ndp": 0, "radv": 0,
    }  # fmt: skip
    assert guest.firewall.sets == {"ipfilter-net0": [{"cidr": address}]}
    rules = [(rule["type"], rule["action"], rule.get("source") or rule.get("dest")) for rule in guest.firewall.rules]
    assert rules[:3] == [("in", "ACCEPT", "10.20.0.2"), ("in", "ACCEPT", "10.20.0.3"), ("out", "ACCEPT", "10.20.0.4")]
    assert [rule[:2] for rule in rules[-2:]] == [("out", "DROP"), ("out", "DROP")]
    assert ("GET", "/cluster/nextid") not in trial.world.api.requests
    await trial.finish()
