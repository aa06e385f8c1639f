"""A tiny runtime, a wheel of it made on the spot, and a tree to publish it in."""

from __future__ import annotations

import hashlib
import http.server
import stat
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.sources.workbench import Means
from zlh_api.artifacts.model import Built, Published, Recipe, WheelFile
from zlh_api.artifacts.signing.publish import initialise, publish_catalog

PLATFORM = "linux-x86_64"
RECIPE = """
name = "tiny"
title = "Tiny"
version = "{version}"
revision = {revision}
default = true
upstream = "https://example.org"
licence = "MIT"
bin = ["bin"]
smoke_test = ["bin/tiny"]
smoke_expect = "tiny {version}"
[environment]
TINY_HOME = "{{root}}"
[wheel]
name = "tiny-runtime"
version = "{version}"
[wheel.platforms.linux-x86_64]
tag = "manylinux2014_x86_64"
sha256 = "{sha256}"
[layout]
root = "tiny"
leave_out = ["*.py"]
[layout.links]
"bin/also" = "../lib/also"
[layout.texts]
"LICENSE" = "tiny.txt"
"""


@dataclass
class Workshop:
    """A folder with recipes, wheels, keys and a tree."""

    home: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def tree(self) -> Path:
        return self.home / "tree"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def recipes(self) -> Path:
        return self.home / "recipes"

    def add_recipe(self, version: str, *, revision: int = 1, extra: bytes = b"", sha256: str = "") -> None:
        """Write a recipe and the wheel that it names."""
        wheel = self.wheel_path(version)
        wheel.parent.mkdir(parents=True, exist_ok=True)
        make_wheel(wheel, version, extra)
        (self.recipes / "licences").mkdir(parents=True, exist_ok=True)
        (self.recipes / "licences" / "tiny.txt").write_text("Do as you like.\n")
        digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
        text = RECIPE.format(version=version, revision=revision, sha256=digest)
        (self.recipes / f"tiny-{version}.toml").write_text(text)

    def wheel_path(self, version: str) -> Path:
        """Return where the wheel of a version lies; pip finds it there by its name."""
        return self.home / "wheels" / f"tiny_runtime-{version}-py3-none-manylinux2014_x86_64.whl"

    def fetch(self, recipe: Recipe, _wheel: WheelFile, folder: Path) -> Path:
        """Stand in for pip: hand out the wheel from the folder beside."""
        target = folder / "fetched.whl"
        target.write_bytes(self.wheel_path(recipe.version).read_bytes())
        return target

    def build(self) -> list[Built]:
        """Build everything."""
        book = RecipeBook(self.recipes)
        return build_artifacts(self.tree, book, book.recipes, platforms=[PLATFORM], means=Means(fetch_wheel=self.fetch))

    def publish(self) -> Published:
        """Make keys where there are none, and publish."""
        initialise(self.tree, self.keys, now=self.now)
        return publish_catalog(self.tree, self.keys, now=self.now)


def make_wheel(path: Path, version: str, extra: bytes = b"") -> None:
    """Write a wheel with a program, a library, and what makes it a Python package."""
    metadata = f"Metadata-Version: 2.1\nName: tiny-runtime\nVersion: {version}\n"
    files = {
        "tiny/__init__.py": (b"", 0o644),
        "tiny/bin/tiny": (f"#!/bin/sh\necho tiny {version}\n".encode(), 0o755),
        "tiny/lib/also": (b"#!/bin/sh\necho also\n" + extra, 0o755),
        f"tiny/share/{'long-name-' * 14}.txt": (b"x" * 5000, 0o644),
        f"tiny_runtime-{version}.dist-info/METADATA": (metadata.encode(), 0o644),
        f"tiny_runtime-{version}.dist-info/WHEEL": (b"Wheel-Version: 1.0\nTag: py3-none-manylinux2014_x86_64\n", 0o644),
        f"tiny_runtime-{version}.dist-info/RECORD": (b"", 0o644),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, (content, mode) in files.items():
            info = zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | mode) << 16
            wheel.writestr(info, content)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def served(tree: Path) -> Iterator[str]:
    """Serve a tree as any web server would; gives its URL."""
    handler = partial(QuietHandler, directory=str(tree))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Give a workshop with one recipe, nothing built."""
    made = Workshop(tmp_path)
    made.add_recipe("1.0")
    return made


@pytest.fixture
def published(workshop: Workshop) -> Workshop:
    """Give a workshop whose one version is built and published."""
    workshop.build()
    workshop.publish()
    return workshop
