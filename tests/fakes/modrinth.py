"""Modrinth's API as far as we call it, and its file host, with their habits and with whatever they may do wrong.

Who does not say who they are is refused; a limit per address is kept by the generic cell rate algorithm; values in a
query are arrays of JSON; what is unknown is left out of maps and lists; an alpha comes first where it is newest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

LIMIT = 300
_GENERIC = re.compile(r"^$|^(python|aiohttp|curl|okhttp|java|go-http|node|axios|mozilla)", re.IGNORECASE)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeModrinth:
    """The API; `now` makes time pass for its limit."""

    files: FakeFileHost
    now: Callable[[], float] = time.monotonic
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    # What the next requests are answered with, instead of the truth: see `_misbehave`.
    tricks: list[str] = field(default_factory=list)
    limit: int = LIMIT
    _full_at: float = 0.0

    def serve(self, *, port: int | None = None) -> TestServer:
        """Return a server on loopback, at a port that is given or at any; its URL ends in `/v2`."""
        app = web.Application(middlewares=[self._judge], client_max_size=2**24)
        app.router.add_get("/v2/projects", self._many_projects)
        app.router.add_get("/v2/versions", self._many_versions)
        app.router.add_get("/v2/project/{id}", self._one_project)
        app.router.add_get("/v2/project/{id}/version", self._list)
        app.router.add_post("/v2/version_files", self._identify)
        app.router.add_get("/v2/search", self._search)
        return TestServer(app, port=port)

    def add_project(self, project: str, **given: Any) -> str:
        """Add a project; its slug is `slug-<id>` unless it is given."""
        self.projects[project] = {
            "id": project,
            "slug": f"slug-{project}",
            "title": project.upper(),
            "description": f"About {project}",
            "project_type": "mod",
            "client_side": "optional",
            "server_side": "required",
            "versions": [],
            "status": "approved",
            **given,
        }
        return project

    def add_version(
        self,
        project: str,
        number: int,
        *dependencies: dict[str, Any],
        content: bytes | None = None,
        files: list[dict[str, Any]] | None = None,
        **given: Any,
    ) -> str:
        """Add a version with one file, and its project where it lacks; return its id."""
        if project not in self.projects:
            self.add_project(project)
        identity = f"{project}v{number}"
        body = b"PK\x03\x04" + identity.encode() * 64 if content is None else content
        self.versions[identity] = {
            "id": identity,
            "project_id": project,
            "author_id": "someone1",
            "name": f"{project} {number}",
            "version_number": f"{number}.0",
            "version_type": "release",
            "status": "listed",
            "loaders": ["fabric"],
            "game_versions": ["1.21.8"],
            "date_published": f"2025-01-{number:02}T00:00:00.123456Z",
            "downloads": 7,
            "dependencies": list(dependencies),
            "files": files if files is not None else [self.files.add(f"{project}-{number}.jar", body)],
            **given,
        }
        self.projects[project]["versions"].append(identity)
        return identity

    # Calls

    @web.middleware
    async def _judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        agent = request.headers.get("User-Agent", "")
        if _GENERIC.match(agent) or "/" not in agent or "(" not in agent:
            return _refusal(403, "unauthorized", "a unique User-Agent is required")
        headers, wait_ms = self._take()
        if wait_ms is not None:
            return _refusal(429, "ratelimit_error", f"rate limit exceeded; retry after {wait_ms} milliseconds", headers)
        if self.tricks:
            response = await self._misbehave(self.tricks.pop(0), request, handler)
        else:
            response = await handler(request)
        if not response.prepared:
            response.headers.update(headers)
        return response

    def _take(self) -> tuple[dict[str, str], int | None]:
        """Take one request from the limit: an emission every 60/limit seconds, and a burst of all of it."""
        now, every = self.now(), 60 / self.limit
        full_at = max(self._full_at, now) + every
        wait_s = full_at - now - 60
        if wait_s <= 0:
            self._full_at = full_at
        left = max(0, int((60 - (self._full_at - now)) / every))
        headers = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": str(int(max(0.0, self._full_at - now)) + 1),
        }
        return headers, int(wait_s * 1000) + 1 if wait_s > 0 else None

    async def _misbehave(  # noqa: PLR0911, PLR0912 - a table
        self, trick: str, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        match trick:
            case "busy":
                return web.Response(status=503, text="<html>busy</html>")
            case "too-many":
                return _refusal(429, "ratelimit_error", "rate limit exceeded; retry after 4200 milliseconds")
            case "too-many-by-header":
                return web.Response(status=429, text="slow down", headers={"Retry-After": "7"})
            case "too-many-for-ever":
                return web.Response(status=429, text="slow down", headers={"Retry-After": "999999999"})
            case "busy-by-header":
                return web.Response(status=503, text="<html>busy</html>", headers={"Retry-After": "9"})
            case "gone":
                return _refusal(410, "api_deprecated", "use another version")
            case "junk":
                return web.Response(text="<html>welcome</html>", content_type="text/html")
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})
            case "huge":
                return web.Response(body=b"[" + b" " * (17 * 2**20) + b"]", content_type="application/json")
            case "empty-404":
                return web.Response(status=404)
            case "deep":
                return web.Response(body=b"[" * 100_000, content_type="application/json")
            case "slow":
                await asyncio.Event().wait()
            case "drop":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case _:
                pass
        return await handler(request)

    async def _many_projects(self, request: web.Request) -> web.Response:
        asked = _array(request, "ids")
        by_slug = {project["slug"].lower(): project for project in self.projects.values()}
        found = [self.projects.get(ref) or by_slug.get(ref.lower()) for ref in asked]
        return web.json_response([project for project in found if project])

    async def _one_project(self, request: web.Request) -> web.Response:
        found = self.projects.get(request.match_info["id"])
        return web.json_response(found) if found else _refusal(404, "not_found", "the requested route does not exist")

    async def _many_versions(self, request: web.Request) -> web.Response:
        return web.json_response([self.versions[each] for each in _array(request, "ids") if each in self.versions])

    async def _list(self, request: web.Request) -> web.Response:
        project = request.match_info["id"]
        if project not in self.projects:
            return _refusal(404, "not_found", "the requested route does not exist")
        loaders, games = _array(request, "loaders"), _array(request, "game_versions")
        found = [
            version
            for version in self.versions.values()
            if version["project_id"] == project
            and (not loaders or set(loaders) & set(version["loaders"]))
            and (not games or set(games) & set(version["game_versions"]))
        ]
        return web.json_response(sorted(found, key=lambda version: version["date_published"], reverse=True))

    async def _identify(self, request: web.Request) -> web.Response:
        asked = await request.json()
        wanted = {digest.lower() for digest in asked["hashes"]}
        kind = asked["algorithm"]
        return web.json_response(
            {
                file["hashes"][kind]: version
                for version in self.versions.values()
                for file in version["files"]
                if file["hashes"].get(kind) in wanted
            }
        )

    async def _search(self, request: web.Request) -> web.Response:
        facets = json.loads(request.query.get("facets", "[]"))
        loaders = {each.partition(":")[2] for group in facets for each in group if each.startswith("categories:")}
        words = request.query.get("query", "").lower()
        hits = [
            {
                "project_id": project["id"],
                "author": "someone",
                "downloads": 7,
                "icon_url": None,
                **{name: project[name] for name in ("slug", "title", "description", "client_side", "server_side")},
                "project_type": project["project_type"],
            }
            for project in self.projects.values()
            if words in project["title"].lower() and loaders & self._loaders_of(project["id"])
        ]
        offset, limit = int(request.query.get("offset", 0)), min(int(request.query.get("limit", 10)), 100)
        page = hits[offset : offset + limit]
        return web.json_response({"hits": page, "offset": offset, "limit": limit, "total_hits": len(hits)})

    def _loaders_of(self, project: str) -> set[str]:
        versions = (version for version in self.versions.values() if version["project_id"] == project)
        return {loader for version in versions for loader in version["loaders"]}


@dataclass
class FakeFileHost:
    """Where files lie, apart from the API; `url` is known once it serves."""

    url: str = "https://cdn.example.net"
    contents: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    # By path, what is done instead of sending the file; what is "held" is sent once this is set.
    tricks: dict[str, str] = field(default_factory=dict)
    # Whoever asks for what is `held` waits for this.
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, *, port: int | None = None) -> TestServer:
        """Serve, at a port that is given or at any, and learn the address."""
        app = web.Application()
        app.router.add_get("/{name:.*}", self._send)
        server = TestServer(app, port=port)
        await server.start_server()
        self.url = f"http://{server.host}:{server.port}"
        return server

    def add(self, name: str, content: bytes, *, path: str | None = None, **given: Any) -> dict[str, Any]:
        """Lay a file down, and return what a version says of it."""
        at = path or f"data/{hashlib.sha1(content).hexdigest()}/{name}"
        self.contents[at] = content
        return {
            "hashes": {"sha1": hashlib.sha1(content).hexdigest(), "sha512": hashlib.sha512(content).hexdigest()},
            "url": f"{self.url}/{at}",
            "filename": name,
            "primary": True,
            "size": len(content),
            **given,
        }

    async def _send(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - a table
        name = request.match_info["name"]
        self.requests.append(name)
        content = self.contents.get(name)
        if content is None:
            return web.Response(status=404)
        match self.tricks.get(name):
            case "wrong":
                return web.Response(body=bytes(len(content)))
            case "short":
                response = web.StreamResponse(headers={"Content-Length": str(len(content))})
                await response.prepare(request)
                await response.write(content[: len(content) // 2])
                assert request.transport is not None
                request.transport.abort()
                return response
            case "long":
                return web.Response(body=content + b"more")
            case "empty":
                return web.Response(body=b"")
            case "redirect":
                return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
            case "busy":
                return web.Response(status=503)
            case "too-many-once":
                del self.tricks[name]
                return web.Response(status=429, headers={"Retry-After": "20"})
            case "held":
                await self.released.wait()
            case "slow":
                response = web.StreamResponse(headers={"Content-Length": str(len(content))})
                await response.prepare(request)
                await response.write(content[:1])
                await asyncio.Event().wait()
            case "held":
                await self.released.wait()
            case _:
                pass
        return web.Response(body=content)


def requires(project: str | None = None, version: str | None = None, kind: str = "required") -> dict[str, Any]:
    """Return a dependency, by project, by version, or by both."""
    return {"project_id": project, "version_id": version, "file_name": None, "dependency_type": kind}


def build_graph(modrinth: FakeModrinth, *, width: int = 20, depth: int = 3) -> list[str]:
    """Add width x depth projects, each needing one of the next row; return the first row, which needs all of them."""
    for row in range(depth):
        for column in range(width):
            needs = [requires(f"p{row + 1}x{column}")] if row + 1 < depth else []
            modrinth.add_version(f"p{row}x{column}", 1)
            modrinth.add_version(f"p{row}x{column}", 2, *needs)
            modrinth.add_version(f"p{row}x{column}", 3, version_type="alpha")
    return [f"p0x{column}" for column in range(width)]


def _array(request: web.Request, name: str) -> list[str]:
    text = request.query.get(name)
    if text is None:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        body = json.dumps({"error": "invalid_input", "description": f"{name} is no array"})
        raise web.HTTPBadRequest(text=body, content_type="application/json")
    return found


def _refusal(status: int, error: str, description: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": error, "description": description}, status=status, headers=headers)
