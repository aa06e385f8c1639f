"""What Modrinth's API (version 2) says, and how it is asked: pure. Whatever is in it was written by strangers.

A thing of a list that is not as it should be is left out of it; so is what a dependency says in no form that is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from zlh_api.mods.model import FEW_VERSIONS, Edge, Project, RemoteFile, Target, Version
from zlh_common.schema.mods import MAX_EDGES, MAX_MOD_BYTES, Environment, FoundMod, ModFileName, ReleaseChannel, Sha512
from zlh_common.shown_text import clean_line

# Of names and ids, as the ledger takes them.
MAX_TEXT = 256
# Of a loader, and of a version of a game.
MAX_WORD = 64
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WAIT = re.compile(r"retry after (\d{1,9}) milliseconds")
_FILE_NAME = msgspec.json.Decoder(ModFileName)
_SHA512 = msgspec.json.Decoder(Sha512)
Side = Literal["required", "optional", "unsupported", "unknown"]


class WireProject(msgspec.Struct, frozen=True):
    """A project."""

    id: str
    slug: str
    title: str
    project_type: str
    client_side: str = "unknown"
    server_side: str = "unknown"
    versions: tuple[str, ...] = ()


class WireDependency(msgspec.Struct, frozen=True):
    """What a version says of another project."""

    dependency_type: Literal["required", "optional", "incompatible", "embedded"]
    project_id: str | None = None
    version_id: str | None = None
    file_name: str | None = None


class WireFile(msgspec.Struct, frozen=True):
    """A file of a version."""

    url: str
    filename: str
    size: int
    hashes: dict[str, str] = {}
    primary: bool = False


class WireVersion(msgspec.Struct, frozen=True):
    """A version."""

    id: str
    project_id: str
    version_number: str
    version_type: ReleaseChannel
    date_published: datetime
    loaders: tuple[str, ...] = ()
    game_versions: tuple[str, ...] = ()
    dependencies: tuple[msgspec.Raw, ...] = ()
    files: tuple[msgspec.Raw, ...] = ()


class WireHit(msgspec.Struct, frozen=True):
    """One result of a search."""

    project_id: str
    slug: str
    title: str
    description: str = ""
    author: str = ""
    downloads: int = 0
    icon_url: str | None = None
    client_side: str = "unknown"
    server_side: str = "unknown"


class WireHits(msgspec.Struct, frozen=True):
    """A page of results."""

    hits: tuple[msgspec.Raw, ...]
    total_hits: int = 0


class WireRefusal(msgspec.Struct, frozen=True):
    """An error."""

    error: str = ""
    description: str = ""


_read_list = msgspec.json.Decoder(tuple[msgspec.Raw, ...]).decode
_read_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_hits = msgspec.json.Decoder(WireHits).decode
_project = msgspec.json.Decoder(WireProject)
_version = msgspec.json.Decoder(WireVersion)
_dependency = msgspec.json.Decoder(WireDependency)
_file = msgspec.json.Decoder(WireFile)
_hit = msgspec.json.Decoder(WireHit)


def render_array(values: Iterable[str]) -> str:
    """Return values as the query takes them: an array of JSON."""
    return json.dumps(list(values), separators=(",", ":"))


def render_facets(target: Target) -> str:
    """Return what a search is confined to: what runs on a server of this kind. Outside AND, inside OR."""
    facets = [
        [f"categories:{loader}" for loader in target.loaders],
        ["project_type:mod", "project_type:plugin"],
        ["server_side:required", "server_side:optional", "server_side:unknown"],
    ]
    if target.game_version:
        facets.append([f"versions:{target.game_version}"])
    return json.dumps(facets, separators=(",", ":"))


def read_projects(raw: bytes) -> list[Project]:
    """Return the projects of a list; raise msgspec.MsgspecError where it is none."""
    return [_to_project(each) for each in _read_each(_read_list(raw), _project) if _ID.fullmatch(each.id)]


def read_versions(raw: bytes, origins: Iterable[str]) -> list[Version]:
    """Return the versions of a list, with files of these origins alone; raise msgspec.MsgspecError."""
    return _to_versions(_read_list(raw), origins)


def read_version_map(raw: bytes, origins: Iterable[str]) -> dict[str, Version]:
    """Return versions by the hash that was asked for; what is unknown is not in it."""
    found = {}
    for digest, each in _read_map(raw).items():
        for version in _to_versions((each,), origins):
            found[digest.lower()] = version
    return found


def read_hits(raw: bytes, *, installed: frozenset[str]) -> tuple[tuple[FoundMod, ...], int]:
    """Return the results of a search, and how many there are in all."""
    page = _read_hits(raw)
    hits = [hit for hit in _read_each(page.hits, _hit) if _ID.fullmatch(hit.project_id)]
    return tuple(_to_found(hit, installed) for hit in hits), max(0, min(page.total_hits, 2**31))


def read_wait_s(raw: bytes, headers: Mapping[str, str]) -> float | None:
    """Return for how long it wants to be left alone: a 429 of Modrinth has it in words, others in a header."""
    try:
        found = _WAIT.search(msgspec.json.decode(raw, type=WireRefusal).description)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if found is not None:
        return int(found[1]) / 1000
    told = headers.get("Retry-After", "")
    is_count = told.isascii() and told.isdigit() and len(told) < 10
    return float(told) if is_count else None


def read_left(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Return how many requests are left and after how many seconds there are all again, where it is said."""
    left, reset = headers.get("x-ratelimit-remaining", ""), headers.get("x-ratelimit-reset", "")
    if not all(text.isascii() and text.isdigit() and len(text) < 7 for text in (left, reset)):
        return None
    return int(left), int(reset)


