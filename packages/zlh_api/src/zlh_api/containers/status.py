"""From the row to the report: pure, so that every combination of what was seen can be held against what is said.

What an agent installs is a link of the chain the first time. Once a container has been ready it stays so while more is
installed, or fails to be: its address, its terminals and what it had go on as before. Such a failure is told by its
step, and as `step_failed` among what is degraded. Only a guest that has lost all of its runtimes is made anew. Limits
that the host refuses are told likewise, as `resize_pending`: those before them hold, and the container goes on. So are
DNS records of such a container that a provider does not take, as `records_pending`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zlh_api.containers.addon_rules import addon_ports, describe_absence, find_told, is_agent_old, may_open, names_of
from zlh_api.containers.model import Container, Guest
from zlh_api.containers.rules import is_refused_harmlessly, is_resize_pending
from zlh_api.drivers.port import SlotBusy, SystemAway
from zlh_api.games.server_rules import decide_server_lifecycle, find_server, is_server_off, is_server_ready
from zlh_api.games.summary_rules import summarize_game
from zlh_api.reconcile.plan import RECORD_STEPS, Do
from zlh_common.names import render_host
from zlh_common.schema.agent_update import UPDATES_ITSELF
from zlh_common.schema.ports import ListeningPort
from zlh_common.schema.runtime import RuntimeInUse
from zlh_common.schema.shells import ShellCheck, ShellDifference, ShellReport
from zlh_common.schema.spec import MAX_ADDONS
from zlh_common.schema.status import (
    PROTOCOL_VERSION,
    AddonState,
    AddonStatus,
    AgentStatus,
    AgentSummary,
    Connection,
    ContainerStatus,
    InstalledRuntime,
    Lifecycle,
    ProvisioningError,
    Step,
    StepState,
    Transfer,
    WorkspaceReport,
)
from zlh_common.step_names import is_of_workspace, is_removal

# A step that has failed this often is called an error; it is still tried again, ever more slowly.
ATTEMPTS_BEFORE_ERROR = 3
# Of an agent's report: as many steps as a spec can bring about, twice, and as much text as a person reads.
MAX_AGENT_STEPS, MAX_AGENT_RUNTIMES = 128, 128
MAX_CHECKS, MAX_DIFFERENCES = 32, 32
MAX_PORTS, MAX_ADDRESSES = 64, 8
NAME_CHARS, STAGE_CHARS, MESSAGE_CHARS, OUTPUT_CHARS = 128, 32, 1000, 4096
# What every reader of JSON holds exactly.
MAX_BYTES = 2**53 - 1
MAX_LEFT_S = 7 * 86400.0
# Why a step waits without having failed.
WAITS = frozenset({SlotBusy.code, SystemAway.code})
# What nobody waits for in a container that was ready once.
_LATE_STEPS = RECORD_STEPS | {Do.OPEN_CODE_SERVER, Do.RESERVE_PORTS}
# The agent's own steps are shown behind this one, since they are what comes next.
AGENT_STEPS_AFTER = str(Do.SEND_SPEC)


def render_status(
    container: Container,
    *,
    domain: str,
    url: str,
    addon_urls: Mapping[str, str] | None = None,
    has_services: bool = False,
) -> ContainerStatus:
    """Return the whole report of one container; `url` is where its host opens once the route is loaded.

    `addon_urls` are where its addons open once they do, by name; `has_services` says whether DNS tells ports of games.
    """
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
        resources=container.resources,
        resources_in_force=container.resources_in_force,
        degraded=find_degradations(container),
        suspended=container.is_suspended,
        steps=merge_steps(container),
        processes=agent.processes if agent and container.connection is Connection.ONLINE else (),
        terminals=agent.terminals if agent and container.connection is Connection.ONLINE else (),
        ports=listening_ports(container),
        addons=render_addons(container, addon_urls or {}),
        runtimes=agents_runtimes(container),
        shells=bound_shells(agent.shells) if agent and agent.shells else None,
        workspace=WorkspaceReport(
            sudo=container.workspace.sudo,
            repository=container.workspace.repository,
            has_start_script=container.workspace.start_script is not None,
        ),
        hostname=render_host(container.host, domain),
        url=url if container.route_confirmed and not container.is_deleting else None,
        created_at=container.created_at,
        observed_at=container.observed_at,
        spec_generation=container.spec_generation,
        observed_generation=agent.observed_generation if agent else 0,
        game=summarize_game(container, agents_steps(container), domain=domain, has_services=has_services),
        agent=summarize_agent(agent) if agent else None,
    )


def summarize_agent(agent: AgentStatus) -> AgentSummary:
    """Return which agent it is, as much of a stranger's word as people read."""
    because = agent.agent.fixed_because if agent.agent is not None else None
    return AgentSummary(
        version=agent.agent_version[:NAME_CHARS],
        protocol_version=int(_bounded(agent.protocol_version, MAX_BYTES)),
        can_be_updated=agent.protocol_version >= UPDATES_ITSELF and because is None,
        fixed_because=because[:MESSAGE_CHARS] if because is not None else None,
    )


