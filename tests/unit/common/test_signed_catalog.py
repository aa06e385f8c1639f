"""The signed catalog over real HTTP: believed when it holds, refused by name when it does not."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined] # no __all__ there
from tuf.api.metadata import (  # type: ignore[attr-defined] # no __all__ there
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from zlh_common.errors import InvalidBody
from zlh_common.schema.catalog import CATALOG_FORMAT, CATALOG_TARGET
from zlh_common.signed_catalog import CatalogExpired, CatalogUnavailable, CatalogUntrusted, fetch_catalog

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)
ROLES = ("root", "targets", "snapshot", "timestamp")


def document(**changes: object) -> dict[str, Any]:
    """Return a catalog as it is published."""
    return {"format": CATALOG_FORMAT, "publishedAt": "2026-01-01T00:00:00Z", "runtimes": [], **changes}


@dataclass
class Repository:
    """A signed tree in a folder, with keys of its own."""

    folder: Path
    keys: dict[str, CryptoSigner] = field(
        default_factory=lambda: {role: CryptoSigner.generate_ed25519() for role in ROLES}
    )

    def publish(
        self,
        version: int,
        catalog: object = None,
        *,
        expires: timedelta = timedelta(days=1),
        name: str = CATALOG_TARGET,
    ) -> None:
        """Write all of it with this version."""
        raw = json.dumps(document() if catalog is None else catalog).encode()
        until = datetime.now(UTC).replace(microsecond=0) + expires
        target = TargetFile.from_data(name, raw, ["sha256"])
        (self.folder / "targets").mkdir(parents=True, exist_ok=True)
        (self.folder / "targets" / f"{target.hashes['sha256']}.{name}").write_bytes(raw)
        targets = Targets(version=version, expires=until, targets={name: target})
        self._write(f"{version}.targets", "targets", targets)
        self._write(
            f"{version}.snapshot",
            "snapshot",
            Snapshot(version=version, expires=until, meta={"targets.json": MetaFile(version)}),
        )
        self._write(
            "timestamp", "timestamp", Timestamp(version=version, expires=until, snapshot_meta=MetaFile(version))
        )

    def root(self) -> bytes:
        """Return the root that clients are given."""
        root = Root(version=1, expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
        for role in ROLES:
            root.add_key(self.keys[role].public_key, role)
        return self._write("1.root", "root", root)

    def _write(self, name: str, role: str, signed: S) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.keys[role])
        raw = metadata.to_bytes()
        (self.folder / "metadata").mkdir(parents=True, exist_ok=True)
        (self.folder / "metadata" / f"{name}.json").write_bytes(raw)
        return raw


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@dataclass
class Client:
    """Somebody who trusts one root and remembers what he has seen."""

    url: str
    root: bytes
    folder: Path

    def fetch(self) -> int:
        """Return the format of the catalog that was believed."""
        return fetch_catalog(artifacts_urls=(self.url,), trusted_root=self.root, metadata_dir=self.folder).format


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a tree with nothing but keys."""
    return Repository(tmp_path / "tree")


@pytest.fixture
def client(repository: Repository, tmp_path: Path) -> Iterator[Client]:
    """Return a client of the tree, which a real server on loopback hands out."""
    root = repository.root()
    handler = partial(QuietHandler, directory=str(repository.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Client(f"http://127.0.0.1:{server.server_port}/", root, tmp_path / "client")
        server.shutdown()
        thread.join()


def test_signed_catalog_is_read(repository: Repository, client: Client) -> None:
    """What the trusted keys have signed is believed, again and again, and so is what follows it."""
    repository.publish(1)
    assert client.fetch() == client.fetch() == CATALOG_FORMAT
    repository.publish(2, document(addons=[{"name": "code-server", "title": "code-server", "versions": []}]))
    assert client.fetch() == CATALOG_FORMAT


def test_expired_catalog_is_refused(repository: Repository, client: Client) -> None:
    """Old signatures are no signatures, and it can pass: the server signs again."""
    repository.publish(1, expires=timedelta(seconds=-1))
    with pytest.raises(CatalogExpired):
        client.fetch()
    repository.publish(2)
    assert client.fetch() == CATALOG_FORMAT


def test_rollback_is_refused(repository: Repository, client: Client) -> None:
    """Who has seen version 2 cannot be shown version 1, though its signature is good."""
    repository.publish(2)
    client.fetch()
    repository.publish(1)
    with pytest.raises(CatalogUntrusted):
        client.fetch()


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_catalog_of_another_key_is_refused(role: str, repository: Repository, client: Client) -> None:
    """One wrong key anywhere in the chain is enough."""
    repository.keys[role] = CryptoSigner.generate_ed25519()
    repository.publish(1)
    with pytest.raises(CatalogUntrusted):
        client.fetch()


@pytest.mark.parametrize("change", [lambda raw: raw[:-1] + b" ", lambda raw: raw[:-1], lambda raw: raw + b" "])
def test_changed_catalog_is_refused(change: Any, repository: Repository, client: Client) -> None:
    """Flipped, cut or longer: nothing of it is used, and nothing of it is kept."""
    repository.publish(1)
    (path,) = (repository.folder / "targets").iterdir()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CatalogUntrusted):
        client.fetch()
    assert not [kept for kept in client.folder.rglob("*") if kept.name.endswith(CATALOG_TARGET)]


def test_catalog_of_another_format_is_refused(repository: Repository, client: Client) -> None:
    """A newer platform's catalog is not half understood."""
    repository.publish(1, document(format=CATALOG_FORMAT + 1))
    with pytest.raises(CatalogUntrusted, match=f"it has format {CATALOG_FORMAT + 1}"):
        client.fetch()


def test_tree_that_signs_no_catalog_is_refused(repository: Repository, client: Client) -> None:
    """Good signatures over something else are no catalog."""
    repository.publish(1, name="other.json")
    with pytest.raises(CatalogUntrusted, match=CATALOG_TARGET):
        client.fetch()


def test_signed_nonsense_names_the_field(repository: Repository, client: Client) -> None:
    """Even the right key cannot make a wrong shape right."""
    repository.publish(1, document(runtimes="none"))
    with pytest.raises(InvalidBody, match=r"\$\.runtimes"):
        client.fetch()


def test_empty_server_is_unavailable(client: Client) -> None:
    """A server that has published nothing gives no catalog."""
    with pytest.raises(CatalogUnavailable) as caught:
        client.fetch()
    assert caught.value.retryable


def test_silent_server_is_unavailable(repository: Repository, tmp_path: Path) -> None:
    """Nobody listens: the error names the address."""
    with pytest.raises(CatalogUnavailable, match=r"http://127\.0\.0\.1:9"):
        Client("http://127.0.0.1:9", repository.root(), tmp_path / "client").fetch()


def test_root_that_is_none_is_refused(repository: Repository, client: Client) -> None:
    """A client that was given a broken root believes nothing."""
    repository.publish(1)
    client.root = b"{}"
    with pytest.raises(CatalogUntrusted):
        client.fetch()
