"""What name servers answer, asked one by one: over UDP, and over TCP where an answer is too long for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from zlh_api.dns.http_calls import CallGuard
from zlh_api.dns.model import Record
from zlh_api.dns.port import DnsNotAnswering
from zlh_api.dns.rules import asked_types, find_wrong_answer, spell_content
from zlh_api.dns.tsig_connection import Address
from zlh_api.drivers.port import SystemAway

ANSWER_TIMEOUT_S = 3.0
# Of one container, how many questions are open at a time.
MOST_QUESTIONS = 8
DNS_PORT = 53


def parse_server(text: str) -> Address:
    """Return where a name server listens: `address`, `address:port`, or `[v6]:port`."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return Address(host, int(port.removeprefix(":") or DNS_PORT))
    if text.count(":") != 1:
        return Address(text, DNS_PORT)
    host, _, port = text.partition(":")
    return Address(host, int(port))


class NameServers:
    """Asks servers, each behind a circuit of its own."""

    def __init__(self, make_circuit: Callable[[str], CallGuard]) -> None:
        self._make_circuit = make_circuit
        self._circuits: dict[str, CallGuard] = {}

    async def find_wrong(self, server: str, wanted: Sequence[Record]) -> DnsNotAnswering | None:
        """Return what one server does not answer as it should, or None; raise SystemAway."""
        names = sorted({record.name for record in wanted})
        room = asyncio.Semaphore(MOST_QUESTIONS)

        async def ask(name: str) -> str | None:
            records = [record for record in wanted if record.name == name]
            async with room:
                try:
                    answers = {each: await self._ask(server, name, each) for each in asked_types(records)}
                except _Refused as exc:
                    return str(exc)
            return find_wrong_answer(name, records, answers)

        reasons = await asyncio.gather(*(ask(name) for name in names))
        for name, reason in zip(names, reasons, strict=True):
            if reason is not None:
                return DnsNotAnswering(provider=f"the name server {server}", name=name, reason=reason)
        return None

    async def _ask(self, server: str, name: str, record_type: str) -> frozenset[str]:
        circuit = self._circuits.get(server)
        if circuit is None:
            circuit = self._circuits[server] = self._make_circuit(f"the name server {server}")
        asked, address = dns.name.from_text(name), parse_server(server)
        question = dns.message.make_query(asked, record_type)
        async with circuit.call():
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    question, address.host, timeout=ANSWER_TIMEOUT_S, port=address.port
                )
            except (dns.exception.Timeout, OSError, EOFError) as exc:
                raise SystemAway(system=circuit.system, reason="it does not answer", retry_in_s=0.0) from exc
            except (dns.exception.DNSException, ValueError) as exc:
                raise _Refused(f"its answer cannot be read ({type(exc).__name__})") from exc
        if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise _Refused(f"it says {dns.rcode.to_text(answer.rcode())}")
        kind = dns.rdatatype.from_text(record_type)
        # What a CNAME of ours leads to may have answers too, at other names.
        sets = [each for each in answer.answer if each.rdtype == kind and each.name == asked]
        return frozenset(spell_content(record_type, record.to_text()) for each in sets for record in each)


class _Refused(Exception):
    """The server answers, and not with what was asked for."""
