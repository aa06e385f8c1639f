"""The agent's configuration: one frozen value, read once from one TOML file, every problem reported together."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from zlh_agent.paths import ContainerPaths
from zlh_common.errors import ConfigInvalid
from zlh_common.names import OwnerMark
from zlh_common.schema.catalog import MAX_MIRRORS, MAX_PRIVATE_ORIGINS, Channel
from zlh_common.schema.structs import FrozenMeta
from zlh_common.toml_config import convert_document, is_http_url, read_document

DEFAULT_CONFIG = Path("/etc/zlh/agent.toml")


class _Section(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True):
    """A table of the file. A key that is not known is of a newer API, which an agent outlives that has gone back."""


class TlsSection(_Section):
    """The agent's own certificate, and the CA whose clients it serves. Paths are relative to the file's folder."""

    certificate: Path
    private_key: Path
    client_ca: Path


class TrustSection(_Section):
    """The TUF root by which the catalog is believed."""

    root: Path


class AgentConfig(_Section, kw_only=True):
    """Everything the agent must know before it starts."""

    vmid: Annotated[int, Meta(ge=100, le=999_999_999)]
    owner: OwnerMark
    root: Path
    bind_address: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    artifacts_url: str
    # Other servers of the same signed tree, asked in this order when the first gives nothing that can be believed.
    artifacts_mirrors: Annotated[tuple[str, ...], Meta(max_length=MAX_MIRRORS)] = ()
    # Origins with private addresses (`http://10.0.0.1:8480`) that files of a game server may come from; others of that
    # kind are refused, but for those of the artifact servers.
    private_origins: Annotated[tuple[str, ...], Meta(max_length=MAX_PRIVATE_ORIGINS)] = ()
    channels: tuple[Channel, ...] = ("stable",)
    # None: terminals run as the agent's own user, as under the process driver.
    terminal_user: str | None = None
    # None: runtimes are installed by the agent's own user, as under the process driver.
    install_user: str | None = None
    terminal_environment: dict[str, str] = msgspec.field(default_factory=dict)
    # unit: each shim is a unit of systemd, as in a real container; fork: a daemon that the agent makes by itself.
    shims: Literal["unit", "fork"] = "fork"
    # How long the history of a terminal or process is kept that does not run any more.
    history_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    # How long a start script may run, and how long a repository may be cloned, before it is given up.
    start_script_limit_s: Annotated[float, Meta(gt=0, le=86_400)] = 1800.0
    clone_limit_s: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    # How long a new version of the agent that has proved itself is given up all the same when it ends by itself.
    update_probation_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls: TlsSection
    trust: TrustSection

    @property
    def artifacts_urls(self) -> tuple[str, ...]:
        """Where catalog and archives come from, in the order in which they are asked."""
        return (self.artifacts_url, *self.artifacts_mirrors)

    @property
    def paths(self) -> ContainerPaths:
        """The folders of the container."""
        return ContainerPaths(self.root)


def load_config(path: Path) -> AgentConfig:
    """Return the configuration in `path`; raise ConfigInvalid with every problem that was found."""
    document = _resolve(read_document(path), path.parent)
    config = convert_document(document, AgentConfig, source=path)
    problems = find_problems(config)
    if problems:
        raise ConfigInvalid(source=str(path), problems=problems)
    return config


def find_unknown_keys(path: Path) -> list[str]:
    """Return the keys of the file that nothing is known of, with their table; raise ConfigInvalid as `load_config`."""
    document = read_document(path)
    tables: dict[str, type[_Section]] = {"": AgentConfig, "tls": TlsSection, "trust": TrustSection}
    return [
        f"{name}.{key}" if name else key
        for name, kind in tables.items()
        for key in (document.get(name, {}) if name else document)
        if key not in kind.__struct_fields__
    ]


def find_problems(config: AgentConfig) -> list[str]:
    """Return what is wrong with a configuration whose types are right."""
    problems = []
    try:
        UUID(config.owner)
    except ValueError:
        problems.append(f"owner {config.owner!r} is no UUID")
    try:
        ipaddress.ip_address(config.bind_address)
    except ValueError:
        problems.append(f"bind_address {config.bind_address!r} is no IP address")
    if not is_http_url(config.artifacts_url):
        problems.append(f"artifacts_url {config.artifacts_url!r} is no http or https URL")
    strange = [url for url in config.artifacts_mirrors if not is_http_url(url)]
    problems += [f"artifacts_mirrors {url!r} is no http or https URL" for url in strange]
    strange = [url for url in config.private_origins if not is_http_url(url)]
    problems += [f"private_origins {url!r} is no http or https URL" for url in strange]
    if not config.root.is_absolute():
        problems.append(f"root {config.root} is not absolute")
    files = {
        "tls.certificate": config.tls.certificate,
        "tls.private_key": config.tls.private_key,
        "tls.client_ca": config.tls.client_ca,
        "trust.root": config.trust.root,
    }
    problems += [f"{key} {file} cannot be read" for key, file in files.items() if not os.access(file, os.R_OK)]
    problems += [f"{key} {file} is no file" for key, file in files.items() if file.exists() and not file.is_file()]
    return problems


def render_config(config: AgentConfig) -> dict[str, Any]:
    """Return what holds, for people; the file names no secret, only where they are."""
    rendered: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str)
    return rendered


def _resolve(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    for table in ("tls", "trust"):
        if isinstance(document.get(table), dict):
            document[table] = {
                key: str(folder / value) if isinstance(value, str) else value for key, value in document[table].items()
            }
    return document
