"""The look at a cluster before the first container: each thing that is missing is named, with what to type about it."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.proxmox.misbehaviour import Way
from fakes.proxmox.rights import TOKEN_ID, USER_ID
from fakes.proxmox.world import ARCHIVE, TEMPLATE, ProxmoxWorld, open_world
from zlh_api.circuit import Circuit
from zlh_api.cli import _parser
from zlh_api.drivers.proxmox import commands
from zlh_api.drivers.proxmox.client import ProxmoxClient
from zlh_api.drivers.proxmox.guest_files import NodeShell
from zlh_api.drivers.proxmox.mark import render_description
from zlh_api.drivers.proxmox.preflight import Preflight
from zlh_api.drivers.proxmox.preflight_rules import PRIVILEGES, Wish
from zlh_common.clock import SystemClock
from zlh_common.names import OwnerMark
from zlh_common.schema.preflight import PreflightReport, PreflightRow, Verdict

ROOT = Path(__file__).parents[3]
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
WISH = Wish(
    token_id=TOKEN_ID,
    template=ARCHIVE,
    storage="local-lvm",
    bridge="vmbr1",
    vlan=None,
    pool="zlh",
    nodes=(),
    address_block="10.20.1.0/24",
)


@pytest.fixture
async def world() -> AsyncIterator[ProxmoxWorld]:
    """A cluster that has all that the documentation asks for."""
    async with open_world() as world:
        yield world


@asynccontextmanager
async def looking(world: ProxmoxWorld, wish: Wish = WISH) -> AsyncIterator[Preflight]:
    """Lend who looks."""
    settings = world.settings()
    client = ProxmoxClient(settings.access, Circuit("Proxmox", clock=SystemClock()))
    try:
        yield Preflight(client, NodeShell(settings.shell), wish, url=world.api.url)
    finally:
        await client.close()


async def look(world: ProxmoxWorld, wish: Wish = WISH) -> PreflightReport:
    """Look once; nothing is changed by it."""
    async with looking(world, wish) as preflight:
        report = await preflight.look()
    assert world.api.changes() == []
    assert all(command.startswith("for each in ") for command in world.shells.commands)
    return report


def amiss(report: PreflightReport) -> list[PreflightRow]:
    """Return what does not hold."""
    return [row for row in report.rows if row.verdict is not Verdict.HOLDS]


def only(report: PreflightReport) -> PreflightRow:
    """Return the one thing that does not hold."""
    (row,) = amiss(report)
    return row


async def test_a_cluster_as_documented_lacks_nothing(world: ProxmoxWorld) -> None:
    """Every node, right, storage, bridge, archive, clock, firewall and shell was looked at."""
    report = await look(world)
    assert amiss(report) == []
    subjects = {row.subject for row in report.rows}
    assert report.version == "9.1.1"
    for node in ("pve1", "pve2", "pve3"):
        assert {
            f"node {node}", f"Sys.Audit at /nodes/{node}", f"clock of {node}", f"storage local-lvm on {node}",
            f"bridge vmbr1 on {node}", f"firewall on {node}", f"shell of {node}", f"template on {node}",
        } <= subjects  # fmt: skip
    assert {
        "Proxmox VE",
        "pool zlh",
        "addresses 10.20.1.0/24",
        "Datastore.AllocateSpace at /storage/local-lvm",
    } <= subjects
    assert commands.decide_code(report) == 0


@pytest.mark.parametrize(
    ("role", "privilege"), [(role, privilege) for role in PRIVILEGES for privilege in PRIVILEGES[role]]
)
async def test_each_right_that_a_role_has_not_is_named_with_its_line(
    world: ProxmoxWorld, role: str, privilege: str
) -> None:
    """One that nothing else depends on; the line gives it."""
    world.cluster.access.take_away(role, privilege)
    rows = [row for row in amiss(await look(world)) if row.subject.startswith(f"{privilege} at ")]
    if role == "ZLHLook" and privilege == "Pool.Audit":
        # What is asked for at `/` alone is had again where roles of their own take its place.
        assert rows == []
        return
    assert rows
    assert all(row.verdict is Verdict.LACKS for row in rows)
    assert all(f'pveum role modify {role} --append 1 --privs "{privilege}"' in row.todo for row in rows)
    for line in rows[0].todo:
        type_in(world, line)
    assert not [row for row in amiss(await look(world)) if row.subject == rows[0].subject]


def type_in(world: ProxmoxWorld, line: str) -> None:
    """Do what a line of `pveum` does."""
    access = world.cluster.access
    if match := re.fullmatch(r'pveum role (add|modify) (\w+) (?:--append 1 )?--privs "([\w. ]+)"', line):
        access.roles.setdefault(match[2], set()).update(match[3].split())
    elif match := re.fullmatch(r"pveum acl modify (\S+) --users (\S+) --roles (\w+)(?: --propagate 1)?", line):
        access.acl.setdefault(match[1], {}).setdefault(match[2], {})[match[3]] = True
    elif re.fullmatch(r"pveum user token modify zlh@pve api --privsep 0", line):
        access.is_separated = False
    else:
        raise AssertionError(f"nobody knows {line}")


async def test_rights_that_nobody_was_given_are_given_by_the_lines(world: ProxmoxWorld) -> None:
    """From no role at all to a cluster that lacks nothing, by typing what is said, as often as something is."""
    world.cluster.access.roles.clear()
    world.cluster.access.acl.clear()
    for _round in range(3):
        report = await look(world)
        for line in dict.fromkeys(line for row in report.rows for line in row.todo if line.startswith("pveum role")):
            type_in(world, line)
        for line in dict.fromkeys(line for row in report.rows for line in row.todo if line.startswith("pveum acl")):
            type_in(world, line)
    assert amiss(await look(world)) == []


async def test_a_right_that_a_deeper_role_takes_away_is_seen(world: ProxmoxWorld) -> None:
    """At a storage, roles of its own take the place of what is given at `/`: without it no node would have room."""
    world.cluster.access.roles["ZLHStorage"] = {"Datastore.AllocateSpace"}
    row = only(await look(world))
    assert row.subject == "Datastore.Audit at /storage/local-lvm"
    assert row.todo[0] == 'pveum role modify ZLHStorage --append 1 --privs "Datastore.Audit"'


async def test_a_right_that_does_not_go_on_below_is_seen(world: ProxmoxWorld) -> None:
    """At `/` alone it tells nothing about guests."""
    world.cluster.access.acl["/"][USER_ID]["ZLHLook"] = False
    rows = {row.subject: row for row in amiss(await look(world))}
    assert rows["Sys.Audit at /"].todo == ("pveum acl modify / --users zlh@pve --roles ZLHLook --propagate 1",)
    assert rows["VM.Audit at /vms"].verdict is Verdict.LACKS


async def test_a_token_that_has_less_than_its_user_is_told_apart(world: ProxmoxWorld) -> None:
    """Then no role is missing but the token's own."""
    access = world.cluster.access
    access.is_separated = True
    for path in ("/", "/pool/zlh", "/storage/local-lvm"):
        access.acl[path][TOKEN_ID] = dict(access.acl[path][USER_ID])
    row = only(await look(world))
    assert row.subject == "SDN.Use at /sdn/zones/localnetwork/vmbr1"
    assert (row.message, row.todo) == (
        "zlh@pve has it, and the token has not",
        ("pveum user token modify zlh@pve api --privsep 0",),
    )
    type_in(world, row.todo[0])
    assert amiss(await look(world)) == []


