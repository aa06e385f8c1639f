"""The portal's built files: the page for every path that is no file, long caching for names with a hash."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_common.errors import NotFound, ZlhError

# xterm.js and the component library set styles at run time; scripts come from our own files alone.
# No text becomes a script or markup, wherever it came from: the page's trusted-types.js lets style sheets pass alone.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types default"
)


class PortalNotBuilt(ZlhError):
    """This installation has no built portal."""

    code, status = "portal_not_built", 404

    def __init__(self) -> None:
        super().__init__("The portal is not built in this checkout; `make portal` builds it. The API works without it.")


def default_folder() -> Path:
    """Return where the portal's build is put."""
    return Path(str(files("zlh_api.web"))) / "portal"


def endpoints(folder: Path) -> list[Endpoint]:
    """Return the endpoints that serve the build in `folder`."""

    async def asset(call: Call) -> web.Response:
        name = call.request.match_info["path"]
        return await asyncio.to_thread(_serve_asset, folder / "assets", name, may_compress=_takes_gzip(call.request))

    async def page(call: Call) -> web.Response:
        return await asyncio.to_thread(_serve_path, folder, call.request.path.lstrip("/"))

    return [
        Endpoint("GET", "/assets/{path}", Policy.PUBLIC, asset, "A file of the portal"),
        # Not below /api/: there, a wrong path is not found, and a wrong method is told which ones there are.
        Endpoint("GET", "/{path:(?!api/).*}", Policy.PUBLIC, page, "The portal"),
    ]


def _serve_path(folder: Path, path: str) -> web.Response:
    """Answer with the file of this name (an icon), or with the page, which finds its own way by the path."""
    files_at_top = {entry.name for entry in folder.glob("*") if entry.is_file()} - {"index.html"}
    return _serve_file(folder, path) if path in files_at_top else _serve_page(folder)


def _serve_asset(folder: Path, name: str, *, may_compress: bool) -> web.Response:
    """Answer with a file whose name has a hash, or with the copy of it that the build has compressed."""
    compressed = folder / f"{name}.gz"
    answer = _serve_file(folder, name)
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    if compressed.is_file():
        answer.headers["Vary"] = "Accept-Encoding"
        if may_compress:
            answer.headers["Content-Encoding"] = "gzip"
            answer.body = compressed.read_bytes()
    return answer


def _takes_gzip(request: web.Request) -> bool:
    """Tell whether the client names gzip, and does not refuse it by a weight of nothing (RFC 9110, 12.5.3)."""
    for asked in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = asked.partition(";")
        if coding.strip() == "gzip":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return False


def _serve_file(folder: Path, name: str) -> web.Response:
    """Answer with a file directly in `folder`; a name is one path component, so nothing leads out."""
    path = folder / name
    if "/" in name or name.startswith(".") or not path.is_file():
        raise NotFound
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return web.Response(body=path.read_bytes(), content_type=kind, headers={"Cache-Control": "no-cache"})


def _serve_page(folder: Path) -> web.Response:
    index = folder / "index.html"
    if not index.is_file():
        raise PortalNotBuilt
    return web.Response(
        body=index.read_bytes(),
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )
