"""What the `proxmox` driver decides without asking anybody: places, rules, sizes, marks, names of tasks, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.drivers.proxmox import network_rule, sizes
from zlh_api.drivers.proxmox.client import parse_fingerprint
from zlh_api.drivers.proxmox.mark import (
    TAG_GRAMMAR,
    parse_addresses,
    parse_mark,
    parse_owner_tag,
    render_description,
    render_tags,
)
from zlh_api.drivers.proxmox.network_rule import Surroundings
from zlh_api.drivers.proxmox.placement import NoNodeFits, Placed, parse_nodes, rank_nodes, still_unseen
from zlh_api.drivers.proxmox.refusals import (
    GuestLocked,
    ProxmoxDenied,
    ProxmoxRefused,
    ProxmoxUnsure,
    classify_refusal,
)
from zlh_api.drivers.proxmox.tasks import is_success, parse_upid
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.resources import Resources

GIB = 2**30
OWNER = OwnerMark("0a1b2c3d-0000-4000-8000-00000000abcd")
AROUND = Surroundings("vmbr1", 16, "10.20.0.1", ("10.20.0.2",), ("10.20.0.4",), 443, ("9.9.9.9",))


def listed(**memory_gib: int) -> list[dict[str, Any]]:
    """Return a cluster's list of online nodes with so much memory, and a storage on each."""
    nodes = [
        {"type": "node", "node": name, "status": "online", "maxcpu": 8, "maxmem": gib * GIB, "mem": GIB}
        for name, gib in memory_gib.items()
    ]
    storages = [
        {"type": "storage", "storage": "local", "node": name, "status": "available", "maxdisk": 100 * GIB, "disk": "0"}
        for name in memory_gib
    ]
    return [*nodes, *storages]


def rank(entries: list[dict[str, Any]], vmid: int = 101, **options: Any) -> list[str]:
    """Return the nodes with room for a usual guest."""
    return rank_nodes(
        parse_nodes(entries, storage="local"),
        options.get("wanted", Resources()),
        placed=options.get("placed", []),
        allowed=options.get("allowed", ()),
        maintained=options.get("maintained", ()),
        vmid=Vmid(vmid),
    )


def test_the_emptiest_node_comes_first() -> None:
    """By the share of memory that is left."""
    assert rank(listed(a=16, b=64, c=32)) == ["b", "c", "a"]


def test_a_node_in_maintenance_is_none() -> None:
    """However empty it is; where there is no other, that is said."""
    assert rank(listed(a=16, b=64, c=32), maintained={"b"}) == ["c", "a"]
    with pytest.raises(NoNodeFits, match="a: it is in maintenance"):
        rank(listed(a=16), maintained={"a"})


def test_nodes_alike_take_turns() -> None:
    """So that many guests at once do not all go to the first."""
    assert {rank(listed(a=16, b=16, c=16), vmid)[0] for vmid in range(101, 104)} == {"a", "b", "c"}


def test_what_was_placed_a_moment_ago_counts_until_it_is_shown() -> None:
    """And no longer, or it would count twice."""
    entries = listed(a=16, b=16)
    placed = [Placed(Vmid(200), "a", Resources(memory_mib=8192))]
    assert rank(entries, 101, placed=placed)[0] == rank(entries, 102, placed=placed)[0] == "b"
    entries.append({"type": "lxc", "vmid": "200", "node": "a", "maxmem": 8 * GIB, "status": "stopped"})
    assert still_unseen(placed, entries) == []


def test_a_limit_is_a_promise() -> None:
    """A guest that uses little now may use all of it later, and so may one that is stopped."""
    entries = listed(a=8)
    entries.append({"type": "qemu", "vmid": 300, "node": "a", "maxmem": 6 * GIB, "status": "stopped"})
    with pytest.raises(NoNodeFits, match="1536 MiB of memory are free and 2048 wanted"):
        rank(entries)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "offline"}, "not online"),
        ({"status": "unknown"}, "not online"),
        ({"maxcpu": 1}, "1 cores and 2 are wanted"),
        ({"maxmem": GIB}, "memory are free"),
        ({"storage": "other"}, "no storage"),
        ({"maxdisk": GIB}, "1024 MiB of disk are free"),
    ],
)
def test_a_node_without_room_says_what_it_lacks(change: dict[str, Any], words: str) -> None:
    """One reason each."""
    entries = listed(a=64)
    for entry in entries:
        entry.update({name: value for name, value in change.items() if name in entry})
    with pytest.raises(NoNodeFits, match=words):
        rank(entries)