def merge_steps(container: Container) -> tuple[Step, ...]:
    """Return our own steps with the agent's in their place."""
    mine = container.steps
    names = [step.name for step in mine]
    at = names.index(AGENT_STEPS_AFTER) + 1 if AGENT_STEPS_AFTER in names else len(mine)
    return (*mine[:at], *agents_steps(container), *mine[at:])


def agents_steps(container: Container) -> tuple[Step, ...]:
    """Return what the agent does, or () where that is of no interest any more."""
    if container.agent is None or container.is_deleting:
        return ()
    return tuple(bound_step(step) for step in container.agent.steps[:MAX_AGENT_STEPS])


def agents_runtimes(container: Container) -> tuple[InstalledRuntime, ...]:
    """Return what the agent has told to be installed, as much as can be shown."""
    told = container.agent.runtimes if container.agent else ()
    return tuple(bound_runtime(runtime) for runtime in told[:MAX_AGENT_RUNTIMES])


def is_established(container: Container) -> bool:
    """Tell whether the container was ready once, and still has some of what it was made with."""
    if container.provisioned_at is None:
        return False
    wanted = {wish.name for wish in container.runtimes}
    if container.agent is None or not wanted:
        return True
    return any(runtime.name in wanted for runtime in container.agent.runtimes)


def find_error(container: Container) -> ProvisioningError | None:
    """Return what the first troubled step failed of; while it is tried again, that is why it was not done before.

    What the agent of an established container cannot install is no fault of its provisioning, and neither are what the
    agent of any cannot remove or do in the workspace, and limits that its host refuses while those before hold.
    """
    steps = container.steps if is_established(container) else merge_steps(container)
    failed = next((step for step in steps if is_troubled(step) and not _is_harmless(container, step)), None)
    if failed is None:
        return None
    return ProvisioningError(code=failed.code or "failed", message=failed.message or "It failed.", step=failed.name)


def _is_harmless(container: Container, step: Step) -> bool:
    """Tell whether nobody waits for a step to use the rest, so that its failure is told elsewhere."""
    is_renewal = step.name == Do.RENEW_IDENTITY
    return (
        is_removal(step.name)
        or is_of_workspace(step.name)
        or is_renewal
        or is_refused_harmlessly(container, step.name)
        or (step.name in _LATE_STEPS and is_established(container) and not container.is_deleting)
    )


def is_troubled(step: Step) -> bool:
    """Tell whether a step has failed, or is tried again after it has; a skipped one says why, and is no trouble."""
    if step.state is StepState.SKIPPED:
        return False
    return step.state is StepState.FAILED or (bool(step.code) and not is_waiting(step))


def is_waiting(step: Step) -> bool:
    """Tell whether a step waits for its turn, or for a system that is away; nothing of it has failed."""
    return step.state is StepState.PENDING and step.code in WAITS


def decide_lifecycle(container: Container, error: ProvisioningError | None) -> Lifecycle:
    """Return the position of the container as a whole."""
    if container.is_deleting:
        return Lifecycle.DELETING
    if error is not None and (container.attempts >= ATTEMPTS_BEFORE_ERROR or is_agents_step(container, error.step)):
        return Lifecycle.ERROR
    if not container.is_meant_to_run:
        return Lifecycle.STOPPING if container.guest is Guest.RUNNING else Lifecycle.STOPPED
    return _lifecycle_of_wanted(container)


def _lifecycle_of_wanted(container: Container) -> Lifecycle:
    is_first = not is_established(container)
    if is_first and container.connection is Connection.ONLINE and is_installing(container.agent):
        return Lifecycle.INSTALLING
    if container.provisioned_at is None and not is_server_off(container):
        return Lifecycle.PROVISIONING
    if container.connection is not Connection.ONLINE or container.restart_done < container.restart_wanted:
        return Lifecycle.STOPPED if is_server_off(container) else Lifecycle.STARTING
    if container.game is not None:
        return decide_server_lifecycle(container, is_installing=is_installing(container.agent))
    return Lifecycle.RUNNING


def is_ready(container: Container, error: ProvisioningError | None) -> bool:
    """Tell whether the whole chain was proved and still holds as far as we see."""
    return (
        error is None
        and is_established(container)
        and container.is_meant_to_run
        and not container.is_deleting
        and container.guest is Guest.RUNNING
        and container.connection is Connection.ONLINE
        and container.route_confirmed is not None
        and container.agent is not None
        and not container.edge_faults
        and (container.game is None or (is_server_ready(container) and not is_server_off(container)))
    )


