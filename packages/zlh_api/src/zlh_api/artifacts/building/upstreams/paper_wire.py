"""What PaperMC's download service (Fill, version 3) says of a project, its versions and their builds. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from zlh_api.artifacts.building.upstreams.answer_rules import UpstreamUnusable, is_version_name, parse_answer
from zlh_common.schema.template import PinnedFile

# What a build is made for servers is called.
SERVER = "server:default"
_FINISHED = frozenset({"STABLE", "RECOMMENDED"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Project(msgspec.Struct, frozen=True):
    # Family → its versions, newest first; families newest first as well.
    versions: dict[str, tuple[str, ...]]


class _Minimum(msgspec.Struct, frozen=True):
    minimum: Annotated[int, Meta(ge=5, le=1000)]


class _Java(msgspec.Struct, frozen=True):
    version: _Minimum


class _Facts(msgspec.Struct, frozen=True):
    id: str
    java: _Java


class _Version(msgspec.Struct, frozen=True):
    version: _Facts


class _Download(msgspec.Struct, frozen=True):
    name: str
    checksums: dict[str, str]
    size: Annotated[int, Meta(gt=0, le=2**31)]
    url: str


class Build(msgspec.Struct, frozen=True):
    """One build of one version."""

    id: Annotated[int, Meta(ge=0)]
    time: datetime
    channel: str
    downloads: dict[str, _Download]

    @property
    def is_finished(self) -> bool:
        """Whether it is meant for everybody."""
        return self.channel in _FINISHED


def parse_project(raw: bytes) -> list[str]:
    """Return the versions of a project, newest first."""
    families = parse_answer(raw, _Project, "project").versions
    versions = [version for family in families.values() for version in family if is_version_name(version)]
    if not versions:
        raise UpstreamUnusable("the project has no versions")
    return versions


def parse_java(raw: bytes, version: str) -> int:
    """Return the oldest Java that a version runs on."""
    facts = parse_answer(raw, _Version, f"version {version}").version
    if facts.id != version:
        raise UpstreamUnusable(f"asked for {version} it speaks of {facts.id[:64]}")
    return facts.java.version.minimum


def choose_build(raw: bytes, version: str) -> Build | None:
    """Return the newest build that is meant for everybody, else the newest; None where a version has none."""
    builds = parse_answer(raw, tuple[Build, ...], f"list of builds of {version}")
    newest_first = sorted(
        (build for build in builds if SERVER in build.downloads), key=lambda build: build.id, reverse=True
    )
    return next((build for build in newest_first if build.is_finished), next(iter(newest_first), None))


def pin_build(build: Build, path: str) -> PinnedFile:
    """Return the file of a build, held to the SHA-256 that the service says."""
    download = build.downloads[SERVER]
    sha256 = download.checksums.get("sha256", "")
    if not _SHA256.fullmatch(sha256):
        raise UpstreamUnusable(f"build {build.id} has no SHA-256")
    return PinnedFile(path=path, urls=(download.url,), size=download.size, hash=f"sha256:{sha256}")
