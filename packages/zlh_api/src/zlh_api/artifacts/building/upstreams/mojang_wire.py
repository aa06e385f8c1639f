"""What Mojang publishes of Minecraft: the list of versions, and the description of each. Pure."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable, is_version_name, parse_answer
from zlh_common.schema.template import GameVersion

_SHA1 = re.compile(r"[0-9a-f]{40}")
# What a version needs that does not say it: those from before 2021.
OLD_JAVA = 8


class Latest(msgspec.Struct, frozen=True):
    """The newest of each kind."""

    release: str
    snapshot: str = ""


class ListedVersion(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the list; `sha1` is that of the description at `url`."""

    id: str
    type: str
    url: str
    sha1: str
    release_time: datetime


class Manifest(msgspec.Struct, frozen=True):
    """`version_manifest_v2.json`: all versions, newest first."""

    latest: Latest
    versions: tuple[ListedVersion, ...]

    def find(self, version: str) -> ListedVersion | None:
        """Return one version by its id."""
        return next((entry for entry in self.versions if entry.id == version), None)


class ServerDownload(msgspec.Struct, frozen=True):
    """The server of one version."""

    sha1: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]
    size: Annotated[int, Meta(gt=0, le=2**31)]
    url: str


class _Downloads(msgspec.Struct, frozen=True):
    server: ServerDownload | None = None


class _Java(msgspec.Struct, frozen=True, rename="camel"):
    major_version: Annotated[int, Meta(ge=5, le=1000)] = OLD_JAVA


class Description(msgspec.Struct, frozen=True, rename="camel"):
    """What there is of one version; some old ones have no server."""

    id: GameVersion
    downloads: _Downloads = _Downloads()
    java_version: _Java = _Java()


def parse_manifest(raw: bytes) -> Manifest:
    """Return the list of versions; those whose names no version here could have are left out."""
    manifest = parse_answer(raw, Manifest, "list of versions")
    if not manifest.versions:
        raise UpstreamUnusable("its list of versions is empty")
    return msgspec.structs.replace(
        manifest, versions=tuple(entry for entry in manifest.versions if is_version_name(entry.id))
    )


def parse_description(raw: bytes, listed: ListedVersion) -> Description:
    """Return what there is of a version, held to the SHA-1 of the list."""
    found = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    if not _SHA1.fullmatch(listed.sha1) or found != listed.sha1:
        raise UpstreamUnusable(
            f"the description of {listed.id} has the SHA-1 {found}, the list says {listed.sha1[:64]}"
        )
    description = parse_answer(raw, Description, f"description of {listed.id}")
    if description.id != listed.id:
        raise UpstreamUnusable(f"the description of {listed.id} is one of {description.id}")
    return description