def find_degradations(container: Container) -> tuple[str, ...]:
    """Return what is wrong without the container being broken."""
    reasons = []
    if container.guest is Guest.RUNNING and container.connection is Connection.OFFLINE:
        reasons.append("agent_offline")
    if container.agent and container.agent.protocol_version > PROTOCOL_VERSION:
        reasons.append("agent_newer")
    if container.agent and any(not runtime.verified for runtime in container.agent.runtimes):
        reasons.append("runtime_unverified")
    if container.agent and container.agent.shells and not all(check.ok for check in container.agent.shells.checks):
        reasons.append("shells_differ")
    if is_established(container) and any(is_failure(step) for step in agents_steps(container)):
        reasons.append("step_failed")
    if any(step.name == Do.RENEW_IDENTITY and is_troubled(step) for step in container.steps):
        reasons.append("identity_not_renewed")
    if is_established(container) and any(step.name in RECORD_STEPS and step.code for step in container.steps):
        reasons.append("records_pending")
    reasons += container.agent_faults
    if container.is_meant_to_run and not container.is_deleting:
        reasons += container.edge_faults
    if container.cut_fault is not None:
        reasons.append("connections_open")
    if not container.is_deleting and is_resize_pending(container):
        reasons.append("resize_pending")
    reasons += _find_addon_troubles(container)
    reasons += _find_server_troubles(container)
    return tuple(reasons)


def _find_server_troubles(container: Container) -> list[str]:
    """Return what is wrong with the game server of an established container."""
    if container.is_deleting or not is_established(container):
        return []
    has_no_port = any(step.name == Do.RESERVE_PORTS and is_troubled(step) for step in container.steps)
    reasons = ["ports_pending"] if has_no_port else []
    server = find_server(container)
    if server is None or is_server_off(container):
        return reasons
    if server.state in {"error", "backoff"}:
        reasons.append("server_down")
    if server.state == "running" and not server.ready:
        reasons.append("server_not_answering")
    return reasons


def _find_addon_troubles(container: Container) -> list[str]:
    """Return why addons of an established container are not there; those of a new one are a link of its chain."""
    if container.is_deleting or not container.is_meant_to_run or not is_established(container):
        return []
    if is_agent_old(container):
        return ["addon_agent_old"]
    is_troubled_step = any(step.name == Do.OPEN_CODE_SERVER and step.code for step in container.steps)
    is_down = any(describe_absence(container, name) for name in names_of(container.addons))
    return ["addon_not_open"] if is_down or is_troubled_step else []


def is_failure(step: Step) -> bool:
    """Tell whether a step is in trouble; a version that is in use is no trouble, it goes when its users have gone."""
    return is_troubled(step) and step.code != RuntimeInUse.code


def is_installing(agent: AgentStatus | None) -> bool:
    """Tell whether the agent brings what its spec wants; what must go may wait for its users for days.

    A clone and a start script go on beside everything else.
    """
    steps = agent.steps if agent is not None else ()
    under_way = [step.name for step in steps if step.state in {StepState.RUNNING, StepState.PENDING}]
    return any(not is_removal(name) and not is_of_workspace(name) for name in under_way)


def is_agents_step(container: Container, name: str) -> bool:
    """Tell whether a step is the agent's own; what it reports as failed, it has given up."""
    return not is_established(container) and any(step.name == name for step in agents_steps(container))


def bound_step(step: Step) -> Step:
    """Return a stranger's step with figures that can be and texts that can be shown."""
    return msgspec.structs.replace(
        step,
        name=step.name[:NAME_CHARS],
        progress=_bounded(step.progress, 1.0) if step.progress is not None else None,
        code=step.code[:NAME_CHARS] if step.code else None,
        message=step.message[:MESSAGE_CHARS] if step.message else None,
        output=step.output[-OUTPUT_CHARS:] if step.output else None,
        transfer=bound_transfer(step.transfer) if step.transfer else None,
        # These two are ours to tell: nobody but us tries an agent's step again.
        attempts=0,
        next_try_at=None,
    )


def bound_runtime(runtime: InstalledRuntime) -> InstalledRuntime:
    """Return a stranger's record with figures that can be and texts that can be shown."""
    return msgspec.structs.replace(
        runtime,
        name=runtime.name[:NAME_CHARS],
        version=runtime.version[:NAME_CHARS],
        sha256=runtime.sha256[:NAME_CHARS],
        source=runtime.source[:MESSAGE_CHARS],
        size=int(_bounded(runtime.size, MAX_BYTES)),
        faults=int(_bounded(runtime.faults, MAX_BYTES)),
    )


