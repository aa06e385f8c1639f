"""Technitium: our mark stands in a record's comments.

Its `overwrite` replaces all records of a type at a name at once, whoever put them there in the meantime. So nothing is
overwritten: one record is added, updated or deleted at a time, each named by what it says, and a refusal means to look
again. The token goes in the body, which all versions take, and never in a URL.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import msgspec

from zlh_api.dns import technitium_wire as wire
from zlh_api.dns.http_calls import CALL_TIMEOUT_S, CallGuard, HttpCalls, Reply
from zlh_api.dns.model import Changes, FoundRecord, ProviderSetting, Record, Whose
from zlh_api.dns.port import Check, DnsCredentialsRefused, DnsRefused, RecordsChanged
from zlh_api.dns.rules import keep_surveyed
from zlh_api.dns.secret_file import read_secret
from zlh_api.dns.unchanged_zone import UnchangedZone
from zlh_common.clock import Clock

SURVEY_EVERY_S = 10.0


class _Gone(Exception):
    """What was to be deleted is not there."""


class Technitium:
    """One zone of a Technitium server."""

    survey_every_s = SURVEY_EVERY_S

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
        self._unchanged = UnchangedZone(clock)

    @property
    def setting(self) -> ProviderSetting:
        """What it is told to lead where."""
        return self._setting

    async def close(self) -> None:
        """Close every connection."""
        await self._calls.close()

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return every record at the names of a container."""
        found: list[FoundRecord] = []
        for name in sorted(whose.names):
            found += wire.read_found(await self._get(domain=name))
        return [record for record in found if whose.has_name(record.host)]

    async def apply(self, whose: Whose, changes: Changes, check: Check) -> None:
        """Write one record after the other; what goes goes first, since a CNAME stands alone."""
        for record in changes.deleted:
            try:
                await self._write("delete", check, wire.render_found(record))
            except _Gone:
                continue
        for found, wanted in changes.changed:
            await self._write("update", check, self._render_update(whose, found, wanted))
        for wanted in changes.added:
            fields = {**wire.render_record(wanted), **wire.render_settings(whose.owner, wanted)}
            await self._write("add", check, {**fields, "overwrite": "false"})

    async def survey(self) -> list[FoundRecord]:
        """Return what leads anywhere below our domain, and what carries a mark; only where the serial has moved."""
        serial = wire.find_serial(await self._get(domain=self._setting.zone))
        known = self._unchanged.recall(serial)
        if known is not None:
            return known
        listed = await self._get(domain=self._setting.zone, listZone="true")
        found = await asyncio.to_thread(lambda: keep_surveyed(wire.read_found(listed), domain=self._domain))
        return self._unchanged.keep(serial, found)

    def _render_update(self, whose: Whose, found: FoundRecord, wanted: Record) -> dict[str, str]:
        changed = {**wire.render_found(found), **wire.render_update(wanted)}
        return {**changed, **wire.render_settings(whose.owner, wanted)}

    async def _get(self, **fields: str) -> tuple[wire.Listed, ...]:
        answer = await self._call("records/get", None, {**fields, "zone": self._setting.zone})
        try:
            return (await asyncio.to_thread(wire.read_records, answer.response)).records
        except msgspec.MsgspecError as exc:
            raise self._nonsense(HTTPStatus.OK) from exc

    async def _write(self, what: str, check: Check, fields: dict[str, str]) -> None:
        await self._call(f"records/{what}", check, {**fields, "zone": self._setting.zone})

    async def _call(self, path: str, check: Check | None, fields: dict[str, str]) -> wire.Envelope:
        token = await read_secret(self._token, provider=self._setting.name)
        url = f"{self._url}/api/zones/{path}"
        return self._judge(await self._calls.call("POST", url, check=check, data={**fields, "token": token}))

    def _judge(self, reply: Reply) -> wire.Envelope:
        try:
            answer = wire.read_envelope(reply.body)
        except msgspec.MsgspecError as exc:
            raise self._nonsense(reply.status) from exc
        said = answer.error_message.strip().rstrip(".")[:300] or answer.status
        if answer.status == "ok" and reply.status == HTTPStatus.OK:
            return answer
        if answer.status != "error" or wire.is_denied(said):
            # The token is over, or asks for a second factor: nothing that time mends.
            raise DnsCredentialsRefused(provider=self._setting.name, reason=said)
        if wire.is_gone(said):
            raise _Gone
        if wire.is_changed(said):
            raise RecordsChanged(said)
        raise DnsRefused(provider=self._setting.name, reason=said)

    def _nonsense(self, status: int) -> DnsRefused:
        return DnsRefused(provider=self._setting.name, reason=f"its answer ({status}) is not what Technitium answers")
