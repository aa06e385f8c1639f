"""The portal's files as a browser gets them."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from zlh_api.web import portal
from zlh_api.web.endpoint import Call, Endpoint

SCRIPT = b"console.log('portal');" * 100


@pytest.fixture
def application(tmp_path: Path) -> web.Application:
    """A build with one script and its compressed copy, and one style without."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "index-4f.js").write_bytes(SCRIPT)
    (assets / "index-4f.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "small-4f.css").write_bytes(b"a{}")
    (tmp_path / "index.html").write_text("<!doctype html>")
    served = web.Application()
    for endpoint in portal.endpoints(tmp_path):
        served.router.add_route(endpoint.method, endpoint.path, partial(_answer, endpoint))
    return served


async def _answer(endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await endpoint.handler(Call(request))
    return response


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "gzip"), ("br;q=1, gzip;q=0.5", "gzip"), ("gzip;q=0", None), ("gzip; q=0.00", None),
     ("identity", None), ("", None), ("x-gzipped", None)],
)  # fmt: skip
async def test_a_script_is_sent_as_the_browser_takes_it(
    application: web.Application, accepted: str, encoding: str | None
) -> None:
    """Compressed where that is asked for, and the same bytes either way; caches keep both apart."""
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        answer = await client.get("/assets/index-4f.js", headers={"Accept-Encoding": accepted})
        body = await answer.read()
    assert answer.headers.get("Content-Encoding") == encoding
    assert (gzip.decompress(body) if encoding else body) == SCRIPT
    assert (answer.headers["Vary"], answer.content_type) == ("Accept-Encoding", "text/javascript")
    assert "immutable" in answer.headers["Cache-Control"]


async def test_what_has_no_copy_is_sent_as_it_is(application: web.Application) -> None:
    """Small files and the page; the page is asked for anew each time."""
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        style = await client.get("/assets/small-4f.css", headers={"Accept-Encoding": "gzip"})
        page = await client.get("/containers/101", headers={"Accept-Encoding": "gzip"})
        assert (await style.read(), "Content-Encoding" in style.headers) == (b"a{}", False)
        assert (await page.read(), page.headers["Cache-Control"]) == (b"<!doctype html>", "no-cache")
