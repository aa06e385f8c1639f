"""What a driver puts into `/etc/zlh` of a guest for its agent: the configuration, and the identity. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zlh_api.drivers.port import Identity
from zlh_common.names import OwnerMark, Vmid

# Users that the template of real containers has.
TERMINAL_USER, INSTALL_USER = "dev", "zlh-install"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What all agents of this installation have in common."""

    artifacts_url: str
    port: int
    channels: Sequence[str]
    log_level: str = "INFO"
    # Other servers of the same signed tree.
    artifacts_mirrors: Sequence[str] = ()
    # With private addresses, that files of game servers may come from too.
    private_origins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where one agent lives."""

    vmid: Vmid
    owner: OwnerMark
    root: Path
    bind_address: str
    terminal_user: str | None = None
    # Who owns runtimes and installs them; None is the agent's own user.
    install_user: str | None = None
    terminal_environment: Mapping[str, str] = field(default_factory=dict)
    # Whether systemd runs there, so that each shim is a unit of its own.
    has_systemd: bool = False


def place_in_guest(vmid: Vmid, owner: OwnerMark, *, bind_address: str) -> AgentPlace:
    """Return the place of an agent that has a machine of its own, made of our template."""
    return AgentPlace(
        vmid=vmid,
        owner=owner,
        root=Path("/"),
        bind_address=bind_address,
        terminal_user=TERMINAL_USER,
        install_user=INSTALL_USER,
        has_systemd=True,
    )


def render_agent_files(settings: AgentSettings, place: AgentPlace, identity: Identity) -> dict[str, bytes]:
    """Return the files by name, to be written in this order: an agent that finds its configuration finds the rest."""
    return {
        "agent.crt": identity.certificate,
        "agent.key": identity.private_key,
        "api-ca.crt": identity.client_ca,
        "root.json": identity.trusted_root,
        "agent.toml": render_agent_config(settings, place).encode(),
    }


def render_agent_config(settings: AgentSettings, place: AgentPlace) -> str:
    """Return `/etc/zlh/agent.toml`; a JSON string is a TOML basic string, so values need no quoting of our own."""
    user = f"terminal_user = {json.dumps(place.terminal_user)}\n" if place.terminal_user else ""
    installer = f"install_user = {json.dumps(place.install_user)}\n" if place.install_user else ""
    servers = _render_list("artifacts_mirrors", settings.artifacts_mirrors)
    origins = _render_list("private_origins", settings.private_origins)
    variables = "".join(f"{name} = {json.dumps(value)}\n" for name, value in sorted(place.terminal_environment.items()))
    return (
        f"vmid = {place.vmid}\n"
        f"owner = {json.dumps(place.owner)}\n"
        f"root = {json.dumps(str(place.root))}\n"
        f"bind_address = {json.dumps(place.bind_address)}\n"
        f"port = {settings.port}\n"
        f"artifacts_url = {json.dumps(settings.artifacts_url)}\n"
        f"{servers}{origins}"
        f"channels = {json.dumps(list(settings.channels))}\n"
        f"{user}{installer}"
        f'shims = "{"unit" if place.has_systemd else "fork"}"\n'
        f"log_level = {json.dumps(settings.log_level)}\n"
        f"\n[terminal_environment]\n{variables}"
        '\n[tls]\ncertificate = "agent.crt"\nprivate_key = "agent.key"\nclient_ca = "api-ca.crt"\n'
        '\n[trust]\nroot = "root.json"\n'
    )


def _render_list(name: str, values: Sequence[str]) -> str:
    """Return the line of a list, or nothing for an empty one, which older agents may not know."""
    return f"{name} = {json.dumps(list(values))}\n" if values else ""
