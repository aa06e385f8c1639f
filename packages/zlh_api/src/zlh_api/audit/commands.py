"""`zlh-api audit …`: looks at everything beside the running API or without it, and removes what a person has judged.

Exit codes: 0 all is as it should be, 1 something is not, 2 not everything could be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zlh_api.audit import left_records, tombstones
from zlh_api.audit.model import GUESTS, RECORDS, ROUTES
from zlh_api.audit.printable import printable
from zlh_api.audit.removal import Remains, Remover, collect
from zlh_api.audit.rules import Key, confirm, keys_of, needs_second_look
from zlh_api.audit.service import Auditor, Look
from zlh_api.audit_log.service import AuditLog
from zlh_common.clock import SystemClock
from zlh_common.errors import ZlhError
from zlh_common.names import Kind, OwnerMark, Vmid, find_serving_host, is_mark, parse_record_name
from zlh_common.schema.audit import AuditReport, AuditStatus, Finding, FindingKind, Severity, WorkItem
from zlh_common.schema.structs import encode

log = structlog.get_logger()
CLEAN, FOUND, UNKNOWN = 0, 1, 2
# What only a second look can confirm is looked at again after so long.
BETWEEN_LOOKS_S = 3.0
MAX_LOOKS = 3
_STYLE = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_CALLED = {GUESTS: "guests", ROUTES: "route files", RECORDS: "DNS records"}
Opener = Callable[[], AbstractAsyncContextManager[tuple[Auditor, Remover]]]


class MarkInUse(ZlhError):
    """A container has this mark, so nothing of it is an orphan."""

    code, status = "mark_in_use", 409

    def __init__(self, owner: OwnerMark) -> None:
        super().__init__(f"A container has the mark {owner}; delete the container instead.", owner=owner)


class MarkUnseen(ZlhError):
    """Nothing carries this mark."""

    code, status = "mark_unseen", 404

    def __init__(self, owner: str) -> None:
        super().__init__(
            f"Neither a guest nor a route file nor a record carries the mark {owner}; `zlh-api audit` lists those seen."
        )


class AuditIncomplete(ZlhError):
    """A system could not be looked at, so nothing is removed."""

    code, status, retryable = "audit_incomplete", 503, True

    def __init__(self, troubles: Sequence[str]) -> None:
        super().__init__(f"Not everything could be looked at ({'; '.join(troubles)}), so nothing is removed.")


class ProviderConfigured(ZlhError):
    """The provider is looked at, so nobody has to be believed."""

    code, status = "provider_configured", 409

    def __init__(self, provider: str) -> None:
        super().__init__(f"The DNS provider {provider} is configured: what is there is looked at and put right.")


class ProviderUnknown(ZlhError):
    """Nothing of ours was at a provider of this name."""

    code, status = "provider_unknown", 404

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"No container had records at a DNS provider {provider}; `zlh-api audit` lists those that had."
        )


class RemovalUnderWay(ZlhError):
    """Another process removes the same at this moment."""

    code, status, retryable = "removal_under_way", 409, True

    def __init__(self, owner: OwnerMark) -> None:
        super().__init__(f"What carries the mark {owner} is being removed by another process at this moment.")


async def run(args: argparse.Namespace, opened: Opener) -> int:
    """Carry out one sub-command; return the exit code."""
    try:
        async with opened() as (auditor, remover):
            if args.audit_command == "remove":
                return await _remove(args.owner, auditor, remover)
            if args.audit_command == "forget-provider":
                return await _forget_provider(args.provider, auditor)
            return await _show(args, auditor)
    except ZlhError as error:
        if args.audit_command in {"remove", "forget-provider"}:
            raise
        sys.stderr.write(f"zlh-api: {error.detail} [{error.code}]\n")
        return UNKNOWN


async def look_again(auditor: Auditor) -> tuple[Look, list[Finding]]:
    """Look until nothing is shown for the first time that only another look can confirm; return what counts.

    Where something new shows in every look, that is the work of others, and the last look has to do.
    """
    look, before = await auditor.look(), frozenset[Key]()
    for _more in range(MAX_LOOKS - 1):
        if not needs_second_look(look.differences, before):
            break
        before = keys_of(look.differences)
        await asyncio.sleep(BETWEEN_LOOKS_S)
        look = await auditor.look()
    return look, confirm(look.differences, before)


async def _show(args: argparse.Namespace, auditor: Auditor) -> int:
    look, findings = await look_again(auditor)
    status = await auditor.fetch_status()
    if args.audit_command == "names":
        findings = [finding for finding in findings if finding.kind is FindingKind.NONCONFORMING_NAME]
    if args.json:
        report = msgspec.structs.replace(look.report(findings), findings=tuple(findings), left_out=0)
        _say(encode(msgspec.structs.replace(status, report=report)).decode())
    else:
        print_report(Console(), look.report(findings), findings, status, is_whole=args.audit_command == "all")
    if look.troubles:
        return UNKNOWN
    return FOUND if any(finding.severity is not Severity.NOTE for finding in findings) else CLEAN


def print_report(
    console: Console, report: AuditReport, findings: Sequence[Finding], status: AuditStatus, *, is_whole: bool
) -> None:
    """Print what was looked at, what was found, and what is under way."""
    counts = [f"{report.containers} containers"]
    counts += [f"{part.count} {_call(part.name)}" for part in report.parts if part.count is not None]
    console.print(f"Looked at {', '.join(counts)} in {report.took_ms} ms.", highlight=False)
    for part in report.parts:
        if part.trouble is not None:
            console.print(Text(f"Not looked at: {_call(part.name)}. {printable(part.trouble)}", style="yellow"))
    if findings:
        console.print(_findings_table(findings))
    else:
        console.print(_say_clean(report, status), highlight=False)
    if is_whole and status.work:
        console.print(_work_table(status.work))
        if status.work_left_out:
            console.print(f"… and {status.work_left_out} more.", highlight=False)


def _call(name: str) -> str:
    """Return how people call a part."""
    part, _, provider = name.partition(":")
    return f"{_CALLED[part]} at {provider}" if provider else _CALLED[part]


def _say_clean(report: AuditReport, status: AuditStatus) -> Text:
    """Say what is true without findings: that nothing lies about does not mean that everything works."""
    what = "All of what was looked at" if any(part.count is None for part in report.parts) else "All"
    under_way, failing = len(status.work) + status.work_left_out, status.queue.failing
    if not under_way:
        return Text(f"{what} is as it should be.", style="green")
    told = f"{what} is accounted for; {under_way} containers are still in work, {failing} of which have failed so far."
    return Text(told, style="yellow" if failing else "green")


def _findings_table(findings: Sequence[Finding]) -> Table:
    table = Table("what", "which", "about it", title="Findings", title_justify="left", show_lines=True)
    for finding in findings:
        number = str(finding.vmid) if finding.vmid is not None else ""
        label = f"{number} {finding.name or ''}".strip() or finding.where or finding.owner or ""
        table.add_row(
            Text(finding.kind, style=_STYLE[finding.severity]),
            Text(printable(label), overflow="fold"),
            Text(printable(finding.message), overflow="fold"),
        )
    return table


def _work_table(work: Sequence[WorkItem]) -> Table:
    table = Table("container", "state", "step", "why", "next try", title="In work", title_justify="left")
    for item in work:
        why = item.message or (f"waits for {item.waiting_for}" if item.waiting_for else "")
        next_try = item.next_try_at.astimezone().strftime("%H:%M:%S") if item.next_try_at else ""
        table.add_row(str(item.vmid), item.state, item.step or "", Text(printable(why), overflow="fold"), next_try)
    return table


async def _remove(owner: str, auditor: Auditor, remover: Remover) -> int:
    """Remove what carries a mark that no container has. From its first line on, the patrol would complete it."""
    if not is_mark(owner):
        raise MarkUnseen(owner)
    mark = OwnerMark(owner)
    look = await auditor.look()
    if any(row.owner == mark for row in look.books.rows):
        raise MarkInUse(mark)
    if look.troubles:
        raise AuditIncomplete([f"{part.name}: {part.trouble}" for part in look.troubles])
    records = [(survey.provider, record) for survey in look.seen.records for record in survey.found]
    # What carries our mark and has no name of ours is left to whoever gave it that.
    named = [(provider, record) for provider, record in records if parse_record_name(record.host, look.books.domain)]
    remains = collect(mark, look.seen.guests or (), look.seen.routes or (), named)
    if not remains.guests and not remains.routes and not remains.records:
        raise MarkUnseen(owner)
    async with auditor.database.transaction() as connection:
        if not await tombstones.judge(connection, mark, _number_of(remains, look.books.domain), _kind_of(remains)):
            raise MarkInUse(mark)
    log.info("audit.judged", owner=mark, guests=[guest.where for guest in remains.guests])
    async with AuditLog(auditor.database, SystemClock()).command("remains.remove", _describe(mark, remains)):
        if not await remover.remove(remains):
            raise RemovalUnderWay(mark)
    for guest in remains.guests:
        _say(f"removed {guest.where}")
    for file in remains.routes:
        _say(f"removed {file.name}")
    for provider, record in remains.records:
        _say(f"removed {record.name} at {provider}")
    return CLEAN


async def _forget_provider(provider: str, auditor: Auditor) -> int:
    """Believe a person that nothing is left where nobody can look."""
    if provider in auditor.providers:
        raise ProviderConfigured(provider)
    async with AuditLog(auditor.database, SystemClock()).command("records.forget", {"provider": provider}):
        async with auditor.database.transaction() as connection:
            containers = await left_records.forget(connection, provider)
        if not containers:
            raise ProviderUnknown(provider)
    _say(f"forgot the records of {containers} containers at {provider}")
    return CLEAN


def _describe(mark: OwnerMark, remains: Remains) -> dict[str, object]:
    """Return what the audit log keeps of a removal."""
    return {
        "owner": mark,
        "guests": len(remains.guests),
        "routes": len(remains.routes),
        "records": len(remains.records),
    }


def _say(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")


def _number_of(remains: Remains, domain: str) -> Vmid:
    numbers = [guest.vmid for guest in remains.guests if guest.vmid is not None]
    hosts = [parse_record_name(record.host, domain) for _, record in remains.records]
    numbers += [host.vmid for host in hosts if host is not None]
    return numbers[0] if numbers else Vmid(0)


def _kind_of(remains: Remains) -> Kind:
    names = [guest.name or "" for guest in remains.guests] + [file.name for file in remains.routes]
    hosts = [find_serving_host(record.host) for _, record in remains.records]
    names += [host.partition("-")[2] if host[0].isdigit() else host for host in hosts]
    return "game" if any(name.startswith("game-") for name in names) else "dev"
