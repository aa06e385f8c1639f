"""The API's configuration: one frozen value, read once from one TOML file, every problem reported together."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from zlh_api.reconcile.pace import DRIFT_S, LEASE_S
from zlh_common.errors import ConfigInvalid
from zlh_common.names import is_domain, is_label
from zlh_common.schema.catalog import MAX_MIRRORS
from zlh_common.schema.structs import FrozenMeta
from zlh_common.toml_config import convert_document, is_http_url, read_document

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
    reconciler: ReconcilerSection = ReconcilerSection()
    database: DatabaseSection
    artifacts: ArtifactsSection
    process: ProcessDriverSection | None = None
    traefik: TraefikSection

    @property
    def api_url(self) -> str:
        """Where programs on this machine reach the API."""
        return f"http://{self.listen_host}:{self.listen_port}"

    @property
    def driver_section(self) -> ProcessDriverSection:
        """The table of the driver that is used; `find_problems` has seen that it is there."""
        section = self.process
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
    return []


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


def _is_loopback_block(block: str) -> bool:
    try:
        return ipaddress.IPv4Network(block).is_loopback
    except ValueError:
        return False
