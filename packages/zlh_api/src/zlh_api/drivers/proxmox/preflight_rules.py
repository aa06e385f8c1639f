"""What containers need of a cluster, held against what it shows: pure.

Rights are held against what Proxmox itself computes for a path. There, roles that are given at a deeper path take the
place of those from above, so a right that is given at `/` alone may be gone at a storage or a pool.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zlh_common.schema.preflight import PreflightRow, Verdict

# The oldest that this driver was written for.
OLDEST_MAJOR = 8
# The roles of docs/proxmox.md.
LOOK, GUESTS, STORAGE, NET = "ZLHLook", "ZLHGuests", "ZLHStorage", "ZLHNet"
PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    LOOK: ("Sys.Audit", "VM.Audit", "Pool.Audit", "Datastore.Audit"),
    GUESTS: (
        "VM.Audit", "VM.Allocate", "VM.Clone", "VM.PowerMgmt", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Disk",
        "VM.Config.Network", "VM.Config.Options", "Pool.Audit",
    ),
    STORAGE: ("Datastore.Audit", "Datastore.AllocateSpace"),
    NET: ("SDN.Use",),
}  # fmt: skip
# The clock of a node: worth a look, and too much for the certificates of agents and for telling our tasks from others'.
CLOCK_DOUBT_S, CLOCK_MOST_S = 5.0, 60.0
# Less than this is soon used up.
LEAST_FREE_BYTES = 20 * 2**30


@dataclass(frozen=True, slots=True)
class Need:
    """A privilege that the token needs at a path, and the role by which the documentation gives it."""

    path: str
    privilege: str
    role: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the configuration asks of the cluster."""

    token_id: str
    # The number of a template to clone, or the volume of an archive to unpack.
    template: int | str
    storage: str
    bridge: str
    vlan: int | None
    pool: str | None
    # Empty: every node.
    nodes: tuple[str, ...]
    address_block: str

    @property
    def user(self) -> str:
        """Whose token it is."""
        return self.token_id.partition("!")[0]

    @property
    def guests_path(self) -> str:
        """Where the rights on containers are given."""
        return f"/pool/{self.pool}" if self.pool else "/vms"


def list_needs(wish: Wish, nodes: Iterable[str], *, is_of_sdn: bool) -> list[Need]:
    """Return every privilege that the driver uses, where it uses it.

    Networks `is_of_sdn` belong to a zone that is not told; Proxmox lists them to nobody who may not use them.
    """
    needs = [Need("/", "Sys.Audit", LOOK), *(Need(f"/nodes/{node}", "Sys.Audit", LOOK) for node in nodes)]
    needs.append(Need("/vms", "VM.Audit", LOOK))
    needs += [
        Need(wish.guests_path, privilege, GUESTS)
        for privilege in PRIVILEGES[GUESTS]
        if wish.pool is not None or privilege != "Pool.Audit"
    ]
    needs += [Need(f"/storage/{wish.storage}", privilege, STORAGE) for privilege in PRIVILEGES[STORAGE]]
    if isinstance(wish.template, int):
        needs.append(Need(f"/vms/{wish.template}", "VM.Clone", GUESTS))
    elif (home := wish.template.partition(":")[0]) != wish.storage:
        needs.append(Need(f"/storage/{home}", "Datastore.Audit", LOOK))
    if not is_of_sdn:
        needs.append(Need(bridge_path(wish), "SDN.Use", NET))
    return list(dict.fromkeys(needs))


def bridge_path(wish: Wish) -> str:
    """Return where the right to use the bridge is looked for; the right to use its VLAN alone is enough."""
    bridge = f"/sdn/zones/localnetwork/{wish.bridge}"
    return bridge if wish.vlan is None else f"{bridge}/{wish.vlan}"


