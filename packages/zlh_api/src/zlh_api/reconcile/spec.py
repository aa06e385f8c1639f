"""What one agent is told, in words that it knows, and whether it was told already: pure."""

from __future__ import annotations

import msgspec

from zlh_api.containers.addon_rules import ADDON_PROTOCOL
from zlh_api.containers.model import Container
from zlh_api.games.rendering import render_game
from zlh_api.games.server_rules import GAME_PROTOCOL
from zlh_common.schema.process import LineProbe, ReadyPolicy, WantedProcess
from zlh_common.schema.spec import MAX_PUBLISHED, AgentSpec, WantedRuntime

# From this version of the protocol on, an agent keeps several versions of a runtime, and removes what is not wanted.
SEVERAL_VERSIONS = 2
# With its addons an agent has learned of a workspace and of what is published.
_CHANGED_AT = (1, SEVERAL_VERSIONS, ADDON_PROTOCOL, GAME_PROTOCOL)


def known_protocol(container: Container) -> int:
    """Return the last version of those that changed the spec which both sides speak; 1 while the agent is silent."""
    announced = container.agent.protocol_version if container.agent else 1
    return max((version for version in _CHANGED_AT if version <= announced), default=1)


def render_spec(container: Container, protocol: int, origins: tuple[str, ...] = ()) -> AgentSpec:
    """Return what the agent must make true; one that knows one version of a runtime is told of the defaults alone.

    `origins` are the container's own hosts, of whose pages its addons take requests. Raise MemoryTooSmall and
    GameUnusable.
    """
    orders: tuple[WantedRuntime, ...] = tuple(wish.order() for wish in container.runtimes)
    if protocol < SEVERAL_VERSIONS:
        orders = tuple(order for order in orders if order.default)
    processes = container.processes
    if protocol < GAME_PROTOCOL:
        processes = tuple(_without_line_probe(process) for process in processes)
    spec = AgentSpec(generation=container.spec_generation, runtimes=orders, processes=processes)
    if protocol < ADDON_PROTOCOL:
        return spec
    spec = msgspec.structs.replace(
        spec,
        addons=tuple(wish.order() for wish in container.addons),
        origins=origins,
        published=find_published(container),
        workspace=container.workspace,
    )
    if protocol < GAME_PROTOCOL or container.game is None:
        return spec
    game = render_game(
        container.game,
        memory_mib=container.resources.memory_mib,
        address=container.address or "",
        power=container.power.value,
    )
    return msgspec.structs.replace(spec, game=game)


def _without_line_probe(process: WantedProcess) -> WantedProcess:
    """Return a process as an agent takes it that knows no such probe, and would refuse the whole spec for it.

    It is ready as soon as it runs, then, and nobody looks whether it hangs.
    """
    if not isinstance(process.policy.ready.probe, LineProbe):
        return process
    policy = msgspec.structs.replace(process.policy, ready=ReadyPolicy(), hang=None)
    return msgspec.structs.replace(process, policy=policy)


def find_published(container: Container) -> tuple[int, ...]:
    """Return the ports that the customer has published, as many as a spec holds; an addon's is the platform's own."""
    return tuple(sorted(exposure.port for exposure in container.exposures if exposure.addon is None)[:MAX_PUBLISHED])


def accepted_generation(container: Container, origins: tuple[str, ...] = ()) -> int:
    """Return which spec the agent holds as we would tell it now.

    One that has learned more since is told again, and one that was told of hosts that have other names by now.
    """
    protocol = known_protocol(container)
    if container.agent is None or container.spec_protocol < protocol:
        return 0
    if protocol >= ADDON_PROTOCOL and container.spec_origins != origins:
        return 0
    return container.agent.spec_generation
