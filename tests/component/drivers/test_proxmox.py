"""The driver on a cluster that lives: migrations, locks, nodes that are down, strangers, tokens, hostile files."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

import asyncssh
import pytest

from component.drivers.proxmox_rig import make_driver
from component.drivers.proxmox_trial import IDENTITY, Trial
from fakes.proxmox.misbehaviour import Way
from fakes.proxmox.world import TEMPLATE, open_world
from fakes.warrant import FakeWarrant
from zlh_api.containers.model import Guest
from zlh_api.drivers.port import (
    ContainerDriver,
    DiskLarger,
    GuestFailed,
    GuestForeign,
    NetworkOpen,
    SlotBusy,
    SystemAway,
)
from zlh_api.drivers.proxmox.guest_files import NodeShellFailed
from zlh_api.drivers.proxmox.placement import NoNodeFits
from zlh_api.drivers.proxmox.refusals import GuestLocked, ProxmoxDenied, ProxmoxUnsure
from zlh_common.errors import ConfigInvalid
from zlh_common.names import Vmid
from zlh_common.schema.resources import Resources

UP = ("create", "close", "size", "identity", "start")


def begin(trial: Trial, node: str) -> None:
    """Leave what a node that lost its power in the middle of a making leaves: a lock, and nothing else."""
    trial.cluster.begin_guest(node, trial.warrant.plan.vmid)


async def break_off(trial: Trial) -> None:
    """Let the making go as far as its task, and the node die there."""
    trial.cluster.task_s = 30
    making = asyncio.create_task(trial.act("create"))
    while not any(task.kind == "vzcreate" for task in trial.cluster.tasks.values()):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    await trial.cluster.close()
    trial.cluster.task_s = 0.05


async def test_a_making_that_was_broken_off_is_taken_away_and_made_anew(trial: Trial) -> None:
    """It carries no mark yet; that a task of our own token began it is what makes it ours."""
    await break_off(trial)
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    assert guest.config == {"lock": "create"}
    assert await trial.state() is Guest.HALF_MADE
    await trial.persist("create")
    assert await trial.state() is Guest.STOPPED
    assert f"pct unlock {guest.vmid}" in trial.world.shells.commands
    await trial.finish()


async def test_a_making_that_was_broken_off_can_be_deleted(trial: Trial) -> None:
    """Without ever having been whole."""
    await break_off(trial)
    await trial.finish()


async def test_a_making_of_somebody_else_is_waited_for_by_nobody_and_never_taken_away(trial: Trial) -> None:
    """The same sight, and no task of ours: not even where we had meant to make a guest there."""
    begin(trial, "pve1")
    assert await trial.state() is Guest.FOREIGN
    trial.warrant.notes.update(node="pve1", making=f"{int(time.time())} pve1")
    for name in ("create", "destroy"):
        with pytest.raises(GuestForeign):
            await trial.act(name)
    assert trial.cluster.guests[trial.warrant.plan.vmid].config == {"lock": "create"}


async def test_a_guest_is_not_unlocked_while_its_task_runs(trial: Trial) -> None:
    """A worker that takes over from a dead one waits for what that had begun."""
    trial.cluster.task_s = 1.5
    making = asyncio.create_task(trial.act("create"))
    while trial.warrant.plan.vmid not in trial.cluster.guests:
        await asyncio.sleep(0.01)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    await trial.act("create")
    assert not any("unlock" in command for command in trial.world.shells.commands)
    assert [task.kind for task in trial.cluster.tasks.values()] == ["vzcreate"]
    assert await trial.state() is Guest.STOPPED
    await trial.finish()


async def test_a_guest_that_comes_too_late_is_found_by_a_survey(trial: Trial) -> None:
    """Its row may be gone by then; its mark is not."""
    trial.orders.late_s = 1.0
    trial.orders.give("POST", r"/lxc$", Way.LATE)
    with pytest.raises(ProxmoxUnsure):
        await trial.act("create")
    assert await trial.state() is Guest.ABSENT
    await asyncio.sleep(0.8)
    found = {guest.vmid: guest for guest in await trial.driver.survey()}
    ours = found[trial.warrant.plan.vmid]
    assert (ours.owner, ours.addresses) == (trial.warrant.plan.owner, (trial.warrant.plan.address,))
    assert (found[Vmid(555)].owner, found[Vmid(555)].state) == (None, Guest.FOREIGN)
    await trial.finish()


@pytest.mark.parametrize("way", [Way.CUT_AFTER, Way.NODE_AWAY_AFTER, Way.TIMEOUT_AFTER])
async def test_a_lost_answer_is_found_out_about_at_once(trial: Trial, way: Way) -> None:
    """The making goes on without it, in the same step; nobody is told of a failure that was none."""
    trial.orders.give("POST", r"/lxc$", way)
    await trial.act("create")
    assert await trial.state() is Guest.STOPPED
    assert len([task for task in trial.cluster.tasks.values() if task.kind == "vzcreate"]) == 1
    await trial.finish()


async def test_a_clone_without_its_tags_is_found_by_a_survey(cloning: Trial) -> None:
    """Cut between the call that makes it and the one that follows."""
    cloning.orders.give("PUT", r"/config$", Way.REFUSED)
    with pytest.raises(Exception, match="refuses"):
        await cloning.act("create")
    assert await cloning.state() is Guest.HALF_MADE
    owners = {guest.owner for guest in await cloning.driver.survey()}
    assert cloning.warrant.plan.owner in owners
    await cloning.finish()


async def test_a_clone_gets_all_that_a_new_guest_gets(cloning: Trial) -> None:
    """The template's interface, limits and disk are not its own."""
    await cloning.bring(*UP)
    config = cloning.cluster.guests[cloning.warrant.plan.vmid].config
    assert config["tags"].startswith("zlh;zlh-")
    assert "ip=10.20.1.10/16" in config["net0"]
    assert (config["memory"], config["swap"], config["rootfs"].rpartition("=")[2]) == (2048, 0, "10G")
    assert "lock" not in cloning.cluster.guests[TEMPLATE].config
    await cloning.finish()


