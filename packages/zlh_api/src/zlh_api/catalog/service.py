"""Keeps the newest believed catalog in memory, and answers from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from zlh_api.catalog.watch import TimestampWatch
from zlh_api.short_child import run_child
from zlh_common.clock import Clock, SystemClock
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import (
    CatalogOffer,
    TemplateChoice,
    choose_template,
    find_runtimes,
    for_people,
    this_platform,
    validate_wish,
)
from zlh_common.schema.agent_update import AGENT_OFFER
from zlh_common.schema.catalog import (
    Catalog,
    CatalogProblem,
    CatalogRuntime,
    CatalogSummary,
    CatalogVersion,
    Channel,
    NamedOffers,
    Offer,
    OfferKind,
    RuntimeOffer,
    RuntimeOffers,
    RuntimeVersionOffer,
    TemplateOffer,
    TemplateOffers,
    TemplateVersionOffer,
    ValidateRuntime,
    Validation,
)
from zlh_common.schema.catalog_decisions import PublishedOffer, PublishedVersion
from zlh_common.schema.structs import convert
from zlh_common.schema.template import CatalogTemplate, TemplateVersion

log = structlog.get_logger()
REFRESH_S = 60
RETRY_S = 2
FETCH_TIMEOUT_S = 60
# How long somebody waits for what has just been signed, and how close together looks for his sake may be.
CATCH_UP_S, SHORTEST_PAUSE_S = 2.0, 0.02
# A catalog is signed anew every day for two weeks; one with less left is one that nobody renews.
RUNS_OUT = timedelta(days=7)


class CatalogNotLoaded(ZlhError):
    """No catalog could be read since the API started."""

    code, status, retryable = "catalog_not_loaded", 503, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The catalog is not there yet: {reason} It is tried again.")


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


class FetchedCatalog(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the child says: a catalog that is believed, until when, who gave it, and what the others did wrong."""

    catalog: Catalog
    expires_at: datetime
    url: str
    troubles: tuple[str, ...] = ()


async def fetch_in_child(source: CatalogSource) -> FetchedCatalog:
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
    return convert(answer, FetchedCatalog)


