"""HTTP of what an agent holds: terminals and the console. Every answer of an agent is parsed before it is handed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from aiohttp import web

from zlh_api.agents.client import (
    AgentAddress,
    AgentClient,
    AgentNonsense,
    AgentRefused,
    AgentUnreachable,
    decode_report,
)
from zlh_api.console.sockets import CONSOLE_QUERY, ConsoleProxy
from zlh_api.containers.model import Container, Guest
from zlh_api.processes.rules import ProcessPending
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.path_parameters import read_part
from zlh_api.web.query import short_text, whole_number
from zlh_common.errors import NotFound, ZlhError
from zlh_common.schema.console_wire import MAX_OFFSET
from zlh_common.schema.game import SERVER
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
# As many bytes of UTF-8 as an agent takes.
MAX_NEEDLE_CHARS = MAX_NEEDLE_BYTES // 4

HISTORY_FROM = whole_number(
    "from", "The offset of the first byte; left out, what ends with the newest.", low=0, high=MAX_OFFSET
)
HISTORY_LIMIT = whole_number("limit", "So many bytes at most.", low=0, high=MAX_HISTORY_BYTES)
NEEDLE = short_text(
    "q",
    "Look for this text; offsets of what is found are `matches`.",
    max_chars=MAX_NEEDLE_CHARS,
    pattern=r"^[^\x00]*$",
)
# What any call to an agent can come to.
REFUSED_BY_AGENT = (AgentUnreachable, AgentRefused, AgentNonsense)
HISTORY = (HISTORY_FROM, HISTORY_LIMIT, NEEDLE)

# Where the agent of a call's container is; raises AgentUnreachable where it does not run.
AgentOf = Callable[[Call], AgentAddress]


def endpoints(client: AgentClient, proxy: ConsoleProxy, *, agent_port: int) -> list[Endpoint]:
    """Return the endpoints of this slice."""

    def agent_of(call: Call) -> AgentAddress:
        return find_agent(call.container, agent_port)

    return [*_console_endpoints(client, proxy, agent_of), *_terminal_endpoints(client, proxy, agent_of)]


def _console_endpoints(client: AgentClient, proxy: ConsoleProxy, agent_of: AgentOf) -> list[Endpoint]:
    async def console(call: Call) -> web.StreamResponse:
        if call.container.game is not None:
            path, missing = f"/processes/{SERVER}/console", ProcessPending(SERVER)
            return await proxy.serve(call, agent_of(call), path, missing=missing)
        return await proxy.serve(call, agent_of(call), f"/terminals/{MAIN_TERMINAL}", missing=NotFound("terminal"))

    async def history(call: Call) -> ConsoleHistory:
        is_game = call.container.game is not None
        path = f"/processes/{SERVER}" if is_game else f"/terminals/{MAIN_TERMINAL}"
        answer = client.call(agent_of(call), "GET", f"{path}/history?{urlencode(history_query(call))}")
        missing = ProcessPending(SERVER) if is_game else NotFound("terminal")
        return decode_report(await _found(answer, missing), ConsoleHistory)

    refused = (*REFUSED_BY_AGENT, ProcessPending)
    use, path = Policy.USE_CONSOLE, f"{ONE}/console"
    return [
        Endpoint(
            "GET",
            path,
            use,
            console,
            "The console (WebSocket): a shell, and of a game container its server",
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
            "Console output from disk",
            response=ConsoleHistory,
            query=HISTORY,
            refusals=refused,
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

    refused = REFUSED_BY_AGENT
    use, every, one = Policy.USE_CONSOLE, f"{ONE}/terminals", f"{ONE}/terminals/{{terminal}}"
    return [
        Endpoint("GET", every, use, index, "List terminals", response=Items[Terminal], refusals=refused),
        Endpoint(
            "POST",
            every,
            use,
            open_terminal,
            "Open a terminal",
            OpenTerminal,
            TerminalOpened,
            201,
            name="openTerminal",
            act="terminal.start",
            refusals=(*refused, TerminalLimit),
        ),
        Endpoint(
            "GET",
            one,
            use,
            attach,
            "Attach to a terminal (WebSocket)",
            name="attachTerminal",
            act="console.open",
            is_websocket=True,
            query=CONSOLE_QUERY,
            refusals=refused,
        ),
        Endpoint(
            "DELETE", one, use, close_terminal, "End a terminal", status=204, refusals=refused, act="terminal.end"
        ),
    ]


def history_query(call: Call) -> dict[str, int | str]:
    """Return what was asked of a console's history, checked."""
    asked = {
        "from": call.asked(HISTORY_FROM),
        "limit": call.asked(HISTORY_LIMIT),
        "q": call.asked(NEEDLE) or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def find_agent(container: Container, port: int) -> AgentAddress:
    """Return where the agent of a container is; raise AgentUnreachable where the container does not run."""
    if container.address is None or container.guest is not Guest.RUNNING:
        raise AgentUnreachable("the container is not running")
    return AgentAddress(container.owner, container.address, port)


def _terminal(call: Call) -> str:
    """Return the id in the path; it becomes part of a URL only as what an agent may call a terminal."""
    name: str = read_part("terminal", call.request.match_info["terminal"])
    return name


async def _found(answer: Awaitable[bytes], missing: ZlhError | None = None) -> bytes:
    """Return an agent's answer; what it does not know is not found for the caller either, or `missing`."""
    try:
        return await answer
    except AgentRefused as error:
        if error.agent_status == NotFound.status:
            raise (missing or NotFound("terminal")) from error
        raise