async def test_a_guest_that_was_moved_is_found_and_followed(trial: Trial) -> None:
    """By HA or by hand; the list of the cluster may still show the old place."""
    await trial.bring(*UP)
    vmid = trial.warrant.plan.vmid
    trial.cluster.freeze_list()
    trial.cluster.move(vmid, "pve3")
    assert await trial.state() is Guest.RUNNING
    fresh = make_driver(trial.world.settings(), is_patient=False)
    assert (await fresh.observe(trial.warrant.plan)).state is Guest.RUNNING
    await fresh.close()
    await trial.act("close")
    assert trial.warrant.notes["node"] == "pve3"
    trial.cluster.frozen_list = None
    await trial.finish()


async def test_a_node_that_is_down_keeps_its_guests(trial: Trial) -> None:
    """Neither absent nor made anew elsewhere; when HA has moved it, it is found."""
    await trial.bring(*UP)
    vmid = trial.warrant.plan.vmid
    node = trial.cluster.nodes[trial.cluster.guests[vmid].node]
    node.is_up = False
    with pytest.raises(SystemAway):
        await trial.state()
    for name in ("create", "start", "destroy"):
        with pytest.raises(SystemAway):
            await trial.act(name)
    fresh = make_driver(trial.world.settings(), is_patient=False)
    with pytest.raises(SystemAway):
        await fresh.observe(replace(trial.warrant.plan, notes={}))
    await fresh.close()
    trial.cluster.move(vmid, "pve3" if node.name != "pve3" else "pve1")
    assert await trial.state() is Guest.RUNNING
    node.is_up = True
    await trial.finish()


async def test_a_list_that_lags_hides_and_invents_nothing(trial: Trial) -> None:
    """A guest that is not in it yet is found on its node; one that still is, and is gone, is absent."""
    trial.cluster.freeze_list()
    await trial.bring("create")
    fresh = make_driver(trial.world.settings(), is_patient=False)
    assert (await fresh.observe(replace(trial.warrant.plan, notes={}))).state is Guest.STOPPED
    trial.cluster.freeze_list()
    await trial.act("destroy")
    assert (await fresh.observe(trial.warrant.plan)).state is Guest.ABSENT
    await fresh.close()
    trial.cluster.frozen_list = None


async def test_a_backup_is_waited_for_and_named(trial: Trial) -> None:
    """Whatever is asked meanwhile says what it waits for; nothing is unlocked."""
    await trial.bring("create", "close")
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    guest.config["lock"] = "backup"
    trial.warrant._plan = replace(trial.warrant._plan, resources=Resources(memory_mib=4096))
    for name in ("size", "start", "identity", "destroy"):
        with pytest.raises(GuestLocked, match=r"\(backup\)"):
            await trial.act(name)
    assert guest.config["lock"] == "backup"
    del guest.config["lock"]
    await trial.act("start")
    await trial.finish()


