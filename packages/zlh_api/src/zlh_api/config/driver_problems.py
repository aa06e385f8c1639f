"""What is wrong with the table of a driver: pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from zlh_api.config.driver_tables import LxcDriverSection, ProxmoxDriverSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.tables import (
    ArtifactsSection,
)
from zlh_common.toml_config import is_http_url

_FINGERPRINT = re.compile(r"(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}")


# What mount and LXC read as it stands, without any quoting.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./-]+")


def find_driver_problems(config: ApiConfig) -> list[str]:
    """Return what is wrong with the table of the driver that is named."""
    if getattr(config, config.driver, None) is None:
        return [f'the table [{config.driver}] is missing, which driver = "{config.driver}" needs']
    process = config.process
    if config.driver == "process" and process is not None and not _is_loopback_block(process.address_block):
        return [f"process.address_block {process.address_block!r} is no block within 127.0.0.0/8"]
    if config.driver == "proxmox" and config.proxmox is not None:
        return _find_proxmox_problems(config.proxmox) + _find_nameless_problems(config.artifacts)
    if config.driver == "lxc" and config.lxc is not None:
        return _find_lxc_problems(config.lxc, config.artifacts)
    return []


def _find_lxc_problems(lxc: LxcDriverSection, artifacts: ArtifactsSection) -> list[str]:
    problems = []
    for name, path in (("root", lxc.root), ("template", lxc.template)):
        if not path.is_absolute() or not _PLAIN_PATH.fullmatch(str(path)):
            problems.append(f"lxc.{name} {str(path)!r} is no absolute path of letters, digits and _ . / -")
    nonsense = [address for address in lxc.nameservers if not _is_address(address)]
    problems += [f"lxc.nameservers has {address!r}, which is no IPv4 address" for address in nonsense]
    if not _is_block(lxc.address_block):
        return [*problems, f"lxc.address_block {lxc.address_block!r} is no private IPv4 network from /8 to /29"]
    if lxc.egress == "none" and lxc.nameservers:
        problems.append('lxc.nameservers are given, and lxc.egress = "none" lets nobody reach them')
    hosts = [urlsplit(url).hostname for url in artifacts.urls]
    if lxc.egress == "none" and (strangers := [host for host in hosts if host != lxc.gateway]):
        problems.append(
            f"artifacts.url and mirrors name {strangers}, and containers without egress reach {lxc.gateway} alone: "
            f"have the artifact server listen there (zlh-api artifacts serve --host {lxc.gateway})"
        )
    if lxc.egress == "none" and artifacts.private_origins:
        problems.append(
            'artifacts.private_origins are given, and lxc.egress = "none" lets nobody reach them: '
            "have the artifact server hand out what lies there"
        )
    return problems + _find_nameless_problems(artifacts)


def _find_nameless_problems(artifacts: ArtifactsSection) -> list[str]:
    """Return which private origins no rule of a network can open: those are about addresses."""
    return [
        f"artifacts.private_origins {origin!r} names no IPv4 address, which the network of containers is opened to"
        for origin in artifacts.private_origins
        if is_http_url(origin) and not _is_address(urlsplit(origin).hostname or "")
    ]


def _find_proxmox_problems(section: ProxmoxDriverSection) -> list[str]:
    problems = []
    if not section.url.startswith("https://") or not is_http_url(section.url):
        problems.append(f"proxmox.url {section.url!r} is no https URL")
    if not re.fullmatch(r"[^\s:/!@]+@[A-Za-z][\w.-]*![A-Za-z][\w.-]*", section.token_id):
        problems.append(f"proxmox.token_id {section.token_id!r} is not USER@REALM!NAME")
    if section.ca is not None and section.fingerprint is not None:
        problems.append("proxmox.ca and proxmox.fingerprint are both given; one of them says whom to believe")
    if section.fingerprint is not None and not _FINGERPRINT.fullmatch(section.fingerprint):
        problems.append("proxmox.fingerprint is no SHA-256 in hexadecimal digits")
    if isinstance(section.template, str) and not re.fullmatch(r"[\w.-]+:vztmpl/\S+", section.template):
        problems.append(f"proxmox.template {section.template!r} is neither a number nor STORAGE:vztmpl/FILE")
    problems += [
        f"proxmox.tags {tag!r} is no tag: lower case, digits and _-+. alone"
        for tag in section.tags
        if not re.fullmatch(r"[a-z0-9_][a-z0-9_\-+.]*", tag) or tag.startswith("zlh")
    ]
    return problems + _find_proxmox_network_problems(section)


def _find_proxmox_network_problems(section: ProxmoxDriverSection) -> list[str]:
    addresses = {
        "gateway": (section.gateway,),
        "allowed_from": section.allowed_from,
        "artifact_servers": section.artifact_servers,
        "name_servers": section.name_servers,
    }
    problems = [
        f"proxmox.{name} {address!r} is no IPv4 address"
        for name, given in addresses.items()
        for address in given
        if not _is_ipv4(address)
    ]
    try:
        block = ipaddress.IPv4Network(section.address_block)
    except ValueError:
        return [*problems, f"proxmox.address_block {section.address_block!r} is no block of IPv4 addresses"]
    network = block if section.prefix is None else block.supernet(new_prefix=min(section.prefix, block.prefixlen))
    if _is_ipv4(section.gateway) and ipaddress.IPv4Address(section.gateway) not in network:
        problems.append(f"proxmox.gateway {section.gateway} is not within {network}, where guests look for it")
    return problems


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_block(text: str) -> bool:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return network.is_private and not network.is_loopback and 8 <= network.prefixlen <= 29


def _is_loopback_block(block: str) -> bool:
    try:
        return ipaddress.IPv4Network(block).is_loopback
    except ValueError:
        return False