def test_only_nodes_that_are_allowed_are_chosen() -> None:
    """And one that is allowed and unknown is told."""
    assert rank(listed(a=64, b=16), allowed=("b",)) == ["b"]
    with pytest.raises(NoNodeFits, match="z: the cluster has no such node"):
        rank(listed(a=64), allowed=("z",))


def test_a_rule_is_right_as_it_is_read_back_and_no_other() -> None:
    """In this order, nothing more and nothing less; what is switched off does not count."""
    wanted = network_rule.render_rules(AROUND)
    shown = [{**rule, "pos": place, "enable": "1", "digest": "x"} for place, rule in enumerate(wanted)]
    assert network_rule.are_rules_right(shown, wanted)
    assert network_rule.are_rules_right([*shown, {"type": "in", "action": "ACCEPT", "pos": 99, "enable": 0}], wanted)
    assert not network_rule.are_rules_right(shown[1:], wanted)
    assert not network_rule.are_rules_right(
        [*shown, {"type": "in", "action": "ACCEPT", "pos": 99, "enable": 1}], wanted
    )
    assert not network_rule.are_rules_right([{**rule, "pos": -int(rule["pos"])} for rule in shown], wanted)


@pytest.mark.parametrize("there", range(7))
@pytest.mark.parametrize("old", [[], [{"type": "in", "action": "ACCEPT", "enable": 1}]])
def test_putting_rules_is_taken_up_where_it_was_broken_off(there: int, old: list[dict[str, Any]]) -> None:
    """They come to the front one by one, the last first; what is there of them is not put a second time."""
    wanted = network_rule.render_rules(AROUND)
    present = [*wanted[len(wanted) - there :], *old]
    assert list(network_rule.find_missing(present, wanted)) == wanted[: len(wanted) - there]


def test_rules_let_out_what_is_named_and_then_nothing_private() -> None:
    """The exceptions stand before the refusal, and the policy decides the rest."""
    kinds = [(rule["type"], rule["action"]) for rule in network_rule.render_rules(AROUND)]
    assert kinds == [("in", "ACCEPT"), *[("out", "ACCEPT")] * 3, *[("out", "DROP")] * 2]
    assert network_rule.render_options(AROUND)["policy_out"] == "ACCEPT"
    named = replace(AROUND, private_places=(("10.9.0.3", 8080),))
    (opened,) = [rule for rule in network_rule.render_rules(named) if rule.get("dest") == "10.9.0.3"]
    assert (opened["type"], opened["action"], opened["proto"], opened["dport"]) == ("out", "ACCEPT", "tcp", "8080")
    assert network_rule.render_rules(named).index(opened) < len(network_rule.render_rules(named)) - 2
    closed = Surroundings("b", 16, "10.20.0.1", (), (), 443, egress="none")
    assert network_rule.render_options(closed)["policy_out"] == "DROP"


@pytest.mark.parametrize(
    ("change", "is_right"),
    [
        (("", ""), True),
        ((",type=veth", ",type=veth,mtu=1400"), True),
        (("firewall=1", "firewall=0"), False),
        (("ip=10.20.1.1/16", "ip=10.20.1.2/16"), False),
        ((",type=veth", ",type=veth,ip6=auto"), False),
        (("bridge=vmbr1", "bridge=vmbr0"), False),
    ],
)
def test_an_interface_is_right_in_whatever_order(change: tuple[str, str], is_right: bool) -> None:
    """Proxmox sorts it, and adds what does not matter."""
    wanted = network_rule.render_net(AROUND, owner=OWNER, address="10.20.1.1")
    shown = ",".join(sorted(wanted.replace(*change).split(","), reverse=True))
    assert network_rule.is_net_right(shown, wanted) is is_right


@given(st.uuids())
def test_a_hardware_address_is_for_one_and_local(owner: Any) -> None:
    """And the same every time."""
    address = network_rule.derive_hwaddr(OwnerMark(str(owner)))
    assert address.startswith("02:")
    assert len(bytes.fromhex(address.replace(":", ""))) == 6


@given(st.uuids(), st.ip_addresses(v=4))
def test_marks_are_read_as_they_were_written(owner: Any, address: Any) -> None:
    """In the description as in the tags, which Proxmox may sort and join in its way."""
    mark = OwnerMark(str(owner))
    tags = render_tags(mark, str(address), ("team-a",))
    assert all(TAG_GRAMMAR.fullmatch(tag) for tag in tags.split(";"))
    assert parse_owner_tag(",".join(sorted(tags.split(";")))) == mark
    assert parse_addresses(tags) == (str(address),)
    assert parse_mark({"description": render_description(mark), "tags": ""}) == mark
    assert parse_mark({"description": "mine", "tags": tags}) == mark