async def test_the_right_to_one_vlan_is_enough(world: ProxmoxWorld) -> None:
    """It stands below the bridge."""
    access, wish = world.cluster.access, replace(WISH, vlan=20)
    access.acl["/sdn/zones/localnetwork/vmbr1/20"] = access.acl.pop("/sdn/zones/localnetwork/vmbr1")
    assert amiss(await look(world, wish)) == []
    assert only(await look(world)).subject == "SDN.Use at /sdn/zones/localnetwork/vmbr1"


async def test_without_a_pool_rights_are_looked_for_at_all_guests(world: ProxmoxWorld) -> None:
    """And none on pools."""
    wish = replace(WISH, pool=None)
    subjects = {row.subject for row in amiss(await look(world, wish))}
    assert "VM.Allocate at /vms" in subjects
    world.cluster.access.acl["/vms"] = {USER_ID: {"ZLHGuests": True}}
    assert amiss(await look(world, wish)) == []


def _lose_pool(world: ProxmoxWorld) -> None:
    world.cluster.pools = {"other": set()}


def _down(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].is_up = False


def _no_storage(world: ProxmoxWorld) -> None:
    del world.cluster.nodes["pve2"].storages["local-lvm"]


def _inactive(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].storages["local-lvm"]["active"] = 0


def _images_alone(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].storages["local-lvm"]["content"] = "images"


def _full(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].storages["local-lvm"]["avail"] = 2**30


def _no_archive(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].lost_archives.add(ARCHIVE)


