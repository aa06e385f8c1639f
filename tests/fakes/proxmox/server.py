"""The API: TLS with a certificate that nobody signed, tokens, reason phrases, and a killer before the answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

from aiohttp import web
from multidict import MultiMapping

from fakes.proxmox import access, firewall, guests, sites
from fakes.proxmox.misbehaviour import Killer, Orders, Way
from fakes.proxmox.state import Cluster, Refusal

PREFIX = "/api2/json"
GUEST = r"/nodes/(?P<node>[^/]+)/lxc/(?P<vmid>\d+)"
Handler = Callable[..., Any]
# Method, path, what answers, and the right that is needed.
CALLS: list[tuple[str, str, Handler, str]] = [
    ("GET", r"/version", sites.show_version, ""),
    ("GET", r"/access/permissions", access.show_permissions, ""),
    ("GET", r"/access/roles", access.list_roles, ""),
    ("GET", r"/pools", access.list_pools, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/time", sites.show_time, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/network", sites.list_networks, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/storage", sites.list_storages, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/storage/(?P<storage>[^/]+)/content", sites.list_content, ""),
    ("GET", r"/nodes", guests.list_nodes, ""),
    ("GET", r"/cluster/resources", guests.list_resources, ""),
    ("GET", r"/cluster/ha/status/manager_status", guests.read_manager, "Sys.Audit"),
    ("GET", r"/cluster/nextid", guests.next_id, ""),
    ("GET", r"/cluster/firewall/options", firewall.read_datacenter, "Sys.Audit"),
    ("GET", r"/nodes/(?P<node>[^/]+)/firewall/options", firewall.read_node, "Sys.Audit"),
    ("GET", r"/nodes/(?P<node>[^/]+)/lxc", guests.list_containers, ""),
    ("POST", r"/nodes/(?P<node>[^/]+)/lxc", guests.create, "VM.Allocate"),
    ("GET", r"/nodes/(?P<node>[^/]+)/tasks", guests.list_tasks, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/tasks/(?P<upid>[^/]+)/status", guests.read_task, ""),
    ("GET", r"/nodes/(?P<node>[^/]+)/tasks/(?P<upid>[^/]+)/log", guests.read_log, ""),
    ("DELETE", GUEST, guests.destroy, "VM.Allocate"),
    ("POST", GUEST + r"/clone", guests.clone, "VM.Clone"),
    ("GET", GUEST + r"/config", guests.read_config, "VM.Audit"),
    ("PUT", GUEST + r"/config", guests.write_config, "VM.Config.Options"),
    ("PUT", GUEST + r"/resize", guests.resize, "VM.Config.Disk"),
    ("GET", GUEST + r"/status/current", guests.read_status, "VM.Audit"),
    ("POST", GUEST + r"/status/start", guests.start, "VM.PowerMgmt"),
    ("POST", GUEST + r"/status/stop", guests.stop, "VM.PowerMgmt"),
    ("POST", GUEST + r"/status/shutdown", guests.shutdown, "VM.PowerMgmt"),
    ("GET", GUEST + r"/interfaces", guests.read_interfaces, "VM.Audit"),
    ("GET", GUEST + r"/firewall/options", firewall.read_options, "VM.Audit"),
    ("PUT", GUEST + r"/firewall/options", firewall.set_options, "VM.Config.Network"),
    ("GET", GUEST + r"/firewall/rules", firewall.list_rules, "VM.Audit"),
    ("POST", GUEST + r"/firewall/rules", firewall.add_rule, "VM.Config.Network"),
    ("DELETE", GUEST + r"/firewall/rules/(?P<place>\d+)", firewall.delete_rule, "VM.Config.Network"),
    ("GET", GUEST + r"/firewall/ipset", firewall.list_sets, "VM.Audit"),
    ("POST", GUEST + r"/firewall/ipset", firewall.add_set, "VM.Config.Network"),
    ("GET", GUEST + r"/firewall/ipset/(?P<name>[^/]+)", firewall.list_entries, "VM.Audit"),
    ("POST", GUEST + r"/firewall/ipset/(?P<name>[^/]+)", firewall.add_entry, "VM.Config.Network"),
    ("DELETE", GUEST + r"/firewall/ipset/(?P<name>[^/]+)/(?P<cidr>.+)", firewall.delete_entry, "VM.Config.Network"),
]
RIGHTS = frozenset(right for *_call, right in CALLS if right)


class _Gone(Exception):
    """The connection is broken."""


class FakeProxmox:
    """One cluster behind one address."""

    def __init__(self, cluster: Cluster, killer: Killer, *, certificate: Path, key: Path) -> None:
        self.cluster = cluster
        self.killer = killer
        self.orders = Orders()
        self.token_id, self.secret = "zlh@pve!api", "11111111-2222-3333-4444-555555555555"
        self.is_token_valid = True
        # The real one takes three seconds to turn somebody down.
        self.denial_delay_s = 0.05
        self.rights = set(RIGHTS)
        self.has_old_bodies = False
        # Every request that was carried out, in order.
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self.certificate = certificate
        self._key = key
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as Proxmox shows it."""
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        digits = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digits[at : at + 2] for at in range(0, 64, 2))

    def changes(self) -> list[str]:
        """Return the requests that were to change something."""
        return [f"{method} {path}" for method, path in self.requests if method != "GET"]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Answer for the length of the block."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        await asyncio.to_thread(context.load_cert_chain, self.certificate, self._key)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        assert runner.addresses
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            self._closing.set()
            for task in self._late:
                task.cancel()
            await asyncio.gather(*self._late, return_exceptions=True)
            await runner.cleanup()
            await self.cluster.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            given = await self._admit(request)
            path = request.raw_path.partition("?")[0].removeprefix(PREFIX)
            return await self._go(request, path, given)
        except Refusal as refusal:
            return self._refuse(refusal)
        except _Gone:
            # Nobody reads this any more.
            return web.Response()

    async def _admit(self, request: web.Request) -> dict[str, str]:
        expected = f"PVEAPIToken={self.token_id}={self.secret}"
        if not self.is_token_valid or request.headers.get("Authorization") != expected:
            await asyncio.sleep(self.denial_delay_s)
            raise Refusal("Authentication failed!" if "Authorization" in request.headers else "No ticket", status=401)
        if request.headers.get("Transfer-Encoding"):
            raise Refusal("chunked transfer encoding not supported", status=501)
        if request.method in {"GET", "DELETE"}:
            if request.body_exists:
                raise Refusal(f"Unexpected content for method '{request.method}'", status=501)
            return _texts(request.query)
        body = await request.read()
        if len(body) > 512 * 1024:
            raise Refusal("for data too large", status=501)
        if request.content_type == "application/json":
            return {name: str(int(v)) if isinstance(v, bool) else str(v) for name, v in json.loads(body).items()}
        return _texts(await request.post())

    async def _go(self, request: web.Request, path: str, given: dict[str, str]) -> web.StreamResponse:
        call, way = self._find(request.method, path), self.orders.take(request.method, path)
        await self._before(request, way, call)
        node = call[1].get("node")
        if node is not None:
            if node not in self.cluster.nodes:
                raise Refusal(f"hostname lookup '{node}' failed - failed to get address info", status=500)
            if not self.cluster.nodes[node].is_up:
                raise Refusal("No route to host", status=595)
        if way is Way.LATE:
            self._later(call, given, request.method, path)
            await _cut(request)
        data = self._carry_out(call, given, request.method, path)
        await self._kill(request, path)
        return await self._after(request, way, data)

    def _find(self, method: str, path: str) -> tuple[Handler, dict[str, Any]]:
        for known, pattern, handler, right in CALLS:
            match = re.fullmatch(pattern, path)
            if known != method or match is None:
                continue
            if right and right not in self.rights:
                raise Refusal(
                    f"Permission check failed (/vms/{match.groupdict().get('vmid', '')}, {right})", status=403
                )
            parts: dict[str, Any] = {name: unquote(text) for name, text in match.groupdict().items()}
            if "vmid" in parts:
                parts["vmid"] = int(parts["vmid"])
            return handler, parts
        raise Refusal(f"Method '{method} {path}' not implemented", status=501)

    def _carry_out(self, call: tuple[Handler, dict[str, Any]], given: dict[str, str], method: str, path: str) -> Any:
        handler, parts = call
        data = handler(self.cluster, self.token_id, given, **parts)
        self.requests.append((method, path))
        return data

    def _later(self, call: tuple[Handler, dict[str, Any]], given: dict[str, str], method: str, path: str) -> None:
        async def appear() -> None:
            await asyncio.sleep(self.orders.late_s)
            self._carry_out(call, given, method, path)

        task = asyncio.create_task(appear())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _before(self, request: web.Request, way: Way | None, call: tuple[Handler, dict[str, Any]]) -> None:
        match way:
            case Way.REFUSED:
                raise Refusal("command 'something' failed: exit code 1")
            case Way.FLOCK:
                vmid = call[1].get("vmid", 0)
                raise Refusal(f"can't lock file '/run/lock/lxc/pve-config-{vmid}.lock' - got timeout")
            case Way.NODE_AWAY_BEFORE:
                raise Refusal("Connection timed out", status=596)
            case Way.CUT_BEFORE:
                await _cut(request)
            case _:
                return

    async def _after(self, request: web.Request, way: Way | None, data: Any) -> web.StreamResponse:
        match way:
            case Way.CUT_AFTER:
                await _cut(request)
            case Way.FAILED_AFTER:
                raise Refusal("command 'something' failed: exit code 1")
            case Way.TIMEOUT_AFTER:
                raise Refusal("got timeout")
            case Way.NODE_AWAY_AFTER:
                raise Refusal("Connection timed out", status=596)
            case Way.SLOW:
                await asyncio.sleep(self.orders.slow_s)
            case Way.SILENT_AFTER:
                await self._closing.wait()
            case Way.NONSENSE:
                return web.Response(text="<html>", content_type="text/html")
            case _:
                pass
        return web.json_response({"data": data})

    async def _kill(self, request: web.Request, path: str) -> None:
        if request.method != "GET" and self.killer.note(f"{request.method} {path}"):
            await _cut(request)

    def _refuse(self, refusal: Refusal) -> web.Response:
        headers = {"Connection": "close"}
        if refusal.status in {401, *range(595, 600)}:
            return web.Response(status=refusal.status, reason=refusal.reason, headers=headers)
        body: dict[str, Any] = {"data": None}
        if not self.has_old_bodies:
            body["message"] = f"{refusal.reason}\n"
        if refusal.errors:
            body["errors"] = refusal.errors
        return web.json_response(body, status=refusal.status, reason=refusal.reason, headers=headers)


def _texts(given: MultiMapping[Any]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items()}


async def _cut(request: web.Request) -> NoReturn:
    """Break the connection off, in the middle of everything."""
    if request.transport is not None:
        request.transport.abort()
    raise _Gone
