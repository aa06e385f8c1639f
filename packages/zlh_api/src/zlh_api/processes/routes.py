"""HTTP of supervised processes: wishes go into the spec, commands to the agent, consoles through the proxy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import urlencode

from aiohttp import web

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused, decode_report
from zlh_api.agents.routes import HISTORY, REFUSED_BY_AGENT, find_agent, history_query
from zlh_api.console.sockets import CONSOLE_QUERY, ConsoleProxy
from zlh_api.containers.model import Container
from zlh_api.containers.refusals import BeingDeleted
from zlh_api.containers.service import ContainerService
from zlh_api.processes.rules import (
    Processes,
    ProcessesTooLarge,
    ProcessLimit,
    ProcessNameReserved,
    ProcessPending,
    ProcessUnusable,
    find_process,
    find_switched_on,
    put_process,
    remove_process,
    render_process,
    switch_process,
)
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_part
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.game import SERVER
from zlh_common.schema.lists import Items
from zlh_common.schema.permissions import Permission
from zlh_common.schema.process import NothingToRetry, ProcessNotRunning, ProcessSwitchedOff, PutProcess, WantedProcess
from zlh_common.schema.status import Process
from zlh_common.schema.terminal import ConsoleHistory


class ProcessNameInvalid(ZlhError):
    """No process can have this name."""

    code, status = "process_name_invalid", 422

    def __init__(self) -> None:
        super().__init__("A process is named by 1 to 32 of a-z, 0-9 and -, the first one a letter.")


EVERY = "/api/containers/{vmid}/processes"
ONE = f"{EVERY}/{{process}}"
_REFUSED_BY_AGENT = (*REFUSED_BY_AGENT, NothingToRetry, ProcessNotRunning, ProcessSwitchedOff, ProcessPending)
_REFUSE_DECLARATION = (
    ProcessNameInvalid, ProcessNameReserved, ProcessUnusable, ProcessLimit, ProcessesTooLarge,
)  # fmt: skip
_REFUSALS = {refusal.code: refusal for refusal in (NothingToRetry, ProcessNotRunning, ProcessSwitchedOff)}


def endpoints(
    containers: ContainerService, client: AgentClient, proxy: ConsoleProxy, *, agent_port: int
) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [
        *_wish_endpoints(containers),
        *_switch_endpoints(containers),
        *_command_endpoints(containers, client, agent_port),
        *_console_endpoints(client, proxy, agent_port),
    ]


def _wish_endpoints(containers: ContainerService) -> list[Endpoint]:
    async def index(call: Call) -> Items[Process]:
        return Items(items=tuple(_show(call, call.container, wanted.name) for wanted in call.container.processes))

    async def show(call: Call) -> Process:
        return _show(call, call.container, _name(call))

    async def put(call: Call) -> Answer:
        name, is_new = _new_name(call), False
        if call.container.game is not None and name == SERVER:
            raise ProcessNameReserved(name, of="of the game server")

        def change(processes: Processes) -> Processes:
            nonlocal is_new
            changed, is_new = put_process(processes, name, call.body)
            return changed

        container = await containers.change_processes(call.container, change)
        return Answer(_show(call, container, name), status=201 if is_new else 200)

    async def delete(call: Call) -> None:
        name = _name(call)
        await containers.change_processes(call.container, lambda processes: remove_process(processes, name))

    view, change = Policy.VIEW_CONTAINER, Policy.CHANGE_CONTAINER
    return [
        Endpoint("GET", EVERY, view, index, "List processes", response=Items[Process]),
        Endpoint("GET", ONE, view, show, "One process", response=Process),
        Endpoint(
            "PUT",
            ONE,
            change,
            put,
            "Declare a process",
            PutProcess,
            Process,
            also={201: "It was not there before"},
            refusals=(BeingDeleted, *_REFUSE_DECLARATION),
            example={"argv": ["npm", "start"], "folder": "shop", "environment": {"PORT": "3000"}},
            act="process.declare",
        ),
        Endpoint(
            "DELETE",
            ONE,
            change,
            delete,
            "Stop a process and forget it",
            status=204,
            refusals=(BeingDeleted,),
            act="process.remove",
        ),
    ]


def _switch_endpoints(containers: ContainerService) -> list[Endpoint]:
    async def start(call: Call) -> Process:
        return await _switch(containers, call, "on")

    async def stop(call: Call) -> Process:
        return await _switch(containers, call, "off")

    return [
        Endpoint(
            "POST",
            f"{ONE}/{verb}",
            Policy.POWER_CONTAINER,
            handler,
            say,
            response=Process,
            status=202,
            refusals=(BeingDeleted, ProcessesTooLarge),
            act=f"process.{verb}",
        )
        for verb, handler, say in (("start", start, "Start a process"), ("stop", stop, "Stop a process"))
    ]


def _command_endpoints(containers: ContainerService, client: AgentClient, agent_port: int) -> list[Endpoint]:
    def command(
        verb: str, find: Callable[[Processes, str], WantedProcess] = find_process
    ) -> Callable[[Call], Awaitable[Process]]:
        async def handler(call: Call) -> Process:
            name = find(call.container.processes, call.request.match_info["process"]).name
            await _order(client, find_agent(call.container, agent_port), name, verb)
            return _show(call, call.container, name)

        return handler

    async def kill(call: Call) -> Process:
        await _order(client, find_agent(call.container, agent_port), _name(call), "kill")
        # So that no agent after this one takes it for one that should run.
        return await _switch(containers, call, "off")

    power = Policy.POWER_CONTAINER
    refused = (*_REFUSED_BY_AGENT, BeingDeleted)
    orders = {
        "kill": (kill, "End a process at once"),
        "restart": (command("restart", find_switched_on), "Stop a process in order and start it again"),
        "retry": (command("retry", find_switched_on), "Start a process now that waits or has been given up"),
        "give-up": (command("give-up"), "Do not start a process again that waits"),
    }
    return [
        Endpoint(
            "POST",
            f"{ONE}/{verb}",
            power,
            handler,
            say,
            response=Process,
            status=202,
            refusals=refused,
            act=f"process.{verb}",
        )
        for verb, (handler, say) in orders.items()
    ]


def _console_endpoints(client: AgentClient, proxy: ConsoleProxy, agent_port: int) -> list[Endpoint]:
    async def console(call: Call) -> web.StreamResponse:
        path = f"/processes/{_name(call)}/console"
        return await proxy.serve(
            call, find_agent(call.container, agent_port), path, missing=ProcessPending(_name(call))
        )

    async def history(call: Call) -> ConsoleHistory:
        path = f"/processes/{_name(call)}/history?{urlencode(history_query(call))}"
        answer = client.call(find_agent(call.container, agent_port), "GET", path)
        return decode_report(await _asked(answer, _name(call)), ConsoleHistory)

    use, path, refused = Policy.USE_CONSOLE, f"{ONE}/console", _REFUSED_BY_AGENT
    return [
        Endpoint(
            "GET",
            path,
            use,
            console,
            "Its console (WebSocket)",
            is_websocket=True,
            query=CONSOLE_QUERY,
            refusals=refused,
            act="console.open",
        ),
        Endpoint(
            "GET",
            f"{path}/history",
            use,
            history,
            "Its output from disk",
            response=ConsoleHistory,
            query=HISTORY,
            refusals=refused,
        ),
    ]


async def _switch(containers: ContainerService, call: Call, power: Literal["on", "off"]) -> Process:
    name = _name(call)
    container = await containers.change_processes(
        call.container, lambda processes: switch_process(processes, name, power)
    )
    return _show(call, container, name)


async def _order(client: AgentClient, agent: AgentAddress, name: str, verb: str) -> None:
    await _asked(client.call(agent, "POST", f"/processes/{name}/{verb}"), name)


async def _asked(answer: Awaitable[bytes], name: str) -> bytes:
    """Return an agent's answer; the refusals that we know are told as our own."""
    try:
        return await answer
    except AgentRefused as error:
        if error.agent_code in _REFUSALS:
            raise _REFUSALS[error.agent_code](name) from error
        if error.agent_status == NotFound.status:
            raise ProcessPending(name) from error
        raise


def _show(call: Call, container: Container, name: str) -> Process:
    is_heard = container.agent is not None and container.connection == "online"
    statuses = container.agent.processes if container.agent is not None and is_heard else ()
    with_values = call.caller.may(Permission.CHANGE_CONTAINERS, container.customer_id)
    return render_process(find_process(container.processes, name), statuses, with_values=with_values)


def _name(call: Call) -> str:
    """Return the name of a process that is declared; it becomes part of a URL only as such."""
    return find_process(call.container.processes, call.request.match_info["process"]).name


def _new_name(call: Call) -> str:
    try:
        name: str = read_part("process", call.request.match_info["process"])
    except NotFound:
        raise ProcessNameInvalid from None
    return name