def _no_bridge(world: ProxmoxWorld) -> None:
    del world.cluster.nodes["pve2"].networks["vmbr1"]


def _bridge_down(world: ProxmoxWorld) -> None:
    del world.cluster.nodes["pve2"].networks["vmbr1"]["active"]


def _no_bridge_at_all(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].networks["vmbr1"]["type"] = "bond"


def _firewall_of_all(world: ProxmoxWorld) -> None:
    world.cluster.firewall = {}


def _firewall_of_one(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].firewall = {"enable": 0}


def _clock(seconds: float) -> Callable[[ProxmoxWorld], None]:
    def change(world: ProxmoxWorld) -> None:
        world.cluster.nodes["pve2"].clock_ahead_s = seconds

    return change


def _old(world: ProxmoxWorld) -> None:
    world.cluster.version = "7.4-3"


def _odd(world: ProxmoxWorld) -> None:
    world.cluster.version = "next"


def _no_python(world: ProxmoxWorld) -> None:
    world.shells.programs.discard("/usr/bin/python3")


def _address(world: ProxmoxWorld) -> None:
    world.cluster.nodes["pve2"].networks["vmbr1"]["address"] = "10.20.1.1"


def _guest(world: ProxmoxWorld) -> None:
    world.cluster.add_stranger(500).config["net0"] = "name=eth0,bridge=vmbr1,ip=10.20.1.77/16,gw=10.20.0.1"


Case = tuple[Callable[[ProxmoxWorld], None], str, Verdict, str, str]
# What is changed, what is then not as it must be, how, what is said of it, and what to do.
MISSING: list[Case] = [
    (_lose_pool, "pool zlh", Verdict.LACKS, "none that the token may see", "pveum pool add zlh"),
    (_down, "node pve2", Verdict.LACKS, "offline", "proxmox.nodes"),
    (_no_storage, "storage local-lvm on pve2", Verdict.LACKS, "there is none", "pvesm status"),
    (_inactive, "storage local-lvm on pve2", Verdict.LACKS, "not active", "pvesm set local-lvm --disable 0"),
    (_images_alone, "storage local-lvm on pve2", Verdict.LACKS, "no containers", "--content images,rootdir"),
    (_full, "storage local-lvm on pve2", Verdict.DOUBTFUL, "1 GiB", "room"),
    (_no_archive, "template on pve2", Verdict.LACKS, ARCHIVE, "scp zlh.tar.zst root@pve2:"),
    (_no_bridge, "bridge vmbr1 on pve2", Verdict.LACKS, "none", "--iface vmbr1 --type bridge"),
    (_bridge_down, "bridge vmbr1 on pve2", Verdict.LACKS, "down", "ifup vmbr1"),
    (_no_bridge_at_all, "bridge vmbr1 on pve2", Verdict.LACKS, "of type bond", "bridge"),
    (_firewall_of_one, "firewall on pve2", Verdict.LACKS, "pve2 is off", "pvesh set /nodes/pve2/firewall/options"),
    (_clock(-20), "clock of pve2", Verdict.DOUBTFUL, "away from ours", "chronyc"),
    (_clock(90), "clock of pve2", Verdict.LACKS, "away from ours", "chronyc"),
    (_old, "Proxmox VE", Verdict.LACKS, "7.4-3", "8 or newer"),
    (_odd, "Proxmox VE", Verdict.DOUBTFUL, "'next'", ""),
    (_address, "addresses 10.20.1.0/24", Verdict.LACKS, "10.20.1.1 is vmbr1 of pve2's", "address_block"),
    (_guest, "addresses 10.20.1.0/24", Verdict.LACKS, "10.20.1.77 is CT 500's", "address_block"),
]


@pytest.mark.parametrize("case", MISSING, ids=lambda case: f"{case[1]}: {case[3]}")
async def test_each_thing_that_is_missing_is_named(world: ProxmoxWorld, case: Case) -> None:
    """It alone, with what to do about it."""
    change, subject, verdict, said, todo = case
    change(world)
    report = await look(world)
    row = only(report)
    assert (row.subject, row.verdict) == (subject, verdict)
    assert said in row.message
    assert todo in "\n".join(row.todo)
    assert commands.decide_code(report) == (1 if verdict is Verdict.LACKS else 0)


async def test_a_firewall_that_is_off_for_all_is_said_of_each_node(world: ProxmoxWorld) -> None:
    """With the line that switches it on, once rules for oneself are there."""
    _firewall_of_all(world)
    rows = amiss(await look(world))
    assert [row.subject for row in rows] == [f"firewall on pve{number}" for number in (1, 2, 3)]
    assert rows[0].todo[0].startswith("pvesh set /cluster/firewall/options --enable 1   # after rules")


