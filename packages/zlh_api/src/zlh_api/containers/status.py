"""From the row to the report: pure, so that every combination of what was seen can be held against what is said."""

from __future__ import annotations

from zlh_api.containers.model import Container, Guest, Power
from zlh_common.names import render_host
from zlh_common.schema.status import (
    AgentStatus,
    Connection,
    ContainerStatus,
    Lifecycle,
    ProvisioningError,
    Step,
    StepState,
)

# A step that has failed this often is called an error; it is still tried again, ever more slowly.
ATTEMPTS_BEFORE_ERROR = 3
# The agent's own steps are shown behind this one, since they are what comes next.
AGENT_STEPS_AFTER = "send-spec"


def render_status(container: Container, *, domain: str, url: str) -> ContainerStatus:
    """Return the whole report of one container; `url` is where its host opens once the route is loaded."""
    error = find_error(container)
    complete = container.provisioned_at is not None and error is None
    agent = container.agent
    return ContainerStatus(
        vmid=container.vmid,
        kind=container.kind,
        name=container.name,
        customer_id=str(container.customer_id),
        connection=container.connection,
        lifecycle=decide_lifecycle(container, error),
        ready=is_ready(container, error),
        provisioning_complete=complete,
        provisioning_error=error,
        power=container.power.value,
        degraded=find_degradations(container),
        suspended=False,
        steps=merge_steps(container),
        processes=agent.processes if agent and container.connection is Connection.ONLINE else (),
        terminals=agent.terminals if agent and container.connection is Connection.ONLINE else (),
        addons=agent.addons if agent else (),
        runtimes=agent.runtimes if agent else (),
        hostname=render_host(container.host, domain),
        url=url if container.route_confirmed and not container.is_deleting else None,
        created_at=container.created_at,
        observed_at=container.observed_at,
        spec_generation=container.spec_generation,
        observed_generation=agent.observed_generation if agent else 0,
    )


def merge_steps(container: Container) -> tuple[Step, ...]:
    """Return our own steps with the agent's in their place."""
    mine = container.steps
    theirs = container.agent.steps if container.agent and not container.is_deleting else ()
    names = [step.name for step in mine]
    at = names.index(AGENT_STEPS_AFTER) + 1 if AGENT_STEPS_AFTER in names else len(mine)
    return (*mine[:at], *theirs, *mine[at:])


def find_error(container: Container) -> ProvisioningError | None:
    """Return what the first troubled step failed of; while it is tried again, that is why it was not done before."""
    failed = next((step for step in merge_steps(container) if step.state is StepState.FAILED or step.code), None)
    if failed is None:
        return None
    return ProvisioningError(code=failed.code or "failed", message=failed.message or "It failed.", step=failed.name)


def decide_lifecycle(container: Container, error: ProvisioningError | None) -> Lifecycle:
    """Return the position of the container as a whole."""
    if container.is_deleting:
        return Lifecycle.DELETING
    if error is not None and (container.attempts >= ATTEMPTS_BEFORE_ERROR or is_agents_step(container, error.step)):
        return Lifecycle.ERROR
    if container.power is Power.OFF:
        return Lifecycle.STOPPING if container.guest is Guest.RUNNING else Lifecycle.STOPPED
    return _lifecycle_of_wanted(container)


def _lifecycle_of_wanted(container: Container) -> Lifecycle:
    if container.connection is Connection.ONLINE and is_installing(container.agent):
        return Lifecycle.INSTALLING
    if container.provisioned_at is None:
        return Lifecycle.PROVISIONING
    if container.connection is not Connection.ONLINE or container.restart_done < container.restart_wanted:
        return Lifecycle.STARTING
    return Lifecycle.RUNNING


def is_ready(container: Container, error: ProvisioningError | None) -> bool:
    """Tell whether the whole chain was proved and still holds as far as we see."""
    return (
        error is None
        and container.provisioned_at is not None
        and container.power is Power.ON
        and not container.is_deleting
        and container.guest is Guest.RUNNING
        and container.connection is Connection.ONLINE
        and container.route_confirmed is not None
        and container.agent is not None
        and container.agent.observed_generation >= container.spec_generation
    )


def find_degradations(container: Container) -> tuple[str, ...]:
    """Return what is wrong without the container being broken."""
    reasons = []
    if container.guest is Guest.RUNNING and container.connection is Connection.OFFLINE:
        reasons.append("agent_offline")
    if container.agent and any(not runtime.verified for runtime in container.agent.runtimes):
        reasons.append("runtime_unverified")
    return tuple(reasons)


def is_installing(agent: AgentStatus | None) -> bool:
    """Tell whether the agent is at work on its spec."""
    return agent is not None and any(step.state in {StepState.RUNNING, StepState.PENDING} for step in agent.steps)


def is_agents_step(container: Container, name: str) -> bool:
    """Tell whether a step is the agent's own; what it reports as failed, it has given up."""
    return container.agent is not None and any(step.name == name for step in container.agent.steps)
