"""Cloudflare's DNS API, as far as we call it, with its habits: no upsert, times of its own, pages, all or nothing."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.tricks import Handler, Tricks

TOKEN = "cf-token-1"
MAX_OPERATIONS = 200


class _Failed(Exception):
    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class FakeCloudflare:
    """One account with one zone."""

    zone: str
    token: str = TOKEN
    zone_id: str = "023e105f4ecef8ad9ca31a8372d0c353"
    tricks: Tricks = field(default_factory=Tricks)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    # More than these on a page are not given, whatever is asked for.
    most_per_page: int = 5000
    headers: dict[str, str] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def serve(self) -> TestServer:
        """Return a server on loopback; its URL ends in `/client/v4`."""
        app = web.Application(middlewares=[self._judge], client_max_size=2**24)
        zone = f"/client/v4/zones/{self.zone_id}/dns_records"
        app.router.add_get("/client/v4/zones", self._list_zones)
        app.router.add_get(zone, self._list_records)
        app.router.add_post(zone, self._create)
        app.router.add_post(f"{zone}/batch", self._batch)
        return TestServer(app)

    def put(
        self, name: str, kind: str, content: str, *, comment: str | None = None, ttl: int = 300, proxied: bool = False
    ) -> str:
        """Put a record there by hand; return its id."""
        said: dict[str, Any] = {"content": content}
        if kind == "SRV":
            priority, weight, port, target = content.split()
            said = {"data": {"priority": int(priority), "weight": int(weight), "port": int(port), "target": target}}
        created = self._made({"name": name, "type": kind, **said, "ttl": ttl, "proxied": proxied, "comment": comment})
        self.records[created["id"]] = created
        return str(created["id"])

    @web.middleware
    async def _judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async def judged(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _refusal(_Failed(10000, "Authentication error", 403))
            try:
                return await handler(request)
            except _Failed as failed:
                return _refusal(failed)

        lie = _answer({"deletes": [], "patches": [], "puts": [], "posts": []})
        response = await self.tricks.answer(request, judged, changes=request.method != "GET", lie=lie)
        if not response.prepared:
            response.headers.update(self.headers)
        return response

    async def _list_zones(self, request: web.Request) -> web.Response:
        zones = [{"id": self.zone_id, "name": self.zone}] if request.query.get("name") in {None, self.zone} else []
        return _answer(
            zones, {"page": 1, "per_page": 20, "count": len(zones), "total_count": len(zones), "total_pages": 1}
        )

    async def _list_records(self, request: web.Request) -> web.Response:
        ending, exact = request.query.get("name.endswith", ""), request.query.get("name.exact")
        found = sorted(
            (each for each in self.records.values() if each["name"].endswith(ending) and exact in {None, each["name"]}),
            key=lambda each: (each["name"], each["id"]),
        )
        page, per_page = (
            int(request.query.get("page", 1)),
            min(int(request.query.get("per_page", 100)), self.most_per_page),
        )
        shown = found[(page - 1) * per_page : page * per_page]
        pages = -(-len(found) // per_page)
        return _answer(
            shown,
            {"page": page, "per_page": per_page, "count": len(shown), "total_count": len(found), "total_pages": pages},
        )

    async def _create(self, request: web.Request) -> web.Response:
        created = self._made(await request.json())
        self._add(created)
        return _answer(created)

    async def _batch(self, request: web.Request) -> web.Response:
        batch = await request.json()
        if sum(len(each) for each in batch.values()) > MAX_OPERATIONS:
            raise _Failed(1004, "DNS Validation Error: too many operations")
        before = copy.deepcopy(self.records)
        try:
            return _answer(self._carry_out(batch))
        except _Failed:
            self.records = before
            raise

    def _carry_out(self, batch: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = {"deletes": [], "patches": [], "puts": [], "posts": []}
        for each in batch.get("deletes", ()):
            if each["id"] not in self.records:
                raise _Failed(81044, "Record does not exist.", 404)
            done["deletes"].append(self.records.pop(each["id"]))
        for each in batch.get("patches", ()):
            if each["id"] not in self.records:
                raise _Failed(81044, "Record does not exist.", 404)
            patched = self._made({**self.records.pop(each["id"]), **each}, each["id"])
            self._add(patched)
            done["patches"].append(patched)
        for each in batch.get("posts", ()):
            created = self._made(each)
            self._add(created)
            done["posts"].append(created)
        return done

    def _made(self, fields: dict[str, Any], record_id: str | None = None) -> dict[str, Any]:
        name = fields["name"].lower()
        if name != self.zone and not name.endswith(f".{self.zone}"):
            name = f"{name}.{self.zone}"
        if len(fields.get("comment") or "") > 100:
            raise _Failed(9313, "Comment is too long.")
        proxied = bool(fields.get("proxied", False))
        return {
            "id": record_id or f"{next(self._ids):032x}",
            "name": name,
            "type": fields["type"],
            **_read_service(fields),
            "proxiable": fields["type"] in {"A", "AAAA", "CNAME"},
            "proxied": proxied,
            "ttl": 1 if proxied else fields.get("ttl", 1),
            "settings": {},
            "meta": {},
            "comment": fields.get("comment"),
            "tags": [],
            "created_on": "2026-01-01T00:00:00Z",
            "modified_on": "2026-01-01T00:00:00Z",
        }

    def _add(self, record: dict[str, Any]) -> None:
        same_name = [each for each in self.records.values() if each["name"] == record["name"]]
        if any((each["type"], each["content"]) == (record["type"], record["content"]) for each in same_name):
            raise _Failed(81058, "An identical record already exists.")
        leading = {"A", "AAAA", "CNAME"}
        if any("CNAME" in {each["type"], record["type"]} and each["type"] in leading for each in same_name):
            raise _Failed(81053, "An A, AAAA, or CNAME record with that host already exists.")
        self.records[record["id"]] = record


def _read_service(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says: a service by its parts, whose text has no priority in it."""
    if fields["type"] != "SRV":
        return {"content": fields["content"]}
    data = fields.get("data")
    if not isinstance(data, dict) or set(data) != {"priority", "weight", "port", "target"}:
        raise _Failed(1004, "DNS Validation Error: data of a SRV record is missing.")
    if not all(isinstance(data[name], int) for name in ("priority", "weight", "port")) or fields.get("proxied"):
        raise _Failed(1004, "DNS Validation Error: data of a SRV record is wrong.")
    content = f"{data['weight']} {data['port']} {data['target']}"
    return {"content": content, "data": data, "priority": data["priority"]}


def _answer(result: Any, info: dict[str, int] | None = None) -> web.Response:
    body: dict[str, Any] = {"result": result, "success": True, "errors": [], "messages": []}
    return web.json_response({**body, "result_info": info} if info else body)


def _refusal(failed: _Failed) -> web.Response:
    error = {"code": failed.code, "message": failed.message}
    return web.json_response(
        {"result": None, "success": False, "errors": [error], "messages": []}, status=failed.status
    )