def judge_right(
    need: Need,
    given: Mapping[str, Any],
    *,
    of_user: Mapping[str, Any] | None,
    roles: Mapping[str, frozenset[str]],
    wish: Wish,
) -> PreflightRow:
    """Hold one need against what Proxmox computes for token and user at its path; None of the user is not known."""
    subject = f"{need.privilege} at {need.path}"
    if need.privilege in given:
        if need.path in {"/", "/vms"} and str(given[need.privilege]) == "0":
            line = f"pveum acl modify {need.path} --users {wish.user} --roles {need.role} --propagate 1"
            return PreflightRow(subject, Verdict.LACKS, "it is given there alone, and not to what is below", (line,))
        return PreflightRow(subject, Verdict.HOLDS, "given")
    if of_user is not None and need.privilege in of_user:
        name = wish.token_id.partition("!")[2]
        line = f"pveum user token modify {wish.user} {name} --privsep 0"
        return PreflightRow(subject, Verdict.LACKS, f"{wish.user} has it, and the token has not", (line,))
    return PreflightRow(subject, Verdict.LACKS, "the token does not have it", _giving(need, roles, wish))


def _giving(need: Need, roles: Mapping[str, frozenset[str]], wish: Wish) -> tuple[str, ...]:
    acl = f"pveum acl modify {need.path} --users {wish.user} --roles {need.role}"
    if need.role not in roles:
        return (f'pveum role add {need.role} --privs "{" ".join(PRIVILEGES[need.role])}"', acl)
    if need.privilege not in roles[need.role]:
        return (f'pveum role modify {need.role} --append 1 --privs "{need.privilege}"', acl)
    return (acl,)


def judge_version(told: Mapping[str, Any]) -> PreflightRow:
    """Say which Proxmox answers."""
    version = str(told.get("version", ""))
    major = version.partition(".")[0]
    if not major.isdigit():
        return PreflightRow("Proxmox VE", Verdict.DOUBTFUL, f"its version {version!r} is none that is known")
    if int(major) < OLDEST_MAJOR:
        todo = (f"Bring the cluster to Proxmox VE {OLDEST_MAJOR} or newer.",)
        return PreflightRow("Proxmox VE", Verdict.LACKS, f"version {version} is too old", todo)
    return PreflightRow("Proxmox VE", Verdict.HOLDS, f"version {version}")


def judge_nodes(wish: Wish, listed: Sequence[Mapping[str, Any]]) -> list[PreflightRow]:
    """Return a row for each node that containers may be made on."""
    states = {str(entry["node"]): str(entry.get("status")) for entry in listed}
    rows = []
    for name in wish.nodes or sorted(states):
        if name not in states:
            todo = (f"Take {name} out of proxmox.nodes; the cluster has {', '.join(sorted(states)) or 'none'}.",)
            rows.append(PreflightRow(f"node {name}", Verdict.LACKS, "the cluster has no such node", todo))
        elif states[name] != "online":
            todo = (f"Start {name}, or leave it out of proxmox.nodes.",)
            rows.append(PreflightRow(f"node {name}", Verdict.LACKS, f"it is {states[name]}", todo))
        else:
            rows.append(PreflightRow(f"node {name}", Verdict.HOLDS, "online"))
    return rows


def judge_pool(pool: str, listed: Sequence[Mapping[str, Any]]) -> PreflightRow:
    """Say whether there is the pool; one that the token may not see is not listed."""
    if any(entry.get("poolid") == pool for entry in listed):
        return PreflightRow(f"pool {pool}", Verdict.HOLDS, "it is there")
    return PreflightRow(
        f"pool {pool}", Verdict.LACKS, "there is none that the token may see", (f"pveum pool add {pool}",)
    )


def judge_clock(node: str, told: Mapping[str, Any], *, before: float, after: float) -> PreflightRow:
    """Hold a node's clock, in whole seconds, against ours before and after it was asked."""
    subject, time = f"clock of {node}", float(told["time"])
    # It was cut to a second, so up to one later is as good.
    off_s = max(0.0, before - (time + 1), time - after)
    if off_s <= CLOCK_DOUBT_S:
        return PreflightRow(subject, Verdict.HOLDS, "it agrees with ours")
    verdict = Verdict.LACKS if off_s > CLOCK_MOST_S else Verdict.DOUBTFUL
    todo = (f"Have both kept by NTP; on {node}: chronyc tracking",)
    return PreflightRow(subject, verdict, f"it is {off_s:.0f} s away from ours", todo)


