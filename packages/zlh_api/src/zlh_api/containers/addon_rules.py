"""Addons of dev containers: whose names and ports they take, which run of one is up, what bars one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zlh_api.containers.model import Container, Guest, RuntimeWish
from zlh_common.addons import ADDON_PORTS
from zlh_common.errors import ZlhError
from zlh_common.names import HostName
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.spec import Visibility
from zlh_common.schema.status import AddonState, AddonStatus, Connection

ADDON_VISIBILITY: Visibility = "private"
# From this version of the protocol on, agents have addons.
ADDON_PROTOCOL = 7
VERSION_CHARS = 128


class AddonNotOffered(ZlhError):
    """The catalog does not have this addon."""

    code, status = "addon_not_offered", 422

    def __init__(self, addon: str, *, suggestion: str | None = None) -> None:
        super().__init__(f"The catalog has no addon {addon} here; go without it.", addon=addon, suggestion=suggestion)


class AddonNeedsDev(ZlhError):
    """A container of another kind than dev has no addons."""

    code, status = "addon_needs_dev", 422

    def __init__(self, addon: str) -> None:
        super().__init__(f"Only dev containers have addons, such as {addon}; a game server has none.", addon=addon)


class AddonNotFound(ZlhError):
    """The container does not have this addon, or not this version of it."""

    code, status = "addon_not_found", 404

    def __init__(self, addon: str, version: str | None, *, has: Sequence[str]) -> None:
        said = f"{addon} {version or ''}".strip()
        super().__init__(
            f"This container has no addon {said}; it has {', '.join(has) or 'none'}.", addon=addon, version=version
        )


class AddonNameTaken(ZlhError):
    """A process of the customer has the name that the addon's process needs."""

    code, status = "addon_name_taken", 409

    def __init__(self, addon: str) -> None:
        super().__init__(
            f"This container has a process called {addon}, which is what the addon's process is called. "
            "Delete that process, or declare it by another name.",
            addon=addon,
        )


class AddonPortTaken(ZlhError):
    """The port of the addon is published for something else."""

    code, status = "addon_port_taken", 409

    def __init__(self, addon: str, port: int) -> None:
        super().__init__(
            f"Port {port} of this container is published, and {addon} needs it. Take it back, and let your server "
            "listen on another port.",
            addon=addon,
            port=port,
        )


class AddonNotOpen(ZlhError):
    """An addon does not answer, or is not up."""

    code, status, retryable = "addon_not_open", 502, True

    def __init__(self, addon: str, reason: str) -> None:
        super().__init__(f"{addon} does not open: {reason}.", addon=addon)


def enable_addon(addons: tuple[RuntimeWish, ...], name: str, version: str) -> tuple[RuntimeWish, ...]:
    """Return the wishes with this addon among them; one that is there stays as it is."""
    if any(wish.name == name for wish in addons):
        return addons
    return (*addons, RuntimeWish(name=name, version=version))


def disable_addon(addons: tuple[RuntimeWish, ...], name: str) -> tuple[RuntimeWish, ...]:
    """Return the wishes without any version of this addon; one that is not there is none of them."""
    return tuple(wish for wish in addons if wish.name != name)


def names_of(addons: Sequence[RuntimeWish]) -> frozenset[str]:
    """Return which addons are wanted."""
    return frozenset(wish.name for wish in addons)


def check_addons(container: Container, names: frozenset[str]) -> None:
    """Raise AddonNeedsDev or AddonNameTaken where the container cannot have these as well."""
    for name in sorted(names):
        if container.kind != "dev":
            raise AddonNeedsDev(name)
        if has_process(container.processes, name):
            raise AddonNameTaken(name)


def has_process(processes: Sequence[WantedProcess], name: str) -> bool:
    """Tell whether the customer has a process of this name."""
    return any(process.name == name for process in processes)


def addon_ports(container: Container) -> frozenset[int]:
    """Return the ports that belong to the container's addons."""
    return frozenset(ADDON_PORTS[name] for name in names_of(container.addons) if name in ADDON_PORTS)


def addon_hosts(container: Container) -> dict[str, HostName]:
    """Return the host of each addon's port, which has never been anything else's."""
    return {
        name: HostName(container.kind, container.vmid, ADDON_PORTS[name])
        for name in sorted(names_of(container.addons))
        if name in ADDON_PORTS
    }


def own_hosts(container: Container) -> tuple[HostName, ...]:
    """Return the hosts of whose pages the addons take requests; none where there is no addon."""
    hosts = addon_hosts(container)
    return (container.host, *hosts.values()) if hosts else ()


def find_told(container: Container, name: str) -> AddonStatus | None:
    """Return what the agent says of an addon, as long as it is heard."""
    if container.agent is None or container.connection is not Connection.ONLINE or container.guest is not Guest.RUNNING:
        return None
    return next((addon for addon in container.agent.addons if addon.name == name), None)


def find_run(container: Container, name: str) -> str | None:
    """Return what tells one run of an addon from every other, or None where its agent does not say that it runs."""
    told = find_told(container, name)
    if told is None or told.state is not AddonState.RUNNING or told.started_at is None:
        return None
    return f"{(told.version or '')[:VERSION_CHARS]} {told.started_at.isoformat()}"


def is_opened(container: Container, name: str) -> bool:
    """Tell whether the run that is up was seen to open."""
    run = find_run(container, name)
    return run is not None and container.addons_opened.get(name) == run


def may_open(container: Container, name: str) -> bool:
    """Tell whether an addon opens in a browser, as far as we see: this run has, and a route leads to it."""
    return (
        is_opened(container, name)
        and name in names_of(container.addons)
        and container.route_confirmed is not None
        and container.is_meant_to_run
        and not container.is_deleting
    )


def is_agent_old(container: Container) -> bool:
    """Tell whether addons are wanted of an agent that knows none."""
    agent = container.agent
    return bool(container.addons) and agent is not None and agent.protocol_version < ADDON_PROTOCOL


def describe_absence(container: Container, name: str) -> str | None:
    """Return why an addon cannot come up by itself, for people; None where it is on its way."""
    if is_agent_old(container):
        return "the agent of this container is of an earlier version and knows no addons"
    told = find_told(container, name)
    if told is None or told.state not in {AddonState.ERROR, AddonState.BACKOFF}:
        return None
    return f"it has stopped ({told.state.value})" + (f": {told.message[:300]}" if told.message else "")
