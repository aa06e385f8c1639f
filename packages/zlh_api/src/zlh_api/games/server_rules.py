"""How far the server of a game container is, by what its agent tells: pure."""

from __future__ import annotations

from zlh_api.containers.model import Container, Guest, Power
from zlh_common.errors import ZlhError
from zlh_common.schema.game import SERVER
from zlh_common.schema.status import Connection, Lifecycle, ProcessStatus

# From this version of the protocol on, agents keep game servers.
GAME_PROTOCOL = 9
REASON_CHARS = 300


class ServerNotReady(ZlhError):
    """The game server has ended, or does not come up."""

    code, status, retryable = "server_not_ready", 502, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The game server is not ready: {reason}. Its console has its own words.")


def find_server(container: Container) -> ProcessStatus | None:
    """Return what is told of the game server's process, as long as its agent is heard."""
    if container.game is None or container.agent is None or container.guest is not Guest.RUNNING:
        return None
    if container.connection is not Connection.ONLINE:
        return None
    return next((process for process in container.agent.processes if process.name == SERVER), None)


def is_server_off(container: Container) -> bool:
    """Tell whether a game server is wanted to be off, while its guest stays up."""
    return container.game is not None and container.power is Power.OFF


def is_server_ready(container: Container) -> bool:
    """Tell whether the game server runs and is ready for players, by the word of its agent."""
    server = find_server(container)
    return server is not None and server.state == "running" and server.ready


def is_agent_too_old(container: Container) -> bool:
    """Tell whether a game server is wanted of an agent that keeps none."""
    agent = container.agent
    return container.game is not None and agent is not None and agent.protocol_version < GAME_PROTOCOL


def decide_server_lifecycle(container: Container, *, is_installing: bool) -> Lifecycle:
    """Return the position of a game server whose guest runs and whose agent is heard."""
    server = find_server(container)
    if is_server_off(container):
        is_down = server is None or server.state in {"stopped", "error", "backoff"}
        return Lifecycle.STOPPED if is_down else Lifecycle.STOPPING
    if server is not None and server.state != "stopped":
        return Lifecycle(server.state)
    if is_installing:
        return Lifecycle.INSTALLING
    # One that has ended as it should, and that nobody has asked for since, stays as it is.
    return Lifecycle.STOPPED if server is not None and _has_ended(container, server) else Lifecycle.STARTING


def describe_server_absence(container: Container) -> str | None:
    """Return why the game server does not become ready by itself, for people; None while it is on its way."""
    server = find_server(container)
    if server is None or is_server_off(container):
        return None
    if server.state in {"error", "backoff"}:
        return _describe_end(container, server)
    return "it has ended by itself" if server.state == "stopped" and _has_ended(container, server) else None


def _has_ended(container: Container, server: ProcessStatus) -> bool:
    is_told = container.agent is not None and container.agent.observed_generation >= container.spec_generation
    return is_told and server.exited_at is not None


def _describe_end(container: Container, server: ProcessStatus) -> str:
    told = container.agent.game if container.agent else None
    if told is not None and told.hint:
        return told.hint[:REASON_CHARS]
    if server.reason is not None:
        return server.reason.message[:REASON_CHARS].rstrip(".")
    return f"it has ended ({server.state})"