def listening_ports(container: Container) -> tuple[ListeningPort, ...]:
    """Return what the container's programs listen on, as far as its agent is heard and can be shown.

    The port of an addon is the platform's.
    """
    if container.agent is None or container.connection is not Connection.ONLINE:
        return ()
    ours = addon_ports(container)
    shown = [port for port in container.agent.ports if port.port not in ours]
    return tuple(bound_port(port) for port in shown[:MAX_PORTS])


def bound_port(port: ListeningPort) -> ListeningPort:
    """Return a stranger's port with texts that can be shown."""
    return msgspec.structs.replace(
        port,
        addresses=tuple(address[:NAME_CHARS] for address in port.addresses[:MAX_ADDRESSES]),
        process=port.process[:NAME_CHARS],
        command=port.command[:MESSAGE_CHARS],
        directory=port.directory[:MESSAGE_CHARS] if port.directory else None,
    )


def agents_addon_versions(container: Container) -> tuple[InstalledRuntime, ...]:
    """Return what the agent has told to be installed of addons, as much as can be shown."""
    told = container.agent.addons[:MAX_ADDONS] if container.agent else ()
    # A version of another name than its addon's would be taken for another addon's.
    versions = [version for addon in told for version in addon.versions if version.name == addon.name]
    return tuple(bound_runtime(version) for version in versions[:MAX_AGENT_RUNTIMES])


def render_addons(container: Container, urls: Mapping[str, str]) -> tuple[AddonStatus, ...]:
    """Return the addons that are wanted, as far as they are, and those that are still to go."""
    wanted = names_of(container.addons)
    told = container.agent.addons[:MAX_ADDONS] if container.agent else ()
    leaving = [bound_addon(addon) for addon in told if addon.name not in wanted]
    return (*(_render_addon(container, name, urls.get(name)) for name in sorted(wanted)), *leaving)


def _render_addon(container: Container, name: str, url: str | None) -> AddonStatus:
    told = find_told(container, name)
    if told is not None:
        return msgspec.structs.replace(bound_addon(told), url=url if may_open(container, name) else None)
    last = next((addon for addon in (container.agent.addons if container.agent else ()) if addon.name == name), None)
    known = bound_addon(last) if last is not None else AddonStatus(name=name, state=AddonState.INSTALLING)
    if container.guest is not Guest.RUNNING and container.provisioned_at is not None:
        return msgspec.structs.replace(known, state=AddonState.STOPPED, started_at=None, message=None)
    if is_agent_old(container):
        return msgspec.structs.replace(known, message=f"It is not there: {describe_absence(container, name)}.")
    if container.connection is not Connection.ONLINE and container.agent is not None:
        return msgspec.structs.replace(known, started_at=None, message="The agent of this container is not heard now.")
    return msgspec.structs.replace(known, started_at=None)


def bound_addon(addon: AddonStatus) -> AddonStatus:
    """Return a stranger's addon with texts that can be shown; where it opens is ours to say."""
    return msgspec.structs.replace(
        addon,
        name=addon.name[:NAME_CHARS],
        version=addon.version[:NAME_CHARS] if addon.version else None,
        url=None,
        message=addon.message[:MESSAGE_CHARS] if addon.message else None,
        versions=tuple(bound_runtime(version) for version in addon.versions[:MAX_AGENT_RUNTIMES]),
    )


def bound_shells(shells: ShellReport) -> ShellReport:
    """Return what a stranger has found in its shells, as much of it as people can read."""
    return msgspec.structs.replace(shells, checks=tuple(_bound_check(check) for check in shells.checks[:MAX_CHECKS]))


def _bound_check(check: ShellCheck) -> ShellCheck:
    return msgspec.structs.replace(
        check,
        mode=check.mode[:NAME_CHARS],
        problem=check.problem[:MESSAGE_CHARS] if check.problem else None,
        differences=tuple(
            ShellDifference(
                what=each.what[:NAME_CHARS],
                expected=each.expected[:MESSAGE_CHARS] if each.expected else None,
                found=each.found[:MESSAGE_CHARS] if each.found else None,
            )
            for each in check.differences[:MAX_DIFFERENCES]
        ),
    )


def bound_transfer(transfer: Transfer) -> Transfer:
    """Return a stranger's figures so that a bar, a rate and a time can be drawn from them."""
    total = int(_bounded(transfer.total_bytes, MAX_BYTES))
    rate, left_s = transfer.bytes_per_s, transfer.left_s
    return Transfer(
        stage=transfer.stage[:STAGE_CHARS],
        done_bytes=int(_bounded(transfer.done_bytes, total)),
        total_bytes=total,
        bytes_per_s=_bounded(rate, MAX_BYTES) if rate is not None else None,
        left_s=_bounded(left_s, MAX_LEFT_S) if left_s is not None else None,
    )


def _bounded(value: float, most: float) -> float:
    return min(max(value, 0), most)
