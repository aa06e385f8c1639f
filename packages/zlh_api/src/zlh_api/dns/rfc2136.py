"""Dynamic updates (RFC 2136) signed by TSIG (RFC 8945): any server that takes them and hands out its zone.

Records have no comments there. Our mark of a host stands beside it, as TXT at `_zlh-owner.<host>`, and speaks for all
A, AAAA, CNAME and SRV records at the host. Both change in one update, whose prerequisites say what was found: where
somebody has put a record or a mark there meanwhile, the server itself refuses, and nothing of the update is done.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

from zlh_api.dns.http_calls import CallGuard
from zlh_api.dns.mark import mark_name, parse_mark, parse_mark_name, render_mark
from zlh_api.dns.model import BARE_MARK, LEADING, Changes, FoundRecord, ProviderSetting, Record, Whose
from zlh_api.dns.port import (
    Check,
    DnsCredentialsRefused,
    DnsRefused,
    DnsSecretUnusable,
    RecordsChanged,
)
from zlh_api.dns.rules import spell_content
from zlh_api.dns.secret_file import read_secret, spell_errno
from zlh_api.dns.tsig_connection import Address, Nonsense, TsigConnection, open_connection
from zlh_api.dns.unchanged_zone import UnchangedZone
from zlh_api.drivers.port import SystemAway
from zlh_common.clock import Clock
from zlh_common.names import OwnerMark

SURVEY_EVERY_S = 10.0
# By which the server says that a prerequisite does not hold.
_CHANGED = {dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN}
_DENIED = {dns.rcode.REFUSED, dns.rcode.NOTAUTH}
_TYPES = tuple(sorted(LEADING))


class Rfc2136:
    """One zone of such a server."""

    survey_every_s = SURVEY_EVERY_S

    def __init__(
        self,
        setting: ProviderSetting,
        *,
        domain: str,
        address: Address,
        key_name: str,
        key: Path,
        algorithm: str,
        circuit: CallGuard,
        clock: Clock,
    ) -> None:
        self._setting = setting
        self._domain = domain
        self._zone = dns.name.from_text(setting.zone)
        self._address = address
        self._key_name, self._key, self._algorithm = key_name, key, algorithm
        self._circuit = circuit
        self._unchanged = UnchangedZone(clock)

    @property
    def setting(self) -> ProviderSetting:
        """What it is told to lead where."""
        return self._setting

    async def close(self) -> None:
        """Nothing is kept open."""

    async def find(self, whose: Whose) -> list[FoundRecord]:
        """Return every record at the names of a container, and marks that are left without one."""
        async with self._connected() as connection:
            sets: list[dns.rrset.RRset] = []
            for name in sorted(whose.names):
                own = [found for each in _TYPES for found in await self._look_up(connection, name, each)]
                mark = await self._look_up(connection, mark_name(name), "TXT")
                sets += mark
                sets += own if mark else [each for each in own if await self._is_there(connection, each)]
        return _read_found(sets)

    async def apply(self, whose: Whose, changes: Changes, check: Check) -> None:
        """Write all of it in one update: at each name that is touched, what is wanted there takes the place of ours."""
        async with self._connected() as connection:
            update = dns.update.UpdateMessage(self._zone)
            for name in sorted(changes.touched):
                is_marked = bool(await self._look_up(connection, mark_name(name), "TXT"))
                wanted = [record for record in changes.wanted if record.name == name]
                _render_name(update, whose.owner, name, wanted, is_marked=is_marked)
            answer = await connection.ask(update, check=check)
        if answer.rcode() in _CHANGED:
            raise RecordsChanged(dns.rcode.to_text(answer.rcode()))
        self._accept(answer)

    async def survey(self) -> list[FoundRecord]:
        """Return what leads anywhere below our domain, and every mark; only where the zone's serial has moved."""
        async with self._connected() as connection:
            soa = await self._look_up(connection, self._setting.zone, "SOA")
            serial = int(soa[0][0].serial) if soa else None
            known = self._unchanged.recall(serial)
            if known is not None:
                return known
            messages = await connection.transfer(self._zone)
        self._accept(messages[0])
        sets = [each for message in messages for each in message.answer]
        return self._unchanged.keep(serial, await asyncio.to_thread(_read_found, sets, f".{self._domain}"))

    async def _look_up(self, connection: TsigConnection, name: str, record_type: str) -> list[dns.rrset.RRset]:
        """Return the records of one type at one name, or none."""
        asked = dns.name.from_text(name)
        question = dns.message.make_query(asked, record_type)
        question.flags &= ~dns.flags.RD
        answer = await connection.ask(question)
        if answer.rcode() != dns.rcode.NXDOMAIN:
            self._accept(answer)
        kind = dns.rdatatype.from_text(record_type)
        return [each for each in answer.answer if each.name == asked and each.rdtype == kind]

    async def _is_there(self, connection: TsigConnection, found: dns.rrset.RRset) -> bool:
        """Tell whether records are really at their name: a wildcard answers for names that do not exist.

        An update that has prerequisites and changes nothing asks for just that.
        """
        question = dns.update.UpdateMessage(self._zone)
        question.present(found.name, dns.rdatatype.to_text(found.rdtype))
        answer = await connection.ask(question)
        if answer.rcode() in _CHANGED:
            return False
        self._accept(answer)
        return True

    def _accept(self, answer: dns.message.Message) -> None:
        code = answer.rcode()
        if code in _DENIED:
            raise DnsCredentialsRefused(provider=self._setting.name, reason=dns.rcode.to_text(code))
        if code != dns.rcode.NOERROR:
            raise DnsRefused(provider=self._setting.name, reason=dns.rcode.to_text(code))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[TsigConnection]:
        """Lend a connection behind the circuit; what it meets comes out as an error of ours."""
        key = await self._read_key()
        try:
            async with self._circuit.call():
                try:
                    async with open_connection(self._address, key) as connection:
                        yield connection
                except (OSError, TimeoutError, EOFError) as exc:
                    raise SystemAway(system=self._circuit.system, reason=_say(exc), retry_in_s=0.0) from exc
        except dns.tsig.PeerBadTime as exc:
            raise DnsRefused(provider=self._setting.name, reason="its clock and ours differ by too much") from exc
        except dns.tsig.PeerError as exc:
            raise DnsCredentialsRefused(provider=self._setting.name, reason=str(exc) or type(exc).__name__) from exc
        except Nonsense as exc:
            raise DnsRefused(provider=self._setting.name, reason=str(exc)) from exc

    async def _read_key(self) -> dns.tsig.Key:
        text = await read_secret(self._key, provider=self._setting.name)
        try:
            secret = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise DnsSecretUnusable(provider=self._setting.name, reason="its file holds no base64") from None
        return dns.tsig.Key(self._key_name, secret, self._algorithm)


