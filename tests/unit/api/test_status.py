"""The report of a container: every combination of what was seen against what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.containers.model import Container, Guest, Power, RuntimeWish
from zlh_api.containers.status import (
    ATTEMPTS_BEFORE_ERROR,
    MAX_AGENT_STEPS,
    MAX_LEFT_S,
    MAX_PORTS,
    find_degradations,
    find_error,
    merge_steps,
    render_status,
)
from zlh_common.names import OwnerMark, Vmid
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach
from zlh_common.schema.resources import Resources
from zlh_common.schema.shells import ShellCheck, ShellReport
from zlh_common.schema.spec import MAX_ADDONS, WantedWorkspace
from zlh_common.schema.status import (
    AddonState,
    AddonStatus,
    AgentStatus,
    Connection,
    ContainerStatus,
    InstalledRuntime,
    Lifecycle,
    ProcessStatus,
    Step,
    StepState,
    Transfer,
)
from zlh_common.schema.structs import encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
FAILED = Step(name="create-guest", state=StepState.FAILED, code="guest_failed", message="It broke.")


def agent(**fields: Any) -> AgentStatus:
    """Return the report of an agent that has reached generation 1."""
    told: dict[str, Any] = {
        "protocol_version": 1,
        "agent_version": "0.1.0",
        "owner": OWNER,
        "boot_id": "b",
        "started_at": NOW,
        "observed_at": NOW,
        "spec_generation": 1,
        "observed_generation": 1,
    }
    return AgentStatus(**{**told, **fields})


RUNNING = Container(
    owner=OWNER,
    vmid=Vmid(101),
    customer_id=UUID(int=1),
    kind="dev",
    name="mine",
    created_at=NOW,
    runtimes=(),
    processes=(),
    spec_generation=1,
    power=Power.ON,
    restart_wanted=0,
    deleting_at=None,
    address="127.77.0.1",
    guest=Guest.RUNNING,
    identity_expires_at=NOW,
    connection=Connection.ONLINE,
    agent=agent(),
    observed_at=NOW,
    restart_done=0,
    route_confirmed="digest",
    provisioned_at=NOW,
    attempts=0,
    resources_in_force=Resources(),
    steps=(Step(name="send-spec", state=StepState.DONE), Step(name="check-ready", state=StepState.DONE)),
)
NEW = replace(
    RUNNING,
    guest=Guest.ABSENT,
    resources_in_force=None,
    connection=Connection.CONNECTING,
    agent=None,
    route_confirmed=None,
    provisioned_at=None,
)
INSTALLING = Step(name="install-go-1.27.3", state=StepState.RUNNING)
WAITING = Step(name="remove-node-22.0.0", state=StepState.PENDING, code="runtime_in_use", message="web runs from it")
BROKEN = Step(name="install-go-1.27.3", state=StepState.FAILED, code="smoke_test_failed", message="It does not run.")
# Its guest was made anew: nothing of what it had is there.
EMPTIED = replace(RUNNING, runtimes=(RuntimeWish(name="node", version="24.0.0"),))
NODE = InstalledRuntime(
    name="node",
    version="24.0.0",
    default=True,
    verified=True,
    size=1,
    sha256="0" * 64,
    source="node.tar",
    installed_at=NOW,
)
WITH_NODE = agent(runtimes=(NODE,))


def report(container: Container) -> ContainerStatus:
    """Return what is said of a container."""
    return render_status(container, domain="localhost", url="http://dev-101.localhost/")


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (RUNNING, Lifecycle.RUNNING),
        (NEW, Lifecycle.PROVISIONING),
        (replace(RUNNING, connection=Connection.OFFLINE), Lifecycle.STARTING),
        (replace(RUNNING, connection=Connection.CONNECTING), Lifecycle.STARTING),
        (replace(RUNNING, restart_wanted=1), Lifecycle.STARTING),
        (replace(RUNNING, restart_wanted=1, restart_done=1), Lifecycle.RUNNING),
        (replace(RUNNING, power=Power.OFF), Lifecycle.STOPPING),
        (replace(RUNNING, power=Power.OFF, guest=Guest.STOPPED), Lifecycle.STOPPED),
        (replace(RUNNING, power=Power.OFF, guest=Guest.ABSENT), Lifecycle.STOPPED),
        (replace(NEW, power=Power.OFF, guest=Guest.HALF_MADE), Lifecycle.STOPPED),
        (replace(NEW, guest=Guest.HALF_MADE), Lifecycle.PROVISIONING),
        (replace(RUNNING, guest=Guest.HALF_MADE, connection=Connection.OFFLINE), Lifecycle.STARTING),
        (replace(RUNNING, deleting_at=NOW), Lifecycle.DELETING),
        (replace(NEW, deleting_at=NOW, steps=(FAILED,), attempts=9), Lifecycle.DELETING),
        (replace(NEW, steps=(FAILED,), attempts=ATTEMPTS_BEFORE_ERROR - 1), Lifecycle.PROVISIONING),
        (replace(NEW, steps=(FAILED,), attempts=ATTEMPTS_BEFORE_ERROR), Lifecycle.ERROR),
        (
            replace(NEW, connection=Connection.ONLINE, agent=agent(steps=(INSTALLING,))),
            Lifecycle.INSTALLING,
        ),
        (
            replace(NEW, connection=Connection.ONLINE, agent=agent(steps=(BROKEN,))),
            Lifecycle.ERROR,
        ),
        (replace(NEW, connection=Connection.ONLINE, agent=agent(steps=(WAITING,))), Lifecycle.PROVISIONING),
        (replace(NEW, connection=Connection.ONLINE, agent=agent(steps=(WAITING, INSTALLING))), Lifecycle.INSTALLING),
        (replace(EMPTIED, agent=agent(steps=(WAITING,))), Lifecycle.RUNNING),
        (replace(RUNNING, agent=agent(steps=(INSTALLING,))), Lifecycle.RUNNING),
        (replace(RUNNING, agent=agent(steps=(BROKEN,))), Lifecycle.RUNNING),
        (replace(EMPTIED, agent=agent(steps=(INSTALLING,))), Lifecycle.INSTALLING),
        (replace(EMPTIED, agent=agent(steps=(BROKEN,))), Lifecycle.ERROR),
        (
            replace(
                RUNNING,
                connection=Connection.OFFLINE,
                agent=agent(steps=(Step(name="install-node", state=StepState.RUNNING),)),
            ),
            Lifecycle.STARTING,
        ),
    ],
)
def test_lifecycle(container: Container, expected: Lifecycle) -> None:
    """The position of the whole container follows from what is wanted and what was seen."""
    assert report(container).lifecycle is expected


def test_a_container_is_ready_only_when_the_whole_chain_holds() -> None:
    """Of all combinations of the links of the chain, the one without a missing link is ready."""
    broken: list[dict[str, Any]] = [
        {"power": Power.OFF},
        {"deleting_at": NOW},
        {"guest": Guest.STOPPED},
        {"guest": Guest.HALF_MADE},
        {"connection": Connection.OFFLINE},
        {"route_confirmed": None},
        {"provisioned_at": None},
        {"agent": None},
        {"runtimes": (RuntimeWish(name="node", version="24.0.0"),)},
        {"steps": (FAILED,)},
    ]
    assert report(RUNNING).ready
    assert report(replace(RUNNING, runtimes=(RuntimeWish(name="node", version="24.0.0"),), agent=WITH_NODE)).ready
    for first, second in product(broken, broken):
        assert not report(replace(RUNNING, **{**first, **second})).ready


def test_ready_always_comes_with_a_running_lifecycle_and_a_url() -> None:
    """Whoever reads `ready` need not read the rest."""
    for power, guest, connection, route, attempts in product(Power, Guest, Connection, (None, "digest"), (0, 5)):
        said = report(
            replace(RUNNING, power=power, guest=guest, connection=connection, route_confirmed=route, attempts=attempts)
        )
        if said.ready:
            assert (said.lifecycle, said.provisioning_complete) == (Lifecycle.RUNNING, True)
            assert said.url == "http://dev-101.localhost/"


def test_the_first_failed_step_is_the_error() -> None:
    """People are sent to the step that broke first, with its code and sentence."""
    later = Step(name="check-ready", state=StepState.FAILED)
    error = find_error(replace(RUNNING, steps=(FAILED, later)))
    assert error is not None
    assert (error.step, error.code, error.message) == ("create-guest", "guest_failed", "It broke.")


def test_a_failed_step_without_words_still_has_some() -> None:
    """A stranger's step may lack a code and a message; the report never does."""
    error = find_error(replace(RUNNING, steps=(Step(name="x", state=StepState.FAILED),)))
    assert error is not None
    assert (error.code, error.message) == ("failed", "It failed.")