class CatalogService:
    """What can be installed. A catalog that can no longer be refreshed stays in use: only installs refuse it."""

    def __init__(self, source: CatalogSource, channels: Sequence[Channel], clock: Clock | None = None) -> None:
        # Told when what is offered has become another.
        self.on_change: Callable[[datetime], None] = _tell_nobody
        self._source = source
        self._channels: frozenset[Channel] = frozenset(channels)
        self._clock = clock or SystemClock()
        self._watch = TimestampWatch(source.artifacts_urls[0])
        self._catalog: Catalog | None = None
        self._fetched: FetchedCatalog | None = None
        self._read_at: datetime | None = None
        self._trouble: str | None = "it has not been read."
        self._is_watching = False
        # Set to have a look taken now; set when the look that begins next has been taken.
        self._asked, self._looked = asyncio.Event(), asyncio.Event()

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels of which this installation offers versions."""
        return self._channels

    @property
    def trouble(self) -> str | None:
        """Why the last refresh failed, or what will make the next ones fail, or None."""
        if self._trouble is None and self._fetched is not None:
            left = self._fetched.expires_at - self._clock.now()
            if left < RUNS_OUT:
                return (
                    f"The catalog holds until {self._fetched.expires_at:%Y-%m-%d %H:%M} UTC and nobody signs it again."
                )
        return self._trouble

    @property
    def expires_at(self) -> datetime | None:
        """When the signatures of the catalog in use end; None where there is none."""
        return self._fetched.expires_at if self._fetched is not None else None

    async def run(self) -> None:
        """Read the catalog whenever it is signed anew, and now and then in any case, for ever."""
        failures = 0 if self._trouble is None else 1
        read_again = self._clock.monotonic() + _pause(failures)
        self._is_watching = True
        try:
            while True:
                await self._wait_for_look(min(self._watch.pause_s, max(0.0, read_again - self._clock.monotonic())))
                self._asked.clear()
                # Who asks from here on is answered by the next look.
                looked, self._looked = self._looked, asyncio.Event()
                if await self._watch.has_changed() or self._clock.monotonic() >= read_again:
                    failures = 0 if await self.refresh() else failures + 1
                    read_again = self._clock.monotonic() + _pause(failures)
                looked.set()
        finally:
            self._is_watching = False

    async def _wait_for_look(self, pause_s: float) -> None:
        await asyncio.sleep(min(SHORTEST_PAUSE_S, pause_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause_s - SHORTEST_PAUSE_S)):
                await self._asked.wait()

    async def catch_up(self) -> None:
        """Take up what has been signed by now; what is known counts where that takes too long or no server answers.

        However many ask at once, one look is taken for all of them.
        """
        if not self._is_watching or self._watch.is_failing:
            return
        looked = self._looked
        self._asked.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await looked.wait()

    async def close(self) -> None:
        """Hang up."""
        await self._watch.close()

    async def refresh(self) -> bool:
        """Read the catalog once; tell whether it worked."""
        # What is signed after this look is seen as a change by the next one.
        await self._watch.has_changed()
        try:
            fetched = await fetch_in_child(self._source)
        except CatalogFetchFailed as error:
            if self._trouble != error.detail:
                log.warning("catalog.refresh_failed", code=error.reason_code, error=error.detail)
            self._trouble = error.detail
            return False
        self._take(fetched)
        return True

    def _take(self, fetched: FetchedCatalog) -> None:
        catalog, before = fetched.catalog, self._catalog
        self._trouble = " ".join(fetched.troubles) or None
        self._catalog, self._fetched, self._read_at = catalog, fetched, self._clock.now()
        if catalog != before:
            log.info("catalog.loaded", published_at=catalog.published_at, runtimes=len(catalog.runtimes))
            self.on_change(catalog.published_at)

    def current(self) -> Catalog:
        """Return the catalog; raise CatalogNotLoaded where there never was one."""
        if self._catalog is None:
            raise CatalogNotLoaded(self._trouble or "")
        return self._catalog

    def addons(self) -> tuple[str, ...]:
        """Return the names of the addons that are offered."""
        return tuple(offer.name for offer in self.addon_offers().items)

    def templates(self) -> tuple[str, ...]:
        """Return the names of the game templates that are offered."""
        return tuple(offer.name for offer in self.template_offers().items)

    def choose_template(self, name: str, version: str | None) -> TemplateChoice | CatalogProblem:
        """Return which game server in which version is meant, with its runtimes, or why none is."""
        return choose_template(
            self.current(), name=name, version=version, platform=this_platform(), channels=self._channels
        )

    def offers(self) -> RuntimeOffers:
        """Return what the runtime drop-downs show."""
        return RuntimeOffers(
            runtimes=tuple(
                RuntimeOffer(name=name, title=title, versions=versions)
                for name, title, versions in self._offered(for_people(self.current()).runtimes)
            ),
            published_at=self.current().published_at,
            expires_at=self._fetched.expires_at if self._fetched else None,
        )

    def addon_offers(self) -> NamedOffers:
        """Return the addons of dev containers."""
        return self._named(self.current().addons)

    def agent_offers(self) -> tuple[Offer, ...]:
        """Return the agent's bundle in the versions that are offered, or nothing."""
        return self._named([offer for offer in self.current().agents if offer.name == AGENT_OFFER]).items

    def template_offers(self) -> TemplateOffers:
        """Return the game servers, in the versions that can be installed here."""
        offers = [
            render_template(offer, [entry for entry in offer.versions if self._is_usable(entry)])
            for offer in self.current().game_templates
        ]
        return TemplateOffers(items=tuple(offer for offer in offers if offer.versions))

    def published(self) -> tuple[PublishedOffer, ...]:
        """Return all that is published in whichever channel; raise CatalogNotLoaded."""
        catalog = self.current()
        kinds: tuple[tuple[OfferKind, Sequence[CatalogOffer]], ...] = (
            ("runtime", catalog.runtimes),
            ("addon", catalog.addons),
            ("agent", catalog.agents),
        )
        return tuple(render_published(kind, offer) for kind, offers in kinds for offer in offers)

    def summary(self, *, is_operator: bool) -> CatalogSummary:
        """Return which catalog there is; also where there is none."""
        catalog, fetched = self._catalog, self._fetched
        return CatalogSummary(
            published_at=catalog.published_at if catalog else None,
            expires_at=fetched.expires_at if fetched else None,
            read_at=self._read_at,
            runtimes=len(for_people(catalog).runtimes) if catalog else 0,
            addons=len(catalog.addons) if catalog else 0,
            templates=len(catalog.game_templates) if catalog else 0,
            url=fetched.url if fetched and is_operator else None,
            trouble=self.trouble if is_operator else None,
        )

    def facts(self) -> Mapping[str, object]:
        """Return what health tells of the catalog."""
        known = self.summary(is_operator=False)
        return {"publishedAt": known.published_at, "expiresAt": known.expires_at, "readAt": known.read_at}

    def validate(self, name: str, version: str | None, platform: str | None = None) -> Validation:
        """Tell whether this runtime can be installed, and why not."""
        return self.validate_wish(ValidateRuntime(runtime=name, version=version, platform=platform))

    def validate_wish(self, wish: ValidateRuntime) -> Validation:
        """Tell whether all of this can be installed, and everything that is in the way."""
        platform = this_platform() if wish.platform is None else wish.platform
        return validate_wish(self.current(), wish, platform=platform, channels=self._channels)

    def offers_addon(self, name: str, version: str) -> bool:
        """Tell whether this very version of an addon can be installed here."""
        return self.validate_wish(ValidateRuntime(addon=name, version=version)).version == version

    def _is_usable(self, entry: TemplateVersion) -> bool:
        needs = find_runtimes(self.current(), entry.requires, platform=this_platform(), channels=self._channels)
        return entry.channel in self._channels and not isinstance(needs, CatalogProblem)

    def _named(self, offers: Sequence[CatalogOffer]) -> NamedOffers:
        offered = self._offered(offers)
        return NamedOffers(items=tuple(Offer(name=name, title=title, versions=rows) for name, title, rows in offered))

    def _offered(self, offers: Sequence[CatalogOffer]) -> list[tuple[str, str, tuple[RuntimeVersionOffer, ...]]]:
        rows = [
            (
                offer.name,
                offer.title,
                tuple(render_version(entry) for entry in offer.versions if entry.channel in self._channels),
            )
            for offer in offers
        ]
        return [row for row in rows if row[2]]