async def test_a_mount_that_a_crash_left_is_taken_back(trial: Trial) -> None:
    """One of ours; a hand's own is not touched."""
    await trial.bring("create", "close")
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    guest.config["lock"] = "mounted"
    with pytest.raises(GuestLocked):
        await trial.act("start")
    trial.warrant.notes["mounting"] = guest.node
    await trial.bring("identity", "start")
    assert "lock" not in guest.config
    await trial.finish()


@pytest.mark.parametrize("trap", ["etc", "etc/zlh"])
async def test_keys_follow_no_link_that_a_customer_left(trial: Trial, trap: str) -> None:
    """Neither to the node nor to another guest's files; the guest is unmounted all the same."""
    await trial.bring("create", "close")
    vmid = trial.warrant.plan.vmid
    root = trial.world.shells.root_of(vmid)
    target = trial.world.folder / "node"
    target.mkdir()
    if trap == "etc":
        (root / "etc").rmdir()
    (root / trap).symlink_to(target)
    with pytest.raises(GuestFailed, match="is no folder of the guest"):
        await trial.act("identity")
    assert list(target.iterdir()) == []
    assert "lock" not in trial.cluster.guests[vmid].config
    (root / trap).unlink()
    await trial.act("identity")
    await trial.finish()


async def test_keys_open_nothing_that_was_there(trial: Trial) -> None:
    """Links, pipes and files in the place of ours are replaced, never written through."""
    await trial.bring("create", "close")
    place = trial.world.shells.root_of(trial.warrant.plan.vmid) / "etc/zlh"
    place.mkdir(parents=True)
    outside = trial.world.folder / "outside"
    outside.write_text("untouched")
    (place / "agent.key").symlink_to(outside)
    (place / ".agent.toml.new").symlink_to(outside)
    (place / "agent.crt").hardlink_to(outside)
    await trial.act("identity")
    assert outside.read_text() == "untouched"
    assert (place / "agent.key").read_text() == IDENTITY.private_key.decode()
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    assert 'bind_address = "10.20.1.10"' in (place / "agent.toml").read_text()
    await trial.finish()


async def test_a_stranger_at_our_number_gets_no_keys(trial: Trial) -> None:
    """The node itself is asked before anything is written: the API's answer may be older than a change of hands."""
    await trial.bring("create", "close")
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    found = await trial.driver._whereabouts.find(trial.warrant.plan)
    assert found is not None
    guest.config |= {"description": "mine\n", "tags": ""}
    with pytest.raises(GuestForeign):
        await trial.driver._shell.put(trial.warrant.plan, found.node, [("agent.key", "key")], trial.warrant)
    assert not trial.world.shells.root_of(guest.vmid).joinpath("etc/zlh").exists()


async def test_a_node_with_another_host_key_is_not_spoken_to(trial: Trial) -> None:
    """Keys go to a node that is known, or nowhere."""
    await trial.bring("create", "close")
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    lines = "".join(f"[{host}]:{trial.world.shells.port} {other}\n" for host in trial.world.shells.hosts.values())
    (trial.world.folder / "known_hosts").write_text(lines)
    with pytest.raises(NodeShellFailed):
        await trial.act("identity")
    assert trial.world.shells.commands == []


@pytest.mark.parametrize("what", ["deaf", "datacenter", "node"])
async def test_a_guest_whose_rule_does_not_hold_is_stopped_and_not_started(trial: Trial, what: str) -> None:
    """Set and not there, or switched off above it: nothing runs, and the message says what to do."""
    await trial.bring(*UP)
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    if what == "deaf":
        trial.cluster.is_firewall_deaf = True
        guest.firewall.options["enable"] = 0
    elif what == "datacenter":
        trial.cluster.firewall = {"enable": 0}
    else:
        trial.cluster.nodes[guest.node].firewall["enable"] = 0
    seen = await trial.driver.observe(trial.warrant.plan)
    assert (seen.state, seen.is_closed) == (Guest.RUNNING, False)
    message = {"deaf": "options", "datacenter": "pvesh set /cluster", "node": "pvesh set /nodes"}[what]
    with pytest.raises(NetworkOpen, match=message):
        await trial.act("close")
    assert not guest.is_running
    with pytest.raises(NetworkOpen):
        await trial.act("start")
    assert not guest.is_running