@pytest.mark.parametrize("code", ["slot_busy", "system_away"])
def test_a_step_that_waits_has_not_failed(code: str) -> None:
    """Whoever waits for a turn or a system is no worse than before, however often something failed earlier."""
    waiting = Step(name="create-guest", state=StepState.PENDING, code=code, message="Waiting.", next_try_at=NOW)
    for attempts in (0, ATTEMPTS_BEFORE_ERROR):
        container = replace(RUNNING, steps=(*RUNNING.steps, waiting), attempts=attempts)
        shown = report(container)
        assert (shown.provisioning_error, shown.ready, shown.lifecycle) == (None, True, Lifecycle.RUNNING)
        assert waiting in shown.steps
    tried = msgspec.structs.replace(waiting, state=StepState.FAILED)
    assert find_error(replace(RUNNING, steps=(tried,))) is not None


def test_a_stranger_does_not_say_when_we_try_again() -> None:
    """Nor how often we have tried."""
    told = Step(name="install-node", state=StepState.RUNNING, attempts=7, next_try_at=NOW)
    (shown,) = merge_steps(replace(RUNNING, agent=agent(steps=(told,)), steps=()))
    assert (shown.attempts, shown.next_try_at) == (0, None)


def test_a_failed_step_ends_completion() -> None:
    """A container with an error is not called complete."""
    assert report(RUNNING).provisioning_complete
    assert not report(replace(RUNNING, steps=(FAILED,))).provisioning_complete


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        (("a", "send-spec", "b"), ("x", "y"), ("a", "send-spec", "x", "y", "b")),
        (("a", "b"), ("x",), ("a", "b", "x")),
        ((), ("x",), ("x",)),
        (("send-spec",), (), ("send-spec",)),
    ],
)
def test_the_agents_steps_stand_behind_the_spec(
    mine: tuple[str, ...], theirs: tuple[str, ...], merged: tuple[str, ...]
) -> None:
    """What the agent does follows from the spec it was sent, so that is where its steps are shown."""
    container = replace(RUNNING, steps=_steps(mine), agent=agent(steps=_steps(theirs)))
    assert tuple(step.name for step in merge_steps(container)) == merged