async def test_a_shell_without_its_programs_is_named(world: ProxmoxWorld) -> None:
    """Keys could not be put into guests."""
    _no_python(world)
    rows = amiss(await look(world))
    assert {row.subject for row in rows} == {"shell of pve1", "shell of pve2", "shell of pve3"}
    assert all("/usr/bin/python3" in row.message for row in rows)


async def test_a_guest_of_ours_may_have_its_address(world: ProxmoxWorld) -> None:
    """Its mark says that it is ours; what asks for its address by DHCP has none."""
    guest = world.cluster.add_stranger(500)
    guest.config |= {"net0": "name=eth0,bridge=vmbr1,ip=10.20.1.77/16", "description": render_description(OWNER)}
    world.cluster.add_stranger(501).config["net0"] = "name=eth0,bridge=vmbr1,ip=dhcp"
    world.cluster.add_stranger(502, kind="qemu")
    assert amiss(await look(world)) == []


async def test_a_node_that_is_not_there_is_named_with_those_that_are(world: ProxmoxWorld) -> None:
    """And of those that are not configured nothing is asked."""
    report = await look(world, replace(WISH, nodes=("pve1", "pve9")))
    row = only(report)
    assert (row.subject, row.verdict) == ("node pve9", Verdict.LACKS)
    assert "pve1, pve2, pve3" in row.todo[0]
    assert not [row for row in report.rows if "pve2" in row.subject]


async def test_a_bridge_without_vlans_is_named_where_one_is_configured(world: ProxmoxWorld) -> None:
    """Guests would be in the wrong network."""
    del world.cluster.nodes["pve1"].networks["vmbr1"]["bridge_vlan_aware"]
    row = only(await look(world, replace(WISH, vlan=20)))
    assert (row.subject, row.verdict) == ("bridge vmbr1 on pve1", Verdict.LACKS)
    assert "--bridge_vlan_aware 1" in row.todo[0]


async def test_a_network_of_the_sdn_is_found(world: ProxmoxWorld) -> None:
    """It stands in no node's file."""
    wish = replace(WISH, bridge="customers")
    world.cluster.access.acl["/sdn/zones/tenants/customers"] = {USER_ID: {"ZLHNet": True}}
    lacking = await look(world, wish)
    assert {row.subject for row in amiss(lacking)} == {
        "SDN.Use at /sdn/zones/localnetwork/customers", *(f"bridge customers on pve{number}" for number in (1, 2, 3)),
    }  # fmt: skip
    world.cluster.vnets["customers"] = "tenants"
    assert amiss(await look(world, wish)) == []
    del world.cluster.access.acl["/sdn/zones/tenants/customers"]
    assert amiss(await look(world, wish)) == amiss(lacking)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"template": 0}, "no template"),
        ({"unprivileged": 0}, "privileged"),
        ({}, ""),
    ],
)
async def test_a_template_to_clone_is_looked_at(change: dict[str, Any], said: str) -> None:
    """It must be one, and unprivileged; it need not be in the pool where the right is given at it."""
    async with open_world(template=TEMPLATE) as world:
        world.cluster.pools["zlh"].add(TEMPLATE)
        world.cluster.guests[TEMPLATE].config |= change
        report = await look(world, replace(WISH, template=TEMPLATE))
        assert [said in row.message for row in amiss(report)] == ([True] if said else [])
        del world.cluster.guests[TEMPLATE]
        assert only(await look(world, replace(WISH, template=TEMPLATE))).message == "nothing has this number"


async def test_a_virtual_machine_is_no_template(world: ProxmoxWorld) -> None:
    """Whatever number it has."""
    world.cluster.add_stranger(TEMPLATE, kind="qemu")
    world.cluster.pools["zlh"].add(TEMPLATE)
    assert only(await look(world, replace(WISH, template=TEMPLATE))).message == "it is a virtual machine"


async def test_a_token_that_is_not_accepted_is_all_there_is_to_say(world: ProxmoxWorld) -> None:
    """With the line that makes one."""
    world.api.is_token_valid = False
    report = await look(world)
    assert [(row.subject, row.verdict) for row in report.rows] == [("token", Verdict.LACKS)]
    assert "pveum user token add zlh@pve api --privsep 0" in report.rows[0].todo[1]
    assert commands.decide_code(report) == 1


