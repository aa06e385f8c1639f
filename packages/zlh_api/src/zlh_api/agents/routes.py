"""HTTP of what an agent holds: terminals and the console. Every answer of an agent is parsed before it is handed on."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from aiohttp import web

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused, AgentUnreachable, decode_report
from zlh_api.console.sockets import ConsoleProxy
from zlh_api.containers.model import Container, Guest
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import short_text, whole_number
from zlh_common.errors import NotFound
from zlh_common.schema.console_wire import MAX_OFFSET
from zlh_common.schema.lists import Items
from zlh_common.schema.structs import encode
from zlh_common.schema.terminal import (
    MAIN_TERMINAL,
    MAX_HISTORY_BYTES,
    MAX_NEEDLE_BYTES,
    ConsoleHistory,
    OpenTerminal,
    Terminal,
    TerminalLimit,
    TerminalOpened,
)

ONE = "/api/containers/{vmid}"
# What an agent may call a terminal; anything else never becomes part of a URL.
_TERMINAL = re.compile(r"[A-Za-z0-9_-]{1,64}")

# Where the agent of a call's container is; raises AgentUnreachable where it does not run.
AgentOf = Callable[[Call], AgentAddress]


def endpoints(client: AgentClient, proxy: ConsoleProxy, *, agent_port: int) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    def agent_of(call: Call) -> AgentAddress:
        return find_agent(call.container, agent_port)

    return [*_console_endpoints(client, proxy, agent_of), *_terminal_endpoints(client, proxy, agent_of)]


def _console_endpoints(client: AgentClient, proxy: ConsoleProxy, agent_of: AgentOf) -> list[Endpoint]:
    async def console(call: Call) -> web.StreamResponse:
        return await proxy.serve(call, agent_of(call), f"/terminals/{MAIN_TERMINAL}", missing=NotFound("terminal"))

    async def history(call: Call) -> ConsoleHistory:
        path = f"/terminals/{MAIN_TERMINAL}/history?{urlencode(history_query(call))}"
        return decode_report(await _found(client.call(agent_of(call), "GET", path)), ConsoleHistory)

    use, path = Policy.USE_CONSOLE, f"{ONE}/console"
    asked = {"from": int, "limit": int, "q": str}
    return [
        Endpoint(
            "GET",
            path,
            use,
            console,
            "The console (WebSocket)",
            is_websocket=True,
            query={"from": int},
            act="console.open",
        ),
        Endpoint(
            "GET", f"{path}/history", use, history, "Console output from disk", response=ConsoleHistory, query=asked
        ),
    ]


def _terminal_endpoints(client: AgentClient, proxy: ConsoleProxy, agent_of: AgentOf) -> list[Endpoint]:
    async def index(call: Call) -> Items[Terminal]:
        return decode_report(await client.call(agent_of(call), "GET", "/terminals"), Items[Terminal])

    async def open_terminal(call: Call) -> TerminalOpened:
        try:
            raw = await client.call(agent_of(call), "POST", "/terminals", body=encode(call.body))
        except AgentRefused as error:
            if error.agent_code == TerminalLimit.code:
                raise TerminalLimit from error
            raise
        opened = decode_report(raw, TerminalOpened)
        call.note("terminal", opened.id)
        return opened

    async def attach(call: Call) -> web.StreamResponse:
        return await proxy.serve(call, agent_of(call), f"/terminals/{_terminal(call)}", missing=NotFound("terminal"))

    async def close_terminal(call: Call) -> None:
        await _found(client.call(agent_of(call), "DELETE", f"/terminals/{_terminal(call)}"))

    use, every, one = Policy.USE_CONSOLE, f"{ONE}/terminals", f"{ONE}/terminals/{{terminal}}"
    asked = {"from": int}
    return [
        Endpoint("GET", every, use, index, "List terminals", response=Items[Terminal]),
        Endpoint(
            "POST",
            every,
            use,
            open_terminal,
            "Open a terminal",
            OpenTerminal,
            TerminalOpened,
            201,
            act="terminal.start",
        ),
        Endpoint(
            "GET",
            one,
            use,
            attach,
            "Attach to a terminal (WebSocket)",
            is_websocket=True,
            query=asked,
            act="console.open",
        ),
        Endpoint("DELETE", one, use, close_terminal, "End a terminal", status=204, act="terminal.end"),
    ]


def history_query(call: Call) -> dict[str, int | str]:
    """Return what was asked of a console's history, checked."""
    asked = {
        "from": whole_number(call.request, "from", low=0, high=MAX_OFFSET),
        "limit": whole_number(call.request, "limit", low=0, high=MAX_HISTORY_BYTES),
        "q": short_text(call.request, "q", max_bytes=MAX_NEEDLE_BYTES) or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def find_agent(container: Container, port: int) -> AgentAddress:
    """Return where the agent of a container is; raise AgentUnreachable where the container does not run."""
    if container.address is None or container.guest is not Guest.RUNNING:
        raise AgentUnreachable("the container is not running")
    return AgentAddress(container.owner, container.address, port)


def _terminal(call: Call) -> str:
    name = call.request.match_info["terminal"]
    if _TERMINAL.fullmatch(name) is None:
        raise NotFound("terminal")
    return name


async def _found(answer: Awaitable[bytes]) -> bytes:
    """Return an agent's answer; what it does not know is not found for the caller either."""
    try:
        return await answer
    except AgentRefused as error:
        if error.agent_status == NotFound.status:
            raise NotFound("terminal") from error
        raise