def test_a_deletion_shows_its_own_steps_alone() -> None:
    """Once a container is on its way out, what its agent installed is of no interest."""
    container = replace(RUNNING, deleting_at=NOW, steps=_steps(("withdraw-route",)), agent=agent(steps=_steps(("x",))))
    assert [step.name for step in merge_steps(container)] == ["withdraw-route"]


def test_no_url_before_the_route_is_loaded_nor_on_the_way_out() -> None:
    """A link that would not open is not shown."""
    assert report(replace(RUNNING, route_confirmed=None)).url is None
    assert report(replace(RUNNING, deleting_at=NOW)).url is None


def test_processes_are_shown_only_while_the_agent_is_heard() -> None:
    """Nobody knows what runs in a container whose agent is silent."""
    told = agent(processes=(ProcessStatus(name="main", state="running"),))
    assert [process.name for process in report(replace(RUNNING, agent=told)).processes] == ["main"]
    assert report(replace(RUNNING, agent=told, connection=Connection.OFFLINE)).processes == ()


def test_degradations_are_named() -> None:
    """A silent agent and an unverified runtime are told without the container being broken."""
    runtime = msgspec.structs.replace(NODE, verified=False)
    container = replace(RUNNING, connection=Connection.OFFLINE, agent=agent(runtimes=(runtime,)))
    assert find_degradations(container) == ("agent_offline", "runtime_unverified")
    assert find_degradations(RUNNING) == ()
    assert find_degradations(replace(container, guest=Guest.STOPPED, agent=None)) == ()


@pytest.mark.parametrize("step", [INSTALLING, BROKEN, msgspec.structs.replace(INSTALLING, code="download_failed")])
def test_what_is_installed_later_takes_nothing_from_a_container(step: Step) -> None:
    """Whether it goes on, fails, or is tried again: the container stays ready, and the step tells the rest."""
    container = replace(
        RUNNING, spec_generation=2, runtimes=EMPTIED.runtimes, agent=agent(runtimes=(NODE,), steps=(step,))
    )
    said = report(container)
    assert (said.lifecycle, said.ready, said.provisioning_complete) == (Lifecycle.RUNNING, True, True)
    assert said.provisioning_error is None
    assert step in said.steps
    assert said.degraded == (() if step is INSTALLING else ("step_failed",))


