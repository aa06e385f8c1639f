"""The API's configuration: one frozen value, read once from one TOML file, every problem reported together."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from zlh_api.containers.rules import find_excess, round_cpu
from zlh_api.reconcile.pace import DRIFT_S, LEASE_S
from zlh_common.errors import ConfigInvalid
from zlh_common.names import is_domain, is_label
from zlh_common.schema.catalog import MAX_MIRRORS
from zlh_common.schema.resources import Cpu, DiskMib, MemoryMib, Pids, Resources
from zlh_common.schema.structs import FrozenMeta
from zlh_common.toml_config import convert_document, is_http_url, read_document

_FINGERPRINT = re.compile(r"(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}")
# What mount and LXC read as it stands, without any quoting.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./-]+")
ListenPort = Annotated[int, Meta(ge=1, le=65535)]


class _Section(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is a typing mistake, so it is refused."""


class DatabaseSection(_Section):
    """Where PostgreSQL is."""

    dsn: str
    max_connections: Annotated[int, Meta(ge=2, le=200)] = 16


class ArtifactsSection(_Section):
    """Where the artifact server is, and what its catalog is believed by."""

    url: str
    trusted_root: Path
    # Other servers of the same signed tree, asked in this order when the first gives nothing that can be believed.
    mirrors: Annotated[tuple[str, ...], Meta(max_length=MAX_MIRRORS)] = ()
    # The tree that this API serves below /artifacts/, and the keys with which it renews the signatures.
    folder: Path | None = None
    keys: Path | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """All servers, in the order in which they are asked."""
        return (self.url, *self.mirrors)


class ProcessDriverSection(_Section):
    """The `process` driver: each container is a folder and an agent on a loopback address of its own."""

    root: Path
    # Addresses are taken from this block.
    address_block: str = "127.77.0.0/16"

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's on the same machine."""
        return str(self.root)


class ProxmoxShellSection(_Section, kw_only=True):
    """The shells of Proxmox's nodes: as whom we come, and by what they are known."""

    user: str = "root"
    key: Path
    known_hosts: Path
    port: ListenPort = 22
    # Where a node is reached under another name than its own.
    hosts: dict[str, str] = {}


class ProxmoxDriverSection(_Section, kw_only=True):
    """The `proxmox` driver: each container is one of a Proxmox VE cluster."""

    url: str
    # USER@REALM!NAME; its secret stands in a file of its own.
    token_id: str
    token_file: Path
    # By what its certificate is known: a CA, or the certificate's own SHA-256; neither is the machine's CAs.
    ca: Path | None = None
    fingerprint: str | None = None
    # The number of a template to clone, or the volume of an archive to unpack.
    template: int | str
    storage: str
    bridge: str
    vlan: Annotated[int, Meta(ge=1, le=4094)] | None = None
    address_block: str
    gateway: str
    # Of the network, where that is larger than the block.
    prefix: Annotated[int, Meta(ge=8, le=30)] | None = None
    # From where guests are reached: the addresses of all API processes and of the proxy.
    allowed_from: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]
    artifact_servers: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]
    name_servers: Annotated[tuple[str, ...], Meta(max_length=3)] = ()
    egress: Literal["internet", "none"] = "internet"
    nodes: tuple[str, ...] = ()
    pool: str | None = None
    tags: tuple[str, ...] = ()
    ssh: ProxmoxShellSection

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's in the same cluster."""
        return f"{self.url} {self.token_id}"


class LxcDriverSection(_Section):
    """The `lxc` driver: each container is an unprivileged LXC container of this host (docs/operations.md)."""

    root: Path
    # A root file system that belongs to root of the containers.
    template: Path
    # Interfaces of guests are `<bridge>v<vmid>`, and a name has 15 characters at most.
    bridge: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,4}$")] = "zlh0"
    # Addresses are taken from this block; the first is this host's.
    address_block: str = "10.81.0.0/16"
    storage: Literal["overlay", "copy"] = "overlay"
    disk: Literal["image", "none"] = "image"
    egress: Literal["none", "internet"] = "none"
    nameservers: tuple[str, ...] = ()
    apparmor: Literal["generated", "unconfined"] | None = None
    # The first of the 65,536 users and groups of containers, as in /etc/subuid.
    first_id: Annotated[int, Meta(ge=65_536, le=2**31)] = 100_000

    @property
    def installation(self) -> str:
        """What tells this installation's guests from another's on the same machine."""
        return str(self.root)

    @property
    def block(self) -> ipaddress.IPv4Network:
        """The block, which `find_problems` has seen to be one."""
        return ipaddress.IPv4Network(self.address_block)

    @property
    def gateway(self) -> str:
        """This host's address on the bridge."""
        return str(self.block.network_address + 1)


DriverSection = ProcessDriverSection | LxcDriverSection | ProxmoxDriverSection


class TraefikSection(_Section):
    """The proxy: the directory that only we write, its private API, and where its public side answers."""

    directory: Path
    api_url: str
    web_url: str
    # Where the proxy reaches the API, if that is not where this process listens; all processes must name the same.
    backend_url: str | None = None


class ReconcilerSection(_Section):
    """How one process works on containers."""

    # At a time, not counting those whose step merely takes its time; of these there are up to seven times as many.
    workers: Annotated[int, Meta(ge=1, le=256)] = 16
    # How often a container is looked at of which nobody says that anything has changed.
    drift_s: Annotated[float, Meta(ge=1, le=3600)] = DRIFT_S
    # How long the containers of a process that died rest before another takes them over.
    lease_s: Annotated[float, Meta(ge=1, le=120)] = LEASE_S


