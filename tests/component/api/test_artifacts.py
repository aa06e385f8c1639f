"""The signed tree below the API's own address: what clients need is there, and nothing else of the folder is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import World
from fakes.runtime_shop import RuntimeShop, make_shop
from zlh_common.signed_catalog import fetch_catalog

Client = TestClient[Request, Application]


@pytest.fixture
async def shop(world: World) -> RuntimeShop:
    """A published tree where the API's configuration names it."""
    made = await asyncio.to_thread(make_shop, world.folder / "shop", "1.0")
    (world.folder / "artifacts").symlink_to(made.tree)
    return made


async def test_a_client_believes_what_the_api_serves(client: Client, shop: RuntimeShop, tmp_path: Path) -> None:
    """Catalog and archive, through the real reader."""
    catalog = await asyncio.to_thread(
        fetch_catalog,
        artifacts_urls=(str(client.make_url("/artifacts/")),),
        trusted_root=shop.trusted_root.read_bytes(),
        metadata_dir=tmp_path / "client",
    )
    artifact = catalog.runtimes[0].versions[0].artifacts[0]
    answer = await client.get(f"/artifacts/{artifact.path}")
    assert await answer.read() == shop.archive("1.0").read_bytes()
    for path in ("metadata/1.root.json", shop.path("1.0").replace(".tar.zst", ".json")):
        assert (await client.get(f"/artifacts/{path}")).status == 200, path


async def test_ranges_and_validators(client: Client, shop: RuntimeShop) -> None:
    """A download goes on where it broke; what is there already costs a 304; archives are cached for good."""
    path, whole = f"/artifacts/{shop.path('1.0')}", shop.archive("1.0").read_bytes()
    first = await client.get(path, headers={"Range": "bytes=0-9"})
    tag = first.headers["ETag"]
    assert (first.status, await first.read()) == (206, whole[:10])
    assert "immutable" in first.headers["Cache-Control"]
    rest = await client.get(path, headers={"Range": "bytes=10-", "If-Range": tag})
    assert await rest.read() == whole[10:]
    assert (await client.get(path, headers={"Range": "bytes=10-", "If-Range": '"x"'})).status == 200
    assert (await client.get(path, headers={"If-None-Match": tag})).status == 304
    head = await client.head(path)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(whole)))
    timestamp = await client.get("/artifacts/metadata/timestamp.json")
    assert timestamp.headers["Cache-Control"] == "no-cache"
    beyond = await client.get(path, headers={"Range": "bytes=99999999-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


@pytest.mark.parametrize(
    "path",
    ["", "archives", "archives/tiny/", ".lock", ".decisions.json", ".work/archive", "keys/root.pem",
     "metadata/../.lock", "metadata/%2e%2e/.lock", "archives/tiny/%2e%2e%2f%2e%2e%2f.lock", "archives/tiny/link",
     "%00", "x" * 4000],
)  # fmt: skip
async def test_nothing_else_is_served(client: Client, shop: RuntimeShop, path: str) -> None:
    """No list, no private file, no way out; and never the portal's page in place of a file."""
    (shop.tree / "archives/tiny/link").symlink_to("/etc/passwd")
    (shop.tree / ".decisions.json").write_text("{}")
    answer = await client.get(f"/artifacts/{path}")
    assert (answer.status, (await answer.json())["code"]) == (404, "artifact_file_unknown")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_artifacts_are_only_read(client: Client, shop: RuntimeShop, method: str) -> None:
    """The answer says how."""
    answer = await client.request(method, f"/artifacts/{shop.path('1.0')}")
    assert answer.status == 405
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


async def test_a_containers_host_serves_none_of_it(client: Client, shop: RuntimeShop) -> None:
    """Below a container's name everything is the customer's."""
    answer = await client.get("/artifacts/metadata/timestamp.json", headers={"Host": "dev-101.localhost"})
    assert answer.status == 404


async def test_without_a_folder_there_is_none(client: Client) -> None:
    """A 404 of this slice, not the portal's page."""
    answer = await client.get("/artifacts/metadata/timestamp.json")
    assert (answer.status, (await answer.json())["code"]) == (404, "artifact_file_unknown")