def clean(text: str, most: int = MAX_TEXT) -> str:
    """Return a text without what moves a cursor or turns its direction, cut to a length."""
    return clean_line(text, most)


def _read_each(items: Iterable[msgspec.Raw], decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    found = []
    for item in items:
        try:
            found.append(decoder.decode(item))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return found


def _to_project(wire: WireProject) -> Project:
    return Project(
        wire.id, clean(wire.slug, 64), clean(wire.title), wire.project_type[:32],
        _environment(wire.client_side, wire.server_side),
        # More than a few are listed instead, so that there are more is all that counts.
        tuple(islice(filter(_ID.fullmatch, wire.versions), FEW_VERSIONS + 1)),
    )  # fmt: skip


def _environment(client: str, server: str) -> Environment:
    """Return where it works: the old pair of fields, which Modrinth still keeps for every project."""
    if server == "unsupported":
        return "client"
    if client == "unsupported":
        return "server"
    return "unknown" if "unknown" in {client, server} else "both"


def _to_versions(items: Iterable[msgspec.Raw], origins: Iterable[str]) -> list[Version]:
    allowed = tuple(origins)
    read = (each for each in _read_each(items, _version) if _ID.fullmatch(each.id) and _ID.fullmatch(each.project_id))
    return [_to_version(each, allowed) for each in read if each.date_published.tzinfo]


def _to_version(wire: WireVersion, origins: tuple[str, ...]) -> Version:
    file, trouble = _choose_file(wire, origins)
    if len(wire.dependencies) > MAX_EDGES:
        file, trouble = None, f"it names more than {MAX_EDGES} other mods"
    dependencies = _read_each(wire.dependencies[:MAX_EDGES], _dependency)
    return Version(
        wire.id, wire.project_id, clean(wire.version_number), wire.version_type,
        tuple(clean(loader, MAX_WORD) for loader in wire.loaders[:32]),
        tuple(clean(game, MAX_WORD) for game in wire.game_versions[:512]),
        wire.date_published, tuple(_to_edge(each) for each in dependencies), file, trouble,
    )  # fmt: skip


def _to_edge(wire: WireDependency) -> Edge:
    name = clean(wire.file_name) if wire.file_name else None
    return Edge(wire.dependency_type, _id_or_none(wire.project_id), _id_or_none(wire.version_id), name)


def _id_or_none(text: str | None) -> str | None:
    return text if text and _ID.fullmatch(text) else None


def _choose_file(wire: WireVersion, origins: tuple[str, ...]) -> tuple[RemoteFile | None, str]:
    """Return the primary file, else the first; or None and why it cannot be taken."""
    files = _read_each(wire.files[:64], _file)
    if not files:
        return None, "it has no file"
    file = next((each for each in files if each.primary), files[0])
    digest = file.hashes.get("sha512", "").lower()
    if not _is_of(_FILE_NAME, file.filename) or not file.filename.isprintable():
        return None, f"its file is named {clean(file.filename, 80)!r}"
    if not _is_of(_SHA512, digest):
        return None, "no SHA-512 is told of its file"
    if not 0 < file.size <= MAX_MOD_BYTES:
        return None, f"its file is said to have {file.size} bytes"
    if not _is_at(file.url, origins):
        return None, "its file lies elsewhere than at Modrinth"
    return RemoteFile(file.filename, file.url, file.size, digest), ""


def _is_of(decoder: msgspec.json.Decoder[Any], text: str) -> bool:
    try:
        decoder.decode(msgspec.json.encode(text))
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return False
    return True


def _is_at(url: str, origins: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    origin = f"{parts.scheme}://{parts.hostname}{f':{port}' if port else ''}"
    is_plain = not parts.username and not parts.password and len(url) <= 2048 and url.isascii() and url.isprintable()
    return is_plain and " " not in url and origin in origins


def _to_found(hit: WireHit, installed: frozenset[str]) -> FoundMod:
    return FoundMod(
        project_id=hit.project_id,
        slug=clean(hit.slug, 64),
        title=clean(hit.title),
        description=clean(hit.description, 512),
        author=clean(hit.author),
        downloads=max(0, min(hit.downloads, 2**53)),
        icon_url=_icon(hit.icon_url),
        is_installed=hit.project_id in installed,
        environment=_environment(hit.client_side, hit.server_side),
    )


def _icon(url: str | None) -> str | None:
    """Return the address of an icon; only what a browser asks for as a picture and never runs."""
    return (
        url if url and url.startswith("https://") and len(url) <= 1024 and url.isascii() and url.isprintable() else None
    )