def judge_storage(node: str, wish: Wish, listed: Sequence[Mapping[str, Any]]) -> PreflightRow:
    """Say whether guests can be put on the storage there."""
    subject, name = f"storage {wish.storage} on {node}", wish.storage
    entry = next((each for each in listed if each.get("storage") == name), None)
    if entry is None:
        todo = (f"pvesm status   # on {node}: is there one of another name?",)
        return PreflightRow(subject, Verdict.LACKS, "there is none that the token may see", todo)
    if not _is_on(entry, "enabled") or not _is_on(entry, "active"):
        return PreflightRow(subject, Verdict.LACKS, "it is not active", (f"pvesm set {name} --disable 0",))
    contents = str(entry.get("content", "")).split(",")
    if "rootdir" not in contents:
        line = f"pvesm set {name} --content {','.join([*filter(None, contents), 'rootdir'])}"
        return PreflightRow(subject, Verdict.LACKS, "it takes no containers", (line,))
    free = int(float(entry.get("avail") or 0))
    if free < LEAST_FREE_BYTES:
        return PreflightRow(
            subject, Verdict.DOUBTFUL, f"{free // 2**30} GiB are free", (f"Make room on {name} of {node}.",)
        )
    return PreflightRow(subject, Verdict.HOLDS, f"{free // 2**30} GiB are free")


def judge_archive(node: str, volume: str, listed: Sequence[Mapping[str, Any]]) -> PreflightRow:
    """Say whether the archive that guests are made of is there."""
    subject = f"template on {node}"
    if any(entry.get("volid") == volume for entry in listed):
        return PreflightRow(subject, Verdict.HOLDS, f"{volume} is there")
    file = volume.partition("vztmpl/")[2]
    line = f"scp {file} root@{node}:/var/lib/vz/template/cache/   # where {volume.partition(':')[0]} is a folder"
    return PreflightRow(subject, Verdict.LACKS, f"{volume} is not there", (line,))


def judge_template(number: int, entry: Mapping[str, Any] | None, config: Mapping[str, Any]) -> PreflightRow:
    """Say whether guests can be cloned from this; `entry` is its line in the list of the cluster."""
    subject = f"template {number}"
    if entry is None:
        return PreflightRow(
            subject,
            Verdict.LACKS,
            "nothing has this number",
            (f"Make a template with the number {number}, or name another in proxmox.template.",),
        )
    if entry.get("type") != "lxc":
        return PreflightRow(
            subject,
            Verdict.LACKS,
            "it is a virtual machine",
            ("Name the template of a container in proxmox.template.",),
        )
    if not _is_on(config, "template", default="0"):
        return PreflightRow(subject, Verdict.LACKS, "it is no template", (f"pct template {number}",))
    if not _is_on(config, "unprivileged", default="0"):
        todo = (f"Make {number} anew from the archive, with --unprivileged 1.",)
        return PreflightRow(subject, Verdict.LACKS, "it is privileged", todo)
    return PreflightRow(subject, Verdict.HOLDS, f"a template on {entry.get('node')}")


