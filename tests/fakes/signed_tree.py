"""A signed tree in which everything can be wrong to order, and a server that answers as an enemy would."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

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

from zlh_common.schema.catalog import CATALOG_FORMAT, CATALOG_TARGET

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)
ROLES = ("root", "targets", "snapshot", "timestamp")
DAY = timedelta(days=1)
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def new_key() -> CryptoSigner:
    """Return a key that nobody knows."""
    return CryptoSigner.generate_ed25519()


def in_time(distance: timedelta) -> datetime:
    """Return a moment that far from now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0) + distance


def catalog(title: str, *, published: timedelta = timedelta(0)) -> bytes:
    """Return a catalog with one runtime of this title and no version."""
    return json.dumps(
        {
            "format": CATALOG_FORMAT,
            "publishedAt": in_time(published).isoformat(),
            "runtimes": [{"name": "tiny", "title": title, "versions": []}],
        }
    ).encode()


@dataclass
class SignedTree:
    """Writes metadata with the keys that it has at that moment; what is not said is as it should be."""

    folder: Path
    keys: dict[str, list[CryptoSigner]] = field(default_factory=lambda: {role: [new_key()] for role in ROLES})
    thresholds: dict[str, int] = field(default_factory=dict)

    def root(
        self, version: int, *, signers: Sequence[CryptoSigner] | None = None, expires: timedelta = 300 * DAY
    ) -> bytes:
        """Write a root that names the keys of now; signed by those of root, or by `signers`."""
        root = Root(version=version, expires=in_time(expires))
        for role in ROLES:
            for key in self.keys[role]:
                root.add_key(key.public_key, role)
            root.roles[role].threshold = self.thresholds.get(role, 1)
        return self.write(f"{version}.root", root, signers or self.keys["root"])

    def publish(
        self,
        version: int,
        *,
        title: str = "",
        published: timedelta = timedelta(0),
        expires: timedelta = 10 * DAY,
        snapshot: int | None = None,
        targets: int | None = None,
    ) -> None:
        """Write all but the root: the timestamp with `version`, and so the others where nothing else is said."""
        snapshot, until = snapshot or version, in_time(expires)
        targets = targets or snapshot
        raw = catalog(title or f"catalog {version}", published=published)
        target = TargetFile.from_data(CATALOG_TARGET, raw, ["sha256"])
        (self.folder / "targets").mkdir(parents=True, exist_ok=True)
        (self.folder / "targets" / f"{target.hashes['sha256']}.{CATALOG_TARGET}").write_bytes(raw)
        self.write(f"{targets}.targets", Targets(version=targets, expires=until, targets={CATALOG_TARGET: target}))
        meta = {"targets.json": MetaFile(targets)}
        self.write(f"{snapshot}.snapshot", Snapshot(version=snapshot, expires=until, meta=meta))
        self.write("timestamp", Timestamp(version=version, expires=until, snapshot_meta=MetaFile(snapshot)))

    def write(self, name: str, signed: S, signers: Sequence[CryptoSigner] | None = None) -> bytes:
        """Sign one document, by all keys of its role where nobody is named."""
        document = Metadata(signed)
        for signer in signers or self.keys[signed.type]:
            document.sign(signer, append=True)
        path = self.metadata(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readers may be looking.
        path.with_suffix(".new").write_bytes(document.to_bytes())
        path.with_suffix(".new").rename(path)
        return document.to_bytes()

    def metadata(self, name: str) -> Path:
        """Return where one document stands."""
        return self.folder / "metadata" / f"{name}.json"

    def catalog_path(self) -> Path:
        """Return the one catalog that is there."""
        (path,) = (self.folder / "targets").iterdir()
        return path


@dataclass
class HostileServer:
    """Serves a folder; `answers` says for a path below it what is done instead."""

    folder: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[HostileServer]:
        """Serve for the length of the block."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = False
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        hostile = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            timeout = 10

            def __init__(self, *given: object, **named: object) -> None:
                super().__init__(*given, directory=str(hostile.folder), **named)  # type: ignore[arg-type]

            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                hostile.asked.append(path)
                try:
                    if path in hostile.answers:
                        hostile.answers[path](self)
                    else:
                        super().do_GET()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        return Handler