def test_what_fails_the_first_time_is_an_error_of_the_provisioning() -> None:
    """Nothing was ever ready, and nothing is there that could go on."""
    for container in (replace(NEW, agent=agent(steps=(BROKEN,))), replace(EMPTIED, agent=agent(steps=(BROKEN,)))):
        said = report(container)
        assert (said.ready, said.provisioning_complete, said.degraded) == (False, False, ())
        assert said.provisioning_error is not None
        assert said.provisioning_error.code == "smoke_test_failed"


def test_a_version_that_is_in_use_is_no_failure() -> None:
    """It goes when its users have gone; until then its step says so."""
    assert report(replace(RUNNING, agent=agent(steps=(WAITING,)))).degraded == ()


FIGURES = st.none() | st.floats(allow_nan=False)
TRANSFERS = st.builds(
    Transfer,
    stage=st.text(max_size=9000),
    done_bytes=st.integers(),
    total_bytes=st.integers(),
    bytes_per_s=FIGURES,
    left_s=FIGURES,
)


@given(transfer=TRANSFERS, progress=FIGURES, text=st.text(max_size=9000))
def test_figures_of_a_stranger_can_be_drawn(transfer: Transfer, progress: float | None, text: str) -> None:
    """Whatever an agent says of a transfer: nothing negative, no more done than there is, no book for a stage."""
    told = Step(name=text, state=StepState.RUNNING, progress=progress, message=text, output=text, transfer=transfer)
    (step,) = report(replace(RUNNING, agent=agent(steps=(told,)), steps=())).steps
    assert step.transfer is not None
    assert 0 <= step.transfer.done_bytes <= step.transfer.total_bytes <= 2**53
    assert 0 <= (step.transfer.bytes_per_s or 0) <= 2**53
    assert 0 <= (step.transfer.left_s or 0) <= MAX_LEFT_S
    assert 0 <= (step.progress or 0) <= 1
    assert len(step.transfer.stage) <= 32
    assert max(len(step.name), len(step.message or ""), len(step.output or "")) <= 4096
    assert text.endswith(step.output or "")


def test_what_a_stranger_has_installed_can_be_shown() -> None:
    """As many as could be, with sizes that are some."""
    told = msgspec.structs.replace(NODE, size=-5, faults=10**30, source="x" * 100_000)
    runtimes = report(replace(RUNNING, agent=agent(runtimes=(told,) * 5000))).runtimes
    assert len(runtimes) == 128
    assert (runtimes[0].size, runtimes[0].faults, len(runtimes[0].source)) == (0, 2**53 - 1, 1000)


def test_an_addon_of_a_stranger_opens_nowhere() -> None:
    """Where an addon opens is for the platform to say, and no name is a book."""
    told = AddonStatus(name="x" * 10_000, state=AddonState.RUNNING, version="z" * 10_000, url="https://evil.example")
    addons = report(replace(RUNNING, agent=agent(addons=(told,) * 5000))).addons
    assert len(addons) == MAX_ADDONS
    assert max(len(addons[0].name), len(addons[0].state), len(addons[0].version or "")) <= 128
    assert addons[0].url is None


def test_ports_of_a_stranger_are_bounded_and_only_told_while_it_is_heard() -> None:
    """No number of them, and no name, is a book; whom nobody hears listens on nothing that anybody knows of."""
    told = ListeningPort(
        port=3000, addresses=("x" * 9000,) * 500, reach=PortReach.NETWORK, kind=PortKind.HTTP, pid=7,
        process="p" * 9000, command="c" * 9000, directory="/" * 9000, since=NOW,
    )  # fmt: skip
    container = replace(RUNNING, agent=agent(ports=(told,) * 5000))
    ports = report(container).ports
    assert len(ports) == MAX_PORTS
    assert len(encode(ports[0])) < 4000
    assert report(replace(container, connection=Connection.OFFLINE)).ports == ()


def test_a_crowd_of_steps_is_cut() -> None:
    """An agent that tells of thousands of steps is not telling the truth."""
    crowd = tuple(Step(name=f"install-{number}", state=StepState.DONE) for number in range(5000))
    assert len(report(replace(RUNNING, agent=agent(steps=crowd))).steps) <= MAX_AGENT_STEPS + len(RUNNING.steps)