async def test_a_cluster_that_does_not_answer_is_not_called_wanting(world: ProxmoxWorld) -> None:
    """Nothing is known of it."""
    world.api.url = "https://127.0.0.1:1"
    report = await look(world)
    assert [(row.subject, row.verdict) for row in report.rows] == [("API", Verdict.UNKNOWN)]
    assert commands.decide_code(report) == 2


async def test_a_certificate_of_somebody_else_is_not_believed(world: ProxmoxWorld) -> None:
    """The token goes to nobody who has another."""
    async with open_world() as other:
        await asyncio.to_thread((world.folder / "pve.crt").write_bytes, (other.folder / "pve.crt").read_bytes())
        report = await look(world)
    assert report.rows[0].verdict is Verdict.UNKNOWN
    assert "certificate" in report.rows[0].message
    assert world.api.requests == []


async def test_one_thing_that_cannot_be_looked_at_costs_the_others_nothing(world: ProxmoxWorld) -> None:
    """It is told as such, and the exit code says that not everything is known."""
    world.api.orders.give("GET", "/nodes/pve2/time", Way.NODE_AWAY_BEFORE)
    report = await look(world)
    row = only(report)
    assert (row.subject, row.verdict) == ("clock of pve2", Verdict.UNKNOWN)
    assert commands.decide_code(report) == 2


async def test_a_shell_that_is_shut_is_told(world: ProxmoxWorld) -> None:
    """The node is there, and its sshd is not."""
    world.shells.hosts["pve2"] = "127.0.0.99"
    row = only(await look(world))
    assert (row.subject, row.verdict) == ("shell of pve2", Verdict.UNKNOWN)


async def test_the_command_prints_what_to_type_and_tells_programs_the_same(
    world: ProxmoxWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines are whole, so that they can be copied."""
    world.cluster.access.take_away("ZLHGuests", "VM.Config.Network")
    async with looking(world) as preflight:
        assert await commands.run(argparse.Namespace(json=False), preflight) == 1
        table = capsys.readouterr().out
        assert await commands.run(argparse.Namespace(json=True), preflight) == 1
        told = json.loads(capsys.readouterr().out)
    assert '  pveum role modify ZLHGuests --append 1 --privs "VM.Config.Network"\n' in table
    assert "1 lacks" in table
    lacking = [row for row in told["rows"] if row["verdict"] == "lacks"]
    assert [row["subject"] for row in lacking] == ["VM.Config.Network at /pool/zlh"]
    assert (told["version"], told["url"]) == ("9.1.1", world.api.url)


async def test_the_command_reads_the_configuration_of_the_driver(world: ProxmoxWorld, tmp_path: Path) -> None:
    """As a program of its own, on the files that an operator has."""
    await asyncio.to_thread(write_config, world, tmp_path / "api.toml")
    child = await asyncio.create_subprocess_exec(
        str(ROOT / ".venv/bin/zlh-api"), "proxmox", "check", "--json", "--config", str(tmp_path / "api.toml"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert child.returncode == 0, (out, err)
    assert {row["verdict"] for row in json.loads(out)["rows"]} == {"holds"}


def write_config(world: ProxmoxWorld, path: Path) -> None:
    """Write the example of a whole configuration, with this cluster in it."""
    text = (ROOT / "deploy/traefik/api.example.toml").read_text()
    hosts = ", ".join(f'{name} = "{host}"' for name, host in world.shells.hosts.items())
    for before, after in (
        ('"https://pve1.example.org:8006"', f'"{world.api.url}"\nca = "{world.folder}/pve.crt"\npool = "zlh"'),
        ('"/etc/zlh/proxmox-token"', f'"{world.folder}/token"'),
        ('"local:vztmpl/zlh-1.tar.zst"', f'"{ARCHIVE}"'),
        ('"/etc/zlh/proxmox-key"', f'"{world.folder}/ssh.key"\nport = {world.shells.port}\nhosts = {{{hosts}}}'),
        ('"/etc/zlh/proxmox-known-hosts"', f'"{world.folder}/known_hosts"'),
    ):
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


def test_the_documentation_gives_what_is_looked_for() -> None:
    """Its roles are those of the rules and of the fake."""
    page = (ROOT / "docs/proxmox.md").read_text()
    given = dict(re.findall(r'^pveum role add (\w+) +--privs "([\w. ]+)"', page, re.MULTILINE))
    assert {role: tuple(text.split()) for role, text in given.items()} == dict(PRIVILEGES)


def test_the_command_is_there() -> None:
    """With its options."""
    arguments = _parser().parse_args(["proxmox", "check", "--json", "--config", "x.toml"])
    assert (arguments.json, arguments.config) == (True, Path("x.toml"))