class HistorySection(_Section):
    """How much is kept of what agents tell, for each container."""

    entries: Annotated[int, Meta(ge=10, le=100_000)] = 1000
    samples_h: Annotated[int, Meta(ge=1, le=24 * 90)] = 24


class SizeSection(_Section):
    """How much one container uses of its host."""

    cpu: Cpu = Resources().cpu
    memory_mib: MemoryMib = Resources().memory_mib
    disk_mib: DiskMib = Resources().disk_mib
    pids: Pids = Resources().pids

    @property
    def limits(self) -> Resources:
        """The same in the words of the platform."""
        return Resources(cpu=round_cpu(self.cpu), memory_mib=self.memory_mib, disk_mib=self.disk_mib, pids=self.pids)


class ResourcesSection(_Section):
    """What a container gets that asks for nothing, and the most that one may ask for."""

    default: SizeSection = SizeSection()
    maximum: SizeSection = SizeSection(cpu=8.0, memory_mib=16_384, disk_mib=102_400, pids=8192)


class ApiConfig(_Section, kw_only=True):
    """Everything the API must know before it starts."""

    listen_host: str = "127.0.0.1"
    listen_port: ListenPort = 8400
    # Where browsers find the portal; the exact Origin of its requests.
    portal_url: str
    # Container hosts are `<label>.<domain>`, reached at this scheme and port.
    container_domain: str
    container_scheme: Literal["http", "https"] = "https"
    container_port: ListenPort = 443
    # The two private CAs and the API's own client key; 0700.
    keys_dir: Path
    state_dir: Path
    driver: Literal["process", "lxc", "proxmox"] = "process"
    agent_port: ListenPort = 7443
    channels: tuple[Literal["stable", "candidate"], ...] = ("stable",)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    history: HistorySection = HistorySection()
    resources: ResourcesSection = ResourcesSection()
    reconciler: ReconcilerSection = ReconcilerSection()
    database: DatabaseSection
    artifacts: ArtifactsSection
    process: ProcessDriverSection | None = None
    proxmox: ProxmoxDriverSection | None = None
    lxc: LxcDriverSection | None = None
    traefik: TraefikSection

    @property
    def api_url(self) -> str:
        """Where programs on this machine reach the API."""
        return f"http://{self.listen_host}:{self.listen_port}"

    @property
    def driver_section(self) -> DriverSection:
        """The table of the driver that is used; `find_problems` has seen that it is there."""
        section: DriverSection | None = getattr(self, self.driver)
        assert section is not None
        return section


def load_config(path: Path) -> ApiConfig:
    """Return the configuration in `path`; raise ConfigInvalid with every problem that was found."""
    config = convert_document(read_document(path), ApiConfig, source=path)
    problems = find_problems(config)
    if problems:
        raise ConfigInvalid(source=str(path), problems=problems)
    return config


def find_problems(config: ApiConfig) -> list[str]:
    """Return what is wrong with a configuration whose types are right."""
    problems = []
    if not is_domain(config.container_domain):
        problems.append(f"container_domain {config.container_domain!r} is no domain (lower case, no trailing dot)")
    for name, url in (
        ("portal_url", config.portal_url),
        ("artifacts.url", config.artifacts.url),
        *(("artifacts.mirrors", url) for url in config.artifacts.mirrors),
        ("traefik.api_url", config.traefik.api_url),
        ("traefik.web_url", config.traefik.web_url),
        ("traefik.backend_url", config.traefik.backend_url or config.api_url),
    ):
        if not is_http_url(url):
            problems.append(f"{name} {url!r} is no http or https URL")
    portal_host = urlsplit(config.portal_url).hostname or ""
    label, _, domain = portal_host.partition(".")
    if domain == config.container_domain and is_label(label):
        problems.append(f"portal_url {config.portal_url!r} has the name of a container; choose another")
    problems += _find_artifact_problems(config.artifacts)
    problems += _find_resource_problems(config.resources)
    if config.driver == "process" and not is_loopback(config.listen_host):
        problems.append(
            f"listen_host {config.listen_host} is beyond loopback, and the process driver isolates nothing: "
            "its containers run as your own user; listen on 127.0.0.1 or use another driver"
        )
    return problems + _find_driver_problems(config)


def _find_driver_problems(config: ApiConfig) -> list[str]:
    if getattr(config, config.driver, None) is None:
        return [f'the table [{config.driver}] is missing, which driver = "{config.driver}" needs']
    process = config.process
    if config.driver == "process" and process is not None and not _is_loopback_block(process.address_block):
        return [f"process.address_block {process.address_block!r} is no block within 127.0.0.0/8"]
    if config.driver == "proxmox" and config.proxmox is not None:
        return _find_proxmox_problems(config.proxmox)
    if config.driver == "lxc" and config.lxc is not None:
        return _find_lxc_problems(config.lxc, config.artifacts)
    return []


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
    return problems


def _find_resource_problems(sizes: ResourcesSection) -> list[str]:
    default, maximum = sizes.default.limits, sizes.maximum.limits
    return [
        f"resources.default.{name} {getattr(default, name)} is above resources.maximum.{name} {getattr(maximum, name)}"
        for name in find_excess(default, maximum)
    ]


def _find_artifact_problems(artifacts: ArtifactsSection) -> list[str]:
    if artifacts.keys is None:
        return []
    if artifacts.folder is None:
        return ["artifacts.keys is given without artifacts.folder, so there is nothing to sign"]
    served = [artifacts.folder / name for name in ("archives", "metadata", "targets")]
    if any(artifacts.keys.is_relative_to(folder) for folder in served):
        return [f"artifacts.keys {artifacts.keys} lies within what is served"]
    return []


def is_loopback(host: str) -> bool:
    """Tell whether a listener on `host` is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