def _steps(names: tuple[str, ...]) -> tuple[Step, ...]:
    return tuple(Step(name=name, state=StepState.DONE) for name in names)


REFUSED = Step(name="resize-guest", state=StepState.FAILED, code="guest_failed", message="The disk is full.")
LARGER = replace(RUNNING, resources=Resources(memory_mib=4096), steps=(*RUNNING.steps, REFUSED), attempts=9)


def test_limits_that_the_host_refuses_take_nothing_from_a_container() -> None:
    """Both are shown, the reason stands in its step, and what runs goes on."""
    told = report(LARGER)
    assert (told.resources.memory_mib, told.resources_in_force) == (4096, Resources())
    assert (told.degraded, told.ready, told.provisioning_error) == (("resize_pending",), True, None)
    assert (told.lifecycle, told.steps[-1].message) == (Lifecycle.RUNNING, "The disk is full.")


def test_limits_that_hold_are_not_pending() -> None:
    """Nothing is said of a container that has what it shall have, nor of one that is not there or about to go."""
    assert find_degradations(replace(LARGER, resources_in_force=LARGER.resources)) == ()
    assert find_degradations(replace(LARGER, guest=Guest.ABSENT, resources_in_force=None)) == ()
    assert find_degradations(replace(LARGER, deleting_at=NOW)) == ()


def test_limits_that_a_new_container_cannot_get_are_an_error() -> None:
    """None hold before them, so there is nothing that goes on."""
    new = replace(LARGER, provisioned_at=None, resources_in_force=None)
    assert (error := find_error(new)) is not None
    assert error.step == "resize-guest"


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [({}, True), ({"power": Power.OFF}, False), ({"is_suspended": True}, False), ({"deleting_at": NOW}, False)],
    ids=["runs", "off", "suspended", "deleting"],
)
def test_a_name_that_leads_nowhere_is_told_of_what_should_answer(changes: dict[str, Any], is_told: bool) -> None:
    """A container that cannot be reached is not ready; one that need not be is not called degraded for it."""
    container = replace(RUNNING, edge_faults=("name_not_answering",), **changes)
    assert ("name_not_answering" in find_degradations(container)) is is_told
    assert not render_status(container, domain="localhost", url="http://dev-101.localhost/").ready


@pytest.mark.parametrize("state", [StepState.PENDING, StepState.RUNNING, StepState.FAILED, StepState.SKIPPED])
def test_a_workspace_keeps_nothing_from_its_container(state: StepState) -> None:
    """Whether it was ready before or not: a failure is told beside, and what was skipped is none."""
    code = None if state in {StepState.PENDING, StepState.RUNNING} else "start_script_failed"
    step = Step(name="run-start-script", state=state, code=code)
    container = replace(RUNNING, agent=agent(steps=(step,)))
    seen = render_status(container, domain="localhost", url="http://x/")
    assert (seen.lifecycle, seen.ready, seen.provisioning_error) == (Lifecycle.RUNNING, True, None)
    assert ("step_failed" in seen.degraded) is (state is StepState.FAILED)
    fresh = render_status(replace(container, provisioned_at=None), domain="localhost", url="http://x/")
    assert (fresh.lifecycle, fresh.provisioning_error) == (Lifecycle.PROVISIONING, None)


def test_the_text_of_a_script_is_in_no_report() -> None:
    """It may hold what careless people put there."""
    workspace = WantedWorkspace(sudo=True, start_script="export TOKEN=s3cr3t")
    seen = render_status(replace(RUNNING, workspace=workspace), domain="localhost", url="http://x/")
    assert (seen.workspace.sudo, seen.workspace.has_start_script) == (True, True)
    assert b"s3cr3t" not in encode(seen)


def test_shells_that_differ_are_told_as_long_as_they_do() -> None:
    """Nothing is broken by it, and nobody has looked is no fault."""
    right, wrong = ShellCheck(mode="login", ok=True), ShellCheck(mode="fish", ok=False, problem="It ended.")
    for checks, degraded in (((right,), ()), ((right, wrong), ("shells_differ",)), ((), ())):
        told = agent(shells=ShellReport(checked_at=NOW, checks=checks))
        said = report(replace(RUNNING, agent=told))
        assert (said.degraded, said.ready, said.shells) == (degraded, True, told.shells)
    assert report(RUNNING).shells is None
