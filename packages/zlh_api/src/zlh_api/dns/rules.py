"""Which records a container needs, how far they are, and whether an answer is the right one: pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from zlh_api.dns.diff import leads
from zlh_api.dns.model import FoundRecord, ProviderSetting, Record, RecordType, ServicePort, Whose
from zlh_common.names import HostName, OwnerMark, render_host, render_service

Wanted = Mapping[str, tuple[Record, ...]]


class Written(msgspec.Struct, frozen=True):
    """What a row keeps of one provider: what was written there last, and where records of ours may be."""

    # Of the records; empty from the intent to write until all of them were read back.
    digest: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a row keeps of all providers, by their names; those that are configured no more included."""

    written: Mapping[str, Written]

    def at(self, provider: str) -> Written:
        """Return what is known of one provider."""
        return self.written.get(provider, Written())

    def with_intent(self, wanted: Wanted) -> Kept:
        """Return what is kept before something is written: names that may have a record from now on are known."""
        changes = {
            name: Written(names=_join(self.at(name).names, (record.name for record in records)))
            for name, records in wanted.items()
        }
        return Kept({**self.written, **changes})

    def with_written(self, wanted: Wanted) -> Kept:
        """Return what is kept once these were read back, and nothing else of ours was."""
        changes = {name: Written(digest_of(records), _join((), _names(records))) for name, records in wanted.items()}
        return Kept({**self.written, **changes})

    def without(self, providers: Iterable[str]) -> Kept:
        """Return what is kept once nothing of ours is left at these."""
        gone = set(providers)
        return Kept({name: each for name, each in self.written.items() if name not in gone})

    def with_doubt(self, seen: Mapping[str, Iterable[str]]) -> Kept:
        """Return what is kept once providers were seen to differ, with what was seen at which names."""
        changes = {name: Written(names=_join(self.at(name).names, names)) for name, names in seen.items()}
        return Kept({**self.written, **changes})


def parse_kept(text: str | None) -> Kept:
    """Return what a row keeps; what cannot be read is as good as nothing, and is written anew."""
    try:
        return Kept(_read_kept(text) if text else {})
    except msgspec.MsgspecError:
        return Kept({})


def render_kept(kept: Kept) -> str | None:
    """Return it as the row keeps it."""
    return msgspec.json.encode(dict(sorted(kept.written.items()))).decode() if kept.written else None


_read_kept = msgspec.json.Decoder(dict[str, Written]).decode


def render_records(
    host: HostName,
    ports: Iterable[int],
    setting: ProviderSetting,
    *,
    domain: str,
    services: Iterable[ServicePort] = (),
) -> tuple[Record, ...]:
    """Return the records of a container, of each of its published ports and of its services, in order."""
    is_game = host.kind == "game"
    targets = setting.game_target if is_game and setting.game_target else setting.target
    hosts = [host, *(HostName(host.kind, host.vmid, port) for port in ports)]
    leading = [
        Record(render_host(each, domain), *_lead(target), setting.ttl, setting.is_proxying and not is_game)
        for each in hosts
        for target in targets
    ]
    own = render_host(host, domain)
    # Where a service is must not be an alias (RFC 2782), so what an alias of ours leads to is told itself.
    at = own if all(is_address(target) for target in targets) else spell_content("CNAME", targets[0])
    telling = [
        Record(render_service(each.service, own), "SRV", f"0 0 {each.port} {at}", setting.ttl) for each in services
    ]
    return tuple(sorted((*leading, *telling)))


def whose_records(owner: OwnerMark, host: HostName, *, domain: str, names: Iterable[str]) -> Whose:
    """Return a container as providers know it."""
    own = render_host(host, domain)
    return Whose(owner, own, frozenset((own, *names)))


def digest_of(records: Iterable[Record]) -> str:
    """Return what stands for a set of records."""
    text = "\n".join(f"{each.name} {each.type} {each.content} {each.ttl} {each.is_proxied}" for each in sorted(records))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_all(wanted: Wanted) -> str:
    """Return what stands for the records of all providers."""
    text = "\n".join(f"{name} {digest_of(wanted[name])}" for name in sorted(wanted))
    return hashlib.sha256(text.encode()).hexdigest()


def find_stale(kept: Kept, wanted: Wanted) -> dict[str, tuple[Record, ...]]:
    """Return what is wanted at those providers that may have something else."""
    return {name: records for name, records in wanted.items() if kept.at(name).digest != digest_of(records)}


def spell_content(record_type: str, content: str) -> str:
    """Return what a record says in the one spelling that is compared."""
    if record_type in {"A", "AAAA"}:
        try:
            return str(ipaddress.ip_address(content.strip()))
        except ValueError:
            return content.strip()
    if record_type == "SRV":
        return " ".join(content.split()).rstrip(".").lower()
    return content.strip().rstrip(".").lower()


def keep_surveyed(found: Iterable[FoundRecord], *, domain: str) -> list[FoundRecord]:
    """Return what a survey of a zone is about: what leads anywhere below our domain, and what carries a mark there."""
    below = f".{domain}"
    return [each for each in found if each.host.endswith(below) and (leads(each) or each.owner is not None)]


def is_address(target: str) -> bool:
    """Tell whether a target is an address, and no host."""
    try:
        ipaddress.ip_address(target)
    except ValueError:
        return False
    return True


def find_wrong_answer(name: str, wanted: Iterable[Record], answers: Mapping[str, frozenset[str]]) -> str | None:
    """Return what is wrong with what a name server answers for a name, by type, or None.

    Who passes requests on answers with addresses of its own, which may be any, but some.
    """
    records = [record for record in wanted if record.name == name]
    if any(record.is_proxied for record in records):
        return None if any(answers.get(each) for each in ("A", "AAAA")) else "it has no address"
    for record_type in asked_types(records):
        right = frozenset(record.content for record in records if record.type == record_type)
        told = answers.get(record_type, frozenset())
        if told != right:
            return f"{record_type} is {_list(told)} and should be {_list(right)}"
    return None


def asked_types(records: Iterable[Record]) -> tuple[str, ...]:
    """Return for which types a name server is asked: a service and a host name for themselves, else for addresses."""
    types = {record.type for record in records if not record.is_proxied}
    if "SRV" in types:
        return ("SRV",)
    return ("CNAME",) if "CNAME" in types else ("A", "AAAA")


def _list(contents: Iterable[str]) -> str:
    return ", ".join(sorted(contents)) or "nothing"


def _lead(target: str) -> tuple[RecordType, str]:
    if not is_address(target):
        return "CNAME", spell_content("CNAME", target)
    address = ipaddress.ip_address(target)
    return ("A" if address.version == 4 else "AAAA"), str(address)


def _names(records: Iterable[Record]) -> Iterable[str]:
    return (record.name for record in records)


def _join(names: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*names, *more}))
