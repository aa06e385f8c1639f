"""Cloudflare: our mark is a record's comment, and what a container needs is written in one transaction.

It has no upsert: a POST adds. So everything is looked up before it is written, also after an answer that was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import msgspec

from zlh_api.dns import cloudflare_wire as wire
from zlh_api.dns.http_calls import CALL_TIMEOUT_S, CallGuard, HttpCalls, Reply
from zlh_api.dns.model import Changes, FoundRecord, ProviderSetting, Whose
from zlh_api.dns.port import Check, DnsCredentialsRefused, DnsRefused, RecordsChanged
from zlh_api.dns.rate_budget import RateBudget
from zlh_api.dns.rules import keep_surveyed
from zlh_api.dns.secret_file import read_secret
from zlh_api.web.token_buckets import Rate
from zlh_common.clock import Clock

PAGE_RECORDS = 1000
# More than a zone can have; a list without an end is no list.
MAX_PAGES = 500
# It allows 1200 calls in five minutes, and shuts out for as long who makes more. In any five minutes, we make this
# many and a burst at most.
RATE = Rate(per_s=2.5, burst=250)
# A survey may use this share of what there is for long, so that one of many pages comes less often.
SURVEY_SHARE = 0.4
SURVEY_EVERY_S = 30.0
Result = TypeVar("Result")


class Cloudflare:
    """One zone at Cloudflare."""

    def __init__(
        self,
        setting: ProviderSetting,
        *,
        domain: str,
        url: str,
        token: Path,
        circuit: CallGuard,
        clock: Clock,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._setting = setting
        self._domain = domain
        self._url = url.rstrip("/")
        self._token = token
        self._calls = HttpCalls(setting.name, circuit, timeout_s=timeout_s)
        self._budget = RateBudget(circuit.system, RATE, clock)
        self._zone_id: str | None = None
        self._pages = 1

    @property
    def setting(self) -> ProviderSetting:
        """What it is told to lead where."""
        return self._setting

    @property
    def survey_every_s(self) -> float:
        """How often it may be asked for everything, by how many pages that took."""
        return max(SURVEY_EVERY_S, self._pages / (RATE.per_s * SURVEY_SHARE))

    async def close(self) -> None:
        """Close every connection."""
        await self._calls.close()

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return every record at the names of a container."""
        found = await self._list({"name.endswith": whose.host})
        return [record for record in found if whose.has_name(record.host)]

    async def apply(self, whose: Whose, changes: Changes, check: Check) -> None:
        """Write all of it, as few transactions as there can be."""
        path = f"/zones/{await self._find_zone()}/dns_records/batch"
        for body in wire.render_batches(whose.owner, changes):
            await self._call("POST", path, check=check, data=body, headers={"Content-Type": "application/json"})

    async def survey(self) -> list[FoundRecord]:
        """Return what leads anywhere below our domain, and what carries a mark."""
        found = await self._list({"name.endswith": f".{self._domain}"}, is_survey=True)
        return keep_surveyed(found, domain=self._domain)

    async def _list(self, filters: Mapping[str, str], *, is_survey: bool = False) -> list[FoundRecord]:
        path = f"/zones/{await self._find_zone()}/dns_records"
        found: dict[str, wire.Listed] = {}
        for page in range(1, MAX_PAGES + 1):
            parameters = {**filters, "order": "name", "per_page": str(PAGE_RECORDS), "page": str(page)}
            answer = await self._call("GET", path, is_survey=is_survey, params=parameters)
            listed = await asyncio.to_thread(self._read, answer, wire.read_records)
            # What moves from one page to the next while they are read is listed twice.
            found |= {each.id: each for each in listed}
            if not listed or answer.result_info is None or page >= answer.result_info.total_pages:
                break
        else:
            raise DnsRefused(provider=self._setting.name, reason="its list of records has no end")
        if is_survey:
            self._pages = page
        return list(wire.read_found(found.values()))

    async def _find_zone(self) -> str:
        if self._zone_id is None:
            answer = await self._call("GET", "/zones", params={"name": self._setting.zone})
            zones = self._read(answer, wire.read_zones)
            match = next((zone.id for zone in zones if zone.name == self._setting.zone), None)
            if match is None:
                reason = f"its token may not read the zone {self._setting.zone}, or there is none"
                raise DnsCredentialsRefused(provider=self._setting.name, reason=reason)
            self._zone_id = match
        return self._zone_id

    async def _call(
        self, method: str, path: str, *, check: Check | None = None, is_survey: bool = False, **options: object
    ) -> wire.Envelope:
        token = await read_secret(self._token, provider=self._setting.name)
        headers = {**dict(options.pop("headers", {})), "Authorization": f"Bearer {token}"}  # type: ignore[call-overload]
        await self._budget.spend(is_survey=is_survey)
        reply = await self._calls.call(method, self._url + path, check=check, headers=headers, **options)
        self._budget.note(reply.headers)
        return self._judge(reply)

    def _judge(self, reply: Reply) -> wire.Envelope:
        try:
            answer = wire.read_envelope(reply.body)
        except msgspec.MsgspecError as exc:
            raise self._nonsense(reply.status) from exc
        if answer.success and reply.status == HTTPStatus.OK:
            return answer
        codes = {trouble.code for trouble in answer.errors}
        said = wire.say(answer.errors)
        if codes & wire.CHANGED:
            raise RecordsChanged(said)
        if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or codes & wire.CREDENTIALS:
            raise DnsCredentialsRefused(provider=self._setting.name, reason=said)
        if reply.status == HTTPStatus.NOT_FOUND:
            # The zone may have been taken away and made anew.
            self._zone_id = None
        raise DnsRefused(provider=self._setting.name, reason=said)

    def _read(self, answer: wire.Envelope, read: Callable[[msgspec.Raw], Result]) -> Result:
        try:
            return read(answer.result)
        except msgspec.MsgspecError as exc:
            raise self._nonsense(HTTPStatus.OK) from exc

    def _nonsense(self, status: int) -> DnsRefused:
        return DnsRefused(provider=self._setting.name, reason=f"its answer ({status}) is not what Cloudflare answers")
