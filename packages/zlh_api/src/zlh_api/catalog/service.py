"""Keeps the newest believed catalog in memory, and answers from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_api.short_child import run_child
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import this_platform, validate_runtime
from zlh_common.schema.catalog import (
    Catalog,
    Channel,
    RuntimeOffer,
    RuntimeOffers,
    RuntimeVersionOffer,
    Validation,
)
from zlh_common.schema.structs import convert

log = structlog.get_logger()
REFRESH_S = 60
RETRY_S = 2
FETCH_TIMEOUT_S = 60


class CatalogNotLoaded(ZlhError):
    """No catalog could be read since the API started."""

    code, status, retryable = "catalog_not_loaded", 503, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The catalog is not there yet: {reason} It is tried again every {RETRY_S} s.")


class CatalogFetchFailed(ZlhError):
    """One attempt to read the catalog failed; `reason_code` says how."""

    code, status, retryable = "catalog_fetch_failed", 503, True

    def __init__(self, *, reason_code: str, detail: str) -> None:
        super().__init__(detail, reasonCode=reason_code)
        self.reason_code = reason_code


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """Where the catalog comes from and what it is believed by."""

    artifacts_urls: tuple[str, ...]
    trusted_root: Path
    metadata_dir: Path


async def fetch_in_child(source: CatalogSource) -> Catalog:
    """Return the catalog as a child process has verified it; raise CatalogFetchFailed."""
    order = msgspec.json.encode(
        {
            "artifactsUrls": source.artifacts_urls,
            "trustedRoot": str(source.trusted_root),
            "metadataDir": str(source.metadata_dir),
        }
    )
    try:
        child = await run_child(
            [sys.executable, "-m", "zlh_api.catalog.fetch_child"], timeout_s=FETCH_TIMEOUT_S, stdin=order
        )
    except TimeoutError as exc:
        raise CatalogFetchFailed(
            reason_code="catalog_unavailable", detail=f"The artifact server did not answer within {FETCH_TIMEOUT_S} s."
        ) from exc
    if child.code != 0 or not child.out:
        tail = child.err.decode("utf-8", "replace")[-500:]
        raise CatalogFetchFailed(reason_code="catalog_unavailable", detail=f"The catalog reader broke: {tail}")
    answer = msgspec.json.decode(child.out)
    if "catalog" not in answer:
        raise CatalogFetchFailed(reason_code=answer["code"], detail=answer["detail"])
    return convert(answer["catalog"], Catalog)


class CatalogService:
    """What can be installed. A catalog that can no longer be refreshed stays in use: only installs refuse it."""

    def __init__(self, source: CatalogSource, channels: Sequence[Channel]) -> None:
        self._source = source
        self._channels: frozenset[Channel] = frozenset(channels)
        self._catalog: Catalog | None = None
        self._trouble: str | None = "it has not been read."

    @property
    def trouble(self) -> str | None:
        """Why the last refresh failed, or None."""
        return self._trouble

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(REFRESH_S if await self.refresh() else RETRY_S)

    async def refresh(self) -> bool:
        """Read the catalog once; tell whether it worked."""
        try:
            catalog = await fetch_in_child(self._source)
        except CatalogFetchFailed as error:
            if self._trouble != error.detail:
                log.warning("catalog.refresh_failed", code=error.reason_code, error=error.detail)
            self._trouble = error.detail
            return False
        if self._catalog is None or catalog.published_at != self._catalog.published_at:
            log.info("catalog.loaded", published_at=catalog.published_at, runtimes=len(catalog.runtimes))
        self._catalog, self._trouble = catalog, None
        return True

    def current(self) -> Catalog:
        """Return the catalog; raise CatalogNotLoaded where there never was one."""
        if self._catalog is None:
            raise CatalogNotLoaded(self._trouble or "")
        return self._catalog

    def addons(self) -> tuple[str, ...]:
        """Return the names of the addons that are offered."""
        return tuple(addon.name for addon in self.current().addons)

    def offers(self) -> RuntimeOffers:
        """Return what the runtime drop-downs show."""
        return RuntimeOffers(
            runtimes=tuple(
                RuntimeOffer(name=runtime.name, title=runtime.title, versions=versions)
                for runtime in self.current().runtimes
                if (
                    versions := tuple(
                        RuntimeVersionOffer(
                            version=entry.version,
                            channel=entry.channel,
                            platforms=tuple(artifact.platform for artifact in entry.artifacts),
                            default=entry.default,
                        )
                        for entry in runtime.versions
                        if entry.channel in self._channels
                    )
                )
            )
        )

    def validate(self, name: str, version: str | None, platform: str | None = None) -> Validation:
        """Tell whether this can be installed, and why not."""
        return validate_runtime(
            self.current(), name=name, version=version, platform=platform or this_platform(), channels=self._channels
        )
