"""What the patrol has last seen of the proxy's directory and of the DNS providers, for the page that shows the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zlh_api.audit import store as audit
from zlh_api.audit.model import ROUTES, records_part
from zlh_api.database.pool import Database
from zlh_api.edge.directory_rules import parse_moment
from zlh_common.schema.audit import AuditPart, AuditReport, Finding, Thing
from zlh_common.schema.edge import EdgeFiles, EdgeProvider, QuarantinedFile

NOT_LOOKED = "Nobody has looked yet."


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """One DNS provider as the configuration names it."""

    name: str
    kind: str
    zone: str


@dataclass(frozen=True, slots=True)
class PatrolFacts:
    """Reads the last report, so that no page costs a provider a call."""

    database: Database
    providers: tuple[ConfiguredProvider, ...]
    # Where files lie that were moved away, for people.
    quarantine: str

    async def fetch_files(self) -> EdgeFiles:
        """Return what the directory of route files is like, and what was moved out of it."""
        report = await self._fetch_report()
        part = _find_part(report, ROUTES)
        findings = report.findings if report is not None else ()
        moved = tuple(file for finding in findings if (file := self._read_quarantined(finding)) is not None)
        return EdgeFiles(count=part.count, quarantined=moved, trouble=part.trouble)

    async def fetch_providers(self) -> tuple[EdgeProvider, ...] | None:
        """Return the DNS providers, or None where there are none."""
        report = await self._fetch_report()
        return tuple(_show(each, report) for each in self.providers) or None

    def _read_quarantined(self, finding: Finding) -> QuarantinedFile | None:
        """Return what a finding tells of a file that was moved away; None where it tells something else."""
        name = finding.name or ""
        moved_at = parse_moment(name)
        if finding.thing is not Thing.ROUTE or moved_at is None:
            return None
        return QuarantinedFile(name=name, where=self.quarantine, reason=finding.message, moved_at=moved_at)

    async def _fetch_report(self) -> AuditReport | None:
        async with self.database.connection() as connection:
            report, _ = await audit.fetch_report(connection)
        return report


def _show(provider: ConfiguredProvider, report: AuditReport | None) -> EdgeProvider:
    part = _find_part(report, records_part(provider.name))
    return EdgeProvider(
        name=provider.name,
        kind=provider.kind,
        zone=provider.zone,
        is_reachable=part.trouble is None,
        surveyed_at=report.looked_at if report is not None else None,
        records=part.count,
        trouble=part.trouble,
    )


def _find_part(report: AuditReport | None, name: str) -> AuditPart:
    parts: Sequence[AuditPart] = report.parts if report is not None else ()
    return next((part for part in parts if part.name == name), AuditPart(name=name, count=None, trouble=NOT_LOOKED))
