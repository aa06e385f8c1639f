"""Modrinth, asked for many things at a time, within one budget, and not at all while it is away.

Nothing is followed and nothing larger than it should be is read. What was answered lately is not asked for again, and
what was answered within a day serves while Modrinth is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from zlh_api.circuit import Circuit
from zlh_api.drivers.port import SystemAway
from zlh_api.http_answers import read_bounded, spell_failure
from zlh_api.mods import modrinth_wire as wire
from zlh_api.mods.answer_cache import STALE_S, UNIT_BYTES, AnswerCache
from zlh_api.mods.model import BATCH, Project, Target, Version
from zlh_api.mods.refusals import ModrinthRefused
from zlh_api.mods.request_budget import RequestBudget
from zlh_common.clock import Clock
from zlh_common.schema.mods import FoundMod

CALL_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16 * 2**20
MAX_CONNECTIONS = 4
# Answers of more bytes are taken apart in a thread.
SMALL_ANSWER_BYTES = 64 * 1024
SEARCH_LIMIT = 20
# How far into what was found anybody may page; who has not found it by then looks for other words.
MAX_SEARCH_OFFSET = 10_000
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ModrinthSetting:
    """Where it is, from where files may come, and who asks."""

    url: str
    file_origins: tuple[str, ...]
    user_agent: str


class Modrinth:
    """The client of one API process."""

    def __init__(
        self, setting: ModrinthSetting, circuit: Circuit, clock: Clock, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self._setting = setting
        self._circuit = circuit
        self._budget = RequestBudget(circuit.system, clock)
        self._cache = AnswerCache(clock)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._session: aiohttp.ClientSession | None = None

    @property
    def file_origins(self) -> tuple[str, ...]:
        """From where files may come."""
        return self._setting.file_origins

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch_projects(self, refs: Iterable[str]) -> dict[str, Project | None]:
        """Return projects by the id or slug that was asked for; None where there is none."""

        async def ask(batch: list[str]) -> dict[str, Project | None]:
            raw = await self._get("/projects", {"ids": wire.render_array(batch)})
            found = await self._read(raw or b"[]", wire.read_projects)
            # Whoever names a project as another one's id is not found by it.
            by_name = {project.slug.lower(): project for project in found}
            by_name |= {project.id: project for project in found}
            return {ref: by_name.get(ref) or by_name.get(ref.lower()) for ref in batch}

        return await self._many("project", refs, ask)

    async def fetch_versions(self, ids: Iterable[str]) -> dict[str, Version | None]:
        """Return versions by their ids; None where there is none."""

        async def ask(batch: list[str]) -> dict[str, Version | None]:
            raw = await self._get("/versions", {"ids": wire.render_array(batch)})
            found = {version.id: version for version in await self._read(raw or b"[]", self._read_versions)}
            return {version: found.get(version) for version in batch}

        return await self._many("version", ids, ask)

    async def fetch_listing(self, project: str, target: Target) -> tuple[Version, ...]:
        """Return all versions of a project that are made for the target."""
        query = {"loaders": wire.render_array(target.loaders), "include_changelog": "false"}
        if target.game_version:
            query["game_versions"] = wire.render_array([target.game_version])

        async def ask() -> tuple[Version, ...]:
            raw = await self._get(f"/project/{quote(project, safe='')}/version", query)
            found = await self._read(raw or b"[]", self._read_versions)
            return tuple(version for version in found if version.project_id == project)

        listing: tuple[Version, ...] = await self._one(("listing", project, target), ask, weigh=_weigh_all)
        return listing

    async def identify(self, digests: Iterable[str]) -> dict[str, Version | None]:
        """Return the version that each file is of, by its SHA-512; None where it is of none."""

        async def ask(batch: list[str]) -> dict[str, Version | None]:
            raw = await self._post("/version_files", {"hashes": batch, "algorithm": "sha512"})
            found = await self._read(raw or b"{}", lambda body: wire.read_version_map(body, self._setting.file_origins))
            return {digest: found.get(digest) for digest in batch}

        return await self._many("hash", digests, ask)

    async def search(
        self, text: str, target: Target, *, offset: int, installed: frozenset[str]
    ) -> tuple[tuple[FoundMod, ...], int]:
        """Return a page of what runs on a server of this kind, and how many there are in all."""
        query = {
            "query": text,
            "facets": wire.render_facets(target),
            "index": "relevance",
            "offset": str(offset),
            "limit": str(SEARCH_LIMIT),
        }

        async def ask() -> bytes:
            return await self._get("/search", query) or b'{"hits":[]}'

        raw = await self._one(("search", text, target, offset), ask, weigh=lambda raw: len(raw) // UNIT_BYTES)
        return await self._read(raw, lambda body: wire.read_hits(body, installed=installed))

    # What is known already

    async def _many(self, kind: str, keys: Iterable[str], ask: Callable[[list[str]], Any]) -> dict[str, Any]:
        wanted = list(dict.fromkeys(keys))
        found = {key: kept[0] for key in wanted if (kept := self._cache.find((kind, key))) is not None}
        left = [key for key in wanted if key not in found]
        for begin in range(0, len(left), BATCH):
            batch = left[begin : begin + BATCH]
            try:
                answers = await ask(batch)
            except (SystemAway, ModrinthRefused):
                stale = {key: kept[0] for key in batch if (kept := self._cache.find((kind, key), within_s=STALE_S))}
                if len(stale) < len(batch):
                    raise
                found |= stale
                continue
            for key, value in answers.items():
                self._cache.keep((kind, key), value, weight=_weigh(value))
            found |= answers
        return found

    async def _one(self, key: Hashable, ask: Callable[[], Any], *, weigh: Callable[[Any], int]) -> Any:
        if (kept := self._cache.find(key)) is not None:
            return kept[0]
        try:
            value = await ask()
        except (SystemAway, ModrinthRefused):
            if (kept := self._cache.find(key, within_s=STALE_S)) is None:
                raise
            return kept[0]
        self._cache.keep(key, value, weight=1 + weigh(value))
        return value

    # Calls

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes | None:
        return await self._call("GET", path, params=query)

    async def _post(self, path: str, body: object) -> bytes | None:
        headers = {"Content-Type": "application/json"}
        return await self._call("POST", path, data=msgspec.json.encode(body), headers=headers)

    async def _call(self, method: str, path: str, **options: Any) -> bytes | None:
        """Return the body of a 200, None of a 404; raise SystemAway, ModrinthRefused."""
        async with self._places:
            await self._budget.spend()
            async with self._circuit.call():
                status, body, told_s = await self._ask(method, self._setting.url + path, options)
                if status == HTTPStatus.TOO_MANY_REQUESTS:
                    raise self._away("it was asked too often", wait_s=told_s or 60.0)
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise self._away(f"it answers {status}", wait_s=told_s or 0.0)
        match status:
            case HTTPStatus.OK:
                return body
            case HTTPStatus.NOT_FOUND:
                return None
            case HTTPStatus.GONE:
                raise ModrinthRefused(reason="it has retired the version of its API that is spoken here")
            case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
                raise ModrinthRefused(reason=f"its address leads elsewhere ({status})")
            case _:
                raise ModrinthRefused(reason=f"it answers {status}")

    async def _ask(self, method: str, url: str, options: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Return status and body, and for how long it wants to be left alone, where it says so."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._setting.user_agent},
                trust_env=False,
                timeout=self._timeout,
            )
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                self._budget.note(response.headers)
                body = await read_bounded(response, MAX_ANSWER_BYTES)
                is_well = response.status < HTTPStatus.BAD_REQUEST
                return response.status, body, None if is_well else wire.read_wait_s(body, response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as exc:
            raise self._away(spell_failure(exc)) from exc

    def _away(self, reason: str, *, wait_s: float = 0.0) -> SystemAway:
        return SystemAway(system=self._circuit.system, reason=reason, retry_in_s=wait_s)

    def _read_versions(self, raw: bytes) -> list[Version]:
        return wire.read_versions(raw, self._setting.file_origins)

    async def _read(self, raw: bytes, read: Callable[[bytes], Result]) -> Result:
        try:
            return read(raw) if len(raw) <= SMALL_ANSWER_BYTES else await asyncio.to_thread(read, raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise ModrinthRefused(reason="its answer is not what Modrinth answers") from exc


def _weigh_all(listing: Iterable[Version]) -> int:
    return sum(map(_weigh, listing))


def _weigh(value: Project | Version | None) -> int:
    """Return how much of the cache an answer takes: most take one unit, and who publishes can have one take many."""
    if not isinstance(value, Version):
        return 1
    return 1 + (len(value.loaders) + len(value.game_versions) + 4 * len(value.edges)) // 16
