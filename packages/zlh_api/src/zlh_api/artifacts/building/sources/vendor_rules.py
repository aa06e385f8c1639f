"""Reading a vendor's list of releases, in the form in which .NET publishes it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from zlh_api.artifacts.rules import is_of_line
from zlh_common.version_order import version_order

_VERSION = re.compile(r"\d+(\.\d+)+")
_SHA512 = re.compile(r"[0-9a-f]{128}")


class ReleasesUnusable(ValueError):
    """A list of releases does not say what is needed."""


@dataclass(frozen=True, slots=True)
class VendorFile:
    """One file that a vendor offers; `checksum` is "sha256:…" or "sha512:…"."""

    version: str
    url: str
    checksum: str


class _File(msgspec.Struct, frozen=True):
    name: str
    url: str = ""
    hash: str = ""


class _Sdk(msgspec.Struct, frozen=True):
    version: str
    files: tuple[_File, ...] = ()


class _Release(msgspec.Struct, frozen=True):
    sdk: _Sdk | None = None
    sdks: tuple[_Sdk, ...] | None = None


class _Releases(msgspec.Struct, frozen=True):
    releases: tuple[_Release, ...]


def find_newest(text: bytes, *, line: str, file: str) -> VendorFile:
    """Return the newest finished SDK of the line that has `file`, with its SHA-512; raise ReleasesUnusable."""
    try:
        releases = msgspec.json.decode(text, type=_Releases).releases
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ReleasesUnusable(f"it is no list of releases: {exc}") from exc
    offered = {
        sdk.version: found
        for release in releases
        for sdk in (*([release.sdk] if release.sdk else []), *(release.sdks or ()))
        for found in sdk.files
        if found.name == file and _VERSION.fullmatch(sdk.version) and is_of_line(sdk.version, line)
    }
    if not offered:
        raise ReleasesUnusable(f"it has no {file} of {line}")
    version = max(offered, key=version_order)
    checksum = offered[version].hash.lower()
    if not _SHA512.fullmatch(checksum):
        raise ReleasesUnusable(f"it has no SHA-512 for {file} {version}")
    return VendorFile(version, offered[version].url, f"sha512:{checksum}")
