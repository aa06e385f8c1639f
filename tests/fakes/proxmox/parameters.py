"""What each call takes: names, forms and limits. What is not listed is refused, as the real one does."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from fakes.proxmox.state import Refusal

Check = Callable[[str], Any]
NOT_DEFINED = "property is not defined in schema and the schema does not allow additional properties"
SET_NAME = r"[A-Za-z][A-Za-z0-9\-_]+"


def _text(pattern: str = r"[\s\S]*", *, most: int = 8192) -> Check:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value) or len(value) > most:
            raise ValueError("value does not match the regex pattern")
        return value

    return check


def _integer(least: int, most: int = 10**9) -> Check:
    def check(value: str) -> int:
        if not re.fullmatch(r"-?\d+", value):
            raise ValueError("type check ('integer') failed - got '" + value + "'")
        if not least <= int(value) <= most:
            raise ValueError(f"value must have a minimum value of {least}")
        return int(value)

    return check


def _number(least: float, most: float) -> Check:
    def check(value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?", value) or not least <= float(value) <= most:
            raise ValueError("type check ('number') failed - got '" + value + "'")
        return value

    return check


def _boolean(value: str) -> int:
    if value not in {"0", "1"}:
        raise ValueError(f"type check ('boolean') failed - got '{value}'")
    return int(value)


def _tags(value: str) -> str:
    for tag in re.split(r"[;,\s]+", value):
        if tag and not re.fullmatch(r"[a-z0-9_][a-z0-9_\-+.]*", tag):
            raise ValueError(f"invalid characters in tag '{tag}'")
    return value


def _net(value: str) -> str:
    parts = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
    known = {"name", "bridge", "hwaddr", "ip", "gw", "ip6", "gw6", "tag", "firewall", "type", "mtu", "rate", "trunks"}
    if set(parts) - known or "name" not in parts:
        raise ValueError("invalid format - format error")
    if "hwaddr" in parts and not re.fullmatch(r"(?i)[0-9a-f][02468ace](?::[0-9a-f]{2}){5}", parts["hwaddr"]):
        raise ValueError("invalid format - hwaddr: value does not look like a valid unicast MAC address")
    if parts.get("ip") not in {None, "dhcp", "manual"}:
        ipaddress.IPv4Interface(parts["ip"])
    return value


def _addresses(value: str) -> str:
    if re.fullmatch(rf"\+{SET_NAME}", value):
        return value
    versions = {ipaddress.ip_network(part, strict=False).version for part in value.split(",")}
    if len(versions) > 1:
        raise ValueError("detected mixed ipv4/ipv6 addresses in address list")
    if len(value) > 512:
        raise ValueError("value may only be 512 characters long")
    return value


def _cidr(value: str) -> str:
    ipaddress.ip_network(value)
    if value.endswith("/0"):
        raise ValueError("a zero prefix is not allowed in ipset entries")
    return value


_CONFIG: dict[str, Check] = {
    "hostname": _text(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*", most=255),
    "description": _text(),
    "tags": _tags,
    "cores": _integer(1, 8192),
    "cpulimit": _number(0, 8192),
    "cpuunits": _integer(0),
    "memory": _integer(16),
    "swap": _integer(0),
    "net0": _net,
    "net1": _net,
    "features": _text(r"[a-z]+=[\w;]+(?:,[a-z]+=[\w;]+)*"),
    "onboot": _boolean,
    "protection": _boolean,
    "startup": _text(),
    "nameserver": _text(),
    "searchdomain": _text(),
    "cmode": _text("shell|console|tty"),
    "tty": _integer(0, 6),
    "rootfs": _text(),
    "lock": _text("backup|create|destroyed|disk|fstrim|migrate|mounted|rollback|snapshot|snapshot-delete"),
    "hookscript": _text(),
    "dev0": _text(),
    "mp0": _text(),
    "unprivileged": _boolean,
    "timezone": _text(),
    "ostype": _text("debian|ubuntu|alpine|unmanaged"),
    "env": _text(),
}
CREATE: dict[str, Check] = {
    **_CONFIG,
    "vmid": _integer(100, 999_999_999),
    "ostemplate": _text(r"[\w-]+:vztmpl/[\w.+-]+", most=255),
    "storage": _text(r"[a-zA-Z][\w.-]*\w"),
    "pool": _text(r"[A-Za-z0-9._-]+"),
    "start": _boolean,
    "password": _text(r".{5,}"),
    "ssh-public-keys": _text(),
    "bwlimit": _number(0, 10**9),
    "force": _boolean,
    "restore": _boolean,
    "unique": _boolean,
}
CLONE: dict[str, Check] = {
    "newid": _integer(100, 999_999_999),
    "hostname": _CONFIG["hostname"],
    "description": _text(),
    "pool": CREATE["pool"],
    "snapname": _text(),
    "full": _boolean,
    "storage": CREATE["storage"],
    "target": _text(r"[a-z0-9-]+"),
    "bwlimit": CREATE["bwlimit"],
}
CONFIG: dict[str, Check] = {**_CONFIG, "delete": _text(), "digest": _text(), "revert": _text()}
RESIZE: dict[str, Check] = {"disk": _text("rootfs"), "size": _text(r"\+?\d+(\.\d+)?[KMGT]?"), "digest": _text()}
RULE: dict[str, Check] = {
    "type": _text("in|out|forward|group"),
    "action": _text(SET_NAME, most=20),
    "enable": _integer(0),
    "macro": _text(most=128),
    "iface": _text(r"net\d+"),
    "source": _addresses,
    "dest": _addresses,
    "proto": _text(r"tcp|udp|icmp|\d+"),
    "dport": _text(r"\d+(?::\d+)?(?:,\d+(?::\d+)?)*"),
    "sport": _text(r"\d+(?::\d+)?(?:,\d+(?::\d+)?)*"),
    "comment": _text(),
    "log": _text("emerg|alert|crit|err|warning|notice|info|debug|nolog"),
    "icmp-type": _text(),
    "pos": _integer(0),
    "digest": _text(),
}
_POLICY = _text("ACCEPT|REJECT|DROP")
OPTIONS: dict[str, Check] = {
    **dict.fromkeys(("enable", "macfilter", "dhcp", "ndp", "radv", "ipfilter"), _boolean),
    "policy_in": _POLICY,
    "policy_out": _POLICY,
    "log_level_in": RULE["log"],
    "log_level_out": RULE["log"],
    "delete": _text(),
    "digest": _text(),
}
SET: dict[str, Check] = {"name": _text(SET_NAME, most=64), "comment": _text(), "rename": _text(), "digest": _text()}
ENTRY: dict[str, Check] = {"cidr": _cidr, "nomatch": _boolean, "comment": _text()}
DESTROY: dict[str, Check] = dict.fromkeys(("force", "purge", "destroy-unreferenced-disks"), _boolean)
STOP: dict[str, Check] = {"skiplock": _boolean, "overrule-shutdown": _boolean}
SHUTDOWN: dict[str, Check] = {"timeout": _integer(0), "forceStop": _boolean}
START: dict[str, Check] = {"skiplock": _boolean, "debug": _boolean}
TASKS: dict[str, Check] = {
    "vmid": _integer(100), "typefilter": _text(), "source": _text("archive|active|all"), "statusfilter": _text(),
    "since": _integer(0), "until": _integer(0), "start": _integer(0), "limit": _integer(0), "errors": _boolean,
}  # fmt: skip
ACL_PATH = _text(r"/|(?:/[A-Za-z0-9._-]+)+")
USER = _text(r"[^\s:/]+@[A-Za-z][\w.-]+(?:![A-Za-z][\w.-]+)?", most=128)
STORAGES: dict[str, Check] = {
    "storage": _text(r"[a-zA-Z][\w.-]*\w"), "content": _text(r"[a-z,]+"), "enabled": _boolean, "format": _boolean,
    "target": _text(r"[a-z0-9-]+"),
}  # fmt: skip
CONTENT: dict[str, Check] = {
    "content": _text("vztmpl|iso|backup|images|rootdir|snippets|import"),
    "vmid": _integer(100),
}
NETWORKS: dict[str, Check] = {
    "type": _text("bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge"
                  "|any_local_bridge|include_sdn"),
}  # fmt: skip
LOG: dict[str, Check] = {"start": _integer(0), "limit": _integer(0)}
RESOURCES: dict[str, Check] = {"type": _text("vm|storage|node|sdn")}
READ_CONFIG: dict[str, Check] = {"current": _boolean, "snapshot": _text()}


def check(given: Mapping[str, str], known: Mapping[str, Check], *, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the parameters as values; refuse what is unknown, missing or of a wrong form, all of it at once."""
    errors, values = {}, {}
    for name, text in given.items():
        if name not in known:
            errors[name] = NOT_DEFINED
            continue
        try:
            values[name] = known[name](text)
        except ValueError as error:
            errors[name] = str(error)
    errors |= dict.fromkeys((name for name in needs if name not in given), "property is missing and it is not optional")
    if errors:
        raise Refusal("Parameter verification failed.", status=400, errors=errors)
    return values
