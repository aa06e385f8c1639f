"""Tiny runtimes, each a shell script in an archive, published and signed by the project's own publisher."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import msgspec
import zstandard

from zlh_api.artifacts.model import BuildRecord
from zlh_api.artifacts.signing.keys import TRUSTED_ROOT
from zlh_api.artifacts.signing.publish import initialise, publish_catalog
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.catalog import Channel, OfferKind

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, content: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, to: str = ""
) -> Member:
    """Return one entry of an archive, as odd as it is asked for."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(content), mode, kind, to
    return info, content


def program(version: str, *, name: str = "tiny", script: str = "") -> Member:
    """Return the entry of a runtime's one program."""
    text = f"#!/bin/sh\n{script}\necho {name} {version}\n"
    return member(f"bin/{name}", text.encode(), mode=0o755)


def pack(members: Sequence[Member]) -> bytes:
    """Return the entries as a tar.zst."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor(write_content_size=True).compress(plain.getvalue())


def noise(size: int, seed: str = "") -> bytes:
    """Return bytes that do not compress and are always the same."""
    return hashlib.shake_256(seed.encode()).digest(size)


@dataclass
class RuntimeShop:
    """A signed tree in a folder, and its keys."""

    folder: Path

    @property
    def tree(self) -> Path:
        """The folder that an artifact server hands out."""
        return self.folder / "tree"

    @property
    def keys(self) -> Path:
        """The signing keys."""
        return self.folder / "keys"

    @property
    def trusted_root(self) -> Path:
        """The root that clients are given."""
        return self.keys / TRUSTED_ROOT

    def archive(self, version: str, name: str = "tiny") -> Path:
        """Return where the archive of one version lies."""
        return self.tree / self.path(version, name)

    def path(self, version: str, name: str = "tiny") -> str:
        """Return the archive's path below the server's address."""
        return f"archives/{name}/{name}-{version}-{this_platform()}.tar.zst"

    def add(
        self,
        version: str,
        *,
        name: str = "tiny",
        script: str = "",
        filler: int = 1000,
        members: Sequence[Member] | None = None,
        raw: bytes | None = None,
        unpacked_size: int | None = None,
        entries: int | None = None,
        channel: Channel = "stable",
        kind: OfferKind = "runtime",
        for_games: bool = False,
        smoke_test: tuple[str, ...] | None = None,
        smoke_expect: str | None = None,
    ) -> None:
        """Put one version into the tree, not yet published; `raw` stands for the whole archive."""
        content = members or [program(version, name=name, script=script), member("share/data", noise(filler, version))]
        packed = pack(content) if raw is None else raw
        archive = self.archive(version, name)
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(packed)
        record = BuildRecord(
            kind=kind, edition=None,
            name=name, title=name.title(), version=version, revision=1, default=True, channel=channel,
            upstream="https://example.org", licence="MIT", bin=("bin",), environment={f"{name.upper()}_HOME": "{root}"},
            smoke_test=smoke_test or (f"bin/{name}",), smoke_expect=smoke_expect or f"{name} {version}",
            platform=this_platform(),
            path=self.path(version, name), size=len(packed),
            unpacked_size=unpacked_size or sum(len(held) for _, held in content) or 1,
            entries=entries or len({str(path) for info, _ in content for path in _with_folders(info.name)}),
            sha256=hashlib.sha256(packed).hexdigest(), source=f"wheel:{name}=={version}", source_sha256="0" * 64,
            recipe_sha256="0" * 64, for_games=for_games,
        )  # fmt: skip
        archive.with_name(archive.name.replace(".tar.zst", ".json")).write_bytes(msgspec.json.encode(record))

    def publish(self, *, now: datetime | None = None) -> None:
        """Sign what is there; the keys are made where there are none."""
        at = now or datetime.now(UTC)
        initialise(self.tree, self.keys, now=at)
        publish_catalog(self.tree, self.keys, now=at)


def _with_folders(name: str) -> list[PurePosixPath]:
    path = PurePosixPath(name)
    return [path, *list(path.parents)[:-1]]


def make_shop(folder: Path, *versions: str) -> RuntimeShop:
    """Return a shop that offers these versions of `tiny`."""
    shop = RuntimeShop(folder)
    for version in versions:
        shop.add(version)
    shop.publish()
    return shop