@pytest.mark.parametrize(
    "tamper",
    [
        {"options": {"policy_in": "ACCEPT"}},
        {"options": {"ipfilter": 0}},
        {"options": {"macfilter": 0}},
        {"options": {"radv": 1}},
        {"rule": {"type": "in", "action": "ACCEPT", "enable": 1}},
        {"rule": {"type": "out", "action": "ACCEPT", "enable": 1, "dest": "10.0.0.0/8"}},
        {"entry": {"cidr": "10.20.9.9"}},
        {"net1": "name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,ip=dhcp,type=veth"},
        {"net0": ("ip=10.20.1.10/16", "ip=10.20.1.11/16")},
        {"net0": ("hwaddr=02", "hwaddr=06")},
    ],
)
async def test_any_change_of_the_rule_is_seen_and_undone(trial: Trial, tamper: dict[str, object]) -> None:
    """While the guest runs."""
    await trial.bring(*UP)
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    match tamper:
        case {"options": dict(options)}:
            guest.firewall.options |= options
        case {"rule": dict(rule)}:
            guest.firewall.rules.insert(0, rule)
        case {"entry": dict(entry)}:
            guest.firewall.sets["ipfilter-net0"].append(entry)
        case {"net1": str(net)}:
            guest.config["net1"] = net
        case {"net0": (str(before), str(after))}:
            guest.config["net0"] = guest.config["net0"].replace(before, after)
        case _:
            pytest.fail("an unknown change")
    assert not (await trial.driver.observe(trial.warrant.plan)).is_closed
    await trial.act("close")
    assert (await trial.driver.observe(trial.warrant.plan)).is_closed
    assert guest.is_running
    await trial.finish()


async def test_a_disk_does_not_shrink(trial: Trial) -> None:
    """It is refused with both figures, and the other limits follow."""
    await trial.bring("create")
    trial.warrant._plan = replace(trial.warrant._plan, resources=Resources(memory_mib=1024, disk_mib=5120))
    with pytest.raises(DiskLarger) as refused:
        await trial.act("size")
    assert refused.value.data == {"has_mib": 10_240, "wanted_mib": 5120}
    assert trial.cluster.guests[trial.warrant.plan.vmid].config["memory"] == 1024


async def test_a_protected_guest_is_left_and_told(trial: Trial) -> None:
    """Somebody has said that it must not go."""
    await trial.bring("create")
    guest = trial.cluster.guests[trial.warrant.plan.vmid]
    guest.config["protection"] = 1
    with pytest.raises(Exception, match="protection mode enabled"):
        await trial.act("destroy")
    del guest.config["protection"]
    await trial.finish()


async def test_a_revoked_token_is_told_and_a_renewed_one_used(trial: Trial) -> None:
    """The answer comes late and without a body; the new secret is read from its file."""
    await trial.bring("create")
    trial.world.api.is_token_valid = False
    with pytest.raises(ProxmoxDenied, match="401"):
        await trial.state()
    trial.world.api.is_token_valid, trial.world.api.secret = True, "99999999-2222-3333-4444-555555555555"
    (trial.world.folder / "token").write_text(trial.world.api.secret)
    assert await trial.state() is Guest.STOPPED
    await trial.finish()


@pytest.mark.parametrize("right", ["VM.Allocate", "VM.Config.Network", "VM.PowerMgmt", "Sys.Audit"])
async def test_a_missing_right_is_named(trial: Trial, right: str) -> None:
    """So that whoever made the token knows what to add."""
    trial.world.api.rights.discard(right)
    with pytest.raises(ProxmoxDenied, match=right):
        await trial.bring(*UP)


async def test_old_answers_without_a_message_are_understood(trial: Trial) -> None:
    """The reason phrase alone says what is wrong."""
    trial.world.api.has_old_bodies = True
    await trial.bring(*UP)
    await trial.finish()


async def test_another_certificate_is_not_spoken_to(trial: Trial) -> None:
    """Neither by a fingerprint nor by a CA that is not its own; by the right one it is."""
    right = replace(trial.world.access(), ca=None, fingerprint=trial.world.api.fingerprint)
    wrong = replace(right, fingerprint="00" * 32)
    system = replace(right, fingerprint=None)
    for access in (wrong, system):
        driver = make_driver(replace(trial.world.settings(), access=access), is_patient=False)
        with pytest.raises(SystemAway):
            await driver.observe(trial.warrant.plan)
        await driver.close()
    assert trial.world.api.requests == []
    driver = make_driver(replace(trial.world.settings(), access=right), is_patient=False)
    assert (await driver.observe(trial.warrant.plan)).state is Guest.ABSENT
    await driver.close()


