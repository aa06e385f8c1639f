"""Technitium's HTTP API, as far as we call it, with its habits: 200 for all, texts in place of codes, defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.tricks import Handler, Tricks

TOKEN = "932b2a3495852c15af01598f62563ae534460388b6a370bfbbb8bb6094b698e9"
DEFAULT_TTL = 3600
_SERVICE = ("priority", "weight", "port", "target")
NO_TOKEN = {"status": "invalid-token", "errorMessage": "Invalid token or session expired."}


class _Failed(Exception):
    pass


@dataclass
class FakeTechnitium:
    """One server with one primary zone."""

    zone: str
    token: str = TOKEN
    tricks: Tricks = field(default_factory=Tricks)
    records: list[dict[str, Any]] = field(default_factory=list)
    serial: int = 1
    # Whether our user may change the zone.
    may_modify: bool = True

    def serve(self) -> TestServer:
        """Return a server on loopback."""
        app = web.Application(middlewares=[self._judge])
        for name, handler in (
            ("get", self._get),
            ("add", self._add),
            ("update", self._update),
            ("delete", self._delete),
        ):
            app.router.add_post(f"/api/zones/records/{name}", handler)
        return TestServer(app)

    def put(
        self, name: str, kind: str, content: str, *, comment: str | None = None, ttl: int = 300, disabled: bool = False
    ) -> None:
        """Put a record there by hand."""
        data = _render_data(kind, content)
        entry: dict[str, Any] = {"disabled": disabled, "name": name, "type": kind, "ttl": ttl, "rData": data}
        self.records.append(entry | ({"comments": comment} if comment else {}))
        self.serial += 1

    @web.middleware
    async def _judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async def judged(request: web.Request) -> web.StreamResponse:
            form = await request.post()
            assert "token" not in request.query, "a token in a URL stands in every log"
            if form.get("token") != self.token:
                return _answer(NO_TOKEN)
            if form.get("zone") != self.zone:
                return _refusal("No such zone was found: " + str(form.get("zone")))
            if not request.path.endswith("/get") and not self.may_modify:
                return _refusal("Access was denied.")
            try:
                return await handler(request)
            except _Failed as failed:
                return _refusal(str(failed))

        changes = not request.path.endswith("/get")
        return await self.tricks.answer(request, judged, changes=changes, lie=_answer({"status": "ok", "response": {}}))

    async def _get(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = str(form["domain"]).lower()
        everything = form.get("listZone") == "true"
        soa = {
            "name": self.zone,
            "type": "SOA",
            "ttl": 900,
            "disabled": False,
            "rData": {"serial": self.serial, "primaryNameServer": "ns"},
        }
        known = [soa, *self.records]
        found = [
            each
            for each in known
            if each["name"].lower() == name or (everything and each["name"].lower().endswith(name))
        ]
        return _answer({"status": "ok", "response": {"zone": {"name": self.zone, "type": "Primary"}, "records": found}})

    async def _add(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        name, kind, content = _read(form)
        same = [each for each in self.records if each["name"].lower() == name.lower()]
        if form.get("overwrite", "false") == "true":
            self.records = [each for each in self.records if each not in same or each["type"] != kind]
        elif any(each["type"] == kind and (kind == "CNAME" or content_of(each) == content) for each in same):
            text = "Record already exists. Use overwrite option if you wish to overwrite existing record."
            raise _Failed(text if kind == "CNAME" else "Cannot add record: record already exists.")
        if any((each["type"] == "CNAME") is not (kind == "CNAME") for each in same):
            raise _Failed("Cannot add record: a CNAME record cannot exist with other record types for the same name.")
        self.put(form["domain"], kind, content, comment=form.get("comments"), ttl=int(form.get("ttl", DEFAULT_TTL)))
        return _answer({"status": "ok", "response": {"addedRecord": self.records[-1]}})

    async def _update(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        name, kind, content = _read(form)
        for each in self.records:
            if each["name"].lower() != name.lower() or each["type"] != kind:
                continue
            if kind != "CNAME" and content_of(each) != content:
                continue
            each["rData"] = _render_data(kind, _read_new(form, kind, content))
            # What is left out is set to its default.
            each["ttl"] = int(form.get("ttl", DEFAULT_TTL))
            each["disabled"] = form.get("disable", "false") == "true"
            each["comments"] = form.get("comments")
            self.serial += 1
            return _answer({"status": "ok", "response": {"updatedRecord": each}})
        raise _Failed("Cannot update record: the old record does not exists.")

    async def _delete(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        name, kind, content = _read(form)
        gone = [
            each
            for each in self.records
            if each["name"].lower() == name.lower()
            and each["type"] == kind
            and (kind == "CNAME" or content_of(each) == content)
        ]
        if not gone:
            raise _Failed("Cannot delete record: no such record exists.")
        self.records = [each for each in self.records if each not in gone]
        self.serial += 1
        return _answer({"status": "ok", "response": {}})


def _read(form: dict[str, str]) -> tuple[str, str, str]:
    kind = form["type"]
    if kind == "SRV":
        return form["domain"], kind, " ".join(form[name] for name in _SERVICE)
    return form["domain"], kind, form["cname" if kind == "CNAME" else "ipAddress"]


def _read_new(form: dict[str, str], kind: str, content: str) -> str:
    if kind == "SRV":
        return " ".join(form.get(f"new{name.capitalize()}", form[name]) for name in _SERVICE)
    return content if kind == "CNAME" else form.get("newIpAddress", content)


def _render_data(kind: str, content: str) -> dict[str, Any]:
    if kind == "SRV":
        *numbers, target = content.split()
        return {**dict(zip(_SERVICE, map(int, numbers), strict=False)), "target": target}
    return {"cname" if kind == "CNAME" else "ipAddress": content}


def content_of(record: dict[str, Any]) -> str:
    """Return what a record says, as one text."""
    data = record["rData"]
    if record["type"] == "SRV":
        return " ".join(str(data[name]) for name in _SERVICE)
    return str(data.get("cname") or data.get("ipAddress"))


def _answer(body: dict[str, Any]) -> web.Response:
    return web.json_response({"server": "dns1", **body})


def _refusal(message: str) -> web.Response:
    return _answer({"status": "error", "errorMessage": message})
