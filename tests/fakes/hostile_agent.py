"""A program in the place of a container's agent: it has its key, speaks its protocol, and every text of it is hostile.

    python hostile_agent.py zlh_agent --config /etc/zlh/agent.toml

The words after its own name are those by which the driver knows an agent.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from fakes.hostile_words import ALL, ELSEWHERE, TEXTS, HostileWords
from zlh_common.schema import console_wire as wire
from zlh_common.schema.agent_events import HappeningsEvent, MetricsEvent, StatusEvent
from zlh_common.schema.files import FileEntry, FileOperations, FileRoots, FileSearch, FileUploads, Folder
from zlh_common.schema.game import CommandAnswer, GameReport, Players, PlayerSessions, Telemetry
from zlh_common.schema.lists import Items
from zlh_common.schema.metrics import Metrics
from zlh_common.schema.mods import ChangeProgress, ModsReport
from zlh_common.schema.problem import Problem
from zlh_common.schema.runtime import RuntimeUsers, RuntimeVerification
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import PROTOCOL_VERSION, AgentStatus, InstalledRuntime, ProcessStatus
from zlh_common.schema.structs import decode, encode
from zlh_common.schema.terminal import ConsoleHistory, Terminal

STREAM = "0" * 32
REPORT_EVERY_S = 20
# Reasons of a refusal upon which the portal asks what shall become of what is there.
REASONS = {
    ("PUT", "/files/content"): "file_changed",
    ("POST", "/files/uploads"): "file_exists",
}
END = "printed to its end"
# What commands to the system ask for: titles, icons, the clipboard, notifications, links, palettes.
COMMANDS = (
    "0;taken", "1;taken", "2;taken", "52;c;dGFrZW4=", "52;c;?", "9;taken", "777;notify;taken;taken",
    "4;1;?", "10;?", "11;#ffffff", "10;#ffffff", "7;file:///etc/passwd", "1337;File=inline=1:AAAA", "50;taken", "133;A",
    "8;;javascript:window.hostile='osc'", f"8;;https://{ELSEWHERE}/osc",
)  # fmt: skip
# As they are written, and in the controls of a single letter.
ENDS = (("\x1b]", "\x07"), ("\x1b]", "\x1b\\"), ("\x9d", "\x9c"))
# Strings of other kinds, questions that a terminal answers by itself, windows, and numbers beyond every screen.
OTHERS = (
    "\x1bP+q544e\x1b\\", "\x1bP$qtaken\r\x1b\\", "\x1bPq#0;2;0;0;0#0~~@@vv\x1b\\", "\x1b_Gf=100;AAAA\x1b\\",
    "\x1b^taken\x1b\\", "\x1bXtaken\x1b\\", "\x05", "\x1b[c", "\x1b[>c", "\x1b[6n", "\x1b[20t", "\x1b[21t", "\x1b[18t",
    "\x1b[8;500;500t", "\x1b[3;9999;9999t", "\x1b[?9999h", "\x1b[99999999999999999999X", "\x1b[?1049h\x1b[?1049l",
    "\x1b[2147483647b", "\x07" * 50, "\x0e", "\x0f",
)  # fmt: skip
ESCAPES = (*(f"{begin}{said}{end}" for begin, end in ENDS for said in COMMANDS), *OTHERS)
PRINTED = "\r\n".join(
    (
        *ESCAPES,
        f"https://{ELSEWHERE}/<img src=x onerror=window.hostile='printed'>",
        HostileWords().text(),
        "L" * 2**20,
        "\x1b[0m\x1b(B",
        END,
    )
).encode() + b"\xff\xfe\xed\xa0\x80\r\n"  # fmt: skip


class HostileAgent:
    """What it answers."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._spec = AgentSpec(generation=0)
        self._changed = asyncio.Event()

    def application(self) -> web.Application:
        """Return all that it serves."""
        application = web.Application()
        routes = {
            "/runtimes/{name}/{version}/users": RuntimeUsers, "/metrics/now": Metrics,
            "/processes": Items[ProcessStatus], "/processes/{name}/history": ConsoleHistory,
            "/terminals": Items[Terminal], "/terminals/{id}/history": ConsoleHistory, "/files/roots": FileRoots,
            "/files/stat": FileEntry, "/files/operations": FileOperations, "/files/search": FileSearch,
            "/files/uploads": FileUploads, "/game": GameReport, "/game/players": Players,
            "/game/players/history": PlayerSessions, "/game/telemetry": Telemetry, "/mods": ModsReport,
            "/mods/changes/{id}": ChangeProgress,
        }  # fmt: skip
        for path, shape in routes.items():
            application.router.add_get(path, _telling(self, shape))
        acts = {
            "/runtimes/{name}/{version}/verify": RuntimeVerification, "/game/commands": CommandAnswer,
            "/game/verify": GameReport, "/mods/verify": ModsReport, "/mods/changes": ChangeProgress,
        }  # fmt: skip
        for path, shape in acts.items():
            application.router.add_post(path, _telling(self, shape))
        application.router.add_get("/healthz", _healthz)
        application.router.add_get("/files", self._list)
        application.router.add_get("/status", self._tell_status)
        application.router.add_put("/spec", self._take_spec)
        application.router.add_get("/events", self._tell_events)
        application.router.add_get("/terminals/{id}", self._print)
        application.router.add_get("/processes/{name}/console", self._print)
        application.router.add_get("/files/content", self._send)
        application.router.add_get("/files/archive", self._send)
        application.router.add_route("*", "/{path:.*}", self._refuse)
        return application

    def words(self) -> HostileWords:
        """Return what makes its answers, with what the API must find so that it looks at the rest."""
        generation, game = self._spec.generation, self._spec.game
        words = HostileWords()
        return HostileWords(
            {
                "FileEntry.name": words.file_name,
                "AgentStatus.protocol_version": PROTOCOL_VERSION,
                # By which it is known that the API hears this program.
                "AgentStatus.agent_version": ALL,
                "AgentStatus.owner": self._owner,
                "AgentStatus.spec_generation": generation,
                "AgentStatus.observed_generation": generation,
                "GameReport.template": game.template if game else "a",
                # What is wanted is in place, or its windows would wait for a change.
                "GameReport.version": game.version if game else "1",
                "ChangeProgress.state": "failed",
                "FileEntry.kind": "file",
                "FileRoot.name": (f"root-{number}" for number in itertools.count()).__next__,
                "Happening.kind": "hostile.happened",
                "Happening.subject": lambda: words.text(64),
                "Happening.message": lambda: words.text(900),
                "Happening.data": lambda: {words.text(100): words.text(100) for _ in range(3)},
                "ProcessMetrics.name": "web",
                "FileRoot.is_default": True,
                "ConsoleHistory.start": 0,
                "ConsoleHistory.end": 0,
                "ConsoleHistory.written": 0,
                "ConsoleHistory.data": "",
                "Folder.path": "",
            }
        )

    def status(self) -> AgentStatus:
        """Return its report; each process that is wanted is one of those that it tells of."""
        words = self.words()
        wanted = [*self._spec.processes, *([self._spec.game.process] if self._spec.game else [])]
        told = [{"ProcessStatus.name": each.name, "ProcessStatus.state": "running"} for each in wanted]
        named = [HostileWords(each).make(ProcessStatus) for each in told]
        report = words.make(AgentStatus)
        report = _replaced(
            report, processes=(*named, *report.processes), runtimes=(*self._runtimes(), *report.runtimes)
        )
        return decode(encode(report), AgentStatus)

    def _runtimes(self) -> list[InstalledRuntime]:
        """Return what is wanted as if it were in place: one that is the default, and one to go back to."""
        told = [
            {
                "InstalledRuntime.name": each.name,
                "InstalledRuntime.version": each.version,
                "InstalledRuntime.default": each.default,
                "InstalledRuntime.previous": not each.default,
                "InstalledRuntime.verified": False,
            }
            for each in self._spec.runtimes
        ]
        return [HostileWords(each).make(InstalledRuntime) for each in told]

    async def _list(self, _request: web.Request) -> web.Response:
        """Answer with a folder that has something of each kind."""
        folder = self.words().make(Folder)
        kinds = itertools.product(("file", "dir", "link", "other"), ("", ".zip"))
        told = [{"FileEntry.kind": kind, "FileEntry.name": _file_name(at, end)} for at, (kind, end) in enumerate(kinds)]
        return _json(_replaced(folder, entries=tuple(HostileWords(each).make(FileEntry) for each in told)))

    async def _tell_status(self, _request: web.Request) -> web.Response:
        return _json(self.status())

    async def _take_spec(self, request: web.Request) -> web.Response:
        self._spec = decode(await request.read(), AgentSpec)
        self._changed.set()
        return _json(self.status(), status=202)

    async def _tell_events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        words = self.words()
        await socket.send_bytes(encode(words.make(MetricsEvent)))
        happenings = words.make(HappeningsEvent)
        items = tuple(_replaced(each, number=number) for number, each in enumerate(happenings.items, 1))
        await socket.send_bytes(encode(_replaced(happenings, journal=STREAM, items=items)))
        telling = asyncio.create_task(self._tell_changes(socket))
        try:
            # Nothing comes, but who does not read answers no ping, and is taken for gone after a minute.
            async for _ in socket:
                pass
        finally:
            telling.cancel()
        return socket

    async def _tell_changes(self, socket: web.WebSocketResponse) -> None:
        while True:
            self._changed.clear()
            await socket.send_str(encode(StatusEvent(status=self.status())).decode())
            # Who says nothing for long is taken for gone.
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_EVERY_S):
                    await self._changed.wait()

    async def _print(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(wire.SUBPROTOCOL,))
        await socket.prepare(request)
        words = self.words()
        hello = wire.Hello(stream=STREAM, start=0, to=len(PRINTED), state="running", confirms=True)
        await socket.send_str(wire.render_message(hello))
        for at in range(0, len(PRINTED), 2**16):
            await socket.send_bytes(wire.render_output(at, PRINTED[at : at + 2**16]))
        await socket.send_str(wire.render_message(wire.Announcement(code=words.text(64), message=words.text(2000))))
        await socket.send_str(wire.render_message(wire.State(state=words.text(100))))
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                # What the viewer's terminal answers by itself is typed into a shell.
                sys.stderr.write(f"typed {message.data!r}\n")
                sys.stderr.flush()
        return socket

    async def _send(self, _request: web.Request) -> web.Response:
        headers = {"Content-Disposition": "inline", "Content-Security-Policy": "", "ETag": '"hostile"'}
        page = b"<script>window.hostile='page'</script>"
        return web.Response(body=page, content_type="text/html", headers=headers)

    async def _refuse(self, request: web.Request) -> web.Response:
        problem = self.words().make(Problem)
        if code := REASONS.get((request.method, request.path)):
            problem = _replaced(problem, code=code)
        return web.Response(body=encode(problem), status=409, content_type="application/problem+json")


def _file_name(at: int, end: str) -> str:
    return TEXTS[2 * at][:200].replace("/", "\u2215") + end


def _telling(agent: HostileAgent, shape: Any) -> Any:
    async def tell(_request: web.Request) -> web.Response:
        return _json(agent.words().make(shape))

    return tell


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _replaced(value: Any, **fields: object) -> Any:
    return msgspec.structs.replace(value, **fields)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(value), content_type="application/json")


def _open_tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.crt", folder / "agent.key")
    context.load_verify_locations(folder / "api-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(config: Path) -> None:
    """Serve in the place of the agent that has this configuration, until killed."""
    settings = tomllib.loads(await asyncio.to_thread(config.read_text))
    runner = web.AppRunner(HostileAgent(settings["owner"]).application(), access_log=None)
    await runner.setup()
    tls = _open_tls(config.parent)
    while True:
        try:
            await web.TCPSite(runner, settings["bind_address"], settings["port"], ssl_context=tls).start()
        except OSError:
            # The container's own agent has not gone yet.
            await asyncio.sleep(0.05)
        else:
            break
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[sys.argv.index("--config") + 1])))