@pytest.mark.parametrize(("mode", "text"), [(0o644, "secret"), (0o600, "two words"), (0o600, "")])
async def test_a_secret_that_others_may_read_is_refused(trial: Trial, mode: int, text: str) -> None:
    """Before anything is asked."""
    path = trial.world.folder / "token"
    path.write_text(text)
    path.chmod(mode)
    driver = make_driver(trial.world.settings())
    with pytest.raises(ConfigInvalid):
        await driver.prepare()
    await driver.close()


async def test_no_secret_is_told(
    trial: Trial, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in logs, not in errors, not in commands, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    errors = []
    for way in (Way.REFUSED, Way.CUT_AFTER, Way.NONSENSE):
        trial.orders.give("POST", r"/lxc$", way)
        try:
            await trial.act("create")
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hold the secret
            errors.append(f"{error!r} {getattr(error, 'data', '')}")
    await trial.bring(*UP)
    captured = capfd.readouterr()
    told = [caplog.text, *errors, *trial.world.shells.commands, captured.out, captured.err]
    secrets = (trial.world.api.secret, IDENTITY.private_key.decode())
    assert not any(secret in text for secret in secrets for text in told)
    await trial.finish()


async def test_a_cluster_that_is_away_is_asked_once_a_second_at_most() -> None:
    """However many guests want something of it."""
    async with open_world() as world:
        trial = Trial(world, is_patient=True)
        world.api.orders.give("GET", "", Way.CUT_BEFORE, times=1000)
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            with pytest.raises(SystemAway):
                await trial.state()
            await asyncio.sleep(0.01)
        asked = 1000 - len(world.api.orders.waiting)
        assert asked <= 4
        world.api.orders.waiting.clear()
        await trial.driver.close()


async def test_a_node_that_says_nothing_costs_the_others_nothing() -> None:
    """Its guests cannot be told; the circuit of the cluster stays closed, so those of other nodes are."""
    async with open_world() as world:
        trial = Trial(world, is_patient=True, timeout_s=0.3)
        await trial.bring("create")
        other = FakeWarrant(trial.rig.plan())
        await trial.driver.ensure_created(other.plan, other)
        world.api.orders.give("GET", rf"/lxc/{trial.warrant.plan.vmid}/config", Way.SILENT_AFTER, times=3)
        with pytest.raises(SystemAway, match=f"node {trial.warrant.notes['node']}"):
            await trial.state()
        assert (await trial.driver.observe(other.plan)).state is Guest.STOPPED
        await trial.driver.close()


async def test_a_look_costs_few_calls(trial: Trial) -> None:
    """Of one guest a handful, and of all guests one."""
    await trial.bring(*UP)
    await trial.state()
    trial.world.api.requests.clear()
    await trial.state()
    assert len(trial.world.api.requests) <= 7
    trial.world.api.requests.clear()
    await trial.driver.survey()
    assert len(trial.world.api.requests) == 1
    await trial.finish()


async def test_no_address_of_the_surroundings_is_given_to_a_guest(trial: Trial) -> None:
    """Nor one that answers."""
    driver: ContainerDriver = trial.driver
    taken = ("10.20.0.1", "10.20.0.2", "10.20.0.4", "9.9.9.9")
    assert [await driver.is_address_free(address) for address in taken] == [False] * 4
    assert await driver.is_address_free("10.20.1.99")


async def test_no_node_fits_says_what_each_lacks(trial: Trial) -> None:
    """In figures."""
    pve1, pve2, pve3 = trial.cluster.nodes.values()
    pve1.is_up, pve2.memory, pve3.disk = False, 2**30, 2**30
    with pytest.raises(NoNodeFits) as told:
        await trial.act("create")
    assert set(told.value.data["nodes"]) == {"pve1", "pve2", "pve3"}
    for words in ("not online", "MiB of memory are free", "MiB of disk are free"):
        assert words in told.value.detail


async def test_a_node_in_maintenance_is_given_no_guest(trial: Trial) -> None:
    """It goes to the one that is in service; where none is, each says why, and the making is tried again later."""
    pve1, pve2, pve3 = trial.cluster.nodes.values()
    for node in (pve1, pve2, pve3):
        node.is_maintained = True
    with pytest.raises(NoNodeFits) as told:
        await trial.act("create")
    assert (told.value.code, told.value.status, told.value.retryable) == ("no_node_fits", 503, True)
    assert set(told.value.data["nodes"].values()) == {"it is in maintenance"}
    pve2.is_maintained = False
    await trial.act("create")
    vmid = trial.warrant.plan.vmid
    assert [node.name for node in await trial.driver.list_nodes(Resources()) if vmid in (node.vmids or ())] == ["pve2"]


async def test_eight_guests_from_two_processes_on_three_nodes(trial: Trial) -> None:
    """One making at a time and node, spread over all of them, none twice and none too many."""
    slots: dict[str, FakeWarrant] = {}
    drivers = [trial.driver, make_driver(trial.world.settings(), is_patient=False)]
    warrants = [FakeWarrant(trial.rig.plan(), slots) for _ in range(8)]

    async def make(number: int) -> None:
        while True:
            try:
                await drivers[number % 2].ensure_created(warrants[number].plan, warrants[number])
            except SlotBusy:
                await asyncio.sleep(0.02)
                continue
            return

    await asyncio.gather(*(make(number) for number in range(8)))
    made = [guest for guest in trial.cluster.guests.values() if guest.vmid != 555]
    assert sorted(guest.vmid for guest in made) == sorted(warrant.plan.vmid for warrant in warrants)
    per_node = [sum(guest.node == node for guest in made) for node in trial.cluster.nodes]
    assert sorted(per_node) in ([2, 3, 3], [2, 2, 4])
    assert set(trial.cluster.most_making.values()) == {1}
    assert len([task for task in trial.cluster.tasks.values() if task.kind == "vzcreate"]) == 8
    for warrant in warrants:
        await trial.driver.ensure_destroyed(warrant.plan, warrant)
    await drivers[1].close()
    assert set(trial.cluster.guests) == {555}


async def test_a_node_is_filled_no_further_than_it_holds(trial: Trial) -> None:
    """Two processes see the same old figures of the cluster; the node's own list counts."""
    trial.cluster.nodes["pve2"].is_up = trial.cluster.nodes["pve3"].is_up = False
    trial.cluster.guests.pop(555)
    trial.cluster.nodes["pve1"].memory, trial.cluster.nodes["pve1"].used_memory = 5 * 2**30, 0
    trial.cluster.freeze_list()
    first, second, third = (FakeWarrant(trial.rig.plan()) for _ in range(3))
    other = make_driver(trial.world.settings(), is_patient=False)
    await trial.driver.ensure_created(first.plan, first)
    await other.ensure_created(second.plan, second)
    with pytest.raises(NoNodeFits, match="pve1: 512 MiB of memory are free and 2048 wanted"):
        await trial.driver.ensure_created(third.plan, third)
    await other.close()


async def test_nodes_are_told_as_the_cluster_shows_them(trial: Trial) -> None:
    """One that is down has no figures, one in maintenance is named, one that is full says what it lacks."""
    await trial.bring("create")
    vmid = trial.warrant.plan.vmid
    cluster = trial.cluster
    cluster.nodes["pve2"].is_up = False
    cluster.nodes["pve3"].is_maintained = True
    cluster.nodes["pve3"].used_memory = cluster.nodes["pve3"].memory
    cluster.move(vmid, "pve1")
    first, second, third = await trial.driver.list_nodes(Resources())
    assert (first.name, first.is_online, first.lack, first.cores) == ("pve1", True, None, 16)
    assert first.vmids is not None
    assert vmid in first.vmids
    assert (first.memory_mib, first.disk_mib) == (64 * 1024, 1000 * 1024)
    assert (second.is_online, second.memory_mib, second.lack) == (False, None, None)
    assert third.is_in_maintenance
    assert third.lack is not None
    assert "MiB of memory are free" in third.lack


async def test_a_cluster_without_high_availability_has_nobody_in_maintenance(trial: Trial) -> None:
    """Its manager knows no node, which is no fault."""
    trial.cluster.has_high_availability = False
    trial.cluster.nodes["pve3"].is_maintained = True
    nodes = await trial.driver.list_nodes(Resources())
    assert [node.is_in_maintenance for node in nodes] == [False, False, False]


async def test_a_node_that_is_configured_and_not_there_is_told(trial: Trial) -> None:
    """Whoever spelled it wrong sees it among the others."""
    settings = trial.world.settings()
    settings = replace(settings, recipe=replace(settings.recipe, nodes=("pve1", "pve9")))
    driver = make_driver(settings)
    nodes = {node.name: node for node in await driver.list_nodes(Resources())}
    await driver.close()
    assert (nodes["pve9"].is_online, nodes["pve9"].lack) == (False, "the cluster has no such node")
    assert [name for name, node in nodes.items() if node.is_used] == ["pve1", "pve9"]