def judge_bridge(node: str, wish: Wish, listed: Sequence[Mapping[str, Any]]) -> PreflightRow:
    """Say whether guests can be connected there."""
    subject = f"bridge {wish.bridge} on {node}"
    entry = next((each for each in listed if each.get("iface") == wish.bridge), None)
    if entry is None:
        lines = (f"pvesh create /nodes/{node}/network --iface {wish.bridge} --type bridge --autostart 1",)
        return PreflightRow(subject, Verdict.LACKS, "there is none", (*lines, f"pvesh set /nodes/{node}/network"))
    kind = str(entry.get("type"))
    if kind not in {"bridge", "OVSBridge", "vnet"}:
        return PreflightRow(
            subject, Verdict.LACKS, f"it is no bridge but of type {kind}", ("Name a bridge in proxmox.bridge.",)
        )
    if kind != "vnet" and not _is_on(entry, "active", default="0"):
        return PreflightRow(subject, Verdict.LACKS, "it is down", (f"ifup {wish.bridge}   # on {node}",))
    if wish.vlan is not None and kind == "bridge" and not _is_on(entry, "bridge_vlan_aware", default="0"):
        line = f"pvesh set /nodes/{node}/network/{wish.bridge} --type bridge --bridge_vlan_aware 1"
        todo = (line, f"pvesh set /nodes/{node}/network")
        return PreflightRow(subject, Verdict.LACKS, f"it knows no VLANs, and {wish.vlan} is configured", todo)
    if kind == "vnet":
        return PreflightRow(subject, Verdict.HOLDS, "a network of the SDN that the token may use")
    return PreflightRow(subject, Verdict.HOLDS, "up" if wish.vlan is None else f"up, for VLAN {wish.vlan}")


def is_vnet(bridge: str, listed: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether what guests are connected to is a network of the SDN."""
    return any(each.get("iface") == bridge and each.get("type") == "vnet" for each in listed)


def judge_firewall(node: str, switched_off: str | None) -> PreflightRow:
    """Say whether the firewall filters guests there."""
    if switched_off is None:
        return PreflightRow(f"firewall on {node}", Verdict.HOLDS, "on")
    reason, _, advice = switched_off.partition("; ")
    line = advice.partition("`")[2].partition("`")[0]
    todo = (f"{line}   # after rules for your own access are in place",)
    return PreflightRow(f"firewall on {node}", Verdict.LACKS, reason, todo)


def judge_block(block: str, strangers: Mapping[str, str]) -> PreflightRow:
    """Say whether the block of addresses is ours alone; `strangers` are addresses with who has them."""
    network = ipaddress.IPv4Network(block)
    inside = {address: who for address, who in strangers.items() if _is_within(address, network)}
    if not inside:
        return PreflightRow(f"addresses {block}", Verdict.HOLDS, "nobody else is seen to have one of them")
    told = "; ".join(f"{address} is {who}'s" for address, who in sorted(inside.items())[:5])
    more = f", and {len(inside) - 5} more" if len(inside) > 5 else ""
    todo = (f"Move who has addresses of {block}, or choose another proxmox.address_block.",)
    return PreflightRow(f"addresses {block}", Verdict.LACKS, told + more, todo)


def _is_within(address: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.IPv4Address(address) in network
    except ValueError:
        return False


def find_addresses(config: Mapping[str, Any]) -> list[str]:
    """Return the fixed addresses of a guest's interfaces."""
    found = []
    for name, text in config.items():
        if name.startswith("net") and name[3:].isdigit():
            parts = dict(part.split("=", 1) for part in str(text).split(",") if "=" in part)
            found.append(parts.get("ip", "").partition("/")[0])
    return [address for address in found if address not in {"", "dhcp", "manual"}]


def judge_shell(node: str, missing: Sequence[str]) -> PreflightRow:
    """Say whether the node's shell has the programs by which keys are put into guests."""
    if not missing:
        return PreflightRow(f"shell of {node}", Verdict.HOLDS, "it can be used")
    todo = (f"apt install python3 lxc-pve pve-container   # on {node}",)
    return PreflightRow(f"shell of {node}", Verdict.LACKS, f"it has no {', '.join(missing)}", todo)


def _is_on(entry: Mapping[str, Any], name: str, *, default: str = "1") -> bool:
    """Tell whether a switch is on: numbers may come as text."""
    return str(entry.get(name, default)) not in {"0", "", "None", "False"}