def render_template(offer: CatalogTemplate, versions: Sequence[TemplateVersion]) -> TemplateOffer:
    """Return one game server as whoever creates one sees it."""
    template = offer.template
    return TemplateOffer(
        name=offer.name,
        title=offer.title,
        game=template.game,
        summary=template.summary,
        eula=template.eula,
        variables=template.variables,
        ports=template.ports,
        memory_minimum_mb=template.memory.minimum_mb,
        mods_title=template.mods.title if template.mods else None,
        versions=tuple(
            TemplateVersionOffer(
                version=entry.version,
                channel=entry.channel,
                default=entry.default,
                released_at=entry.released_at,
                game_version=entry.game_version,
            )
            for entry in versions
        ),
    )


def render_published(kind: OfferKind, offer: CatalogOffer) -> PublishedOffer:
    """Return one name with all of its versions."""
    versions = tuple(
        PublishedVersion(version=each.version, channel=each.channel, default=each.default) for each in offer.versions
    )
    for_games = isinstance(offer, CatalogRuntime) and offer.for_games
    return PublishedOffer(kind=kind, name=offer.name, title=offer.title, versions=versions, for_games=for_games)


def render_version(entry: CatalogVersion) -> RuntimeVersionOffer:
    """Return one row of a drop-down, with what there is for the platform of this machine."""
    here = next((artifact for artifact in entry.artifacts if artifact.platform == this_platform()), None)
    return RuntimeVersionOffer(
        version=entry.version,
        channel=entry.channel,
        platforms=tuple(artifact.platform for artifact in entry.artifacts),
        default=entry.default,
        edition=entry.edition,
        licence=entry.licence,
        size=here.size if here else None,
        unpacked_size=here.unpacked_size if here else None,
        sha256=here.sha256 if here else None,
        source=here.source if here else None,
    )


def _pause(failures: int) -> float:
    """Return after how long the catalog is read again though nothing seems to have changed."""
    return REFRESH_S if failures == 0 else min(REFRESH_S / 2, RETRY_S * 2.0 ** min(failures - 1, 10))


def _tell_nobody(_published_at: datetime) -> None:
    """Nobody wants to know."""