def _render_name(
    update: dns.update.UpdateMessage, owner: OwnerMark, name: str, wanted: Iterable[Record], *, is_marked: bool
) -> None:
    """Write one name's part of an update: what must be so before, and what shall be so after it."""
    host, mark = dns.name.from_text(name), dns.name.from_text(mark_name(name))
    text = f'"{render_mark(owner)}"'
    if is_marked:
        # The whole of the mark, so that a second one beside it is refused too.
        update.present(mark, "TXT", text)
    else:
        update.absent(mark)
        for each in _TYPES:
            update.absent(host, each)
        if any(record.type == "CNAME" for record in wanted):
            update.absent(host)
    for each in _TYPES:
        update.delete(host, each)
    records = sorted(wanted)
    for record in records:
        content = f"{record.content}." if record.type in {"CNAME", "SRV"} else record.content
        update.add(host, record.ttl, record.type, content)
    if records:
        update.replace(mark, records[0].ttl, "TXT", text)
    else:
        update.delete(mark, "TXT")


def _read_found(sets: Iterable[dns.rrset.RRset], below: str = "") -> list[FoundRecord]:
    """Return what leads anywhere, with the marks beside it, and marks that are beside nothing."""
    leading: list[tuple[str, dns.rrset.RRset]] = []
    marks: dict[str, list[tuple[str, dns.rrset.RRset]]] = {}
    for each in sets:
        kind = dns.rdatatype.to_text(each.rdtype)
        name = each.name.to_text(omit_final_dot=True) if kind in LEADING or kind == "TXT" else ""
        if kind in LEADING and name.lower().endswith(below):
            leading.append((name, each))
        elif kind == "TXT" and (host := parse_mark_name(name)) is not None and host.lower().endswith(below):
            marks.setdefault(host.lower(), []).append((host, each))
    owners = {host: _read_owner(found) for host, found in marks.items()}
    found = [
        FoundRecord(
            name,
            dns.rdatatype.to_text(each.rdtype),
            spell_content(dns.rdatatype.to_text(each.rdtype), record.to_text()),
            each.ttl,
            owners.get(name.lower()),
        )
        for name, each in leading
        for record in each
    ]
    beside = {record.host for record in found}
    bare = [
        FoundRecord(marks[host][0][0], BARE_MARK, "", marks[host][0][1].ttl, owner)
        for host, owner in owners.items()
        if host not in beside
    ]
    return found + bare


def _read_owner(found: Iterable[tuple[str, dns.rrset.RRset]]) -> OwnerMark | None:
    """Return whose a host is; where two say that it is theirs, it is nobody's whom we know."""
    texts = [b"".join(record.strings).decode("utf-8", "replace") for _, each in found for record in each]
    return parse_mark(texts[0]) if len(texts) == 1 else None


def _say(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, EOFError):
        return "it closed the connection"
    return spell_errno(error) if isinstance(error, OSError) else type(error).__name__