@pytest.mark.parametrize(
    "config", [{}, {"description": "zlh-owner: nobody"}, {"tags": "zlh"}, {"description": f"see zlh-owner: {OWNER}"}]
)
def test_what_is_no_mark_is_none(config: dict[str, str]) -> None:
    """A name, a tag of the family, or a line that only speaks of one."""
    assert parse_mark(config) is None


@pytest.mark.parametrize(
    ("text", "kind", "subject"),
    [
        ("UPID:pve1:0000A1B2:0001C3D4:66AABBCC:vzcreate:101:zlh@pve!api:", "vzcreate", "101"),
        ("UPID:pve-2:0000a1b2:10001c3d4:66aabbcc:vzclone:9000:root@pam:", "vzclone", "9000"),
    ],
)
def test_a_task_says_what_it_is(text: str, kind: str, subject: str) -> None:
    """Upper or lower case, with eight digits or nine."""
    upid = parse_upid(text)
    assert upid is not None
    assert (upid.kind, upid.subject, upid.started_at) == (kind, subject, 0x66AABBCC)


@pytest.mark.parametrize("text", [None, "", "OK", "UPID:pve1:1:2:3:vzcreate:101:zlh@pve!api:", "UPID:a/b:" + "0" * 8])
def test_what_is_no_task_is_none(text: object) -> None:
    """Nor is half of one."""
    assert parse_upid(text) is None


@pytest.mark.parametrize(
    ("text", "is_good"), [("OK", True), ("WARNINGS: 1", True), ("WARNINGS: x", False), ("unexpected status", False)]
)
def test_warnings_are_a_success(text: str, is_good: bool) -> None:
    """The other words are not."""
    assert is_success(text) is is_good


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (500, "CT is locked (backup)", GuestLocked),
        (500, "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout", GuestLocked),
        (500, "got timeout", ProxmoxUnsure),
        (401, "Authentication failed!", ProxmoxDenied),
        (403, "Permission check failed (/vms/100, VM.Allocate)", ProxmoxDenied),
        (500, "Configuration file 'nodes/a/lxc/1.conf' does not exist", ProxmoxRefused),
        (400, "Parameter verification failed.", ProxmoxRefused),
        (501, "Method 'GET /x' not implemented", ProxmoxRefused),
    ],
)
def test_a_refusal_is_what_its_words_say(status: int, reason: str, kind: type[Exception]) -> None:
    """There is nothing else to go by."""
    assert type(classify_refusal("POST /x", status, reason, {}, changes=True)) is kind


def test_a_refusal_names_the_parameter() -> None:
    """And nothing is taken for a missing guest that is not."""
    refused = classify_refusal("POST /x", 400, "Parameter verification failed.", {"vmid": "bad"}, changes=True)
    assert isinstance(refused, ProxmoxRefused)
    assert "vmid: bad" in refused.detail
    volume = classify_refusal("POST /x", 500, "volume 'local:vztmpl/x' does not exist", {}, changes=True)
    assert isinstance(volume, ProxmoxRefused)
    assert not volume.is_missing


@pytest.mark.parametrize(("size", "mib"), [("8G", 8192), ("512M", 512), ("1T", 2**20), ("10485760K", 10_240)])
def test_a_disk_is_read_in_every_unit(size: str, mib: int) -> None:
    """As Proxmox shows it."""
    assert sizes.read_disk_mib({"rootfs": f"local:vm-1-disk-0,size={size}"}) == mib


def test_limits_are_compared_as_numbers() -> None:
    """They come as text or not; what storages round up is no difference, what is too large is."""
    config = {"cores": "2", "cpulimit": "1.5", "memory": 2048, "swap": "0", "rootfs": "local:x,size=10272M"}
    wanted = Resources(cpu=1.5)
    assert sizes.find_changes(config, wanted) == {}
    assert sizes.find_growth_mib(config, wanted) == 0
    assert sizes.find_growth_mib(config, Resources(disk_mib=20_480)) > 0
    assert sizes.find_growth_mib(config, Resources(disk_mib=1024)) < 0
    assert sizes.render_rootfs("local", Resources(disk_mib=512)) == "local:0.5"


@pytest.mark.parametrize(
    ("text", "is_good"), [("AB:" * 31 + "CD", True), ("ab" * 32, True), ("AB:CD", False), ("", False)]
)
def test_a_fingerprint_has_32_bytes(text: str, is_good: bool) -> None:
    """With colons or without."""
    assert (parse_fingerprint(text) is not None) is is_good
